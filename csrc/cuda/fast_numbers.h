// Fast products: how a float32 is split into 16-bit numbers, and when that would lose too much. The same functions run
// on the device and in the host test. It must not know where planes lie, nor CUDA headers.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "rules/hd.h"
#ifdef __CUDACC__
#include "cuda/ptx.cuh"
#endif

namespace fastreg::cuda::fast {

FR_RULE uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
FR_RULE float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
FR_RULE uint32_t magnitude_bits(float x) { return bits_of(x) & 0x7FFFFFFFu; }  // in the order of |x|, NaN on top
FR_RULE float power_of_two(int biased_exponent) { return from_bits(uint32_t(biased_exponent) << 23); }

// x, |x| < 65520, rounded to the nearest half-precision number, ties to even; and back.
FR_RULE uint16_t to_half(float x) {
#if defined(__CUDACC__) && defined(__CUDA_ARCH__)
    return ptx::to_half(x);
#else
    const uint32_t u = magnitude_bits(x), sign = bits_of(x) >> 16 & 0x8000u;
    if (u < 113u << 23) {  // subnormal: a multiple of 2^-24, rounded by adding 1.5 * 2^23
        volatile float shifted = from_bits(u) * 16777216.0f + 12582912.0f;
        return uint16_t(sign | uint32_t(shifted - 12582912.0f));
    }
    return uint16_t(sign | (((u + 0xFFFu + (u >> 13 & 1)) >> 13) - (112u << 10)));
#endif
}
FR_RULE float from_half(uint16_t h) {
#if defined(__CUDACC__) && defined(__CUDA_ARCH__)
    return ptx::from_half(h);
#else
    const uint32_t e = h >> 10 & 31, m = h & 1023u;
    const float x = e ? from_bits((e + 112) << 23 | m << 13) : float(m) * 5.9604644775390625e-08f;
    return h & 0x8000u ? -x : x;
#endif
}
FR_RULE float from_bfloat(uint16_t b) { return from_bits(uint32_t(b) << 16); }

// A power of two, by which the numbers of a segment are divided, and its inverse.
struct Scale {
    float scale, inverse;
};

// Segments share a scale; a segment is 64 k of a row of A, or of 64 columns of B (whose products with those of A then
// are few numbers). Scales are in [2^-70, 2^60], so that the product of two of them is exact.

// --- fp16x3: x / scale = hi + lo + error. The largest number of a segment comes to lie in [2^14, 2^15); then lo is a
// multiple of 2^-24, and the error at most 2^-23 |x / scale| where |x / scale| >= 1/4, at most 2^-25 below.

// max_bits: magnitude_bits of the largest.
FR_RULE Scale half_scale(uint32_t max_bits) {
    const int largest = int(max_bits >> 23), e = largest < 77 ? 63 : largest > 201 ? 187 : largest - 14;
    return {power_of_two(e), power_of_two(254 - e)};
}
FR_RULE bool half_range(uint32_t max_bits) { return max_bits < 202u << 23; }  // below 2^75: not Inf or NaN

struct HalfSplit {
    uint16_t hi, lo;
    float error;
};
FR_RULE HalfSplit split_half(float scaled) {
    HalfSplit s;
    s.hi = to_half(scaled);
    const float rest = scaled - from_half(s.hi);
    s.lo = to_half(rest);
    s.error = rest - from_half(s.lo);
    return s;
}
// Numbers far below the largest of their segment lose bits. A few of them (kFewInexact of the 4096 of a block of the
// split pass) happen by chance and do not tell in sums; a matrix with more, or with one that is hardly there any more,
// is of too wide a range for fp16x3. By chance: a normal variate is below 2^-19 of the largest with p = 4e-6, the
// product of two, as a gradient is, with p = 4e-5, and they come in rows of one sample.
constexpr int kFewInexact = 64;
FR_RULE bool inexact(float scaled, const HalfSplit& s) {
    return !(std::fabs(s.error) <= std::fabs(scaled * 4.76837158203125e-07f));  // 2^-21; also if NaN
}
FR_RULE bool lost(float x, float scaled, const HalfSplit& s) {
    return (scaled == 0 && x != 0) || !(std::fabs(s.error) <= std::fabs(scaled * 0.0625f));
}

// Where k are the samples of a batch, as in the gradient of weights, all numbers of those that a network has learned by
// heart may lie that far below the others', so that this happens all the time. What is lost there, at most 2^-25 scales
// of a segment, matters only if B's whole column is so small. largest, scale: bits of the largest number of a column,
// and of the largest scale of segments in which any of its numbers was inexact.
FR_RULE bool too_coarse(uint32_t largest, uint32_t scale) { return from_bits(scale) > 0.03125f * from_bits(largest); }

// --- bf16: to nearest, ties to even; finite numbers stay finite.
FR_RULE uint16_t to_bfloat(float x) {
    const uint32_t u = bits_of(x), rounded = u + 0x7FFFu + (u >> 16 & 1);
    const bool is_nan = magnitude_bits(x) > 0x7F800000u;
    const bool overflows = (rounded & 0x7F800000u) == 0x7F800000u && (u & 0x7F800000u) != 0x7F800000u;
    return uint16_t((is_nan ? u | 0x400000u : overflows ? u : rounded) >> 16);
}

// --- bf16x6: x / scale = a + b + c without error. a is cut off toward 0, so that it stays finite and no product a a'
// overflows where that of the whole does not; b is rounded, so that what is dropped (b c') has either sign. Inf and NaN
// are in a alone.

// Segments of numbers below 2^-10 are lifted to just below it, or by 2^70: c does not get too small for bfloat16, and
// products with any number stay finite.
FR_RULE Scale bfloat_scale(uint32_t max_bits) {
    const int largest = int(max_bits >> 23), e = largest < 46 ? 57 : largest > 116 ? 127 : largest + 11;
    return {power_of_two(e), power_of_two(254 - e)};
}
struct BfloatSplit {
    uint16_t part[3];
};
FR_RULE BfloatSplit split_bfloat(float x) {
    BfloatSplit s{};
    const uint32_t u = bits_of(x);
    s.part[0] = uint16_t(u >> 16);
    if (magnitude_bits(x) > 0x7F800000u) s.part[0] |= 0x40u;  // a NaN stays one
    if (magnitude_bits(x) >= 0x7F800000u) return s;
    const float rest = x - from_bfloat(s.part[0]);
    s.part[1] = to_bfloat(rest);
    s.part[2] = to_bfloat(rest - from_bfloat(s.part[1]));
    return s;
}

}  // namespace fastreg::cuda::fast
