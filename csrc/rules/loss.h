// Losses of one prediction y against one target t, as Keras 3 defines them: value and derivative in y.
// Categorical losses, which need a whole row, are in rules/row.h. It must not know batches or weights.
#pragma once
#include <type_traits>

#include "rules/hd.h"
#include "rules/mathfn.h"
#include "rules/penalty.h"
#include "rules/spec.h"

namespace fastreg::rules {

// Keras clips probabilities to [kEpsilon, 1 - kEpsilon] before a logarithm.
constexpr double kEpsilon = 1e-7;

template <class V>
FR_RULE V clip_probability(V y) {
    using T = typename V::T;
    return at_least(at_most(y, T(1) - T(kEpsilon)), T(kEpsilon));
}

// Parameters of a loss, in T: huber's delta; smoothing: t becomes t * keep_target + add_target.
template <class V>
struct LossScalars {
    V delta, keep_target, add_target;

    FR_RULE V target(V t) const { return fma(t, keep_target, add_target); }
};

struct SquaredError {
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) { return (y - t) * (y - t); }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) { return V::set(2) * (y - t); }
};

struct AbsoluteError {  // derivative 0 at y = t
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) { return abs(y - t); }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) { return sign(y - t); }
};

struct Huber {  // e^2 / 2 for |e| <= delta, else delta |e| - delta^2 / 2 (Huber 1964)
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>& s) {
        const V e = abs(y - t), half = V::set(typename V::T(0.5));
        return V::select(e <= s.delta, half * e * e, s.delta * (e - half * s.delta));
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>& s) {
        const V e = y - t;
        return V::select(abs(e) <= s.delta, e, s.delta * sign(e));
    }
};

struct BinaryCrossentropy {  // of a probability; no gradient where it is clipped
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>& s) {
        t = s.target(t);
        const V p = clip_probability(y), one = V::set(1);
        return V::set(0) - fma(t, log(p), (one - t) * log(one - p));
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>& s) {
        t = s.target(t);
        const V p = clip_probability(y), one = V::set(1);
        const V clipped = V::select(y == y, V::set(0), y);  // NaN stays NaN
        return V::select(p == y, (p - t) / (p * (one - p)), clipped);
    }
};

struct BinaryCrossentropyLogits {  // max(z, 0) - z t + log(1 + e^-|z|); derivative sigmoid(z) - t
    template <class V> static FR_RULE V value(V z, V t, const LossScalars<V>& s) {
        t = s.target(t);
        const V zero = V::set(0);  // z - z t first: the rest is much smaller where the prediction is sure
        return fma(negate(z), t, V::select(zero < z, z, zero)) + softplus_of_negative(z);
    }
    template <class V> static FR_RULE V gradient(V z, V t, const LossScalars<V>& s) { return sigmoid(z) - s.target(t); }
};

struct Hinge {  // max(1 - t y, 0) for t in {-1, 1}; the caller maps {0, 1} targets by keep_target, add_target
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>& s) {
        const V margin = V::set(1) - s.target(t) * y;
        return V::select(margin <= V::set(0), V::set(0), margin);
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>& s) {
        t = s.target(t);
        return V::select(V::set(1) - t * y <= V::set(0), V::set(0), V::set(0) - t);
    }
};

struct Poisson {  // y - t log(y + kEpsilon)
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) {
        return y - t * log(y + V::set(typename V::T(kEpsilon)));
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) {
        return V::set(1) - t / (y + V::set(typename V::T(kEpsilon)));
    }
};

struct AbsolutePercentageError {  // 100 |y - t| / max(|t|, kEpsilon)
    template <class V> static FR_RULE V scale(V t) { return V::set(100) / at_least(abs(t), typename V::T(kEpsilon)); }
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) { return abs(y - t) * scale(t); }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) { return sign(y - t) * scale(t); }
};

struct SquaredLogarithmicError {  // (ln(1 + y) - ln(1 + t))^2 of y and t of at least kEpsilon; no gradient below it
    template <class V> static FR_RULE V error(V y, V t) {
        constexpr auto least = typename V::T(kEpsilon);
        return log1p(at_least(y, least)) - log1p(at_least(t, least));
    }
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) {
        const V e = error(y, t);
        return e * e;
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) {
        const V slope = V::set(2) * error(y, t) / (V::set(1) + y);
        return V::select(y < V::set(typename V::T(kEpsilon)), V::set(0), slope);
    }
};

// ln cosh e = ln(1 + m^2 / (2 + 2m)), m = e^|e| - 1, for |e| <= 2; else |e| - ln 2 + ln(1 + e^-2|e|). Slope tanh e.
struct LogCosh {
    template <class V> static FR_RULE V value(V y, V t, const LossScalars<V>&) {
        const V a = abs(y - t), m = expm1(a), ln_2 = V::set(typename V::T(0x1.62e42fefa39efp-1));
        const V near = log1p(m * m / (V::set(2) * (V::set(1) + m)));
        return V::select(a <= V::set(2), near, (a - ln_2) + softplus_of_negative(a + a));
    }
    template <class V> static FR_RULE V gradient(V y, V t, const LossScalars<V>&) { return tanh(y - t); }
};

// f(rule, logits) with the rule of an elementwise loss, logits.value telling whether it takes logits; nothing for a
// loss of whole rows.
FR_RULE_OF_CALLER template <class F>
FR_RULE void with_elementwise_loss(const LossSpec& spec, F f) {
    switch (spec.kind) {
        case Loss::mean_squared_error: return f(SquaredError{}, std::false_type{});
        case Loss::mean_absolute_error: return f(AbsoluteError{}, std::false_type{});
        case Loss::huber: return f(Huber{}, std::false_type{});
        case Loss::hinge: return f(Hinge{}, std::false_type{});
        case Loss::poisson: return f(Poisson{}, std::false_type{});
        case Loss::mean_absolute_percentage_error: return f(AbsolutePercentageError{}, std::false_type{});
        case Loss::mean_squared_logarithmic_error: return f(SquaredLogarithmicError{}, std::false_type{});
        case Loss::log_cosh: return f(LogCosh{}, std::false_type{});
        case Loss::binary_crossentropy:
            return spec.from_logits ? f(BinaryCrossentropyLogits{}, std::true_type{})
                                    : f(BinaryCrossentropy{}, std::false_type{});
        case Loss::categorical_crossentropy:
        case Loss::sparse_categorical_crossentropy: return;
    }
}

FR_RULE bool is_categorical(Loss kind) {
    return kind == Loss::categorical_crossentropy || kind == Loss::sparse_categorical_crossentropy;
}

// Targets t become t keep + add.
struct TargetMap {
    double keep, add;
};

// Label smoothing: a share of each target goes evenly to all classes; those of the binary one are two.
FR_RULE TargetMap smoothing_of(const LossSpec& spec, double outputs) {
    const double share = spec.label_smoothing;
    if (is_categorical(spec.kind)) return {1.0 - share, share / outputs};
    if (spec.kind == Loss::binary_crossentropy) return {1.0 - share, 0.5 * share};
    return {1.0, 0.0};
}

}  // namespace fastreg::rules
