// Kernels of sums: of the blocks of k in a workspace, and of columns. They must not know tiles.
#pragma once
#include "cuda/gemm.cuh"

namespace fastreg::cuda {

// v = p[0:4], 16 bytes at a time, without a branch; -0 if they are not there.
template <class T>
__device__ __forceinline__ void load_four_if(bool there, const T* p, T (&v)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i += kWide<T>)
        *reinterpret_cast<Wide<T>*>(&v[i]) = ptx::load_if(there, reinterpret_cast<const Wide<T>*>(p + i), -T(0));
}

// Adds n_blocks sums of the workspace, in order, onto C, or begins with them. A thread has four columns of a row. Rows
// of the workspace are whole groups of four, aligned.
template <class T>
struct WorkspaceSum {
    int64_t M, N;
    const T* partials;
    int64_t partial, partial_rs;
    int n_blocks;
    bool onto_c, last, c_wide;
    T* C;
    int64_t c_rs;
    T* column_sums;  // where the sums of row M go, that of the ones (GemmArgs); null where there is none
};
constexpr int kSumThreads = 128;
template <class T> constexpr int kSumsAtOnce = sizeof(T) == 4 ? 16 : 8;  // blocks whose loads are under way
template <class T>
__global__ void __launch_bounds__(kSumThreads, 4)
    sum_workspace(const __grid_constant__ WorkspaceSum<T> a, const __grid_constant__ Epilogue<T> epilogue) {
    const int64_t groups = a.partial_rs / 4, index = int64_t(blockIdx.x) * kSumThreads + threadIdx.x;
    const int64_t row = index / groups, col = index % groups * 4;
    const bool ones = row == a.M && a.column_sums;
    if (row >= a.M && !ones) return;
    const int n = a.N - col < 4 ? int(a.N - col) : 4;
    const bool wide = a.c_wide && !ones;
    T* const c = (ones ? a.column_sums : a.C + row * a.c_rs) + col;
    const T* p = a.partials + row * a.partial_rs + col;
    T total[4];
    int block = 0;
    if (a.onto_c) {
        load_columns(c, n, wide, total);
    } else {
        load_columns(p, 4, true, total);
        block = 1;
    }
    // Blocks that do not exist add -0, which changes no sum.
    for (; block < a.n_blocks; block += kSumsAtOnce<T>) {
        alignas(16) T sums[kSumsAtOnce<T>][4];
#pragma unroll
        for (int i = 0; i < kSumsAtOnce<T>; ++i)
            load_four_if(block + i < a.n_blocks, p + (block + i) * a.partial, sums[i]);
#pragma unroll
        for (int i = 0; i < kSumsAtOnce<T>; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) total[e] = total[e] + sums[i][e];
    }
    if (a.last && !ones) epilogue.template apply<4>(row, col, n, total);
    store_columns(c, n, wide, total);
}

// The sum of n rows of a column, in order, from 0.
template <int kAtOnce = 16, class T>
__device__ __forceinline__ T column_chain(const T* x, int64_t row_stride, int64_t n) {
    T sum = T(0);
    int64_t b = 0;
    for (; b + kAtOnce <= n; b += kAtOnce, x += kAtOnce * row_stride) {
        T v[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) v[i] = __ldg(x + i * row_stride);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) sum = sum + v[i];
    }
    for (; b < n; ++b, x += row_stride) sum = sum + __ldg(x);
    return sum;
}

constexpr int kMostTogether = 16;  // products or sums in one launch

template <class T>
struct ColumnSums {
    ColumnSum<T> sums[kMostTogether];
    int first[kMostTogether];  // CTA of each
    int n;
    KBlocks blocks;  // of the rows, of which all have as many
};

// Few columns a CTA, so that there are many CTAs: a sector of memory. Quarters of warps make the blocks of rows side by
// side, and the first adds them in order.
constexpr int kSumColumns = 8, kSumChains = 64;
template <class T>
__global__ void __launch_bounds__(kSumColumns* kSumChains) sum_columns(const __grid_constant__ ColumnSums<T> a) {
    __shared__ T sums[kSumChains][kSumColumns];
    const int s = range_of(int(blockIdx.x), a.first, a.n);
    const int lane = int(threadIdx.x) % kSumColumns, chain = int(threadIdx.x) / kSumColumns;
    const ColumnSum<T>& x = a.sums[s];
    const int64_t col = int64_t(int(blockIdx.x) - a.first[s]) * kSumColumns + lane;
    const KBlocks& blocks = a.blocks;
    T total = T(0);
    for (int first = 0; first < blocks.count; first += kSumChains) {
        const int block = first + chain;
        if (block < blocks.count && col < x.cols)
            sums[chain][lane] = column_chain<32>(x.x + blocks.begin(block) * x.row_stride + col, x.row_stride,
                                                 blocks.end(block) - blocks.begin(block));
        __syncthreads();
        if (chain == 0 && col < x.cols)
            for (int c = 0; c < kSumChains && first + c < blocks.count; ++c) total = total + sums[c][lane];
        __syncthreads();
    }
    if (chain == 0 && col < x.cols) x.out[col] = total;
}

}  // namespace fastreg::cuda
