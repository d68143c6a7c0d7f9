// The dense operations of fast mode and of bf16: products on tensor cores where fast_gemm takes them, else exact ones.
// It must not know how either is made.
#include "cuda/dense.cuh"
#include "cuda/fast_gemm.h"

namespace fastreg::cuda {
namespace {

template <FastMode mode>
struct TensorCores {
    static bool take(int64_t M, int64_t N, int64_t K, Strided<const float> A, Strided<const float> B, const float* bias,
                     float* C, int64_t c_rs, const Epilogue<float>& epilogue) {
        return M > 0 && N > 0 && fast_supported(CudaQueue::current()) &&
               fast_gemm(mode, M, N, K, A, B, bias, C, c_rs, epilogue);
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
}  // namespace bf16

}  // namespace fastreg::cuda
