// The kernel of large tiles, for matrices that fill the device. It must not know what they are for.
// Over 40 lines: the kernel, one loop over tiles of k with its sums in registers.
#pragma once
#include "cuda/gemm.cuh"

namespace fastreg::cuda {

// Two CTAs of 256 threads share a multiprocessor's registers, so that one computes while the other stores.
using LargeShape = TileShape<float, kLargeTile, kLargeTile, 8, 8>;
struct LargeShared {
    LargeShape::Shared operands;
    TileAt tile;  // kept here, to save registers
    int block_tiles;
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kLargeResident = 1;  // older devices need more than 128 registers a thread for the epilogue
#else
constexpr int kLargeResident = 2;
#endif

// A large tile's sums go to C after each block of k and are added to what is there: registers do not hold both.
__global__ void __launch_bounds__(LargeShape::kThreads, kLargeResident)
    large_tiles(const __grid_constant__ GemmArgs<float> g, const __grid_constant__ Epilogue<float> epilogue) {
    using S = LargeShape;
    constexpr int kGroups = S::kT / 4;
    __shared__ LargeShared shared;
    const KBlocks& blocks = g.blocks;
    const BlockRange mine(g);
    const int thread_row = S::thread_row(int(threadIdx.x)), thread_col = S::thread_col(int(threadIdx.x));

    // Tiles of k go on from block to block: all blocks but the last have whole tiles.
    const int64_t k0 = blocks.begin(mine.first), steps = blocks.end(mine.first + mine.count - 1) - k0;
    int tiles_left = steps > 0 ? int((steps + S::kK - 1) / S::kK) : 1;
    const int tail = int(steps - int64_t(tiles_left - 1) * S::kK);  // steps of the last tile
    int block_left = mine.count > 1 ? int(blocks.step / S::kK) : tiles_left, buffer = 0;
    const TileAt at = g.tiles.at(int(blockIdx.x));
    if (threadIdx.x == 0) {
        shared.tile = at;
        shared.block_tiles = block_left;
    }
    OperandTile<float, S::kM, S::kK, S::kThreads> A(g.A, int64_t(at.row) * S::kM, g.M, k0);
    OperandTile<float, S::kN, S::kK, S::kThreads> B(g.B, int64_t(at.col) * S::kN, g.N, k0);
    const auto load = [&] {
        const int n = tiles_left > 1 ? S::kK : tail;
        A.load(n, -0.0f);
        B.load(n, 0.0f);
    };
    float acc[S::kT][S::kT];
    load();
    start_chains<S>(g, mine.first, int64_t(at.col) * S::kN, thread_col, acc);
    A.store(shared.operands.a[0]);
    B.store(shared.operands.b[0]);
    __syncthreads();
    bool first = true;  // block of k of this CTA
    while (true) {
        const bool more = --tiles_left > 0;
        if (more) load();
        multiply<S>(shared.operands.a[buffer], shared.operands.b[buffer], S::kK, thread_row, thread_col, acc);
        if (--block_left == 0 || !more) {
            const int64_t row0 = int64_t(shared.tile.row) * S::kM, col0 = int64_t(shared.tile.col) * S::kN;
            float* const C = g.C + (g.partial ? int64_t(blockIdx.y) * g.partial : 0);
            const bool finished = !more && epilogue.kind != Epilogue<float>::none;
#pragma unroll
            for (int i = 0; i < S::kT; ++i) {
                const int64_t row = row0 + S::row(thread_row, i);
#pragma unroll
                for (int h = 0; h < kGroups; ++h) {
                    const int64_t col = col0 + S::col(thread_col, 4 * h);
                    const int n = g.N - col < 4 ? int(g.N - col) : 4;
                    float v[4] = {acc[i][4 * h], acc[i][4 * h + 1], acc[i][4 * h + 2], acc[i][4 * h + 3]};
                    if (row < g.M && n > 0) {
                        float* c = C + row * g.c_rs + col;
                        if (!first) {
                            float before[4];
                            load_columns(c, n, g.c_wide, before);
#pragma unroll
                            for (int e = 0; e < 4; ++e) v[e] = before[e] + v[e];
                        }
                        if (!finished) store_columns(c, n, g.c_wide, v);
                    }
#pragma unroll
                    for (int e = 0; e < 4; ++e) acc[i][4 * h + e] = finished ? v[e] : 0.0f;
                }
            }
            if (!more) break;
            block_left = shared.block_tiles;
            first = false;
        }
        buffer ^= 1;
        A.store(shared.operands.a[buffer]);
        B.store(shared.operands.b[buffer]);
        __syncthreads();
    }
    if (epilogue.kind == Epilogue<float>::none) return;
    const int64_t row0 = int64_t(shared.tile.row) * S::kM, col0 = int64_t(shared.tile.col) * S::kN;
#pragma unroll 1
    for (int group = 0; group < S::kT * kGroups; ++group) {  // not unrolled: an epilogue is much code
        const int i = group / kGroups, h = group % kGroups;
        const int64_t row = row0 + S::row(thread_row, i), col = col0 + S::col(thread_col, 4 * h);
        if (row >= g.M || col >= g.N) continue;
        const int n = g.N - col < 4 ? int(g.N - col) : 4;
        float v[4];
        pick(acc, i, 4 * h, v);
        epilogue.template apply<4>(row, col, n, v);
        store_columns(g.C + row * g.c_rs + col, n, g.c_wide, v);
    }
}

}  // namespace fastreg::cuda
