// Vectors of one lane for device code: the rules (csrc/rules) instantiated by nvcc give the bits they give on the CPU.
// What each operation means is written in cpu/vec_scalar.h. It must not know operations. Compiled with -fmad=false.
#pragma once
#include <cstdint>

namespace fastreg::cuda {

template <class Real>
struct Lane {
    using T = Real;
    using Bits = std::conditional_t<sizeof(Real) == 4, uint32_t, uint64_t>;
    using M = bool;
    static constexpr int L = 1;
    T v;

    static __device__ __forceinline__ Lane load(const T* p) { return {*p}; }
    static __device__ __forceinline__ Lane set(T x) { return {x}; }
    static __device__ __forceinline__ Lane set_bits(Bits b) {
        if constexpr (sizeof(T) == 4)
            return {__uint_as_float(b)};
        else
            return {__longlong_as_double(static_cast<long long>(b))};
    }
    __device__ __forceinline__ void store(T* p) const { *p = v; }

    friend __device__ __forceinline__ Lane operator+(Lane a, Lane b) { return {a.v + b.v}; }
    friend __device__ __forceinline__ Lane operator-(Lane a, Lane b) { return {a.v - b.v}; }
    friend __device__ __forceinline__ Lane operator*(Lane a, Lane b) { return {a.v * b.v}; }
    friend __device__ __forceinline__ Lane operator/(Lane a, Lane b) {
        if constexpr (sizeof(T) == 4)
            return {__fdiv_rn(a.v, b.v)};
        else
            return {__ddiv_rn(a.v, b.v)};
    }
    friend __device__ __forceinline__ Lane reciprocal(Lane a) {
        if constexpr (sizeof(T) == 4)
            return {__frcp_rn(a.v)};
        else
            return {__drcp_rn(a.v)};
    }
    friend __device__ __forceinline__ Lane fma(Lane a, Lane b, Lane c) {
        if constexpr (sizeof(T) == 4)
            return {__fmaf_rn(a.v, b.v, c.v)};
        else
            return {__fma_rn(a.v, b.v, c.v)};
    }
    friend __device__ __forceinline__ Lane fms(Lane a, Lane b, Lane c) { return fma(a, b, Lane{-c.v}); }
    friend __device__ __forceinline__ Lane sqrt(Lane a) {
        if constexpr (sizeof(T) == 4)
            return {__fsqrt_rn(a.v)};
        else
            return {__dsqrt_rn(a.v)};
    }
    static __device__ __forceinline__ Lane min(Lane a, Lane b) { return a.v < b.v ? a : b; }
    static __device__ __forceinline__ Lane max(Lane a, Lane b) { return a.v > b.v ? a : b; }

    friend __device__ __forceinline__ M operator<(Lane a, Lane b) { return a.v < b.v; }
    friend __device__ __forceinline__ M operator<=(Lane a, Lane b) { return a.v <= b.v; }
    friend __device__ __forceinline__ M operator==(Lane a, Lane b) { return a.v == b.v; }
    static __device__ __forceinline__ M mask_and(M a, M b) { return a && b; }
    static __device__ __forceinline__ M mask_or(M a, M b) { return a || b; }
    static __device__ __forceinline__ M mask_not(M a) { return !a; }
    static __device__ __forceinline__ Lane select(M m, Lane yes, Lane no) { return m ? yes : no; }

    __device__ __forceinline__ Bits bits() const {
        if constexpr (sizeof(T) == 4)
            return __float_as_uint(v);
        else
            return static_cast<Bits>(__double_as_longlong(v));
    }
    friend __device__ __forceinline__ Lane bits_and(Lane a, Lane b) { return set_bits(a.bits() & b.bits()); }
    friend __device__ __forceinline__ Lane bits_or(Lane a, Lane b) { return set_bits(a.bits() | b.bits()); }
    friend __device__ __forceinline__ Lane bits_xor(Lane a, Lane b) { return set_bits(a.bits() ^ b.bits()); }
    friend __device__ __forceinline__ Lane bits_add(Lane a, Lane b) { return set_bits(a.bits() + b.bits()); }
    friend __device__ __forceinline__ Lane bits_sub(Lane a, Lane b) { return set_bits(a.bits() - b.bits()); }
    template <int n>
    static __device__ __forceinline__ Lane bits_shl(Lane a) {
        return set_bits(a.bits() << n);
    }
    template <int n>
    static __device__ __forceinline__ Lane bits_shr(Lane a) {
        return set_bits(a.bits() >> n);
    }

    static __device__ __forceinline__ M below(const uint16_t* draws, uint32_t keep) { return draws[0] < keep; }
};

struct U32 {  // one lane of a Philox step
    static constexpr int L = 1;
    uint32_t v;
    static __device__ __forceinline__ U32 set(uint32_t x) { return {x}; }
    friend __device__ __forceinline__ U32 operator^(U32 a, U32 b) { return {a.v ^ b.v}; }
    static __device__ __forceinline__ void mul_wide(U32 a, uint32_t b, U32* hi, U32* lo) {
        hi->v = __umulhi(a.v, b);
        lo->v = a.v * b;
    }
};

}  // namespace fastreg::cuda
