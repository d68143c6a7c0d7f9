// Fast products: the split pass, which turns operands (fast_source.cuh) into planes (fast_layout.h) by the rules of
// fast_numbers.h. It must not know how planes are multiplied. Over 40 lines: split_block, whose ways for the formats
// share a thread's 16 numbers.
#pragma once
#include "cuda/device.cuh"
#include "cuda/fast_source.cuh"
#include "cuda/ptx.cuh"

namespace fastreg::cuda::fast {

using namespace ptx;

// A thread's two chunks, one of each panel, in every plane. split(i, parts): the planes' parts of x[i].
template <Format f, class Split>
__device__ __forceinline__ void store_chunks(const Source& s, int64_t segment, int64_t row, int chunk, Split split) {
    constexpr int kPlanes = Variant<f>::kPlanes;
    const int64_t plane = s.padded_rows * kRowBytes;
    unsigned char* const to = s.image + plane_offset(2 * segment, 0, kPlanes, s.padded_rows) + chunk_offset(row, chunk);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        uint32_t words[kPlanes][4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            uint16_t low[kPlanes], high[kPlanes];
            split(half * 8 + 2 * i, low);
            split(half * 8 + 2 * i + 1, high);
#pragma unroll
            for (int p = 0; p < kPlanes; ++p) words[p][i] = low[p] | uint32_t(high[p]) << 16;
        }
#pragma unroll
        for (int p = 0; p < kPlanes; ++p)
            *reinterpret_cast<uint4*>(to + (half * kPlanes + p) * plane) =
                make_uint4(words[p][0], words[p][1], words[p][2], words[p][3]);
    }
}

// The sum of a row over a segment, of which four threads have 16 numbers each; right in the first.
__device__ __forceinline__ float segment_sum(const float (&x)[16]) {
    float sum[4] = {};
#pragma unroll
    for (int i = 0; i < 16; ++i) sum[i % 4] += x[i];
    float all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    all += __shfl_xor_sync(0xFFFFFFFFu, all, 1);
    return all + __shfl_xor_sync(0xFFFFFFFFu, all, 2);
}

// By one thread of a row.
__device__ __forceinline__ void raise(uint32_t* to, uint32_t x) {
    if (x > __ldcg(to)) atomicMax(to, x);
}

struct SplitShared {
    float4 staged[64 * 64 / 4];
    uint32_t largest[kSplitThreads / 32];
    int inexact_ones;
};

// Splits block `block`, those of A first. All threads of the CUDA block; whether the range of Format::fp16x3 does not
// do is the answer to each.
template <Format f>
__device__ __forceinline__ bool split_block(const Source& A, const Source& B, uint32_t block, SplitShared& shared) {
    const uint32_t blocks_of_a = uint32_t(A.blocks());
    const bool of_a = block < blocks_of_a;
    const Source& s = of_a ? A : B;
    if (!of_a) block -= blocks_of_a;
    // Blocks that follow one another read what lies side by side.
    const bool along_k = s.reading == Reading::along_k_by_4 || s.reading == Reading::along_k;
    const uint32_t inner = along_k ? uint32_t(s.segments) : uint32_t(s.padded_rows / 64);
    const uint32_t outer = block / inner, rest = block - outer * inner;
    const int64_t row0 = int64_t(along_k ? outer : rest) * 64, segment = along_k ? rest : outer;
    const int64_t row = row0 + threadIdx.x / 4;
    const int chunk = threadIdx.x % 4;

    float x[16];
    if (along_k)
        read_along_k<f>(s, row, segment * kSegment + chunk * 8, x);
    else
        read_across<f>(s, row0, segment * kSegment, reinterpret_cast<float*>(shared.staged), x);
    if (f != Format::bf16x6 && s.sums) {
        const float sum = segment_sum(x);
        if (chunk == 0) s.sums[scale_index(segment, row, s.padded_rows)] = sum;
    }
    if constexpr (f == Format::bf16) {
        store_chunks<f>(s, segment, row, chunk, [&](int i, uint16_t (&parts)[1]) { parts[0] = to_bfloat(x[i]); });
        return false;
    } else {
        if (threadIdx.x == 0) shared.inexact_ones = 0;
        uint32_t largest = 0;
#pragma unroll
        for (int i = 0; i < 16; ++i) largest = max(largest, magnitude_bits(x[i]));
        largest = max(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, 1));
        largest = max(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, 2));
        const uint32_t largest_of_row = largest;
        if (!of_a) {
            largest = __reduce_max_sync(0xFFFFFFFFu, largest);
            if (threadIdx.x % 32 == 0) shared.largest[threadIdx.x / 32] = largest;
            __syncthreads();
#pragma unroll
            for (uint32_t other : shared.largest) largest = max(largest, other);
        }
        const Scale scale = f == Format::fp16x3 ? half_scale(largest) : bfloat_scale(largest);
        if (chunk == 0) s.scales[scale_index(segment, row, s.padded_rows)] = scale.scale;
        if constexpr (f == Format::bf16x6) {
            store_chunks<f>(s, segment, row, chunk, [&](int i, uint16_t (&parts)[3]) {
                const BfloatSplit b = split_bfloat(x[i] * scale.inverse);
#pragma unroll
                for (int p = 0; p < 3; ++p) parts[p] = b.part[p];
            });
            __syncthreads();  // before the next block's numbers
            return false;
        } else {
            int few = 0;
            bool gone = !half_range(largest);
            store_chunks<f>(s, segment, row, chunk, [&](int i, uint16_t (&parts)[2]) {
                const float scaled = x[i] * scale.inverse;
                const HalfSplit h = split_half(scaled);
                few += inexact(scaled, h);
                gone |= lost(x[i], scaled, h);
                parts[0] = h.hi;
                parts[1] = h.lo;
            });
            if (s.largest) {
                int any = few | int(gone);  // of the row's numbers
                any |= __shfl_xor_sync(0xFFFFFFFFu, any, 1);
                any |= __shfl_xor_sync(0xFFFFFFFFu, any, 2);
                if (chunk == 0) {
                    raise(s.largest + row, largest_of_row);
                    if (any) raise(s.coarsest + row, bits_of(scale.scale));
                }
                return !half_range(largest);
            }
            if (!__syncthreads_or(few | int(gone))) return false;  // nearly always
            if (few) atomicAdd(&shared.inexact_ones, few);         // integers: any order gives the same
            return __syncthreads_or(gone) || shared.inexact_ones > kFewInexact;
        }
    }
}

