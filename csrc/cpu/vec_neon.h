// Vectors of 128 bits for AArch64 with Advanced SIMD; vec_scalar.h defines what each operation means.
// It must not know operations or rules, and defines nothing outside the namespace of its instruction set.
#pragma once
#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#define FR_VEC __attribute__((always_inline)) inline

namespace fastreg::FASTREG_ISA_NAMESPACE {

// Four lanes of float.
struct VF {
    using T = float;
    using Bits = uint32_t;
    struct M {
        uint32x4_t v;  // per lane all ones or all zeros
    };
    static constexpr int L = 4;
    float32x4_t v;

    FR_VEC static VF load(const T* p) { return {vld1q_f32(p)}; }
    FR_VEC static VF load(const T* p, int n) {
        if (n >= L) return load(p);
        float32x4_t r = vdupq_n_f32(0);
        if (n > 0) r = vld1q_lane_f32(p, r, 0);
        if (n > 1) r = vld1q_lane_f32(p + 1, r, 1);
        if (n > 2) r = vld1q_lane_f32(p + 2, r, 2);
        return {r};
    }
    FR_VEC static VF set(T x) { return {vdupq_n_f32(x)}; }
    FR_VEC static VF set_bits(Bits b) { return real(vdupq_n_u32(b)); }
    FR_VEC void store(T* p) const { vst1q_f32(p, v); }
    FR_VEC void store(T* p, int n) const {
        if (n >= L) return store(p);
        if (n > 0) vst1q_lane_f32(p, v, 0);
        if (n > 1) vst1q_lane_f32(p + 1, v, 1);
        if (n > 2) vst1q_lane_f32(p + 2, v, 2);
    }
    FR_VEC void stream(T* p) const { store(p); }
    FR_VEC static void drain() {}

    FR_VEC friend VF operator+(VF a, VF b) { return {vaddq_f32(a.v, b.v)}; }
    FR_VEC friend VF operator-(VF a, VF b) { return {vsubq_f32(a.v, b.v)}; }
    FR_VEC friend VF operator*(VF a, VF b) { return {vmulq_f32(a.v, b.v)}; }
    FR_VEC friend VF operator/(VF a, VF b) { return {vdivq_f32(a.v, b.v)}; }
    FR_VEC friend VF fma(VF a, VF b, VF c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
    FR_VEC friend void accumulate(VF a, VF b, VF& c) { c = fma(a, b, c); }
    FR_VEC static void accumulate(VF a, const T* b, VF& c) { c = fma(a, load(b), c); }
    FR_VEC static void accumulate_number(const T* a, VF b, VF& c) { c = fma(set(*a), b, c); }
    FR_VEC friend VF fms(VF a, VF b, VF c) { return {vfmaq_f32(vnegq_f32(c.v), a.v, b.v)}; }
    FR_VEC friend VF sqrt(VF a) { return {vsqrtq_f32(a.v)}; }
    FR_VEC static VF min(VF a, VF b) { return select(a < b, a, b); }
    FR_VEC static VF max(VF a, VF b) { return select(b < a, a, b); }

    FR_VEC friend M operator<(VF a, VF b) { return {vcltq_f32(a.v, b.v)}; }
    FR_VEC friend M operator<=(VF a, VF b) { return {vcleq_f32(a.v, b.v)}; }
    FR_VEC friend M operator==(VF a, VF b) { return {vceqq_f32(a.v, b.v)}; }
    FR_VEC static M mask_and(M a, M b) { return {vandq_u32(a.v, b.v)}; }
    FR_VEC static M mask_or(M a, M b) { return {vorrq_u32(a.v, b.v)}; }
    FR_VEC static M mask_not(M a) { return {vmvnq_u32(a.v)}; }
    FR_VEC static uint32_t lanes(M a) {
        const uint32x4_t bit = {1, 2, 4, 8};
        return vaddvq_u32(vandq_u32(a.v, bit));
    }
    FR_VEC static VF select(M m, VF yes, VF no) { return {vbslq_f32(m.v, yes.v, no.v)}; }

    FR_VEC friend VF bits_and(VF a, VF b) { return real(vandq_u32(word(a), word(b))); }
    FR_VEC friend VF bits_or(VF a, VF b) { return real(vorrq_u32(word(a), word(b))); }
    FR_VEC friend VF bits_xor(VF a, VF b) { return real(veorq_u32(word(a), word(b))); }
    FR_VEC friend VF bits_add(VF a, VF b) { return real(vaddq_u32(word(a), word(b))); }
    FR_VEC friend VF bits_sub(VF a, VF b) { return real(vsubq_u32(word(a), word(b))); }
    template <int n>
    FR_VEC static VF bits_shl(VF a) {
        return real(vshlq_n_u32(word(a), n));
    }
    template <int n>
    FR_VEC static VF bits_shr(VF a) {
        return real(word(a) >> n);
    }  // vshrq_n_u32 would refuse n = 0

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        return {vcltq_u32(vmovl_u16(vld1_u16(draws)), vdupq_n_u32(keep))};
    }

