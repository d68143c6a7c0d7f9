// Vectors of one lane: the portable table, and the definition of what every vector type offers.
// It must not know operations or rules. Every operation here is exact in IEEE 754 terms, so all types agree bit for
// bit.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace fastreg::FASTREG_ISA_NAMESPACE {

// V: L lanes of T. "bits_" operations treat each lane as an unsigned integer of the same size.
template <class Real, class Word>
struct VecScalar {
    using T = Real;
    using Bits = Word;  // uint32_t or uint64_t
    using M = bool;     // a mask: one truth value per lane
    static constexpr int L = 1;
    T v;

    static VecScalar load(const T* p) { return {*p}; }
    static VecScalar load(const T* p, int n) { return {n > 0 ? *p : T(0)}; }  // lanes >= n are 0
    static VecScalar set(T x) { return {x}; }
    static VecScalar set_bits(Bits b) {
        VecScalar r;
        std::memcpy(&r.v, &b, sizeof b);
        return r;
    }
    void store(T* p) const { *p = v; }
    void store(T* p, int n) const {  // lanes >= n are not written
        if (n > 0) *p = v;
    }
    // As store, past the caches where the CPU can: p at a multiple of 16 bytes. drain() before another thread reads it.
    void stream(T* p) const { store(p); }
    static void drain() {}

    friend VecScalar operator+(VecScalar a, VecScalar b) { return {a.v + b.v}; }
    friend VecScalar operator-(VecScalar a, VecScalar b) { return {a.v - b.v}; }
    friend VecScalar operator*(VecScalar a, VecScalar b) { return {a.v * b.v}; }
    friend VecScalar operator/(VecScalar a, VecScalar b) { return {a.v / b.v}; }
    friend VecScalar fma(VecScalar a, VecScalar b, VecScalar c) { return {std::fma(a.v, b.v, c.v)}; }  // a * b + c
    friend void accumulate(VecScalar a, VecScalar b, VecScalar& c) { c = fma(a, b, c); }
    static void accumulate(VecScalar a, const T* b, VecScalar& c) { c = fma(a, load(b), c); }
    static void accumulate_number(const T* a, VecScalar b, VecScalar& c) { c = fma(set(*a), b, c); }
    friend VecScalar fms(VecScalar a, VecScalar b, VecScalar c) { return {std::fma(a.v, b.v, -c.v)}; }  // a * b - c
    friend VecScalar sqrt(VecScalar a) { return {std::sqrt(a.v)}; }

    // b where one is NaN, and where both are zeros.
    static VecScalar min(VecScalar a, VecScalar b) { return a.v < b.v ? a : b; }
    static VecScalar max(VecScalar a, VecScalar b) { return a.v > b.v ? a : b; }

    // Comparisons with NaN are false.
    friend M operator<(VecScalar a, VecScalar b) { return a.v < b.v; }
    friend M operator<=(VecScalar a, VecScalar b) { return a.v <= b.v; }
    friend M operator==(VecScalar a, VecScalar b) { return a.v == b.v; }
    static M mask_and(M a, M b) { return a && b; }
    static M mask_or(M a, M b) { return a || b; }
    static M mask_not(M a) { return !a; }
    static uint32_t lanes(M a) { return a; }  // bit i: lane i
    static VecScalar select(M m, VecScalar yes, VecScalar no) { return m ? yes : no; }

    Bits bits() const {
        Bits b;
        std::memcpy(&b, &v, sizeof b);
        return b;
    }
    friend VecScalar bits_and(VecScalar a, VecScalar b) { return set_bits(a.bits() & b.bits()); }
    friend VecScalar bits_or(VecScalar a, VecScalar b) { return set_bits(a.bits() | b.bits()); }
    friend VecScalar bits_xor(VecScalar a, VecScalar b) { return set_bits(a.bits() ^ b.bits()); }
    friend VecScalar bits_add(VecScalar a, VecScalar b) { return set_bits(a.bits() + b.bits()); }  // wraps
    friend VecScalar bits_sub(VecScalar a, VecScalar b) { return set_bits(a.bits() - b.bits()); }
    template <int n>
    static VecScalar bits_shl(VecScalar a) {
        return set_bits(a.bits() << n);
    }
    template <int n>
    static VecScalar bits_shr(VecScalar a) {
        return set_bits(a.bits() >> n);
    }  // zeros come in

    // Lane i is true when draws[i] < keep, keep <= 65536: a dropout decision.
    static M below(const uint16_t* draws, uint32_t keep) { return draws[0] < keep; }

    // dst[c * dst_stride + r] = src[r * src_stride + c] for r, c < kTransposeTile, written in increasing c: where
    // dst_stride < kTransposeTile, a row of dst overwrites the end of the one before.
    static constexpr int kTransposeTile = 1;
    static void transpose(const T* src, int64_t, T* dst, int64_t) { *dst = *src; }
};

using VF = VecScalar<float, uint32_t>;
using VD = VecScalar<double, uint64_t>;

// U32: the lanes of one Philox step.
struct U32 {
    static constexpr int L = 1;
    uint32_t v;
    static U32 set(uint32_t x) { return {x}; }
    static U32 iota(uint32_t first) { return {first}; }  // first, first + 1, ...; wraps
    friend U32 operator^(U32 a, U32 b) { return {a.v ^ b.v}; }
    static void mul_wide(U32 a, uint32_t b, U32* hi, U32* lo) {
        const uint64_t p = uint64_t(a.v) * b;
        hi->v = uint32_t(p >> 32);
        lo->v = uint32_t(p);
    }
    // Word 4 i + k of out = lane i of word k. out may hold any type and have any alignment.
    static void store_interleaved(const U32 (&word)[4], unsigned char* out) {
        for (int k = 0; k < 4; ++k) std::memcpy(out + 4 * k, &word[k].v, 4);
    }
};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE
