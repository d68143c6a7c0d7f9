// Fast products: from sums in the tensor cores' register layout to C, bias and epilogue included, or to partial sums;
// and the kernel that adds partial sums. It must not know how the sums are made.
// Over 40 lines: finish_strip, in which loads, draws and stores of a strip take turns.
#pragma once
#include <type_traits>

#include "cuda/fast_output.cuh"

namespace fastreg::cuda::fast {

// Pairs of neighbours from an even element of an array on: of floats, or of what is there as bfloat16.
template <class Pair, class Float, class B>
__device__ __forceinline__ auto pairs_at(Float* p, B* p16, int64_t at) {
    using To = std::conditional_t<std::is_const_v<Float>, const Pair, Pair>;
    if constexpr (std::is_same_v<Pair, uint32_t>)
        return reinterpret_cast<To*>(p16 + at);
    else
        return reinterpret_cast<To*>(p + at);
}

// Whether the first (c = 0) or second of two neighbours is 0.
__device__ __forceinline__ bool is_zero(float2 pair, int c) { return (c ? pair.y : pair.x) == 0.0f; }
__device__ __forceinline__ bool is_zero(uint32_t bfloats, int c) {
    return (bfloats & (c ? 0x7FFF0000u : 0x7FFFu)) == 0;
}

// Draws of a quad of threads, in which thread q has columns 2 q and 2 q + 1 of blocks of 8 columns: each draws for one
// of four blocks, then they exchange, so that draws[i] has the two of block i that are this thread's (low half first).
__device__ __forceinline__ void quad_draws(const Dropper& dropper, uint64_t block, uint32_t step,
                                           uint32_t (&draws)[4]) {
    const DrawBlock made = dropper.draw(block, step);
    const uint32_t (&w)[4] = made.words;
    const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
    const uint32_t a = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[0] : w[1], 1);
    const uint32_t b = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[2] : w[3], 1);
    const uint32_t p0 = odd ? a : w[0], p1 = odd ? w[1] : a, p2 = odd ? b : w[2], p3 = odd ? w[3] : b;
    const uint32_t c = __shfl_xor_sync(0xFFFFFFFFu, high ? p0 : p2, 2);
    const uint32_t d = __shfl_xor_sync(0xFFFFFFFFu, high ? p1 : p3, 2);
    draws[0] = high ? c : p0, draws[1] = high ? d : p1, draws[2] = high ? p2 : c, draws[3] = high ? p3 : d;
}

// One of the common ways for a warp's strip of 16 rows by kColumns blocks of 8 columns: of block j a thread has two
// columns of rows lane / 4 and lane / 4 + 8 in sum[4 j] to sum[4 j + 3]. No branches, so that loads do not wait for one
// another: what is not there is not loaded or stored.
template <Way way, bool kNarrow, int kColumns, int kCount>
__device__ __forceinline__ void finish_strip(const float (&sum)[kCount], int64_t row, int64_t col, const Output& out) {
    constexpr bool kDraws = way == Way::relu_dropout, kBack = way == Way::through_relu;
    // Two neighbours as they lie in memory.
    using OfY = std::conditional_t<kBack && kNarrow, uint32_t, float2>;
    using OfC = std::conditional_t<!kBack && kNarrow, uint32_t, float2>;
    const Epilogue<float>& e = out.epilogue;
    const int quad = threadIdx.x % 4;
    row += threadIdx.x % 32 / 4;
    uint64_t block = 0;
    uint32_t step = 0, keep = 0;
    float scale = 1.0f;
    if constexpr (kDraws || kBack) scale = e.dropper.drops() ? float(e.dropper.scale) : 1.0f;
    if constexpr (kDraws) {  // thread `quad` draws for row quad % 2, block quad / 2 of two
        block = uint64_t(e.dropper.first + (row + quad % 2 * 8) * e.width + col) / 8 + uint64_t(quad / 2);
        step = e.dropper.now();
        keep = e.dropper.keep;
    }
    col += 2 * quad;
    const int left = int(out.N - col < 8 * kColumns ? out.N - col : 8 * kColumns);  // columns; an even number
    const int there[2] = {row < out.M ? left : 0, row + 8 < out.M ? left : 0};
    // Biases or y of kAhead blocks, and of those that follow.
    constexpr int kAhead = 4;
    float2 bias[2][kAhead];
    OfY y[2][kAhead][2];
    const int biased = out.bias ? left : 0;
    const float* const bias_from = out.bias + col;
    const OfY* y_from[2] = {};
    if constexpr (kBack) {
        y_from[0] = pairs_at<OfY>(e.y, e.y16, row * e.y_rs + col);
        y_from[1] = y_from[0] + 4 * e.y_rs;
    }
    OfC* to[2];
    to[0] = pairs_at<OfC>(out.C, out.C16, row * out.c_rs + col);
    to[1] = to[0] + 4 * out.c_rs;
    const auto load = [&](int first) {
#pragma unroll
        for (int j = first; j < first + kAhead; ++j) {
            if constexpr (kBack) {
#pragma unroll
                for (int r = 0; r < 2; ++r)
                    y[j / kAhead % 2][j % kAhead][r] = load_if(8 * j < there[r], y_from[r] + 4 * j);
            } else {  // -0 changes nothing when added
                float2& b = bias[j / kAhead % 2][j % kAhead];
                b.x = load_if(8 * j < biased, bias_from + 8 * j, -0.0f);
                b.y = load_if(8 * j < biased, bias_from + 8 * j + 1, -0.0f);
            }
        }
    };
    load(0);
    uint32_t draws[4] = {};
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
        if (j % kAhead == 0 && j + kAhead < kColumns) load(j + kAhead);
        if constexpr (kDraws)
            if (j % 2 == 0) quad_draws(e.dropper, block + uint64_t(j), step, draws);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float v[2] = {sum[4 * j + 2 * r], sum[4 * j + 2 * r + 1]};
            if constexpr (!kBack) {
                const float2 b = bias[j / kAhead % 2][j % kAhead];
                v[0] += b.x, v[1] += b.y;
            }
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                if constexpr (way == Way::relu || kDraws)
                    v[c] = rules::Relu::forward(Lane<float>{v[c]}, Lane<float>{0.0f}).v;
                if constexpr (kDraws) {
                    const uint32_t pair = draws[j % 2 * 2 + r];
                    v[c] = drop_by(c ? pair >> 16 : pair & 0xFFFFu, keep, v[c], scale);
                }
                if constexpr (kBack) v[c] = is_zero(y[j / kAhead % 2][j % kAhead][r], c) ? 0.0f : v[c] * scale;
            }
            if constexpr (kNarrow && !kBack)
                store_if(8 * j < there[r], to[r] + 4 * j, bfloat_pair(v[0], v[1]));
            else
                store_if(8 * j < there[r], to[r] + 4 * j, make_float2(v[0], v[1]));
        }
    }
}