    static constexpr int kTransposeTile = 4;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        const float32x4_t r0 = vld1q_f32(src), r1 = vld1q_f32(src + src_stride);
        const float32x4_t r2 = vld1q_f32(src + 2 * src_stride), r3 = vld1q_f32(src + 3 * src_stride);
        const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1));  // columns 0 and 2 of rows 0 and 1
        const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
        const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3));
        const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
        vst1q_f32(dst, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23)));
        vst1q_f32(dst + dst_stride, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23)));
        vst1q_f32(dst + 2 * dst_stride, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23)));
        vst1q_f32(dst + 3 * dst_stride, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23)));
    }

private:
    FR_VEC static uint32x4_t word(VF a) { return vreinterpretq_u32_f32(a.v); }
    FR_VEC static VF real(uint32x4_t word) { return {vreinterpretq_f32_u32(word)}; }
};

// Two lanes of double.
struct VD {
    using T = double;
    using Bits = uint64_t;
    struct M {
        uint64x2_t v;  // per lane all ones or all zeros
    };
    static constexpr int L = 2;
    float64x2_t v;

    FR_VEC static VD load(const T* p) { return {vld1q_f64(p)}; }
    FR_VEC static VD load(const T* p, int n) {
        if (n >= L) return load(p);
        const float64x2_t r = vdupq_n_f64(0);
        return {n > 0 ? vld1q_lane_f64(p, r, 0) : r};
    }
    FR_VEC static VD set(T x) { return {vdupq_n_f64(x)}; }
    FR_VEC static VD set_bits(Bits b) { return real(vdupq_n_u64(b)); }
    FR_VEC void store(T* p) const { vst1q_f64(p, v); }
    FR_VEC void store(T* p, int n) const {
        if (n >= L) return store(p);
        if (n > 0) vst1q_lane_f64(p, v, 0);
    }
    FR_VEC void stream(T* p) const { store(p); }
    FR_VEC static void drain() {}

