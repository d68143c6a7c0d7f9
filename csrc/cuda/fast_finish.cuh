// Fast products: from sums in the tensor cores' register layout to C, bias and epilogue included, or to partial sums;
// and the kernel that adds partial sums. It must not know how the sums are made.
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
        return in_pairs ? Way::through_relu : Way::any;
    }
    if (e.Z || e.Z16) return Way::any;
    if (!e.dropper.drops()) return Way::relu;
    return e.width % 8 == 0 && e.dropper.first % 8 == 0 ? Way::relu_dropout : Way::any;
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
// columns of rows lane / 4 and lane / 4 + 8 in sum[4 j] to sum[4 j + 3].
template <Way way, int kColumns, int kCount>
__device__ __forceinline__ void finish_strip(const float (&sum)[kCount], int64_t row, int64_t col, const Output& out) {
    constexpr bool kDraws = way == Way::relu_dropout, kBack = way == Way::through_relu;
    const Epilogue<float>& e = out.epilogue;
    const int quad = threadIdx.x % 4;
    row += threadIdx.x % 32 / 4;
    uint64_t block = 0;
    uint32_t step = 0, keep = 0;
    float scale = 1.0f;
    if constexpr (kDraws || kBack) scale = float(e.dropper.scale);
    if constexpr (kDraws) {  // thread `quad` draws for row quad % 2, block quad / 2 of two
        block = uint64_t(e.dropper.first + (row + quad % 2 * 8) * e.width + col) / 8 + uint64_t(quad / 2);
        step = e.dropper.now();
        keep = e.dropper.keep;
    }
    col += 2 * quad;
    const bool in[2] = {row < out.M, row + 8 < out.M}, dropped = kBack && e.dropper.drops();
    const int left = int(out.N - col < 8 * kColumns ? out.N - col : 8 * kColumns);  // columns; an even number
    const int64_t to[2] = {row * out.c_rs + col, (row + 8) * out.c_rs + col};
    int64_t from[2] = {};
    if constexpr (kBack) from[0] = row * e.y_rs + col, from[1] = from[0] + 8 * e.y_rs;
    const float* const bias = out.bias ? out.bias + col : nullptr;

    constexpr int kAhead = 4;  // blocks whose y is loaded ahead
    float2 y[2][kAhead][2];    // of this chunk of blocks and the next
    const auto load = [&](int chunk) {
#pragma unroll
        for (int j = 0; j < kAhead; ++j)
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int at = 8 * (chunk * kAhead + j);
                y[chunk % 2][j][r] = make_float2(0.0f, 0.0f);
                if (at >= left || !in[r]) continue;
                if (e.y16)
                    y[chunk % 2][j][r] =
                        from_bfloat_pair(__ldg(reinterpret_cast<const uint32_t*>(e.y16 + from[r] + at)));
                else
                    y[chunk % 2][j][r] = __ldg(reinterpret_cast<const float2*>(e.y + from[r] + at));
            }
    };
    if constexpr (kBack) load(0);
    uint32_t draws[4] = {};
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
        if constexpr (kBack)
            if (j % kAhead == 0 && j + kAhead < kColumns) load(j / kAhead + 1);
        if constexpr (kDraws)
            if (j % 2 == 0) quad_draws(e.dropper, block + uint64_t(j), step, draws);
        const bool in_column = 8 * j < left;
        float b[2] = {-0.0f, -0.0f};  // what changes nothing when added
        if (bias && in_column) b[0] = __ldg(bias + 8 * j), b[1] = __ldg(bias + 8 * j + 1);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float v[2] = {sum[4 * j + 2 * r] + b[0], sum[4 * j + 2 * r + 1] + b[1]};
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                if constexpr (way == Way::relu || kDraws)
                    v[c] = rules::Relu::forward(Lane<float>{v[c]}, Lane<float>{0.0f}).v;
                if constexpr (kDraws) {
                    const uint32_t pair = draws[j % 2 * 2 + r], draw = c ? pair >> 16 : pair & 0xFFFFu;
                    v[c] = draw < keep ? v[c] * scale : 0.0f;
                }
                if constexpr (kBack) {
                    if (dropped) v[c] = v[c] * scale;
                    const float2 of = y[j / kAhead % 2][j % kAhead][r];
                    v[c] = (c ? of.y : of.x) == 0.0f ? 0.0f : v[c];
                }
            }
            if (!in_column || !in[r]) continue;
            if (out.C16)
                *reinterpret_cast<uint32_t*>(out.C16 + to[r] + 8 * j) = bfloat_pair(v[0], v[1]);
            else
                *reinterpret_cast<float2*>(out.C + to[r] + 8 * j) = make_float2(v[0], v[1]);
        }
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
            case Way::plain: finish_strip<Way::plain, kColumns>(sum, row, col, out); break;
            case Way::relu: finish_strip<Way::relu, kColumns>(sum, row, col, out); break;
            case Way::relu_dropout: finish_strip<Way::relu_dropout, kColumns>(sum, row, col, out); break;
            case Way::through_relu: finish_strip<Way::through_relu, kColumns>(sum, row, col, out); break;
            case Way::any: finish_strip_any_way<kColumns>(sum, row, col, out); break;
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
