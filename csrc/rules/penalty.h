// The elastic net penalty l1 |w| + l2 w^2 per weight (Zou & Hastie 2005, in Keras's scaling): value, gradient, proximal
// step. It must not know optimizers or layers.
#pragma once
#include "rules/hd.h"
#include "rules/mathfn.h"

namespace fastreg::rules {

// l1 sum|w| + l2 sum w^2. A coefficient of 0 leaves its sum out, which may be infinite.
FR_RULE double penalty_value(double l1, double sum_abs, double l2, double sum_square) {
    return (l1 > 0 ? l1 * sum_abs : 0.0) + (l2 > 0 ? l2 * sum_square : 0.0);
}

// sign(w): -1, 0 or 1; 0 for +-0, NaN for NaN.
template <class V>
FR_RULE V sign(V w) {
    const V one = with_sign(V::set(1), w);
    return V::select(w == V::set(0), V::set(0), V::select(w == w, one, w));
}

// The subgradient with sign(0) = 0: l1 sign(w) + 2 l2 w, the caller giving two_l2 = 2 l2.
template <class V>
FR_RULE V penalty_gradient(V w, V l1, V two_l2) {
    return fma(two_l2, w, l1 * sign(w));
}

// prox of t |.| with t = rate * scale >= 0: sign(u) max(|u| - t, 0). Exactly +0 for |u| <= t; NaN stays NaN. t = 0
// changes nothing but -0.
template <class V>
FR_RULE V soft_threshold(V u, V rate, V scale) {
    return V::max(fma(negate(rate), scale, u), V::min(V::set(0), fma(rate, scale, u)));
}

// argmin_x (x - u)^2 / 2 + l1 |x| + l2 x^2, the caller giving inv = 1 / (1 + 2 l2).
template <class V>
FR_RULE V prox_elastic_net(V u, V l1, V inv) {
    return soft_threshold(u, l1, V::set(1)) * inv;
}

}  // namespace fastreg::rules