// Blocks of a multiprocessor at least. Turing's kernels are empty.
template <Format f>
constexpr int kSplitBlocks = f == Format::bf16 && 5 * kSplitThreads <= kResidentThreads ? 5 : 3;

// One block of the split pass each. out_of_range: one byte a block; unused for Format::bf16.
template <Format f>
__global__ void __launch_bounds__(kSplitThreads, kSplitBlocks<f>)
    split_kernel(const __grid_constant__ Source A, const __grid_constant__ Source B, unsigned char* out_of_range) {
#if __CUDA_ARCH__ >= 800
    let_next_start();
    __shared__ SplitShared shared;
    const bool out = split_block<f>(A, B, blockIdx.x, shared);
    if (f == Format::fp16x3 && threadIdx.x == 0) out_of_range[blockIdx.x] = out;
#endif
}

// out[row] = the sum of s.sums over all segments, in an order of its own.
constexpr int kTotalRows = 8, kTotalChains = 32;
__global__ void __launch_bounds__(kTotalRows* kTotalChains) row_totals(const __grid_constant__ Source s, float* out) {
#if __CUDA_ARCH__ >= 800
    let_next_start();
    wait_for_previous();
    __shared__ float sums[kTotalChains][kTotalRows];
    const int lane = int(threadIdx.x) % kTotalRows, chain = int(threadIdx.x) / kTotalRows;
    const int64_t row = int64_t(blockIdx.x) * kTotalRows + lane;
    float sum = 0.0f;
    if (row < s.rows) {
        // Eight loads are under way. The last segment stands for those beyond it, which add -0.
        for (int64_t first = chain; first < s.segments; first += 8 * kTotalChains) {
            float eight[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int64_t segment = first + i * kTotalChains;
                const bool exists = segment < s.segments;
                const float x = s.sums[scale_index(exists ? segment : s.segments - 1, row, s.padded_rows)];
                eight[i] = exists ? x : -0.0f;
            }
#pragma unroll
            for (int i = 0; i < 8; ++i) sum += eight[i];
        }
    }
    sums[chain][lane] = sum;
    __syncthreads();
    if (chain != 0 || row >= s.rows) return;
#pragma unroll
    for (int c = 1; c < kTotalChains; ++c) sum += sums[c][lane];
    out[row] = sum;
#endif
}

// *wide = whether any block is out of range, or any row of B too coarse; then all blocks are split again, for
// Format::bf16x6. n: of blocks.
__global__ void __launch_bounds__(kSplitThreads, 2)
    widen_kernel(const __grid_constant__ Source A, const __grid_constant__ Source B, const unsigned char* out_of_range,
                 uint32_t n, int* wide) {
#if __CUDA_ARCH__ >= 800
    let_next_start();
    wait_for_previous();
    uint32_t any = 0;
    const uint4* const sixteen = reinterpret_cast<const uint4*>(out_of_range);
#pragma unroll 4
    for (uint32_t i = threadIdx.x; i < n / 16; i += kSplitThreads) {
        const uint4 v = sixteen[i];
        any |= v.x | v.y | v.z | v.w;
    }
    for (uint32_t i = n / 16 * 16 + threadIdx.x; i < n; i += kSplitThreads) any |= out_of_range[i];
    for (int64_t row = threadIdx.x; B.largest && row < B.rows; row += kSplitThreads)
        any |= too_coarse(B.largest[row], B.coarsest[row]);
    const bool all = __syncthreads_or(any != 0);
    if (blockIdx.x == 0 && threadIdx.x == 0) *wide = all;
    if (!all) return;
    __shared__ SplitShared shared;
    for (uint32_t block = blockIdx.x; block < n; block += gridDim.x) split_block<Format::bf16x6>(A, B, block, shared);
#endif
}

}  // namespace fastreg::cuda::fast
