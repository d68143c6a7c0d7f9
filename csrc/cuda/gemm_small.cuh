// The kernels of small tiles, for matrices that would leave multiprocessors without work: one product, or a group of
// products and column sums. They must not know what they are for. Over 40 lines: small_tile, which keeps totals in
// registers from the first block of k to the epilogue.
#pragma once
#include <cooperative_groups.h>

#include "cuda/gemm.cuh"
#include "cuda/gemm_sums.cuh"

namespace fastreg::cuda {

// 64 threads: many CTAs for small matrices. Enough steps at a time to hide the way to global memory.
template <class T> using SmallShape = TileShape<T, kSmallTile, kSmallTile, sizeof(T) == 4 ? 32 : 8, 4>;

constexpr int kSmallResident = 4;  // CTAs a multiprocessor holds at least: no bound on registers

template <class T>
struct SmallShared {
    typename SmallShape<T>::Shared tiles;
    alignas(16) T sums[kSmallTile * kSmallTile];  // of a block of k, row-major
};

// The sums of one block of k of a small tile, into `sums`.
template <class T>
__device__ __forceinline__ void small_block(const GemmArgs<T>& g, int block, int64_t k, int steps, int64_t row0,
                                            int64_t col0, SmallShared<T>& shared) {
    using S = SmallShape<T>;
    const int thread_row = S::thread_row(int(threadIdx.x)), thread_col = S::thread_col(int(threadIdx.x));
    OperandTile<T, S::kM, S::kK, S::kThreads> A(g.A, row0, g.M, k);
    OperandTile<T, S::kN, S::kK, S::kThreads> B(g.B, col0, g.N, k);
    T acc[S::kT][S::kT];
    A.load(steps, T(-0.0));
    B.load(steps, T(0));
    start_chains<S>(g, block, col0, thread_col, acc);
    A.store(shared.tiles.a[0]);
    B.store(shared.tiles.b[0]);
    __syncthreads();
    for (int buffer = 0; steps > 0; buffer ^= 1, steps -= S::kK) {
        const bool more = steps > S::kK;
        if (more) {
            A.load(steps - S::kK, T(-0.0));
            B.load(steps - S::kK, T(0));
        }
        multiply<S>(shared.tiles.a[buffer], shared.tiles.b[buffer], more ? S::kK : steps, thread_row, thread_col, acc);
        if (more) {
            A.store(shared.tiles.a[buffer ^ 1]);
            B.store(shared.tiles.b[buffer ^ 1]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < S::kT; ++i)
#pragma unroll
        for (int j = 0; j < S::kT; j += kWide<T>)
            *reinterpret_cast<Wide<T>*>(shared.sums + S::row(thread_row, i) * S::kN + S::col(thread_col, j)) =
                *reinterpret_cast<const Wide<T>*>(&acc[i][j]);
}

// `sums` of the CTA with this rank in the cluster.
template <class T>
__device__ __forceinline__ const T* sums_of(SmallShared<T>& shared, [[maybe_unused]] int rank, int ranks) {
#if __CUDA_ARCH__ >= 900
    if (ranks > 1) return cooperative_groups::this_cluster().map_shared_rank(shared.sums, rank);
#endif
    return shared.sums;
}
__device__ __forceinline__ void wait_for(int ranks) {
#if __CUDA_ARCH__ >= 900
    if (ranks > 1) return cooperative_groups::this_cluster().sync();
#endif
    __syncthreads();
}

// One small tile. The CTAs of a cluster (y) make its blocks of k side by side; then each adds, for its share of the
// tile's groups of four columns, the sums of all.
template <class T>
__device__ __forceinline__ void small_tile(const GemmArgs<T>& g, const Epilogue<T>* epilogue, int index,
                                           SmallShared<T>& shared) {
    using S = SmallShape<T>;
    constexpr int kGroups = S::kM * S::kN / 4, kMine = kGroups / S::kThreads;
    const KBlocks& blocks = g.blocks;
    const BlockRange range(g);
    const int ranks = g.partial ? 1 : int(gridDim.y), rank = g.partial ? 0 : int(blockIdx.y);
    const TileAt tile = g.tiles.at(index);
    const int64_t row0 = int64_t(tile.row) * S::kM, col0 = int64_t(tile.col) * S::kN;
    const auto group_at = [&](int mine) { return finished_group(mine, rank, ranks, int(threadIdx.x), S::kThreads); };

    T total[kMine][4];
#pragma unroll
    for (int mine = 0; mine < kMine; ++mine)
#pragma unroll
        for (int e = 0; e < 4; ++e) total[mine][e] = T(0);
#pragma unroll 1
    for (int first = 0; first < range.count; first += ranks) {
        const int block = range.first + first + rank;
        if (first + rank < range.count)
            small_block(g, block, blocks.begin(block), int(blocks.end(block) - blocks.begin(block)), row0, col0,
                        shared);
        wait_for(ranks);
#pragma unroll 1
        for (int r = 0; r < ranks && first + r < range.count; ++r) {
            const T* sums = sums_of(shared, r, ranks);
#pragma unroll
            for (int mine = 0; mine < kMine; ++mine) {
                if (group_at(mine) >= kGroups) continue;
                T sum[4];
                load_columns(sums + 4 * group_at(mine), 4, true, sum);
#pragma unroll
                for (int e = 0; e < 4; ++e) total[mine][e] = first + r == 0 ? sum[e] : total[mine][e] + sum[e];
            }
        }
        wait_for(ranks);  // before `sums` is written again, or its CTA ends
    }
    T* const C = g.C + (g.partial ? int64_t(blockIdx.y) * g.partial : 0);
#pragma unroll 1
    for (int mine = 0; mine < kMine; ++mine) {  // not unrolled: an epilogue is much code
        const int group = group_at(mine);
        const int64_t row = row0 + group / (S::kN / 4), col = col0 + group % (S::kN / 4) * 4;
        if (group >= kGroups || row >= g.M || col >= g.N) continue;
        const int n = g.N - col < 4 ? int(g.N - col) : 4;
        T v[4];
        pick(total, mine, 0, v);
        if (epilogue) epilogue->template apply<4>(row, col, n, v);
        store_columns(C + row * g.c_rs + col, n, g.c_wide, v);
    }
}

template <class T>
__global__ void __launch_bounds__(SmallShape<T>::kThreads, kSmallResident)
    small_tiles(const __grid_constant__ GemmArgs<T> g, const __grid_constant__ Epilogue<T> epilogue) {
    __shared__ SmallShared<T> shared;
    small_tile(g, &epilogue, int(blockIdx.x), shared);
}

// Small tiles of several products, and column sums of few rows, which take the first CTAs: they are the longest.
template <class T>
struct GemmGroup {
    GemmArgs<T> products[kMostTogether];
    int first[kMostTogether];  // CTA of each
    int n;
    ColumnSums<T> sums;
    int sum_ctas;
};
static_assert(sizeof(GemmGroup<double>) <= 4096, "all that older drivers pass to a kernel");
template <class T>
__global__ void __launch_bounds__(SmallShape<T>::kThreads, kSmallResident)
    small_group(const __grid_constant__ GemmGroup<T> a) {
    __shared__ SmallShared<T> shared;
    const int index = int(blockIdx.x);
    if (index >= a.sum_ctas) {
        const int p = range_of(index, a.first, a.n);
        return small_tile<T>(a.products[p], nullptr, index - a.first[p], shared);
    }
    if (blockIdx.y > 0) return;  // of a cluster, which does not wait for itself here
    const int s = range_of(index, a.sums.first, a.sums.n);
    const ColumnSum<T>& x = a.sums.sums[s];
    const int64_t col = int64_t(index - a.sums.first[s]) * SmallShape<T>::kThreads + threadIdx.x;
    if (col >= x.cols) return;
    const KBlocks& blocks = a.sums.blocks;
    T total = T(0);
    for (int block = 0; block < blocks.count; ++block)
        total = total + column_chain(x.x + blocks.begin(block) * x.row_stride + col, x.row_stride,
                                     blocks.end(block) - blocks.begin(block));
    x.out[col] = total;
}

}  // namespace fastreg::cuda