// out.way, one of the common ones.
template <bool kNarrow, int kColumns, int kCount>
__device__ __forceinline__ void finish_common_strip(const float (&sum)[kCount], int64_t row, int64_t col,
                                                    const Output& out) {
    switch (out.way) {
        case Way::relu: return finish_strip<Way::relu, kNarrow, kColumns>(sum, row, col, out);
        case Way::relu_dropout: return finish_strip<Way::relu_dropout, kNarrow, kColumns>(sum, row, col, out);
        case Way::through_relu: return finish_strip<Way::through_relu, kNarrow, kColumns>(sum, row, col, out);
        default: return finish_strip<Way::plain, kNarrow, kColumns>(sum, row, col, out);
    }
}

// The same strip, any way. Rolled, since the epilogue is long; registers have no run-time index, so they move up. Then
// neighbours swap, so that each has four columns of one row.
template <int kColumns, int kCount>
__device__ __forceinline__ void finish_strip_any_way(float (&sum)[kCount], int64_t row, int64_t col,
                                                     const Output& out) {
    const int lane = threadIdx.x % 32;
    const bool odd = lane & 1;
    row += lane / 4 + (odd ? 8 : 0), col += (lane & 2) * 2;
#pragma unroll 1
    for (int j = 0; j < kColumns; ++j) {
        const float from0 = __shfl_xor_sync(0xFFFFFFFFu, odd ? sum[0] : sum[2], 1);
        const float from1 = __shfl_xor_sync(0xFFFFFFFFu, odd ? sum[1] : sum[3], 1);
        float v[4] = {odd ? from0 : sum[0], odd ? from1 : sum[1], odd ? sum[2] : from0, odd ? sum[3] : from1};
        out.put(row, col + 8 * j, v);
#pragma unroll
        for (int i = 0; i + 4 < 4 * kColumns; ++i) sum[i] = sum[i + 4];
    }
}

template <int kColumns, int kCount>
__device__ __forceinline__ void store_partial_strip(const float (&sum)[kCount], int64_t row, int64_t col, int64_t split,
                                                    const Output& out) {
    row += threadIdx.x % 32 / 4, col += threadIdx.x % 4 * 2;
    float* const to = out.partials + (split * out.rows + row) * out.cols + col;
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r)
            *reinterpret_cast<float2*>(to + r * 8 * out.cols + 8 * j) =
                make_float2(sum[4 * j + 2 * r], sum[4 * j + 2 * r + 1]);
}

// A warp's strips of a tile, `step` rows apart. Rolled: the next strip's sums move to where the first's were.
template <int kColumns, int kCount>
__device__ __forceinline__ void finish(float (&sum)[kCount], int strips, int64_t row, int step, int64_t col,
                                       int64_t split, const Output& out) {
#pragma unroll 1
    for (int s = 0; s < strips; ++s, row += step) {
        switch (out.way) {
            case Way::partial: store_partial_strip<kColumns>(sum, row, col, split, out); break;
            case Way::any: finish_strip_any_way<kColumns>(sum, row, col, out); break;
            default:
                if (out.narrow)
                    finish_common_strip<true, kColumns>(sum, row, col, out);
                else
                    finish_common_strip<false, kColumns>(sum, row, col, out);
        }
#pragma unroll
        for (int i = 0; i + 4 * kColumns < kCount; ++i) sum[i] = sum[i + 4 * kColumns];
    }
}

// Adds the partial sums by increasing k, each thread four columns, a block 4 rows and 256 columns.
__global__ void __launch_bounds__(256, 2) combine_kernel(const __grid_constant__ Output out, int splits) {
#if __CUDA_ARCH__ >= 800
    wait_for_previous();
    const int64_t row = int64_t(blockIdx.x) * 4 + threadIdx.x / 64,
                  col = (int64_t(blockIdx.y) * 64 + threadIdx.x % 64) * 4;
    if (row >= out.M || col >= out.N) return;
    const float* from = out.partials + row * out.cols + col;
    float v[4] = {};
#pragma unroll 4
    for (int s = 0; s < splits; ++s, from += out.rows * out.cols) {
        const float4 p = *reinterpret_cast<const float4*>(from);
        v[0] += p.x;
        v[1] += p.y;
        v[2] += p.z;
        v[3] += p.w;
    }
    out.put(row, col, v);
#endif
}

}  // namespace fastreg::cuda::fast
