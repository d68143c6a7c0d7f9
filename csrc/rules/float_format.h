// How float and double are laid out in bits, and the constants cut to fit each: what mathfn.h knows of a number format.
// It must not know functions; the polynomials are in mathfn_coefficients.h.
#pragma once
#include <cstdint>

namespace fastreg::rules {

// The number format of T. ln2_hi + ln2_lo = ln 2, and ln2_hi * n is exact for every exponent n.
template <class T>
struct Format;

template <>
struct Format<float> {
    static constexpr int mantissa_bits = 23, word_bits = 32;
    static constexpr uint32_t sign = 0x80000000u, mantissa = 0x007fffffu, one = 0x3f800000u, infinity = 0x7f800000u,
                              quiet_nan = 0x7fc00000u, sqrt_half = 0x3f3504f3u;
    static constexpr float round_magic = 0x1.8p23f;  // x + round_magic: x's nearest integer in the low bits
    static constexpr float integer_magic = 0x1p23f;  // its bits, or n: the number 2^23 + n, 0 <= n < 2^23
    static constexpr float exponent_bias = 127.0f;
    static constexpr float min_normal = 0x1p-126f;
    static constexpr float least_gradient = 0x1p-56f, least_momentum = 0x1p-100f;  // see update.h
    static constexpr float log2_e = 0x1.715476p0f, ln2_hi = 0x1.62e4p-1f, ln2_lo = 0x1.7f7d1cp-20f;
    static constexpr float exp_underflow = -104.0f, exp_overflow = 89.0f;  // beyond: 0 and infinity
    static constexpr float expm1_floor = -18.0f;                           // below: -1
    static constexpr float tanh_ceiling = 9.25f;                           // above: 1
};

template <>
struct Format<double> {
    static constexpr int mantissa_bits = 52, word_bits = 64;
    static constexpr uint64_t sign = 0x8000000000000000u, mantissa = 0x000fffffffffffffu, one = 0x3ff0000000000000u,
                              infinity = 0x7ff0000000000000u, quiet_nan = 0x7ff8000000000000u,
                              sqrt_half = 0x3fe6a09e667f3bcdu;
    static constexpr double round_magic = 0x1.8p52;
    static constexpr double integer_magic = 0x1p52;
    static constexpr double exponent_bias = 1023.0;
    static constexpr double min_normal = 0x1p-1022;
    static constexpr double least_gradient = 0x1p-504, least_momentum = 0x1p-960;
    static constexpr double log2_e = 0x1.71547652b82fep0, ln2_hi = 0x1.62e42fefa38p-1, ln2_lo = 0x1.ef35793c7673p-45;
    static constexpr double exp_underflow = -746.0, exp_overflow = 710.0;
    static constexpr double expm1_floor = -38.0;
    static constexpr double tanh_ceiling = 20.0;
};

}  // namespace fastreg::rules
