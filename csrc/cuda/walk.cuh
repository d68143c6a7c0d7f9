// How kernels walk arrays: groups of neighbours, rows by half-warps, chunks of 1024; and the sums that go with each, in
// the order of the CPU (cpu/sweep.inl, rules/lanes.h). It must not know operations.
#pragma once
#include <initializer_list>

#include "cuda/device.cuh"

namespace fastreg::cuda {

constexpr int kBlock = 256;       // threads
constexpr int64_t kChunk = 1024;  // elements of one Sum16
constexpr int kBlocksPerProcessor = 8;

// Blocks for n threads that walk with a stride: never more than fill the device.
inline unsigned grid_for(int64_t n) {
    const int64_t blocks = (n + kBlock - 1) / kBlock;
    const int64_t most = int64_t(kBlocksPerProcessor) * CudaQueue::current().multiprocessors();
    return unsigned(blocks < most ? blocks : most);
}

__device__ __forceinline__ int64_t global_thread() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t global_threads() { return int64_t(gridDim.x) * blockDim.x; }

// ---- groups --------------------------------------------------------------------------------------------------------

template <class T>
inline bool on_16_bytes(const T* p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

template <class T>
struct alignas(16) Pack {
    static constexpr int N = 16 / int(sizeof(T));
    T v[N];
};

// Elements lo .. hi - 1 of the G from p on; the others read as 0. wide: whole groups lie on 16 bytes.
template <int G, class T>
__device__ __forceinline__ void load_group(const T* p, int lo, int hi, bool wide, T (&v)[G]) {
    constexpr int N = Pack<T>::N;
    if (wide && hi - lo == G) {
#pragma unroll
        for (int k = 0; k < G / N; ++k) {
            const Pack<T> pack = reinterpret_cast<const Pack<T>*>(p)[k];
#pragma unroll
            for (int e = 0; e < N; ++e) v[k * N + e] = pack.v[e];
        }
    } else {
#pragma unroll
        for (int e = 0; e < G; ++e) v[e] = lo <= e && e < hi ? p[e] : T(0);
    }
}
template <int G, class T>
__device__ __forceinline__ void store_group(T* p, int lo, int hi, bool wide, const T (&v)[G]) {
    constexpr int N = Pack<T>::N;
    if (wide && hi - lo == G) {
#pragma unroll
        for (int k = 0; k < G / N; ++k) {
            Pack<T> pack;
#pragma unroll
            for (int e = 0; e < N; ++e) pack.v[e] = v[k * N + e];
            reinterpret_cast<Pack<T>*>(p)[k] = pack;
        }
    } else {
#pragma unroll
        for (int e = 0; e < G; ++e)
            if (lo <= e && e < hi) p[e] = v[e];
    }
}

// Rows of an array that an operation touches; a null p is an array that it does not have.
template <class T>
struct RowArray {
    const T* p;
    int64_t rs;
};

// rows x cols elements in groups of G, cut where the flat index first + r * cols + c is a multiple of G, so that with
// G = 8 a group is a block of draws.
template <int G>
struct Groups {
    int64_t rows, cols, first, per_row;
    bool wide;

    // Rows that lie behind one another in all arrays become one row.
    template <class T>
    static Groups of(int64_t rows, int64_t cols, int64_t first, std::initializer_list<RowArray<T>> arrays) {
        bool flat = true, wide = true;
        for (const RowArray<T>& a : arrays) flat &= !a.p || rows == 1 || a.rs == cols;
        if (flat) {
            cols *= rows;
            rows = rows > 0 ? 1 : 0;
        }
        const bool whole = cols % G == 0 && first % G == 0;
        for (const RowArray<T>& a : arrays) {
            if (!a.p) continue;
            if (rows == 1)
                wide &= (reinterpret_cast<uintptr_t>(a.p) - uintptr_t(first) * sizeof(T)) % 16 == 0;
            else
                wide &= whole && on_16_bytes(a.p) && on_16_bytes(a.p + a.rs);
        }
        const int64_t ragged = rows == 1 ? (first % G + cols + G - 1) / G : (cols + 2 * G - 2) / G;
        return {rows, cols, first, whole ? cols / G : ragged, wide};
    }
    int64_t count() const { return rows * per_row; }

    // f(r, c, lo, hi, block): elements lo .. hi - 1 of the group that begins at column c (perhaps < 0) of row r, whose
    // flat indices begin at block * G.
    template <class F>
    __device__ __forceinline__ void each(F f) const {
        for (int64_t g = global_thread(); g < rows * per_row; g += global_threads()) {
            const int64_t r = rows == 1 ? 0 : g / per_row, start = first + r * cols;
            const int64_t block = start / G + (g - r * per_row), c = block * G - start;
            const int lo = c < 0 ? int(-c) : 0, hi = cols - c < G ? int(cols - c) : G;
            if (lo < hi) f(r, c, lo, hi, block);
        }
    }
};

// ---- rows ----------------------------------------------------------------------------------------------------------

// As total16, right in all 16 threads.
template <class T>
__device__ __forceinline__ T all_total16(T lane) {
    return __shfl_sync(0xFFFFFFFFu, total16(lane), 0, 16);
}

// A row as rules/row.h walks it, by a half-warp of each_row. Each lane reads again only what it wrote itself.
template <class Number, class Index = int64_t>
struct HalfWarpRow {
    using T = Number;
    using V = Lane<T>;
    Index n;
    int lane;

    struct At {
        Index i;
        __device__ __forceinline__ V load(const T* p) const { return {p[i]}; }
        __device__ __forceinline__ void store(T* p, V v) const { p[i] = v.v; }
        __device__ __forceinline__ V mask(V v) const { return v; }
    };
    template <class F>
    __device__ __forceinline__ void each(F f) const {
        for (Index i = lane; i < n; i += 16) f(At{i});
    }
    template <class F>
    __device__ __forceinline__ V sum(F f) const {
        V sum = V::set(0);
        for (Index i = lane; i < n; i += 16) sum = f(At{i}, sum);
        return {all_total16(sum.v)};
    }
    __device__ __forceinline__ int64_t label(const T* t) const { return int64_t(t[0]); }
    template <class F>
    __device__ __forceinline__ void only(int64_t c, F f) const {
        if (c < n && c % 16 == lane) f(At{Index(c)});
    }
    __device__ __forceinline__ V element(const T* p, int64_t c) const { return {p[c]}; }
    __device__ __forceinline__ V max(const T* p) const {
        T best = n > 0 ? p[0] : T(0);
        for (Index i = lane; i < n; i += 16) best = best < p[i] ? p[i] : best;
        for (int half = 8; half > 0; half /= 2) {
            const T other = __shfl_xor_sync(0xFFFFFFFFu, best, half, 16);
            best = best < other ? other : best;
        }
        return {best};
    }
    // Whether this thread stores what is the row's.
    __device__ __forceinline__ bool leads() const { return lane == 0 && n > 0; }
};

// f(r, n, lane) by a half-warp for each of B rows, lane i < 16 being lane i of a Sum16. n is cols, or 0 in a half-warp
// without a row, whose lanes come along for the shuffles.
template <class F>
__device__ __forceinline__ void each_row(int64_t B, int64_t cols, F f) {
    for (int64_t pair = global_thread() / 32; 2 * pair < B; pair += global_threads() / 32) {
        const int64_t r = 2 * pair + (threadIdx.x / 16 & 1);
        f(r < B ? r : B - 1, r < B ? cols : int64_t(0), int(threadIdx.x % 16));
    }
}
inline unsigned grid_for_rows(int64_t B) { return grid_for(16 * B); }

// ---- sums ----------------------------------------------------------------------------------------------------------

// The LaneSum of term(i), i < n, by a warp; right in its first thread.
template <class F>
__device__ __forceinline__ double lane_sum(int64_t n, F term) {
    double sum = 0.0;
#pragma unroll 8
    for (int64_t i = threadIdx.x % 32; i < n; i += 32) sum += term(i);
    return total32(sum);
}

// The same by a block of kThreads, for many terms: all threads make them, kStaged at a time, and while the next are on
// their way one warp adds them. Right in thread 0.
constexpr int64_t kManyTerms = 512;
template <int kThreads, int kStaged, class F>
__device__ __forceinline__ double block_lane_sum(int64_t n, F term) {
    constexpr int kEach = kStaged / kThreads + (kStaged % kThreads != 0);
    __shared__ double staged[kStaged];
    double next[kEach], sum = 0.0;
    const auto make = [&](int64_t first) {
#pragma unroll
        for (int k = 0; k < kEach; ++k) {
            const int i = int(threadIdx.x) + k * kThreads;
            next[k] = i < kStaged && first + i < n ? term(first + i) : 0.0;
        }
    };
    make(0);
    for (int64_t first = 0; first < n; first += kStaged) {
#pragma unroll
        for (int k = 0; k < kEach; ++k)
            if (const int i = int(threadIdx.x) + k * kThreads; i < kStaged) staged[i] = next[k];
        __syncthreads();
        make(first + kStaged);
        if (threadIdx.x < 32) {
            const int count = n - first < kStaged ? int(n - first) : kStaged;
#pragma unroll 8
            for (int i = threadIdx.x; i < count; i += 32) sum += staged[i];
        }
        __syncthreads();
    }
    return threadIdx.x < 32 ? total32(sum) : 0.0;
}

// The penalty of a chunk of n elements, by a warp, right in its first thread: threads 0 .. 15 are the lanes of the sum
// of |w|, the others those of the sum of squares. at(i): element i.
template <class T, class At>
__device__ __forceinline__ double chunk_penalty(int n, double l1, double l2, At at) {
    const bool squares = threadIdx.x & 16;
    Lane<T> sum = Lane<T>::set(0);
#pragma unroll 8
    for (int i = threadIdx.x % 16; i < n; i += 16) {
        const Lane<T> w{at(i)};
        sum = squares ? fma(w, w, sum) : sum + rules::abs(w);
    }
    const T total = total16(sum.v), square = __shfl_sync(0xFFFFFFFFu, total, 16);
    return rules::penalty_value(l1, double(total), l2, double(square));
}

}  // namespace fastreg::cuda
