// Fast products on Hopper (sm_90a): a producer warp that copies panels into a ring in shared memory, and two warpgroups
// that multiply them, each half of a tile's rows. It must not know how planes are made.
// Over 40 lines: consume and the kernel, whose loops keep sums in registers and share the barriers of the ring.
#pragma once
#include "cuda/fast_finish.cuh"
#include "cuda/ptx.cuh"

namespace fastreg::cuda::fast {

constexpr int kWgmmaThreads = 384;
constexpr int kWgmmaBytes = kHopperBytes + 1024;
// The warpgroups issue their products in turn, so that they are half a period apart: while one promotes, the tensor
// cores work for the other. Named barrier kTurn + i: it is the turn of warpgroup i.
constexpr uint32_t kTurn = 1;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Position in the ring, the same in producer and consumers: a group of stages, and the parity of its round.
struct Position {
    int group = 0;
    uint32_t parity = 0;

    __device__ __forceinline__ void next(int groups) {
        if (++group < groups) return;
        group = 0;
        parity ^= 1;
    }
};

__device__ __forceinline__ uint32_t full_barrier(uint32_t ring, int stage) { return ring + kFullAt + 8 * stage; }
__device__ __forceinline__ uint32_t empty_barrier(uint32_t ring, int stage) { return ring + kEmptyAt + 8 * stage; }
__device__ __forceinline__ uint32_t scales_of(uint32_t ring, int stage) {
    return ring + kScalesAt + stage * kScaleRows * 4;
}

// A warp, when the tile before is nearly done: brings the tile's y, which its epilogue will read, into the L2.
__device__ __forceinline__ void fetch_outputs(const Output& out, Tile tile, int rows) {
    constexpr int kLine = 32, kLines = kTileN / kLine;
    for (int i = threadIdx.x; i < rows * kLines; i += 32) {
        const int64_t row = tile.m * rows + i / kLines, col = tile.n * kTileN + i % kLines * kLine;
        if (row >= out.M || col >= out.N) continue;
        const int64_t at = row * out.epilogue.y_rs + col;
        if (!out.epilogue.y16)
            prefetch(out.epilogue.y + at);
        else if (i % kLines % 2 == 0)  // a line has twice as many
            prefetch(out.epilogue.y16 + at);
    }
}

// One thread. Copies panels [first, last) of the tile's rows.
template <Format f>
__device__ __forceinline__ void produce(const Work& w, Tile tile, int64_t first, int64_t last, uint32_t ring,
                                        Position& at) {
    using V = Variant<f>;
    const int groups = groups_in_ring<f>(w.plan.halves);
    const uint32_t a_rows = w.plan.halves * kHalfTileM;
    const int64_t a_row = tile.m * a_rows, b_row = tile.n * kTileN;
    // Planes follow one another, from panel to panel too.
    const unsigned char* a = w.A.image + plane_offset(first, 0, V::kPlanes, w.A.rows) + a_row * kRowBytes;
    const unsigned char* b = w.B.image + plane_offset(first, 0, V::kPlanes, w.B.rows) + b_row * kRowBytes;
    for (int64_t panel = first; panel < last;) {
#pragma unroll 1
        for (int i = 0; i < V::kGroup; ++i, ++panel) {
            const int stage = at.group * V::kGroup + i;
            const bool scales = V::kScaled && i == V::kGroup - 1;  // read last, so in the stage that is freed last
            const uint32_t full = full_barrier(ring, stage);
            wait(empty_barrier(ring, stage), at.parity ^ 1);
            arrive_expecting(full, (a_rows + kTileN) * (V::kPlanes * kRowBytes + (scales ? 4 : 0)));
            uint32_t to = ring + stage * stage_bytes<f>(w.plan.halves);
#pragma unroll 1
            for (int p = 0; p < V::kPlanes; ++p, to += a_rows * kRowBytes, a += w.A.rows * kRowBytes)
                bulk_copy(to, a, a_rows * kRowBytes, full);
#pragma unroll 1
            for (int p = 0; p < V::kPlanes; ++p, to += kTileN * kRowBytes, b += w.B.rows * kRowBytes)
                bulk_copy(to, b, kTileN * kRowBytes, full);
            if (!scales) continue;
            const int64_t segment = panel / (kSegment / kPanel);
            to = scales_of(ring, stage);
            bulk_copy(to, w.A.scales + scale_index(segment, a_row, w.A.rows), a_rows * 4, full);
            bulk_copy(to + kMaxHalves * kHalfTileM * 4, w.B.scales + scale_index(segment, b_row, w.B.rows), kTileN * 4,
                      full);
        }
        at.next(groups);
    }
}

// One warpgroup: sum = its rows of the tile's panels. Its blocks of 64 rows use the 64 registers of d one after the
// other.
template <Format f>
__device__ __forceinline__ void consume(const Work& w, int64_t panels, uint32_t ring, Position& at, float (&sum)[128]) {
    using V = Variant<f>;
    const int halves = w.plan.halves, warpgroup = threadIdx.x / 128 - 1, groups = groups_in_ring<f>(halves);
    uint32_t lane = threadIdx.x % 32;
    // Where the thread's first scale of A is in those of a stage.
    uint32_t a_scale = (warpgroup * halves * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4) * 4;
    // Low words of descriptors, for stage 0.
    uint32_t a_first = descriptor_low(ring) + address_units(warpgroup * halves * 64 * kRowBytes);
    uint32_t b_first = descriptor_low(ring) + address_units(V::kPlanes * halves * kHalfTileM * kRowBytes);
    keep(lane), keep(a_scale), keep(a_first), keep(b_first);
    const auto free_stage = [&](int stage) {
        __syncwarp();
        if (lane == 0) arrive(empty_barrier(ring, stage));
    };
#pragma unroll 1
    for (int64_t panel = 0; panel < panels; panel += V::kGroup) {
        const int first = at.group * V::kGroup, last = first + V::kGroup - 1;
        const uint32_t scales = scales_of(ring, last) + a_scale;
        const uint32_t b_scales = scales_of(ring, last) + kMaxHalves * kHalfTileM * 4;
#pragma unroll
        for (int h = 0; h < kMaxHalves; ++h) {
            if (h >= halves) break;
            // by: the scales' products, of rows lane / 4 and 8 further on, of columns to 64 and from
            float d[64], by[4];
#pragma unroll
            for (int i = 0; i < V::kGroup; ++i) {
                if (h == 0) wait(full_barrier(ring, first + i), at.parity);
                if (i == 0) take_turn(kTurn + warpgroup);
                const uint32_t stage = address_units((first + i) * stage_bytes<f>(halves));
                begin_products();
#pragma unroll
                for (int pa = V::kPlanes - 1; pa >= 0; --pa) {  // small products first
#pragma unroll
                    for (int pb = V::kPlanes - 1 - pa; pb >= 0; --pb) {
#pragma unroll
                        for (int k = 0; k < 2; ++k) {
                            const uint64_t a = matrix_descriptor(
                                a_first + stage +
                                address_units((pa * halves * kHalfTileM + h * 64) * kRowBytes + k * 32));
                            const uint64_t b =
                                matrix_descriptor(b_first + stage + address_units(pb * kTileN * kRowBytes + k * 32));
                            if (i == 0 && pa == V::kPlanes - 1 && k == 0)
                                warpgroup_product<V::kHalf, true>(d, a, b);
                            else
                                warpgroup_product<V::kHalf, false>(d, a, b);
                        }
                    }
                }
                commit_products();
                if (i == V::kGroup - 1) give_turn(kTurn + (warpgroup ^ 1));
                if (i > 0 && h == halves - 1) {
                    wait_for_products<1>();
                    free_stage(first + i - 1);
                }
            }
            if constexpr (V::kScaled) {
                const float a0 = load_shared(scales + h * 64 * 4), a8 = load_shared(scales + (h * 64 + 8) * 4);
                const float b0 = load_shared(b_scales), b64 = load_shared(b_scales + 64 * 4);
                by[0] = a0 * b0, by[1] = a8 * b0, by[2] = a0 * b64, by[3] = a8 * b64;
            }
            wait_for_products<0>();
            hold(d);
            if (h == halves - 1) free_stage(last);
#pragma unroll
            for (int i = 0; i < 64; ++i) {
                float& to = sum[h * 64 + i];
                if constexpr (V::kScaled)
                    to = __fmaf_rn(d[i], by[i / 32 * 2 + i % 4 / 2], to);  // rounded once
                else
                    to += d[i];
            }
        }
        at.next(groups);
    }
}
#endif

// One block per multiprocessor; block i makes items i, i + blocks, ...
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    wgmma_kernel(const __grid_constant__ Work w, const __grid_constant__ Output out) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    uint32_t ring = (shared_address(dynamic_shared<unsigned char>()) + 1023) & ~1023u;
    keep(ring);
    if (threadIdx.x == 0) {
        for (int s = 0; s < kMaxStages; ++s) {
            init_barrier(full_barrier(ring, s), 1);
            init_barrier(empty_barrier(ring, s), 8);  // the warps of both warpgroups
        }
        publish_barriers();
    }
    let_next_start();
    wait_for_previous();
    const int unit_panels = unit_of(w.format) / kPanel;
    __syncthreads();

