// The kernel of products with few steps of k, whose time is that of writing C. It must not know what they are for.
// Over 40 lines: the kernel, which keeps its columns of B in registers for all rows.
#pragma once
#include "cuda/gemm.cuh"

namespace fastreg::cuda {

constexpr int kFewSteps = 16, kFewThreads = 128, kFewRows = 64, kFewCols = 128;

// kBf16: what the epilogue reads may be bfloat16. A CTA has kFewRows x kFewCols outputs; a thread has four columns,
// whose B is in registers, and every fourth row.
template <bool kBf16>
__global__ void __launch_bounds__(kFewThreads, 4)
    few_steps(const __grid_constant__ GemmArgs<float> g, const __grid_constant__ Epilogue<float> epilogue) {
    __shared__ float4 a[kFewRows][kFewSteps / 4];
    __shared__ float4 b[kFewSteps][kFewCols / 4];
    const int col_tiles = int(tiles_along(g.N, kFewCols)), thread = int(threadIdx.x), K = int(g.K);
    const int64_t row0 = int64_t(int(blockIdx.x) / col_tiles) * kFewRows,
                  col0 = int64_t(int(blockIdx.x) % col_tiles) * kFewCols;
    static_assert(kFewThreads == kFewCols);
    // Steps that do not exist add -0, which changes no sum.
    float* const a_all = &a[0][0].x;
    for (int at = thread; at < kFewRows * kFewSteps; at += kFewThreads) {
        const int r = at / kFewSteps, k = at % kFewSteps;
        const bool exists = k < K && row0 + r < g.M;
        a_all[at] = exists ? __ldg(g.A.p + (row0 + r) * g.A.row_stride + k * g.A.k_stride) : -0.0f;
    }
    float* const b_all = &b[0][0].x;
    const float* const column = g.B.p + (col0 + thread) * g.B.row_stride;
#pragma unroll
    for (int k = 0; k < kFewSteps; ++k)
        b_all[k * kFewCols + thread] = k < K && col0 + thread < g.N ? __ldg(column + k * g.B.k_stride) : 0.0f;
    __syncthreads();
    const int lane = thread % 32;
    const int64_t col = col0 + lane * 4;
    if (col >= g.N) return;
    const int n = g.N - col < 4 ? int(g.N - col) : 4;
    alignas(16) float bv[kFewSteps][4];
#pragma unroll
    for (int k = 0; k < kFewSteps; ++k) *reinterpret_cast<float4*>(bv[k]) = b[k][lane];
#if __CUDA_ARCH__ >= 900
    if (epilogue.kind == Epilogue<float>::backward)  // else each row would wait for its own
        for (int r = thread / 32; r < kFewRows && row0 + r < g.M; r += kFewThreads / 32) {
            if (const void* const from = epilogue.template read_at<kBf16>(row0 + r, col)) ptx::prefetch(from);
        }
#endif
    float from[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) from[e] = g.bias && e < n ? g.bias[col + e] : 0.0f;
#pragma unroll 1
    for (int r = thread / 32; r < kFewRows && row0 + r < g.M; r += kFewThreads / 32) {
        float v[4] = {from[0], from[1], from[2], from[3]};
#pragma unroll
        for (int k4 = 0; k4 < kFewSteps / 4; ++k4) {
            if (4 * k4 >= K) break;
            alignas(16) float av[4];
            *reinterpret_cast<float4*>(av) = a[r][k4];
#pragma unroll
            for (int k = 0; k < 4; ++k)
#pragma unroll
                for (int e = 0; e < 4; ++e) v[e] = fused(av[k], bv[4 * k4 + k][e], v[e]);
        }
        const int64_t row = row0 + r;
        epilogue.template apply<4, kBf16>(row, col, n, v);
        store_columns(g.C + row * g.c_rs + col, n, g.c_wide, v);
    }
}

}  // namespace fastreg::cuda
