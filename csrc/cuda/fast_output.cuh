// Fast products: what becomes of their sums - bias, epilogue, the matrix C - as one value that kernels take, and which
// code finishes them. It must not know in which thread a sum is.
#pragma once
#include "cuda/epilogue.cuh"
#include "cuda/fast_layout.h"
#include "cuda/ptx.cuh"

namespace fastreg::cuda::fast {

using namespace ptx;

// How sums are finished. The common ways have code of their own: a thread's two neighbouring columns are stored
// together, and four threads share the draws of dropout.
enum class Way : int { partial, plain, relu, relu_dropout, through_relu, any };

struct Output {
    int64_t M, N;
    const float* bias;  // N, or null
    float* C;
    Bfloat* C16;  // instead of C
    int64_t c_rs;
    bool wide_stores;  // four neighbouring columns of C lie on a multiple of their size
    Way way;           // way_of()
    bool narrow;       // C16 is what is stored, or y16 what y is
    Epilogue<float> epilogue;
    float* partials;  // or null; (splits, rows, cols), padded to tiles
    int64_t rows, cols;

    // Columns col .. col + 3 of a row; col is a multiple of 4.
    __device__ __forceinline__ void put(int64_t row, int64_t col, float (&v)[4]) const {
        if (row >= M || col >= N) return;
        const int n = N - col < 4 ? int(N - col) : 4;
        if (bias) {
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (e < n) v[e] += bias[col + e];
        }
        epilogue.apply<4, true>(row, col, n, v);
        if (C16) {
            Bfloat* to = C16 + row * c_rs + col;
            if (n == 4 && wide_stores) {
                *reinterpret_cast<uint2*>(to) = make_uint2(bfloat_pair(v[0], v[1]), bfloat_pair(v[2], v[3]));
                return;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (e < n) to[e] = to_bfloat(v[e]);
            return;
        }
        float* to = C + row * c_rs + col;
        if (n == 4 && wide_stores) {
            store4(to, v);  // the compiler else takes it apart and merges it with the stores below
            return;
        }
#pragma unroll
        for (int e = 0; e < 4; ++e)
            if (e < n) to[e] = v[e];
    }
};

inline Way way_of(const Output& out) {
    using E = Epilogue<float>;
    const auto paired = [](auto* p, int64_t stride) {
        return stride % 2 == 0 && reinterpret_cast<uintptr_t>(p) % (2 * sizeof *p) == 0;
    };
    const E& e = out.epilogue;
    if (out.partials) return Way::partial;
    if (out.N % 2 != 0 || !(out.C16 ? paired(out.C16, out.c_rs) : paired(out.C, out.c_rs))) return Way::any;
    if (e.kind == E::none) return Way::plain;
    if (e.kind == E::backward && e.activation == Activation::linear && !e.dropper.drops()) return Way::plain;
    if (e.activation != Activation::relu) return Way::any;
    if (e.kind == E::backward) {
        const bool in_pairs = e.y16 ? paired(e.y16, e.y_rs) : e.y && paired(e.y, e.y_rs);
        return in_pairs && !out.bias && !out.C16 ? Way::through_relu : Way::any;
    }
    if (e.Z || e.Z16) return Way::any;
    if (!e.dropper.drops()) return Way::relu;
    return e.width % 8 == 0 && e.dropper.first % 8 == 0 ? Way::relu_dropout : Way::any;
}

}  // namespace fastreg::cuda::fast