    Position at;
    if (threadIdx.x < 128) {
        lower_registers<40>();
        if (threadIdx.x < 32) {
            const Format format = format_of(w);
            for (int64_t item = blockIdx.x; item < w.plan.items(); item += gridDim.x) {
                const int64_t split = item / w.plan.tiles();
                const Tile tile = w.plan.tile(item - split * w.plan.tiles());
                const int64_t first = w.plan.first_unit(split) * unit_panels;
                const int64_t last = w.plan.first_unit(split + 1) * unit_panels;
                __syncwarp();  // the other threads fetch when the first has copied the tile before
                if (out.way == Way::through_relu) fetch_outputs(out, tile, w.plan.halves * kHalfTileM);
                if (threadIdx.x != 0) continue;
                if (format == Format::fp16x3)
                    produce<Format::fp16x3>(w, tile, first, last, ring, at);
                else if (format == Format::bf16x6)
                    produce<Format::bf16x6>(w, tile, first, last, ring, at);
                else
                    produce<Format::bf16>(w, tile, first, last, ring, at);
            }
        }
    } else {
        raise_registers<232>();
        const uint32_t warpgroup = threadIdx.x / 128 - 1;
        if (warpgroup == 1) give_turn(kTurn + 0);
        const Format format = format_of(w);
        for (int64_t item = blockIdx.x; item < w.plan.items(); item += gridDim.x) {
            const int64_t split = item / w.plan.tiles();
            const Tile tile = w.plan.tile(item - split * w.plan.tiles());
            const int64_t panels = (w.plan.first_unit(split + 1) - w.plan.first_unit(split)) * unit_panels;
            float sum[128];
#pragma unroll
            for (float& s : sum) s = 0.0f;
            if (format == Format::fp16x3)
                consume<Format::fp16x3>(w, panels, ring, at, sum);
            else if (format == Format::bf16x6)
                consume<Format::bf16x6>(w, panels, ring, at, sum);
            else
                consume<Format::bf16>(w, panels, ring, at, sum);
            const int halves = w.plan.halves;
            const int64_t row = (tile.m * 2 + warpgroup) * halves * 64 + threadIdx.x / 32 % 4 * 16;
            finish<16>(sum, halves, row, 64, tile.n * kTileN, split, out);
        }
        if (warpgroup == 0) take_turn(kTurn + 0);  // the last one, not used
    }
#endif
}

}  // namespace fastreg::cuda::fast
