// Tiles of an exact product on the device: operands into shared memory, and chains of FMAs over increasing k. The order
// of the sums is that of rules/k_block.h. It must not know launches, workspaces or layers.
#pragma once
#include "cuda/gemm.h"
#include "cuda/gemm_plan.h"
#include "cuda/ptx.cuh"

namespace fastreg::cuda {

template <class T> struct WideOf;
template <> struct WideOf<float> {
    using type = float4;
};
template <> struct WideOf<double> {
    using type = double2;
};
template <class T> using Wide = typename WideOf<T>::type;  // 16 bytes
template <class T> constexpr int kWide = 16 / int(sizeof(T));

// v[0:count] = p[0:count], 16 bytes at a time where `wide` says that p is aligned. count <= N.
template <class T, int N>
__device__ __forceinline__ void load_columns(const T* p, int count, bool wide, T (&v)[N]) {
    if (wide && count == N) {
#pragma unroll
        for (int i = 0; i < N; i += kWide<T>)
            *reinterpret_cast<Wide<T>*>(&v[i]) = *reinterpret_cast<const Wide<T>*>(p + i);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = i < count ? p[i] : T(0);
    }
}
template <class T, int N>
__device__ __forceinline__ void store_columns(T* p, int count, bool wide, const T (&v)[N]) {
    if (wide && count == N) {
#pragma unroll
        for (int i = 0; i < N; i += kWide<T>)
            *reinterpret_cast<Wide<T>*>(p + i) = *reinterpret_cast<const Wide<T>*>(&v[i]);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i < count) p[i] = v[i];
    }
}

// One operand of a product: element (r, k) at p[r * row_stride + k * k_stride]; r is a row of A or a column of B.
template <class T>
struct Operand {
    const T* p;
    int64_t row_stride, k_stride, inner;  // inner: the smaller of the two
    bool along_k;                         // whether neighbours in memory are steps of k, rather than rows
    bool wide;                            // whether groups of kWide neighbours can be loaded at once
    bool whole;                           // and none of them is cut off by the operand's end

    Operand() = default;
    __host__ Operand(const T* at, int64_t rs, int64_t ks, int64_t rows, int64_t K)
        : p(at), row_stride(rs), k_stride(ks) {
        const auto size = [](int64_t stride) { return stride < 0 ? -stride : stride; };
        along_k = rs == 1 ? ks == 1 && K > 1 : size(ks) <= size(rs);
        const int64_t outer = along_k ? rs : ks;
        inner = along_k ? ks : rs;
        const bool one_line = (along_k ? rows : K) == 1;
        wide = inner == 1 && (one_line || outer % kWide<T> == 0) && reinterpret_cast<uintptr_t>(p) % 16 == 0;
        whole = wide && (along_k ? K : rows) % kWide<T> == 0;
    }
};

// A product as a kernel sees it. With a workspace, CTA (x, y) makes block first_block + y of k alone, and writes its
// sum to C + y * partial.
template <class T>
struct GemmArgs {
    int64_t M, N, K;
    Operand<T> A, B;
    const Bfloat* A16;  // instead of A, as it is strided, or null; gemm_narrow.cuh alone takes it
    const T* bias;
    T* C;
    int64_t c_rs;
    KBlocks blocks;
    TileOrder tiles;
    int64_t partial;  // 0: no workspace
    int first_block;
    bool c_wide;  // whether groups of four columns of C can be stored at once
    bool ones;    // narrow_block(): a row of ones follows those of A, so that B's columns are summed
};

// The blocks of k that a CTA makes: [first, first + count).
struct BlockRange {
    int first, count;

    template <class T>
    __device__ __forceinline__ explicit BlockRange(const GemmArgs<T>& g)
        : first(g.partial ? g.first_block + int(blockIdx.y) : 0), count(g.partial ? 1 : g.blocks.count) {}
};

// Tiles of kM x kN, kK steps of k at a time; each thread has kT x kT outputs.
template <class Real, int kM_, int kN_, int kK_, int kT_>
struct TileShape : TileOutputs<kM_, kN_, kT_, kWide<Real>> {
    using T = Real;
    static constexpr int kM = kM_, kN = kN_, kK = kK_, kT = kT_;
    // + 4: what a warp stores with k along its lanes falls into different banks
    static constexpr int kPitchA = kM + 4, kPitchB = kN + 4;

    struct Shared {
        alignas(16) T a[2][kK * kPitchA];
        alignas(16) T b[2][kK * kPitchB];
    };
};

// What one thread brings of an operand's kRows x kK tile from global to shared memory, by way of registers. Beyond the
// last step it brings `fill`: with -0 for A and +0 for B, such a step adds -0, which changes no sum.
template <class T, int kRows, int kK, int kThreads>
class OperandTile {
    static constexpr int V = kWide<T>, kVectors = kRows * kK / (V * kThreads), kStep = 2 * V, kPitch = kRows + 4;
    static_assert(kThreads * 16 == kRows * 32 && kVectors * kStep == kK);

public:
    // For rows [row0, row0 + kRows) of n_rows, from step k0 on.
    __device__ __forceinline__ OperandTile(const Operand<T>& o, int64_t row0, int64_t n_rows, int64_t k0) : o_(o) {
        const BroughtAt at = brought_at<kRows, V>(o.along_k, int(threadIdx.x));
        const int64_t row = row0 + at.row, left = n_rows - row;
        k_ = at.k;
        rows_ = int(left < 0 ? 0 : left < V ? left : V);
        p_ = o.p + row * o.row_stride + (k0 + k_) * o.k_stride;
        to_ = k_ * kPitch + at.row;
    }

