// Fast products for other translation units: float32-accurate (or bfloat16) matrix products on tensor cores.
// It must not know layers.
#pragma once
#include "cuda/epilogue.cuh"

namespace fastreg::cuda {

// split: float32 operands as sums of 16-bit numbers, errors relative to sum |a| |b| no larger than those of a float32
// product. bf16: operands rounded to bfloat16. Sums in float32 both.
enum class FastMode { split, bf16 };

// Whether the device has tensor cores that serve (8.0 and later).
bool fast_supported(int capability);
inline bool fast_supported(const CudaQueue& queue) { return fast_supported(queue.capability()); }

// C = bias + A B, then the epilogue: A (M, K), B (K, N), any strides; bias N numbers or null; C row-major, none of them
// overlapping. False where the exact product is as good (small ones; split mode on devices whose tensor cores are no
// faster than their float32 units): then nothing has been enqueued. The same bits whenever the same device is given the
// same. An operand's Inf or NaN gives Inf or NaN in what it touches.
bool fast_gemm(FastMode mode, int64_t M, int64_t N, int64_t K, Strided<const float> A, Strided<const float> B,
               const float* bias, float* C, int64_t c_rs, const Epilogue<float>& epilogue);

// The same for any M, N, K >= 1. halves (1 or 2: tiles of 128 or 256 rows) and splits force a plan; 0: the cheapest.
void fast_gemm_of_any_size(FastMode mode, int64_t M, int64_t N, int64_t K, Strided<const float> A,
                           Strided<const float> B, const float* bias, float* C, int64_t c_rs,
                           const Epilogue<float>& epilogue, int halves = 0, int splits = 0);

}  // namespace fastreg::cuda
