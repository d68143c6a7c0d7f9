// exp, log, tanh and their kin on vectors: one text for every instruction set and the GPU, so all give the same bits.
// It must not know libm, intrinsics or what the functions are used for; V (cpu/vec_scalar.h) is all it builds on.
// It is over 250 lines: a dozen functions, each with its reasons.
//
// Every function works lane by lane, without branches: select() picks special values. NaN in gives NaN out (of any sign
// and payload). It counts on rounding to nearest, subnormals, and a * b + c being fused only where fma() says so.
// "Error e / f ulp" is the largest found for float / double, in units in the last place of the exact result: float over
// all 2^32 inputs, double over ten million random ones. tests/rules/test_mathfn.py guards what the module exposes.
#pragma once
#include "rules/float_format.h"
#include "rules/hd.h"
#include "rules/mathfn_coefficients.h"

namespace fastreg::rules {

// ---- signs and limits ----------------------------------------------------------------------------------------------

// |x|. Exact; clears the sign of -0 and NaN too.
template <class V>
FR_RULE V abs(V x) {
    return bits_and(x, V::set_bits(~(Format<typename V::T>::sign)));
}

// x with the sign of a non-negative x replaced by that of `sign`. Exact.
template <class V>
FR_RULE V with_sign(V x, V sign) {
    return bits_or(x, bits_and(sign, V::set_bits(Format<typename V::T>::sign)));
}

// -x. Exact; turns 0 into -0.
template <class V>
FR_RULE V negate(V x) {
    return bits_xor(x, V::set_bits(Format<typename V::T>::sign));
}

// min(x, limit) and max(x, limit). NaN stays NaN.
template <class V>
FR_RULE V at_most(V x, typename V::T limit) {
    return V::min(V::set(limit), x);
}
template <class V>
FR_RULE V at_least(V x, typename V::T limit) {
    return V::max(V::set(limit), x);
}

// ---- exponentials --------------------------------------------------------------------------------------------------

// x = n ln 2 + r, |r| <= ln(2) / 2, for |x| at most a few hundred (float) or a thousand (double).
template <class V>
struct ExpParts {
    V n_magic;  // round_magic + n
    V n;
    V r;
    V tail;  // exp(r) - 1 - r
};

template <class V>
FR_RULE ExpParts<V> exp_parts(V x) {
    using F = Format<typename V::T>;
    const V n_magic = fma(x, V::set(F::log2_e), V::set(F::round_magic));
    const V n = n_magic - V::set(F::round_magic);
    const V r = fma(n, V::set(-F::ln2_lo), fma(n, V::set(-F::ln2_hi), x));
    return {n_magic, n, r, r * r * Polynomial<typename V::T>::expm1(r)};
}

// 2^n from round_magic + n, for normal 2^n.
template <class V>
FR_RULE V power_of_two(V n_magic) {
    using F = Format<typename V::T>;
    return bits_add(V::template bits_shl<F::mantissa_bits>(n_magic), V::set_bits(F::one));
}

// e^x. Any x; -inf -> 0, +-0 -> 1, +inf -> inf; subnormal results are rounded once. 2^n is applied as 2^h 2^(n - h)
// with h = n / 2, since it may itself be beyond the format. Error 1.01 / 1.00 ulp.
template <class V>
FR_RULE V exp(V x) {
    using F = Format<typename V::T>;
    x = at_least(at_most(x, F::exp_overflow), F::exp_underflow);
    const ExpParts<V> e = exp_parts(x);
    const V h_magic = fma(e.n, V::set(0.5f), V::set(F::round_magic));
    const V rest_magic = bits_sub(e.n_magic, h_magic);  // the integer n - h: round_magic's bits cancel
    return (V::set(1.0f) + (e.r + e.tail)) * power_of_two(h_magic) * power_of_two(rest_magic);
}

// e^x - 1 = 2 (2^(n-1) (r + tail) + 2^(n-1) - 1/2). Any x; -inf -> -1, +-0 -> +-0, +inf -> inf. Error 1.32 / 1.63 ulp.
template <class V>
FR_RULE V expm1(V x) {
    using F = Format<typename V::T>;
    const V sign = x;
    x = at_least(at_most(x, F::exp_overflow), F::expm1_floor);
    const ExpParts<V> e = exp_parts(x);
    const V scale = power_of_two(e.n_magic - V::set(1.0f));  // 2^n itself may be beyond the format
    const V y = fma(scale, e.tail, fma(scale, e.r, scale - V::set(0.5f)));
    return with_sign(V::select(e.n == V::set(0.0f), e.r + e.tail, y + y), sign);  // n = 0: halving could lose a bit
}

// ---- logarithms ----------------------------------------------------------------------------------------------------

// x = 2^k m, sqrt(1/2) <= m < sqrt(2), for positive normal x.
template <class V>
struct LogParts {
    V k_biased;  // the integer k + exponent_bias, as bits
    V m;
};

template <class V>
FR_RULE LogParts<V> log_parts(V x) {
    using F = Format<typename V::T>;
    const V shifted = bits_add(x, V::set_bits(F::one - F::sqrt_half));
    const V m = bits_add(bits_and(shifted, V::set_bits(F::mantissa)), V::set_bits(F::sqrt_half));
    return {V::template bits_shr<F::mantissa_bits>(shifted), m};
}

// k ln 2 + log(1 + f), with k = k_biased - bias and sqrt(1/2) - 1 <= f < sqrt(2) - 1:
// s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - (f^2 / 2 - s (f^2 / 2 + R(s^2))).
template <class V>
FR_RULE V log_sum(V k_biased, V bias, V f) {
    using F = Format<typename V::T>;
    const V k = bits_or(k_biased, V::set(F::integer_magic)) - (V::set(F::integer_magic) + bias);
    const V s = f / (V::set(2.0f) + f);
    const V z = s * s;
    const V half_square = V::set(0.5f) * f * f;
    const V inner = fma(s, fma(z, Polynomial<typename V::T>::log(z), half_square), k * V::set(F::ln2_lo));
    return fma(k, V::set(F::ln2_hi), f - (half_square - inner));
}

// log's values where the formula does not hold: inf for inf, NaN for NaN or x < 0, -inf for +-0; y elsewhere.
template <class V>
FR_RULE V log_special(V x, V y) {
    using F = Format<typename V::T>;
    y = V::select(x < V::set_bits(F::infinity), y, x);
    y = V::select(x == V::set(0.0f), V::set_bits(F::sign | F::infinity), y);
    return V::select(x < V::set(0.0f), V::set_bits(F::quiet_nan), y);
}

// ln x, by k ln 2 + ln m. x > 0, subnormals included; +-0 -> -inf, x < 0 -> NaN, +inf -> inf. Error 0.84 / 0.83 ulp.
template <class V>
FR_RULE V log(V x) {
    using F = Format<typename V::T>;
    const typename V::M subnormal = x < V::set(F::min_normal);
    const LogParts<V> p = log_parts(V::select(subnormal, x * V::set(F::integer_magic), x));
    const V bias = V::select(subnormal, V::set(F::exponent_bias + F::mantissa_bits), V::set(F::exponent_bias));
    return log_special(x, log_sum(p.k_biased, bias, p.m - V::set(1.0f)));
}

// ln(1 + x). 1 + x = u + c exactly (two-sum), and c joins f at u's scale. x > -1; -1 -> -inf, x < -1 -> NaN,
// +-0 -> +-0, +inf -> inf. Error 1.40 / 1.33 ulp.
template <class V>
FR_RULE V log1p(V x) {
    using F = Format<typename V::T>;
    const V one = V::set(1.0f);
    const V u = one + x;
    const V x_part = u - one;
    const V c = (one - (u - x_part)) + (x - x_part);
    const LogParts<V> p = log_parts(u);
    // 2^-k, by way of 2^(1-k), which is 0 rather than out of range at the largest k; c no longer matters there.
    const V reflected = bits_sub(V::set_bits(2 * (F::one >> F::mantissa_bits) + 1), p.k_biased);
    const V scale = V::set(0.5f) * V::template bits_shl<F::mantissa_bits>(reflected);
    const V y = log_sum(p.k_biased, V::set(F::exponent_bias), fma(c, scale, p.m - one));
    return with_sign(log_special(u, y), x);
}

// ---- sigmoids ------------------------------------------------------------------------------------------------------

// tanh x = x + x^3 P(x^2) for |x| < 0.26, else t / (t + 2) with t = expm1(2|x|). Any x; +-0 -> +-0, +-inf -> +-1.
// Error 1.50 / 1.56 ulp.
template <class V>
FR_RULE V tanh(V x) {
    using F = Format<typename V::T>;
    const V a = at_most(abs(x), F::tanh_ceiling);
    const ExpParts<V> e = exp_parts(a + a);
    const V scale = power_of_two(e.n_magic);
    const V t = fma(scale, e.tail, fma(scale, e.r, scale - V::set(1.0f)));
    const V z = a * a;
    const V small = fma(a * z, Polynomial<typename V::T>::tanh(z), a);
    return with_sign(V::select(a < V::set(0.26f), small, t / (t + V::set(2.0f))), x);
}

// 1 / (1 + e^-x) = (x < 0 ? e : 1) / (1 + e), e = e^-|x|. Any x; -inf -> 0, +inf -> 1. Error 2.41 / 2.27 ulp.
template <class V>
FR_RULE V sigmoid(V x) {
    const V one = V::set(1.0f);
    const V e = exp(negate(abs(x)));
    return V::select(x < V::set(0.0f), e, one) / (one + e);
}

// ln(1 + e), e = e^-|x|, what softplus has beyond max(x, 0): with t = 2e / (2 + e), 2 atanh(t / 2) = t + t^3 P(t^2).
template <class V>
FR_RULE V softplus_of_negative(V x) {
    const V e = exp(negate(abs(x)));
    const V t = (e + e) / (V::set(2.0f) + e);
    const V z = t * t;
    return fma(t * z, Polynomial<typename V::T>::softplus(z), t);
}

// ln(1 + e^x). Any x; -inf -> 0, +inf -> inf. Error 2.89 / 2.67 ulp.
template <class V>
FR_RULE V softplus(V x) {
    const V zero = V::set(0.0f);
    return V::select(zero < x, x, zero) + softplus_of_negative(x);
}

// ---- the normal distribution ---------------------------------------------------------------------------------------

// Phi(x) = erfc(-x / sqrt(2)) / 2 and phi(x) = exp(-x^2 / 2) / sqrt(2 pi), from one exponential.
// Phi(-a) = exp(-a^2 / 2) w P(w), w = k / (a + k), for a >= 0 (after Shepherd and Laframboise 1981), with a^2 = hi + lo
// exactly and exp(-lo / 2) = 1 - lo / 2; Phi(a) = 1 - Phi(-a). Any x; -inf -> 0 and 0, +inf -> 1 and 0. Left tail
// included, error of Phi 6.8 / 6.9 ulp, of phi 2.7 / 2.7 ulp.
template <class V>
FR_RULE void norm_cdf_pdf(V x, V* cdf, V* pdf) {
    using P = Polynomial<typename V::T>;
    const V a = at_most(abs(x), P::mills_largest);
    const V square = a * a;
    const V half = V::set(-0.5f);
    const V e = exp(half * square);
    const V correction = half * fma(a, a, negate(square));
    const V w = V::set(P::mills_offset) / (a + V::set(P::mills_offset));
    const V mills = w * P::mills(w - V::set(P::mills_center));
    const V tail = e * fma(mills, correction, mills);
    const V inv_sqrt_2_pi = V::set(static_cast<typename V::T>(0x1.9884533d43651p-2));
    *cdf = V::select(V::set(0.0f) < x, V::set(1.0f) - tail, tail);
    *pdf = e * fma(inv_sqrt_2_pi, correction, inv_sqrt_2_pi);
}

// Phi alone; see norm_cdf_pdf.
template <class V>
FR_RULE V norm_cdf(V x) {
    V cdf, pdf;
    norm_cdf_pdf(x, &cdf, &pdf);
    return cdf;
}

// ---- angles --------------------------------------------------------------------------------------------------------

// sin(2 pi u) and cos(2 pi u), |u| <= 1 (Box-Muller takes 0 <= u < 1). u = q / 4 + r exactly, |r| <= 1/8; q modulo 4
// then swaps and negates. Zeros may be +0 or -0. Error of either 1.60 / 1.50 ulp.
template <class V>
FR_RULE void sincos_2pi(V u, V* s, V* c) {
    using F = Format<typename V::T>;
    using P = Polynomial<typename V::T>;
    const V one_bit = V::set_bits(1);
    const V sign = V::set_bits(F::sign);
    const V q_magic = fma(u, V::set(4.0f), V::set(F::round_magic));
    const V r = fma(q_magic - V::set(F::round_magic), V::set(-0.25f), u);
    const V z = r * r;
    const V sine = r * P::sin(z);
    const V cosine = fma(z, P::cos(z), V::set(1.0f));
    // The lowest bit of q, moved to the top of the exponent field, is 2 or 0; its second bit, moved to the top, a sign.
    const typename V::M odd = V::set(0.0f) < V::template bits_shl<F::word_bits - 2>(bits_and(q_magic, one_bit));
    const V sine_sign = bits_and(V::template bits_shl<F::word_bits - 2>(q_magic), sign);
    const V cosine_sign = bits_and(V::template bits_shl<F::word_bits - 2>(bits_add(q_magic, one_bit)), sign);
    *s = bits_xor(V::select(odd, cosine, sine), sine_sign);
    *c = bits_xor(V::select(odd, sine, cosine), cosine_sign);
}

// The cosine alone; see sincos_2pi.
template <class V>
FR_RULE V cos_2pi(V u) {
    V s, c;
    sincos_2pi(u, &s, &c);
    return c;
}

}  // namespace fastreg::rules
