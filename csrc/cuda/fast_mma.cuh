// Fast products with mma.sync, for every device from sm_80 on that wgmma does not serve: a block of eight warps per
// item, panels in a ring in shared memory. It must not know how planes are made.
// Over 40 lines: multiply, one loop whose parts share all registers there are.
#pragma once
#include "cuda/fast_finish.cuh"
#include "cuda/ptx.cuh"

namespace fastreg::cuda::fast {

constexpr int kMmaThreads = 256;
constexpr int kMmaBytes = 2 * 3 * (kHalfTileM + kTileN) * kRowBytes;  // 96 KB; devices have 99 or more

#if __CUDA_ARCH__ >= 800 && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
template <Format f>
__device__ __forceinline__ void load_panel(const Work& w, Tile tile, int64_t panel, uint32_t to) {
    constexpr int kPlanes = Variant<f>::kPlanes;
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
        const auto* a = w.A.image + plane_offset(panel, p, kPlanes, w.A.rows) + tile.m * kHalfTileM * kRowBytes;
        const auto* b = w.B.image + plane_offset(panel, p, kPlanes, w.B.rows) + tile.n * kTileN * kRowBytes;
#pragma unroll
        for (int at = 0; at < kTileN * kRowBytes; at += kMmaThreads * 16) {
            copy16(to + p * kTileN * kRowBytes + at + threadIdx.x * 16, a + at + threadIdx.x * 16);
            copy16(to + (kPlanes + p) * kTileN * kRowBytes + at + threadIdx.x * 16, b + at + threadIdx.x * 16);
        }
    }
}

// A warp: 64 rows from 64 (warp % 2) on by 32 columns from 32 (warp / 2) on. sum: blocks of 16 x 8, four by four.
template <Format f>
__device__ __forceinline__ void multiply(const Work& w, Tile tile, int64_t first, int64_t last, uint32_t ring,
                                         float (&sum)[64]) {
    using V = Variant<f>;
    constexpr int kPlane = kTileN * kRowBytes, kStage = 2 * V::kPlanes * kPlane, kStages = kMmaBytes / kStage;
    static_assert(kHalfTileM == kTileN && kStages >= 2);
    const int lane = threadIdx.x % 32, row0 = threadIdx.x / 32 % 2 * 64, col0 = threadIdx.x / 64 * 32;
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
        if (first + s < last) load_panel<f>(w, tile, first + s, ring + s * kStage);
        commit_copies();
    }
    float d[64] = {};
    int stage = 0, ahead = kStages - 1;
    for (int64_t panel = first; panel < last; ++panel) {
        wait_for_copies<kStages - 2>();
        __syncthreads();  // the panel is there for all, and all have done with the one before
        if (panel + kStages - 1 < last) load_panel<f>(w, tile, panel + kStages - 1, ring + ahead * kStage);
        commit_copies();
        const uint32_t from = ring + stage * kStage;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            uint32_t b[V::kPlanes][2][4];  // two matrices of 8 columns each
#pragma unroll
            for (int p = 0; p < V::kPlanes; ++p)
#pragma unroll
                for (int n = 0; n < 2; ++n)
                    load_matrices(b[p][n], from + (V::kPlanes + p) * kPlane +
                                               uint32_t(chunk_offset(col0 + n * 16 + lane / 16 * 8 + lane % 8,
                                                                     2 * k + lane / 8 % 2)));
#pragma unroll
            for (int pa = V::kPlanes - 1; pa >= 0; --pa) {  // small products first
#pragma unroll
                for (int m = 0; m < 4; ++m) {
                    uint32_t a[4];
                    load_matrices(
                        a, from + pa * kPlane + uint32_t(chunk_offset(row0 + m * 16 + lane % 16, 2 * k + lane / 16)));
#pragma unroll
                    for (int pb = V::kPlanes - 1 - pa; pb >= 0; --pb)
#pragma unroll
                        for (int n = 0; n < 4; ++n)
                            mma<V::kHalf>(d + (m * 4 + n) * 4, a, b[pb][n / 2][n % 2 * 2], b[pb][n / 2][n % 2 * 2 + 1]);
                }
            }
        }
        if (++stage == kStages) stage = 0;
        if (++ahead == kStages) ahead = 0;
        if (V::kGroup > 1 && panel % V::kGroup != V::kGroup - 1) continue;
        const int64_t segment = panel / (kSegment / kPanel);
        const int64_t a_row = tile.m * kHalfTileM + row0 + lane / 4, b_row = tile.n * kTileN + col0;
#pragma unroll
        for (int m = 0; m < 4; ++m) {
            float by[2] = {1.0f, 1.0f};  // of the warp's columns and rows lane / 4, and 8 further on
            if constexpr (V::kScaled) {
                const float b_scale = w.B.scales[scale_index(segment, b_row, w.B.rows)];
                by[0] = b_scale * w.A.scales[scale_index(segment, a_row + m * 16, w.A.rows)];
                by[1] = b_scale * w.A.scales[scale_index(segment, a_row + m * 16 + 8, w.A.rows)];
            }
#pragma unroll
            for (int i = 16 * m; i < 16 * m + 16; ++i) {
                sum[i] = __fmaf_rn(d[i], by[i % 4 / 2], sum[i]);
                d[i] = 0.0f;
            }
        }
    }
    wait_for_copies<0>();
}
#endif

// Block i makes item i.
__global__ void __launch_bounds__(kMmaThreads, 1)
    mma_kernel(const __grid_constant__ Work w, const __grid_constant__ Output out) {
#if __CUDA_ARCH__ >= 800 && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
    const uint32_t ring = shared_address(dynamic_shared<unsigned char>());
    let_next_start();
    wait_for_previous();
    const Format format = format_of(w);
    const int unit_panels = unit_of(format) / kPanel;
    const int64_t split = blockIdx.x / w.plan.tiles();
    const Tile tile = w.plan.tile(blockIdx.x - split * w.plan.tiles());
    const int64_t first = w.plan.first_unit(split) * unit_panels, last = w.plan.first_unit(split + 1) * unit_panels;
    float sum[64] = {};
    if (format == Format::fp16x3)
        multiply<Format::fp16x3>(w, tile, first, last, ring, sum);
    else if (format == Format::bf16x6)
        multiply<Format::bf16x6>(w, tile, first, last, ring, sum);
    else
        multiply<Format::bf16>(w, tile, first, last, ring, sum);
    const int64_t row = tile.m * kHalfTileM + threadIdx.x / 32 % 2 * 64, col = tile.n * kTileN + threadIdx.x / 64 * 32;
    finish<4>(sum, 4, row, 16, col, split, out);
#endif
}

}  // namespace fastreg::cuda::fast