    // The next kK steps, of which `steps` or more exist, into registers.
    __device__ __forceinline__ void load(int steps, T fill) {
        const int left = steps - k_;
        if (kVectors > 1 && o_.whole) {  // without branches, which would stand between the loads
#pragma unroll
            for (int i = 0; i < kVectors; ++i)
                *reinterpret_cast<Wide<T>*>(&held_[i][0]) =
                    ptx::load_if(rows_ > 0 && left > i * kStep,
                                 reinterpret_cast<const Wide<T>*>(p_ + i * kStep * o_.k_stride), fill);
            p_ += kK * o_.k_stride;
            return;
        }
#pragma unroll
        for (int i = 0; i < kVectors; ++i) {
            const int k_left = left - i * kStep;
            const int count = o_.along_k ? (rows_ > 0 ? k_left : 0) : (k_left > 0 ? rows_ : 0);
            const T* p = p_ + i * kStep * o_.k_stride;
            if (o_.wide && count >= V) {
                *reinterpret_cast<Wide<T>*>(&held_[i][0]) = __ldg(reinterpret_cast<const Wide<T>*>(p));
            } else {
#pragma unroll
                for (int e = 0; e < V; ++e) held_[i][e] = e < count ? __ldg(p + e * o_.inner) : fill;
            }
        }
        p_ += kK * o_.k_stride;
    }

    __device__ __forceinline__ void store(T* shared) const {
        T* to = shared + to_;
#pragma unroll
        for (int i = 0; i < kVectors; ++i) {
            if (o_.along_k) {
#pragma unroll
                for (int e = 0; e < V; ++e) to[(i * kStep + e) * kPitch] = held_[i][e];
            } else {
                *reinterpret_cast<Wide<T>*>(to + i * kStep * kPitch) = *reinterpret_cast<const Wide<T>*>(&held_[i][0]);
            }
        }
    }

private:
    const Operand<T>& o_;  // in constant memory, to save registers
    const T* p_;
    int k_, rows_, to_;
    alignas(16) T held_[kVectors][V];
};

template <class T>
__device__ __forceinline__ T fused(T a, T b, T c) {
    if constexpr (sizeof(T) == 4)
        return __fmaf_rn(a, b, c);
    else
        return __fma_rn(a, b, c);
}

// acc[i][j] += A[row i, k] B[k, column j] for n steps of a tile in shared memory, n a multiple of 8.
template <class S, class T = typename S::T>
__device__ __forceinline__ void multiply(const T* a, const T* b, int n, int thread_row, int thread_col,
                                         T (&acc)[S::kT][S::kT]) {
    constexpr int V = kWide<T>;
    a += thread_row * V;
    b += thread_col * V;
#pragma unroll 1
    for (int k0 = 0; k0 < n; k0 += 8, a += 8 * S::kPitchA, b += 8 * S::kPitchB) {
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            alignas(16) T av[S::kT], bv[S::kT];
#pragma unroll
            for (int h = 0; h < S::kT; h += V) {
                *reinterpret_cast<Wide<T>*>(&av[h]) =
                    *reinterpret_cast<const Wide<T>*>(a + k * S::kPitchA + h * S::kRowThreads);
                *reinterpret_cast<Wide<T>*>(&bv[h]) =
                    *reinterpret_cast<const Wide<T>*>(b + k * S::kPitchB + h * S::kColThreads);
            }
#pragma unroll
            for (int i = 0; i < S::kT; ++i)
#pragma unroll
                for (int j = 0; j < S::kT; ++j) acc[i][j] = fused(av[i], bv[j], acc[i][j]);
        }
    }
}

// What the chains of block 0 start at: the bias of each column; 0 in the others.
template <class S, class T = typename S::T>
__device__ __forceinline__ void start_chains(const GemmArgs<T>& g, int block, int64_t col0, int thread_col,
                                             T (&acc)[S::kT][S::kT]) {
#pragma unroll
    for (int j = 0; j < S::kT; ++j) {
        const int64_t col = col0 + S::col(thread_col, j);
        const T from = block == 0 && g.bias && col < g.N ? g.bias[col] : T(0);
#pragma unroll
        for (int i = 0; i < S::kT; ++i) acc[i][j] = from;
    }
}

// v = rows[index], for an index that is known only at run time, without an array in local memory.
template <class T, int R, int N, int C>
__device__ __forceinline__ void pick(const T (&rows)[R][C], int index, int first, T (&v)[N]) {
#pragma unroll
    for (int r = 0; r < R; ++r)
        if (r == index) {
#pragma unroll
            for (int c = 0; c < C; c += N)
                if (c == first) {
#pragma unroll
                    for (int e = 0; e < N; ++e) v[e] = rows[r][c + e];
                }
        }
}

}  // namespace fastreg::cuda
