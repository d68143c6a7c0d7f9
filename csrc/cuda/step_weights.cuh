// The step of the weights that a thread has at hand, as update.cu and train_steps_weights.cuh take it, by the formulas
// of rules/update.h. It must not know where weights, gradients and slots lie.
#pragma once
#include "cuda/walk.cuh"
#include "rules/update.h"

namespace fastreg::cuda {

// g becomes the gradient that the optimizer sees, before clipping.
template <class T, int N>
__device__ __forceinline__ void add_penalty(const PenaltySpec& p, const rules::StepScalars<T>& c, const T (&w)[N],
                                            T (&g)[N]) {
    rules::with_terms(p, [&](auto terms) {
#pragma unroll
        for (int e = 0; e < N; ++e) g[e] = rules::full_gradient<decltype(terms)>(Lane<T>{w[e]}, Lane<T>{g[e]}, c).v;
    });
}

// Optimizer O's step of N weights by such gradients, so update_weight is told of soft thresholds alone; it always takes
// the path that clips, where a scale of 1 and no limit change nothing.
template <class O, class T, int N>
__device__ __forceinline__ void step_weights(const PenaltySpec& p, const rules::StepScalars<T>& c, T (&w)[N], T (&g)[N],
                                             T (&slots)[3][N]) {
    using V = Lane<T>;
    const auto step = [&](auto terms) {
#pragma unroll
        for (int e = 0; e < N; ++e) {
            V s0{slots[0][e]}, s1{slots[1][e]}, s2{slots[2][e]};
            w[e] = rules::update_weight<O, decltype(terms), true>(V{w[e]}, V{g[e]}, s0, s1, s2, c).v;
            slots[0][e] = s0.v;
            slots[1][e] = s1.v;
            slots[2][e] = s2.v;
        }
    };
    if (p.l1 > 0 && p.proximal)
        step(rules::Terms<rules::L1::proximal, false>{});
    else
        step(rules::Terms<rules::L1::none, false>{});
}

}  // namespace fastreg::cuda
