// Fast products: operands as they come, float32 or bfloat16 with any strides, and how the split pass reads them.
// It must not know what becomes of their numbers.
#pragma once
#include "cuda/fast_layout.h"
#include "cuda/fast_numbers.h"
#include "cuda/queue.cuh"

namespace fastreg::cuda::fast {

// How an operand is read: each thread 8 k of a row from the memory, or rows side by side through shared memory; four
// numbers at a time where they are aligned.
enum class Reading : int { along_k_by_4, along_k, across_by_4, across };

// Rows of A, or columns of B, by k: element (row, k) is at p[row * row_stride + k * k_stride], or there in p16.
struct Source {
    const float* p;
    const Bfloat* p16;  // instead of p, for Format::bf16
    int64_t row_stride, k_stride, rows, K;
    int64_t padded_rows, segments;
    Reading reading;  // reading_of()
    unsigned char* image;
    float* scales;  // null for Format::bf16
    // What the split pass finds out about each row, or null: its sum over the k of each segment, as scales lie; and
    // what too_coarse() takes, 0 at first.
    float* sums;
    uint32_t *largest, *coarsest;

    __host__ __device__ int64_t blocks() const { return padded_rows / 64 * segments; }
};

inline Reading reading_of(const Source& s) {
    const auto by_4 = [&](int64_t one, int64_t other) {
        return one == 1 && other % 4 == 0 &&
               (s.p16 ? reinterpret_cast<uintptr_t>(s.p16) % 8 == 0 : reinterpret_cast<uintptr_t>(s.p) % 16 == 0);
    };
    if (by_4(s.k_stride, s.row_stride)) return Reading::along_k_by_4;
    if (by_4(s.row_stride, s.k_stride)) return Reading::across_by_4;
    const auto size = [](int64_t stride) { return stride < 0 ? -stride : stride; };
    return size(s.k_stride) <= size(s.row_stride) ? Reading::along_k : Reading::across;
}

constexpr int kSplitThreads = 256;

// One number of a source, or four that are aligned.
template <Format f>
__device__ __forceinline__ float number_at(const Source& s, int64_t at) {
    if (f == Format::bf16 && s.p16) return from_bfloat(__ldg(s.p16 + at));
    return __ldg(s.p + at);
}
template <Format f>
__device__ __forceinline__ float4 four_at(const Source& s, int64_t at) {
    if (f == Format::bf16 && s.p16) {
        const uint2 v = __ldg(reinterpret_cast<const uint2*>(s.p16 + at));
        return make_float4(from_bfloat(uint16_t(v.x)), from_bfloat(uint16_t(v.x >> 16)), from_bfloat(uint16_t(v.y)),
                           from_bfloat(uint16_t(v.y >> 16)));
    }
    return __ldg(reinterpret_cast<const float4*>(s.p + at));
}

// A block of 64 rows by 64 k: thread t has of row t / 4 the 8 k of chunk t % 4 of both panels of the segment, x[0..7]
// and x[8..15]. So a warp reads and writes whole sectors of 32 bytes.
template <Format f>
__device__ __forceinline__ void read_along_k(const Source& s, int64_t row, int64_t k, float (&x)[16]) {
    const int64_t from = row * s.row_stride + k * s.k_stride;
    const bool by_4 = s.reading == Reading::along_k_by_4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float* const to = x + 8 * half;
        const int64_t left = row < s.rows ? s.K - k - kPanel * half : 0;
        if (by_4 && left >= 8) {
#pragma unroll
            for (int i = 0; i < 8; i += 4) {
                const float4 four = four_at<f>(s, from + kPanel * half + i);
                to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
            }
        } else {
#pragma unroll
            for (int i = 0; i < 8; ++i)
                to[i] = i < left ? number_at<f>(s, from + (kPanel * half + i) * s.k_stride) : 0.0f;
        }
    }
}

// Where (row, k) of a block lies in shared memory: k by k, the rows' groups of four permuted so that neither the
// writers nor the readers of a warp meet in a bank.
__device__ __forceinline__ int staged_at(int row, int k) {
    return k * 64 + (((row >> 2) ^ (k >> 3 & 3) * 2) << 2 | (row & 3));
}

template <Format f>
__device__ __forceinline__ void read_across(const Source& s, int64_t row0, int64_t k0, float* staged, float (&x)[16]) {
    if (s.reading == Reading::across_by_4) {
        const int r = threadIdx.x % 16 * 4, first = threadIdx.x / 16;
        const int64_t left = s.rows - row0 - r;
        const int64_t from = row0 + r;
        float four[4][4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int64_t k = k0 + first + 16 * i;
            const int64_t at = from + k * s.k_stride;
            if (k < s.K && left >= 4) {
                const float4 v = four_at<f>(s, at);
                four[i][0] = v.x, four[i][1] = v.y, four[i][2] = v.z, four[i][3] = v.w;
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e) four[i][e] = k < s.K && e < left ? number_at<f>(s, at + e) : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
            *reinterpret_cast<float4*>(staged + staged_at(r, first + 16 * i)) =
                make_float4(four[i][0], four[i][1], four[i][2], four[i][3]);
    } else {
        const int r = threadIdx.x % 64, first = threadIdx.x / 64;
        const int64_t row = row0 + r;
#pragma unroll 8
        for (int c = first; c < 64; c += 4)
            staged[staged_at(r, c)] =
                row < s.rows && k0 + c < s.K ? number_at<f>(s, row * s.row_stride + (k0 + c) * s.k_stride) : 0.0f;
    }
    __syncthreads();
    const float* const from = staged + staged_at(threadIdx.x / 4, threadIdx.x % 4 * 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = from[64 * i], x[8 + i] = from[64 * (kPanel + i)];
}

}  // namespace fastreg::cuda::fast
