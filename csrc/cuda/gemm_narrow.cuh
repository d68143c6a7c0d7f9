// The kernels of long products with few columns, as a network's last layer has them, whose time is that of reading A:
// rows of A against all of B, or blocks of k of a transposed A. A is of float32, or with kBf16 of bfloat16. They must
// not know what they are for. Over 40 lines: narrow_rows, with its sums and what it fetches ahead in registers.
#pragma once
#include "cuda/gemm.cuh"

namespace fastreg::cuda {

// acc[c] += a b[c], b: a row of kN numbers in shared memory
template <int kN>
__device__ __forceinline__ void narrow_step(float a, const float* b, float (&acc)[kN]) {
#pragma unroll
    for (int c = 0; c < kN; c += 4) {
        const float4 four = *reinterpret_cast<const float4*>(b + c);
        acc[c] = fused(a, four.x, acc[c]);
        acc[c + 1] = fused(a, four.y, acc[c + 1]);
        acc[c + 2] = fused(a, four.z, acc[c + 2]);
        acc[c + 3] = fused(a, four.w, acc[c + 3]);
    }
}

template <int kN>
__device__ __forceinline__ void start_narrow(const GemmArgs<float>& g, int block, float (&acc)[kN]) {
#pragma unroll
    for (int c = 0; c < kN; ++c) acc[c] = block == 0 && g.bias && c < g.N ? __ldg(g.bias + c) : 0.0f;
}

// Each thread makes the kN outputs of a row; a CTA brings its rows of A, kNarrowSteps steps at a time, through shared
// memory, and the next while it computes. A's neighbours are steps of k, in whole groups of four.
constexpr int kNarrowRows = 64, kNarrowSteps = 32;
template <int kN, bool kBf16>
__global__ void __launch_bounds__(kNarrowRows, 6)
    narrow_rows(const __grid_constant__ GemmArgs<float> g, const __grid_constant__ Epilogue<float> epilogue) {
    constexpr int kGroup = kBf16 ? 8 : 4;           // numbers of 16 bytes
    constexpr int kGroups = kNarrowSteps / kGroup;  // of a row; and loads of a thread, neighbours of which make a row
    constexpr int kOfB = kNarrowSteps * kN / kNarrowRows;
    __shared__ float a[kNarrowRows][kNarrowSteps + 1];
    __shared__ float4 b[kNarrowSteps][kN / 4];
    const int thread = int(threadIdx.x);
    const int64_t row0 = int64_t(blockIdx.x) * kNarrowRows;
    const KBlocks& blocks = g.blocks;

    float4 next_a[kGroups];
    float next_b[kOfB];
    // Beyond the last step, -0 in A and 0 in B: such a step adds -0, which changes no sum.
    const float fill = kBf16 ? fast::from_bits(0x80008000u) : -0.0f;
    const auto load = [&](int64_t k0, int steps) {
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
            const int64_t row = row0 + thread / kGroups + i * (kNarrowRows / kGroups);
            const int k = thread % kGroups * kGroup;
            const int64_t at = row * g.A.row_stride + k0 + k;
            const void* const from = kBf16 ? static_cast<const void*>(g.A16 + at) : g.A.p + at;
            next_a[i] = ptx::load_if(row < g.M && k < steps, static_cast<const float4*>(from), fill);
        }
#pragma unroll
        for (int i = 0; i < kOfB; ++i) {
            const int at = thread + i * kNarrowRows, k = at / kN, c = at % kN;
            next_b[i] = k < steps && c < g.N ? __ldg(g.B.p + c * g.B.row_stride + (k0 + k) * g.B.k_stride) : 0.0f;
        }
    };
    const auto store = [&] {
#pragma unroll
        for (int i = 0; i < kGroups; ++i) {
            float* const to = a[thread / kGroups + i * (kNarrowRows / kGroups)] + thread % kGroups * kGroup;
            const float words[4] = {next_a[i].x, next_a[i].y, next_a[i].z, next_a[i].w};
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                if constexpr (kBf16) {  // two in a word, the first in the low half
                    to[2 * e] = fast::from_bits(fast::bits_of(words[e]) << 16);
                    to[2 * e + 1] = fast::from_bits(fast::bits_of(words[e]) & 0xFFFF0000u);
                } else {
                    to[e] = words[e];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < kOfB; ++i) (&b[0][0].x)[thread + i * kNarrowRows] = next_b[i];
    };
    const auto steps_from = [&](int64_t k, int64_t end) {
        return end - k < kNarrowSteps ? int(end - k) : kNarrowSteps;
    };

    float acc[kN], total[kN];
    load(0, steps_from(0, blocks.end(0)));
#pragma unroll 1
    for (int block = 0; block < blocks.count; ++block) {
        const int64_t end = blocks.end(block);
        start_narrow(g, block, acc);
#pragma unroll 1
        for (int64_t k0 = blocks.begin(block); k0 < end; k0 += kNarrowSteps) {
            __syncthreads();
            store();
            __syncthreads();
            const int64_t next = k0 + kNarrowSteps < end ? k0 + kNarrowSteps : end;
            if (next < g.K) load(next, steps_from(next, next < end ? end : blocks.end(block + 1)));
#pragma unroll 8
            for (int k = 0; k < kNarrowSteps; ++k) narrow_step(a[thread][k], &b[k][0].x, acc);
        }
#pragma unroll
        for (int c = 0; c < kN; ++c) total[c] = block == 0 ? acc[c] : total[c] + acc[c];
    }
    const int64_t row = row0 + thread;
    if (row >= g.M) return;
#pragma unroll 1
    for (int col = 0; col < g.N; col += 4) {  // not unrolled: an epilogue is much code
        const int n = g.N - col < 4 ? int(g.N - col) : 4;
        float v[4] = {total[0], total[1], total[2], total[3]};
        epilogue.template apply<4>(row, col, n, v);
        store_columns(g.C + row * g.c_rs + col, n, g.c_wide, v);
#pragma unroll
        for (int c = 0; c + 4 < kN; ++c) total[c] = total[c + 4];
    }
}

// Each thread makes the kN outputs of a row for one block of k, into the workspace. A's neighbours are rows. With a row
// of ones fma() adds as + does.
constexpr int kNarrowThreads = 128;
template <int kN, bool kBf16>
__global__ void __launch_bounds__(kNarrowThreads, 6) narrow_block(const __grid_constant__ GemmArgs<float> g) {
    constexpr int kAtOnce = 16;
    __shared__ float4 b[rules::kKC][kN / 4];
    const KBlocks& blocks = g.blocks;
    const int block = g.first_block + int(blockIdx.y);
    const int64_t begin = blocks.begin(block);
    const int steps = int(blocks.end(block) - begin);
    for (int at = int(threadIdx.x); at < steps * kN; at += kNarrowThreads) {
        const int k = at / kN, c = at % kN;
        (&b[0][0].x)[at] = c < g.N ? __ldg(g.B.p + c * g.B.row_stride + (begin + k) * g.B.k_stride) : 0.0f;
    }
    __syncthreads();
    const int64_t row = int64_t(blockIdx.x) * kNarrowThreads + threadIdx.x;
    const bool ones = g.ones && row == g.M;
    if (row >= g.M && !ones) return;
    // The thread of the ones loads a row too, the last (has_narrow_blocks() wants some): with a branch in its place,
    // loads would wait for one another.
    const int64_t first = (ones ? g.M - 1 : row) * g.A.row_stride + begin * g.A.k_stride;
    const auto number = [&](int k) {
        const int64_t at = first + k * g.A.k_stride;
        const float x = kBf16 ? fast::from_bfloat(__ldg(g.A16 + at)) : __ldg(g.A.p + at);
        return ones ? 1.0f : x;
    };
    float acc[kN];
    start_narrow(g, block, acc);
    int k = 0;
#pragma unroll 1
    for (; k + kAtOnce <= steps; k += kAtOnce) {
        float a[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) a[i] = number(k + i);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) narrow_step(a[i], &b[k + i][0].x, acc);
    }
#pragma unroll 1
    for (; k < steps; ++k) narrow_step(number(k), &b[k][0].x, acc);
    float* const to = g.C + int64_t(blockIdx.y) * g.partial + row * g.c_rs;
#pragma unroll
    for (int c = 0; c < kN; c += 4)
        if (c < g.N) *reinterpret_cast<float4*>(to + c) = make_float4(acc[c], acc[c + 1], acc[c + 2], acc[c + 3]);
}

}  // namespace fastreg::cuda
