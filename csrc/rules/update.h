// One optimizer step per weight, in Keras 3's formulas, with the penalty inside: the only proximal step of the project.
// Order: gradient += penalty; clip; decoupled weight decay; step; soft threshold. It must not know arrays or threads.
//
// The threshold is l1 times the factor by which the optimizer multiplies a constant gradient, so that a rest point of
// the iteration is a rest point of the objective (ProxGen: Yun, Lozano, Yang 2020): SGD lr/(1-momentum), Adam
// lr sqrt(1-b2^t)/(sqrt(v)+eps), RMSprop lr/((1-momentum) sqrt(v+eps)), Adagrad lr/sqrt(v+eps). So a weight has one
// denominator, for its step and its threshold.
#pragma once
#include <cmath>
#include <cstdint>

#include "rules/hd.h"
#include "rules/penalty.h"
#include "rules/spec.h"

namespace fastreg::rules {

// Everything about a step that is the same for all weights of one parameter, worked out in double, then rounded to T:
// set_step() for what all parameters share, set_penalty() for the rest.
template <class T>
struct StepScalars {
    T l1, two_l2;                    // penalty
    T clipvalue, clip_scale, decay;  // clip to [-clipvalue, clipvalue]; times clip_scale; 1 - lr * weight_decay
    T lr, momentum;
    T prox_lr, threshold;                              // lr * prox_factor(); that times l1
    T one_minus_beta_1, one_minus_beta_2, alpha, eps;  // alpha: adam's bias-corrected lr
    T rho, one_minus_rho;
};

// b^t by squaring: the same bits on every machine, which pow() does not promise.
FR_RULE double power(double b, int64_t t) {
    double r = 1.0;
    for (; t > 0; t >>= 1, b *= b)
        if (t & 1) r *= b;
    return r;
}

// What the threshold has beside lr * l1, and, with adaptive optimizers, beside the weight's own denominator.
FR_RULE double prox_factor(const OptimizerSpec& o, double one_minus_beta_2_t) {
    if (o.kind == Optimizer::adam) return std::sqrt(one_minus_beta_2_t);  // as in alpha, which also corrects m
    if (o.kind == Optimizer::adagrad) return 1.0;                         // which has no momentum
    return 1.0 / (1.0 - o.momentum);
}

template <class T>
FR_RULE void set_step(const OptimizerSpec& o, int64_t t, StepScalars<T>* s) {
    const double c1 = 1.0 - power(o.beta_1, t), c2 = 1.0 - power(o.beta_2, t);
    const T limit = T(o.clipvalue);  // which stays above 0, so that it clips
    s->clipvalue = o.clipvalue > 0 && limit < Format<T>::min_normal ? T(Format<T>::min_normal) : limit;
    s->decay = T(1.0 - o.learning_rate * o.weight_decay);
    s->lr = T(o.learning_rate);
    s->momentum = T(o.momentum);
    s->prox_lr = T(o.learning_rate * prox_factor(o, c2));
    s->one_minus_beta_1 = T(1.0 - o.beta_1);
    s->one_minus_beta_2 = T(1.0 - o.beta_2);
    s->alpha = T(o.learning_rate * std::sqrt(c2) / c1);
    s->eps = T(o.epsilon);
    s->rho = T(o.rho);
    s->one_minus_rho = T(1.0 - o.rho);
}

template <class T>
FR_RULE void set_penalty(const PenaltySpec& p, double clip_scale, StepScalars<T>* s) {
    s->l1 = T(p.l1);
    s->threshold = s->prox_lr * s->l1;
    s->two_l2 = T(2.0 * p.l2);
    s->clip_scale = T(clip_scale);
}

// 1 / x: what a vector type may do in another way, with the same bits.
template <class V>
FR_RULE V reciprocal(V x) {
    return V::set(1) / x;
}

// The optimizers: step(w, g, s0, s1, s2, c) returns the moved weight, and in *scale what the proximal step's threshold
// is multiplied by. Slots are updated in place.
template <bool Momentum, bool Nesterov>
struct Sgd {  // v = momentum v - lr g; w += v, or momentum v - lr g (Nesterov)
    static constexpr int kSlots = Momentum ? 1 : 0;
    template <class V>
    static FR_RULE V step(V w, V g, V& v, V&, V&, const StepScalars<typename V::T>& c, V* scale) {
        *scale = V::set(1);
        const V move = V::set(-c.lr) * g;
        if (!Momentum) return w + move;
        v = fma(V::set(c.momentum), v, move);
        return Nesterov ? w + fma(V::set(c.momentum), v, move) : w + v;
    }
};

template <bool AmsGrad>
struct Adam {  // Kingma & Ba 2015; AMSGrad: Reddi et al. 2018. m += (g-m)(1-b1); v += (g^2-v)(1-b2);
               // w -= alpha m / (sqrt(v)+eps)
    static constexpr int kSlots = AmsGrad ? 3 : 2;
    template <class V>
    static FR_RULE V step(V w, V g, V& m, V& v, V& v_max, const StepScalars<typename V::T>& c, V* scale) {
        m = fma(g - m, V::set(c.one_minus_beta_1), m);
        v = fma(fms(g, g, v), V::set(c.one_minus_beta_2), v);
        if (AmsGrad) v_max = V::select(v_max < v, v, v_max);
        *scale = reciprocal(sqrt(AmsGrad ? v_max : v) + V::set(c.eps));
        return fma(V::set(-c.alpha) * m, *scale, w);
    }
};

template <bool Momentum, bool Centered>
struct RmsProp {  // v = rho v + (1-rho) g^2; w -= lr g / sqrt(v - mean^2 + eps), the step optionally through a momentum
    static constexpr int kSlots = 1 + int(Momentum) + int(Centered);
    template <class V>
    static FR_RULE V step(V w, V g, V& v, V& s1, V& s2, const StepScalars<typename V::T>& c, V* scale) {
        V& mean = Momentum ? s2 : s1;
        v = fma(V::set(c.one_minus_rho) * g, g, V::set(c.rho) * v);
        V below = v;
        if (Centered) {
            mean = fma(V::set(c.one_minus_rho), g, V::set(c.rho) * mean);
            below = v - mean * mean;  // a variance, which rounding may take below 0
            below = V::select(below <= V::set(0), V::set(0), below);
        }
        *scale = reciprocal(sqrt(below + V::set(c.eps)));
        const V move = V::set(c.lr) * g * *scale;
        if (!Momentum) return w - move;
        s1 = fma(V::set(c.momentum), s1, move);
        return w - s1;
    }
};

struct Adagrad {  // Duchi et al. 2011: a += g^2; w -= lr g / sqrt(a + eps)
    static constexpr int kSlots = 1;
    template <class V>
    static FR_RULE V step(V w, V g, V& a, V&, V&, const StepScalars<typename V::T>& c, V* scale) {
        a = fma(g, g, a);
        *scale = reciprocal(sqrt(a + V::set(c.eps)));
        return fma(V::set(-c.lr) * g, *scale, w);
    }
};

// f(optimizer) with the rule that o names.
FR_RULE_OF_CALLER template <class F>
FR_RULE auto with_optimizer(const OptimizerSpec& o, F f) {
    const bool momentum = o.momentum > 0;
    switch (o.kind) {
        case Optimizer::sgd:
            if (!momentum) return f(Sgd<false, false>{});
            return o.nesterov ? f(Sgd<true, true>{}) : f(Sgd<true, false>{});
        case Optimizer::adam: return o.amsgrad ? f(Adam<true>{}) : f(Adam<false>{});
        case Optimizer::rmsprop:
            if (momentum) return o.centered ? f(RmsProp<true, true>{}) : f(RmsProp<true, false>{});
            return o.centered ? f(RmsProp<false, true>{}) : f(RmsProp<false, false>{});
        case Optimizer::adagrad: break;
    }
    return f(Adagrad{});
}

// Which terms a parameter's penalty has, so that those it lacks cost nothing. L1 acts in the gradient or as a soft
// threshold after the step.
enum class L1 { none, subgradient, proximal };
template <L1 l1, bool l2>
struct Terms {
    static constexpr L1 kL1 = l1;
    static constexpr bool kL2 = l2;
};

// f(terms) with the terms of p.
template <class F>
FR_RULE auto with_terms(const PenaltySpec& p, F f) {
    if (!(p.l1 > 0)) return p.l2 > 0 ? f(Terms<L1::none, true>{}) : f(Terms<L1::none, false>{});
    if (p.proximal) return p.l2 > 0 ? f(Terms<L1::proximal, true>{}) : f(Terms<L1::proximal, false>{});
    return p.l2 > 0 ? f(Terms<L1::subgradient, true>{}) : f(Terms<L1::subgradient, false>{});
}

// The gradient an optimizer sees, before clipping by norm: data + L2 + L1's subgradient.
template <class Terms, class V>
FR_RULE V full_gradient(V w, V g, const StepScalars<typename V::T>& c) {
    if (Terms::kL1 == L1::subgradient) return g + penalty_gradient(w, V::set(c.l1), V::set(c.two_l2));
    return Terms::kL2 ? fma(V::set(c.two_l2), w, g) : g;
}

// For an optimizer, a gradient below 2^-56 (1.4e-17; 2^-504 in double) is 0. Its square times 1 - beta_2 would leave
// the normal numbers, and a weight that has L2 for its only gradient would follow, to where some CPUs multiply many
// times slower; so it comes to rest below 2^-56 / (2 l2) (2^-504 / (2 l2) in double), and is not 0.
template <class V>
FR_RULE V without_tiny(V g) {
    return V::select(abs(g) < V::set(Format<typename V::T>::least_gradient), V::set(0), g);
}

// The slots of a weight whose gradient stays 0 decay into the subnormal numbers and would stay there. So after every
// kFlushEvery-th step flush(slot) makes them 0: momenta sooner, whose products with a learning rate are subnormal
// first. Weights are never touched: only L1 makes them 0.
constexpr int64_t kFlushEvery = 16;

// Not with an epsilon of 0, which leaves the slot as the divisor.
FR_RULE bool flushes(const OptimizerSpec& o, int64_t t) {
    return t % kFlushEvery == 0 && (o.epsilon > 0 || o.kind == Optimizer::sgd);
}

// What is kept of the optimizer's slot number `slot`.
template <class T>
FR_RULE T least_slot(const OptimizerSpec& o, int slot) {
    const bool is_momentum =
        o.kind == Optimizer::rmsprop ? o.momentum > 0 && slot == 1 : o.kind != Optimizer::adagrad && slot == 0;
    return is_momentum ? Format<T>::least_momentum : Format<T>::min_normal;
}

template <class V>
FR_RULE V flush(V x, typename V::T least) {
    return V::select(abs(x) < V::set(least), V::set(0), x);
}

template <class O, class Terms, bool Clip, class V>
FR_RULE V update_weight(V w, V g, V& s0, V& s1, V& s2, const StepScalars<typename V::T>& c) {
    g = without_tiny(full_gradient<Terms>(w, g, c));
    if (Clip) {
        g = g * V::set(c.clip_scale);
        const V limit = V::set(c.clipvalue);
        if (c.clipvalue > 0) g = V::select(limit < abs(g), with_sign(limit, g), g);
    }
    V scale = V::set(0);
    const V moved = O::step(w * V::set(c.decay), g, s0, s1, s2, c, &scale);
    return Terms::kL1 == L1::proximal ? soft_threshold(moved, V::set(c.threshold), scale) : moved;
}

// What a gradient is multiplied by so that its norm is at most `limit`: Keras's clip_by_norm. A limit of 0 clips
// nothing. Squares are summed in T, so a norm beyond the root of its range is infinite, and the step 0, as Keras's.
FR_RULE double clip_scale(double norm2, double limit) {
    const double norm = std::sqrt(norm2);
    return limit > 0 && norm > limit ? limit / norm : 1.0;
}

// What weights with this sum of squares are multiplied by, so that their norm is at most max_norm, or 1 (`unit`):
// Keras's MaxNorm and UnitNorm.
template <class T>
FR_RULE T norm_factor(T sum_square, T max_norm, bool unit) {
    const T norm = T(std::sqrt(double(sum_square)));
    const T wanted = unit ? T(1) : (norm > max_norm ? max_norm : norm);
    return wanted / (T(1e-7) + norm);
}

// The number of slots an optimizer keeps per weight.
inline int n_slots(const OptimizerSpec& o) {
    return with_optimizer(o, [](auto optimizer) { return decltype(optimizer)::kSlots; });
}

}  // namespace fastreg::rules