    FR_VEC friend VD operator+(VD a, VD b) { return {vaddq_f64(a.v, b.v)}; }
    FR_VEC friend VD operator-(VD a, VD b) { return {vsubq_f64(a.v, b.v)}; }
    FR_VEC friend VD operator*(VD a, VD b) { return {vmulq_f64(a.v, b.v)}; }
    FR_VEC friend VD operator/(VD a, VD b) { return {vdivq_f64(a.v, b.v)}; }
    FR_VEC friend VD fma(VD a, VD b, VD c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
    FR_VEC friend void accumulate(VD a, VD b, VD& c) { c = fma(a, b, c); }
    FR_VEC static void accumulate(VD a, const T* b, VD& c) { c = fma(a, load(b), c); }
    FR_VEC static void accumulate_number(const T* a, VD b, VD& c) { c = fma(set(*a), b, c); }
    FR_VEC friend VD fms(VD a, VD b, VD c) { return {vfmaq_f64(vnegq_f64(c.v), a.v, b.v)}; }
    FR_VEC friend VD sqrt(VD a) { return {vsqrtq_f64(a.v)}; }
    FR_VEC static VD min(VD a, VD b) { return select(a < b, a, b); }
    FR_VEC static VD max(VD a, VD b) { return select(b < a, a, b); }

    FR_VEC friend M operator<(VD a, VD b) { return {vcltq_f64(a.v, b.v)}; }
    FR_VEC friend M operator<=(VD a, VD b) { return {vcleq_f64(a.v, b.v)}; }
    FR_VEC friend M operator==(VD a, VD b) { return {vceqq_f64(a.v, b.v)}; }
    FR_VEC static M mask_and(M a, M b) { return {vandq_u64(a.v, b.v)}; }
    FR_VEC static M mask_or(M a, M b) { return {vorrq_u64(a.v, b.v)}; }
    FR_VEC static M mask_not(M a) { return {vceqzq_u64(a.v)}; }
    FR_VEC static uint32_t lanes(M a) {
        const uint64x2_t bit = {1, 2};
        return uint32_t(vaddvq_u64(vandq_u64(a.v, bit)));
    }
    FR_VEC static VD select(M m, VD yes, VD no) { return {vbslq_f64(m.v, yes.v, no.v)}; }

    FR_VEC friend VD bits_and(VD a, VD b) { return real(vandq_u64(word(a), word(b))); }
    FR_VEC friend VD bits_or(VD a, VD b) { return real(vorrq_u64(word(a), word(b))); }
    FR_VEC friend VD bits_xor(VD a, VD b) { return real(veorq_u64(word(a), word(b))); }
    FR_VEC friend VD bits_add(VD a, VD b) { return real(vaddq_u64(word(a), word(b))); }
    FR_VEC friend VD bits_sub(VD a, VD b) { return real(vsubq_u64(word(a), word(b))); }
    template <int n>
    FR_VEC static VD bits_shl(VD a) {
        return real(vshlq_n_u64(word(a), n));
    }
    template <int n>
    FR_VEC static VD bits_shr(VD a) {
        return real(word(a) >> n);
    }  // as in VF

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        uint32_t pair;
        std::memcpy(&pair, draws, sizeof pair);
        const uint16x4_t u = vreinterpret_u16_u32(vdup_n_u32(pair));
        return {vcltq_u64(vmovl_u32(vget_low_u32(vmovl_u16(u))), vdupq_n_u64(keep))};
    }

    static constexpr int kTransposeTile = 2;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        const float64x2_t r0 = vld1q_f64(src), r1 = vld1q_f64(src + src_stride);
        vst1q_f64(dst, vtrn1q_f64(r0, r1));
        vst1q_f64(dst + dst_stride, vtrn2q_f64(r0, r1));
    }

private:
    FR_VEC static uint64x2_t word(VD a) { return vreinterpretq_u64_f64(a.v); }
    FR_VEC static VD real(uint64x2_t word) { return {vreinterpretq_f64_u64(word)}; }
};

// Four lanes of uint32_t.
struct U32 {
    static constexpr int L = 4;
    uint32x4_t v;

    FR_VEC static U32 set(uint32_t x) { return {vdupq_n_u32(x)}; }
    FR_VEC static U32 iota(uint32_t first) {
        const uint32x4_t lane = {0, 1, 2, 3};
        return {vaddq_u32(vdupq_n_u32(first), lane)};
    }
    FR_VEC friend U32 operator^(U32 a, U32 b) { return {veorq_u32(a.v, b.v)}; }

    FR_VEC static void mul_wide(U32 a, uint32_t b, U32* hi, U32* lo) {
        const uint32x4_t low = vreinterpretq_u32_u64(vmull_n_u32(vget_low_u32(a.v), b));  // lanes 0 and 1
        const uint32x4_t high = vreinterpretq_u32_u64(vmull_high_n_u32(a.v, b));
        hi->v = vuzp2q_u32(low, high);
        lo->v = vuzp1q_u32(low, high);
    }

    FR_VEC static void store_interleaved(const U32 (&word)[4], unsigned char* out) {
        uint32_t words[16];
        vst4q_u32(words, {{word[0].v, word[1].v, word[2].v, word[3].v}});
        __builtin_memcpy(out, words, sizeof words);
    }
};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE

#undef FR_VEC
