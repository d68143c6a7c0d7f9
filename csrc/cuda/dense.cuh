// Dense layers over the products of a mode. A mode says which products it makes itself:
//   static bool take(M, N, K, A, B, bias, C, c_rs, epilogue);  // enqueued, or false
//   static bool take_weight_gradient(M, N, K, Xt, dZ, dW, dw_rs, db);  // the same, of both gradients
//   static bool take_bf16(operation);  // that of an operation with arrays of bfloat16; false where there is none
// the others are made exactly. It must not know how products are made.
#pragma once
#include <vector>

#include "cuda/gemm.h"
#include "cuda/ops.h"
#include "cuda/sparse.h"

namespace fastreg::cuda {

struct ExactMode {
    template <class... Arguments>
    static bool take(const Arguments&...) {
        return false;
    }
    template <class... Arguments>
    static bool take_weight_gradient(const Arguments&...) {
        return false;
    }
    template <class Operation>
    static bool take_bf16(const Operation&) {
        return false;
    }
};

template <class Mode, class T>
void dense_forward_by(const DenseForward<T>& a) {
    if (a.sparse_X) return sparse_forward(a);
    if (Mode::take_bf16(a)) return;
    const Epilogue<T> epilogue = Epilogue<T>::of(a);
    if (!Mode::take(a.B, a.O, a.I, a.X, a.W, a.b, a.Y, a.y_rs, epilogue))
        gemm<T>(a.B, a.O, a.I, a.X, a.W, a.b, a.Y, a.y_rs, epilogue);
}

template <class Mode, class T>
void dense_backward_x_by(const DenseBackwardX<T>& a) {
    if (Mode::take_bf16(a)) return;
    const Strided<const T> Wt{a.W.p, a.W.cs, a.W.rs};
    const Epilogue<T> epilogue = Epilogue<T>::of(a.producer, a.I);
    const T* const no_bias = nullptr;
    if (!Mode::take(a.B, a.I, a.O, a.dZ, Wt, no_bias, a.dX, a.dx_rs, epilogue))
        gemm<T>(a.B, a.I, a.O, a.dZ, Wt, no_bias, a.dX, a.dx_rs, epilogue);
}

// dW of rows [i0, i1) of a layer, and db or null, by the mode: true; or dW added to what is made exactly.
template <class Mode, class T>
bool weight_gradient(const DenseBackwardW<T>& a, Strided<const T> X, int64_t i0, int64_t i1, T* db,
                     std::vector<Product<T>>* exact) {
    const Strided<const T> Xt{X.p, X.cs, X.rs};
    T* const dW = a.dW + i0 * a.dw_rs;
    if (Mode::take_weight_gradient(i1 - i0, a.O, a.B, Xt, a.dZ, dW, a.dw_rs, db)) return true;
    exact->push_back({i1 - i0, a.O, a.B, Xt, a.dZ, dW, a.dw_rs});
    return false;
}

// A sparse batch is made dense, as many columns at a time as fit in kDenseBytes.
constexpr int64_t kDenseBytes = 256 << 20;

template <class Mode, class T>
void sparse_weight_gradient(const DenseBackwardW<T>& a, std::vector<Product<T>>* exact) {
    int64_t most = kDenseBytes / (int64_t(sizeof(T)) * a.B) / 128 * 128;
    if (most < 128) most = 128;
    for (int64_t i0 = 0; i0 < a.I; i0 += most) {
        const int64_t i1 = i0 + most < a.I ? i0 + most : a.I;
        const Strided<const T> X = densify(*a.sparse_X, a.B, i0, i1);
        if (!X.p) return;
        weight_gradient<Mode>(a, X, i0, i1, static_cast<T*>(nullptr), exact);
        if (i1 == a.I) break;                                              // with the other layers
        gemm_group<T>(exact->data(), int64_t(exact->size()), nullptr, 0);  // before the scratch is written again
        exact->clear();
    }
}

template <class Mode, class T>
void dense_backward_w_by(const DenseBackwardW<T>* layers, int64_t n_layers) {
    std::vector<Product<T>> exact;
    std::vector<ColumnSum<T>> sums;
    for (int64_t l = 0; l < n_layers; ++l) {
        const DenseBackwardW<T>& a = layers[l];
        bool has_db = false;
        if (a.sparse_X && a.B > 0)
            sparse_weight_gradient<Mode>(a, &exact);
        else
            has_db = Mode::take_bf16(a) || weight_gradient<Mode>(a, a.X, 0, a.I, a.db, &exact);
        if (a.db && !has_db) sums.push_back({a.dZ.p, a.dZ.rs, a.B, a.O, a.db});
    }
    gemm_group<T>(exact.data(), int64_t(exact.size()), sums.data(), int64_t(sums.size()));
}

}  // namespace fastreg::cuda
