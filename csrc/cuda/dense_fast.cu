// The dense operations of fast mode and of bf16: products on tensor cores where that pays, else exact ones. In bf16
// mode layers whose products are made there pass their outputs on as bfloat16, and what takes these is made there too.
// It must not know how either is made.
#include "cuda/dense.cuh"
#include "cuda/fast_gemm.h"

namespace fastreg::cuda {
namespace {

template <FastMode mode>
struct TensorCores {
    static bool take(int64_t M, int64_t N, int64_t K, Strided<const float> A, Strided<const float> B, const float* bias,
                     float* C, int64_t c_rs, const Epilogue<float>& epilogue) {
        if (!fast_pays(mode, CudaQueue::current().capability(), M, N, K)) return false;
        fast_gemm(mode, {M, N, K, A, B, bias, C, c_rs, epilogue});
        return true;
    }

    // dW, of a layer or of some rows of it, and db, or null.
    static bool take_weight_gradient(int64_t M, int64_t N, int64_t K, Strided<const float> Xt, Strided<const float> dZ,
                                     float* dW, int64_t dw_rs, float* db) {
        if (!fast_pays(mode, CudaQueue::current().capability(), M, N, K)) return false;
        FastProduct product{M, N, K, Xt, dZ, nullptr, dW, dw_rs, Epilogue<float>()};
        product.column_sums = db;
        product.over_samples = true;
        fast_gemm(mode, product);
        return true;
    }

    static bool take_bf16(const DenseForward<float>& a) {
        if (!a.X16 && !a.Y16) return false;
        const Epilogue<float> epilogue = Epilogue<float>::of(a);
        if (a.X16 && !a.Y16 && gemm_of_bf16({a.B, a.O, a.I, a.X, a.W, a.Y, a.y_rs}, a.X16, a.b, epilogue, nullptr))
            return true;
        fast_gemm(mode, {a.B, a.O, a.I, a.X, a.W, a.b, a.Y, a.y_rs, epilogue, a.X16, a.Y16});
        return true;
    }
    static bool take_bf16(const DenseBackwardX<float>& a) {
        if (!a.producer || !a.producer->Y16) return false;
        const Strided<const float> Wt{a.W.p, a.W.cs, a.W.rs};
        const Epilogue<float> epilogue = Epilogue<float>::of(a.producer, a.I);
        if (gemm_of_bf16({a.B, a.I, a.O, a.dZ, Wt, a.dX, a.dx_rs}, nullptr, nullptr, epilogue, nullptr)) return true;
        fast_gemm(mode, {a.B, a.I, a.O, a.dZ, Wt, nullptr, a.dX, a.dx_rs, epilogue});
        return true;
    }
    static bool take_bf16(const DenseBackwardW<float>& a) {
        if (!a.X16) return false;
        const Strided<const float> Xt{nullptr, a.X.cs, a.X.rs};
        if (gemm_of_bf16({a.I, a.O, a.B, Xt, a.dZ, a.dW, a.dw_rs}, a.X16, nullptr, Epilogue<float>(), a.db))
            return true;
        fast_gemm(mode, {a.I, a.O, a.B, Xt, a.dZ, nullptr, a.dW, a.dw_rs, Epilogue<float>(), a.X16, nullptr, a.db});
        return true;
    }
};

}  // namespace

namespace fast {
using Mode = TensorCores<FastMode::split>;
void dense_forward(Cancel&, const DenseForward<float>& a) { dense_forward_by<Mode>(a); }
void dense_backward_x(Cancel&, const DenseBackwardX<float>& a) { dense_backward_x_by<Mode>(a); }
void dense_backward_w(Cancel&, const DenseBackwardW<float>* layers, int64_t n) { dense_backward_w_by<Mode>(layers, n); }
}  // namespace fast

namespace bf16 {
using Mode = TensorCores<FastMode::bf16>;
void dense_forward(Cancel&, const DenseForward<float>& a) { dense_forward_by<Mode>(a); }
void dense_backward_x(Cancel&, const DenseBackwardX<float>& a) { dense_backward_x_by<Mode>(a); }
void dense_backward_w(Cancel&, const DenseBackwardW<float>* layers, int64_t n) { dense_backward_w_by<Mode>(layers, n); }

int64_t bf16_from(const Queue& queue, int64_t in, int64_t out) {
    if (!fast_supported(static_cast<const CudaQueue&>(queue)) || in < kLeastFastSide || out < kLeastFastSide)
        return INT64_MAX;
    const int64_t rows = int64_t(kLeastFastWork / double(in) / double(out)) + 1;
    return rows < kLeastFastSide ? kLeastFastSide : rows;
}
}  // namespace bf16

}  // namespace fastreg::cuda
