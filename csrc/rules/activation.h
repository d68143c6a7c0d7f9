// Activations: f(z) and f' for each, as Keras 3 defines them. Softmax, which mixes a row, is in rules/row.h.
// It must not know layers or dropout. alpha: slope of leaky_relu, scale of elu.
#pragma once
#include "rules/hd.h"
#include "rules/mathfn.h"
#include "rules/penalty.h"
#include "rules/spec.h"

namespace fastreg::rules {

// Each rule has forward(z) and one derivative: gradient(y) if kFromY, else gradient(z). NaN gives
// NaN, but in the gradients of linear, relu, leaky_relu, elu and selu, which then are those of z > 0.
struct Linear {
    static constexpr bool kFromY = true;
    template <class V> static FR_RULE V forward(V z, V) { return z; }
    template <class V> static FR_RULE V gradient(V, V) { return V::set(1); }
};

struct Relu {  // max(z, 0); f'(0) = 0
    static constexpr bool kFromY = true;
    template <class V> static FR_RULE V forward(V z, V) { return V::select(z <= V::set(0), V::set(0), z); }
    template <class V> static FR_RULE V gradient(V y, V) { return V::select(y == V::set(0), V::set(0), V::set(1)); }
};

struct LeakyRelu {  // z, or alpha z for z <= 0; alpha >= 0
    static constexpr bool kFromY = false;
    template <class V> static FR_RULE V forward(V z, V alpha) { return V::select(z <= V::set(0), alpha * z, z); }
    template <class V> static FR_RULE V gradient(V z, V alpha) { return V::select(z <= V::set(0), alpha, V::set(1)); }
};

struct Elu {  // z, or alpha (e^z - 1) for z <= 0; f' there = alpha e^z = y + alpha
    static constexpr bool kFromY = false;
    template <class V> static FR_RULE V forward(V z, V alpha) { return V::select(z <= V::set(0), alpha * expm1(z), z); }
    template <class V> static FR_RULE V gradient(V z, V alpha) {
        return V::select(z <= V::set(0), alpha * exp(z), V::set(1));
    }
};

struct Selu {  // Klambauer et al. 2017: scale * elu(z, alpha) with fixed alpha and scale
    static constexpr bool kFromY = false;
    static constexpr double kAlpha = 1.6732632423543772, kScale = 1.0507009873554805;
    template <class V> static FR_RULE V forward(V z, V) {
        const V scale = V::set(typename V::T(kScale)), scaled_alpha = V::set(typename V::T(kScale * kAlpha));
        return V::select(z <= V::set(0), scaled_alpha * expm1(z), scale * z);
    }
    template <class V> static FR_RULE V gradient(V z, V) {
        const V scale = V::set(typename V::T(kScale)), scaled_alpha = V::set(typename V::T(kScale * kAlpha));
        return V::select(z <= V::set(0), scaled_alpha * exp(z), scale);
    }
};

struct Gelu {  // Hendrycks & Gimpel 2016: z Phi(z); f' = Phi(z) + z phi(z)
    static constexpr bool kFromY = false;
    // z Phi(z) -> 0 for z -> -inf, where the product would be inf * 0.
    template <class V> static FR_RULE V forward(V z, V) {
        const V far = V::set(-40);
        return V::select(z < far, V::set(0), z * norm_cdf(z));
    }
    template <class V> static FR_RULE V gradient(V z, V) {
        const V bounded = V::select(abs(z) < V::set(40), z, with_sign(V::set(40), z));
        V cdf, pdf;
        norm_cdf_pdf(bounded, &cdf, &pdf);
        return V::select(z == z, fma(bounded, pdf, cdf), z);
    }
};

struct GeluTanh {  // z s(2u) with u = sqrt(2/pi)(z + 0.044715 z^3) and the sigmoid s, which is z (1 + tanh u) / 2
    static constexpr bool kFromY = false;
    static constexpr double kTwiceScale = 1.5957691216057308, kCubic = 0.044715;
    template <class V> static FR_RULE V inner(V z) {
        return V::set(typename V::T(kTwiceScale)) * fma(V::set(typename V::T(kCubic)) * z * z, z, z);
    }
    template <class V> static FR_RULE V forward(V z, V) {
        return V::select(z < V::set(-40), V::set(0), z * sigmoid(inner(z)));
    }
    template <class V> static FR_RULE V gradient(V z, V) {
        const V bounded = V::select(abs(z) < V::set(40), z, with_sign(V::set(40), z));
        const V u = inner(bounded), s = sigmoid(u), other = sigmoid(negate(u));  // 1 - s without cancellation
        const V slope =
            V::set(typename V::T(kTwiceScale)) * fma(V::set(typename V::T(3 * kCubic)) * bounded, bounded, V::set(1));
        return V::select(z == z, s * fma(bounded * slope, other, V::set(1)), z);
    }
};

struct Silu {  // z s(z) with the sigmoid s; f' = s (1 + z (1 - s))
    static constexpr bool kFromY = false;
    template <class V> static FR_RULE V forward(V z, V) {
        return V::select(z < V::set(-800), V::set(0), z * sigmoid(z));
    }
    template <class V> static FR_RULE V gradient(V z, V) {
        const V bounded = V::select(abs(z) < V::set(800), z, with_sign(V::set(800), z));
        const V s = sigmoid(bounded), other = sigmoid(V::set(0) - bounded);  // 1 - s without cancellation
        return V::select(z == z, s * fma(bounded, other, V::set(1)), z);
    }
};

struct Tanh {  // f' = 1 - y^2
    static constexpr bool kFromY = true;
    template <class V> static FR_RULE V forward(V z, V) { return tanh(z); }
    template <class V> static FR_RULE V gradient(V y, V) { return (V::set(1) - y) * (V::set(1) + y); }
};

struct Sigmoid {  // 1 / (1 + e^-z); f' = y (1 - y)
    static constexpr bool kFromY = true;
    template <class V> static FR_RULE V forward(V z, V) { return sigmoid(z); }
    template <class V> static FR_RULE V gradient(V y, V) { return y * (V::set(1) - y); }
};

struct Softplus {  // log(1 + e^z); f' = sigmoid(z)
    static constexpr bool kFromY = false;
    template <class V> static FR_RULE V forward(V z, V) { return softplus(z); }
    template <class V> static FR_RULE V gradient(V z, V) { return sigmoid(z); }
};

// Calls f with the rule that `kind` names. Softmax has none here and gets Linear.
FR_RULE_OF_CALLER template <class F>
FR_RULE void with_activation(Activation kind, F f) {
    switch (kind) {
        case Activation::relu: return f(Relu{});
        case Activation::leaky_relu: return f(LeakyRelu{});
        case Activation::elu: return f(Elu{});
        case Activation::selu: return f(Selu{});
        case Activation::gelu: return f(Gelu{});
        case Activation::gelu_tanh: return f(GeluTanh{});
        case Activation::silu: return f(Silu{});
        case Activation::tanh: return f(Tanh{});
        case Activation::sigmoid: return f(Sigmoid{});
        case Activation::softplus: return f(Softplus{});
        case Activation::linear:
        case Activation::softmax: return f(Linear{});
    }
}

}  // namespace fastreg::rules
