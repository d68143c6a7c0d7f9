// Fast products for other translation units: float32-accurate (or bfloat16) matrix products on tensor cores.
// It must not know layers.
#pragma once
#include "cuda/epilogue.cuh"

namespace fastreg::cuda {

// split: float32 operands as sums of 16-bit numbers, errors relative to sum |a| |b| no larger than those of a float32
// product (over_samples: relative to sum |a| times the largest |b| of the column). bf16: operands rounded to bfloat16.
// Sums in float32 both.
enum class FastMode { split, bf16 };

// Whether the device has tensor cores that serve (8.0 and later).
bool fast_supported(int capability);
inline bool fast_supported(const CudaQueue& queue) { return fast_supported(queue.capability()); }

// C = bias + A B, then the epilogue: A (M, K), B (K, N), any strides; bias N numbers or null; C row-major, none of them
// overlapping.
struct FastProduct {
    int64_t M, N, K;
    Strided<const float> A, B;
    const float* bias;
    float* C;
    int64_t c_rs;
    Epilogue<float> epilogue;
    const Bfloat* A16 = nullptr;   // instead of A, as it is strided; FastMode::bf16 only
    Bfloat* C16 = nullptr;         // instead of C
    float* column_sums = nullptr;  // N numbers, or null: the sums of B's columns are made too
    bool over_samples = false;     // k are samples, whose shares of B may be known less well: see too_coarse()
};

// Whether a product is better made here than exactly, on a device of that capability: not small ones; in split mode,
// not where tensor cores are no faster than float32 units.
bool fast_pays(FastMode mode, int capability, int64_t M, int64_t N, int64_t K);
constexpr int64_t kLeastFastSide = 64;
constexpr double kLeastFastWork = 2.6e8;  // M N K

// For any M, N, K >= 1. The same bits whenever the same device is given the same. An operand's Inf or NaN gives Inf or
// NaN in what it touches. halves (1 or 2: tiles of 128 or 256 rows) and splits force a plan; 0: the cheapest.
void fast_gemm(FastMode mode, const FastProduct& product, int halves = 0, int splits = 0);

}  // namespace fastreg::cuda
