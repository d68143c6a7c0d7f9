// Reductions over whole arrays: penalty values, zeros, finiteness. It must not know layers or optimizers.
#include <vector>

#include "cuda/ops.h"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kBlock) chunk_penalties(const T* w, int64_t n, double l1, double l2, double* values) {
    for (int64_t c = global_thread() / 32; c * kChunk < n; c += global_threads() / 32) {
        const int64_t begin = c * kChunk;
        const int count = n - begin < kChunk ? int(n - begin) : int(kChunk);
        const double value = chunk_penalty<T>(count, l1, l2, [&](int i) { return w[begin + i]; });
        if (threadIdx.x % 32 == 0) values[c] = value;
    }
}

// *sum = the LaneSum of values[0:n] / divisor, added to it or not. One warp.
__global__ void __launch_bounds__(32)
    add_values(const double* values, int64_t n, double divisor, bool add, double* sum) {
    const double total = lane_sum(n, [&](int64_t i) { return values[i]; }) / divisor;
    if (threadIdx.x == 0) *sum = add ? *sum + total : total;
}

// dy += the gradient of the penalty of y
template <class T>
__global__ void __launch_bounds__(kBlock) add_gradient(const T* y, T* dy, T l1, T two_l2, Groups<Pack<T>::N> groups) {
    groups.each([&](int64_t, int64_t c, int lo, int hi, int64_t) {
        constexpr int N = Pack<T>::N;
        T v[N], g[N];
        load_group(y + c, lo, hi, groups.wide, v);
        load_group(dy + c, lo, hi, groups.wide, g);
#pragma unroll
        for (int e = 0; e < N; ++e) g[e] += rules::penalty_gradient(Lane<T>{v[e]}, Lane<T>{l1}, Lane<T>{two_l2}).v;
        store_group(dy + c, lo, hi, groups.wide, g);
    });
}

enum class Counted { zeros, nonfinite };

// counts[block]: how many elements of the block's share are counted.
template <class T>
__global__ void __launch_bounds__(kBlock)
    count_kernel(const T* x, Counted what, Groups<Pack<T>::N> groups, int64_t* counts) {
    __shared__ int64_t of_warp[kBlock / 32];
    int64_t count = 0;
    groups.each([&](int64_t, int64_t c, int lo, int hi, int64_t) {
        constexpr int N = Pack<T>::N;
        T v[N];
        load_group(x + c, lo, hi, groups.wide, v);
#pragma unroll
        for (int e = 0; e < N; ++e) {
            const bool counts_too = what == Counted::zeros ? v[e] == T(0) : !(v[e] - v[e] == T(0));
            count += lo <= e && e < hi && counts_too;
        }
    });
    for (int half = 16; half > 0; half /= 2) count += __shfl_down_sync(0xFFFFFFFFu, count, half);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = count;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < kBlock / 32; ++w) count += of_warp[w];
    counts[blockIdx.x] = count;
}

// Waits for `n` numbers that a kernel leaves at `from`. An error stays with the queue, for its wait() to tell.
template <class T>
bool fetch(T* to, const T* from, size_t n) {
    CudaQueue& queue = CudaQueue::current();
    if (queue.failed()) return false;
    const Status status = queue.copy_out(to, from, n * sizeof(T));
    if (!status.ok()) queue.note(cudaErrorUnknown, status.message.c_str());
    return status.ok();
}

template <class T>
int64_t count(const T* x, int64_t n, Counted what) {
    const auto groups = Groups<Pack<T>::N>::template of<T>(1, n, 0, {{x, n}});
    const unsigned grid = grid_for(groups.count());
    int64_t* counts = scratch<int64_t>(Scratch::reduce, grid);
    std::vector<int64_t> host(grid, 0);
    if (!counts || grid == 0) return 0;
    launch(count_kernel<T>, grid, kBlock, 0, x, what, groups, counts);
    int64_t total = 0;
    if (fetch(host.data(), counts, grid))
        for (int64_t c : host) total += c;
    return total;
}

// (l1 sum|w| + l2 sum w^2) / divisor to *sum, or to the number that it returns in scratch memory.
template <class T>
double* enqueue_penalty(const T* w, int64_t n, double l1, double l2, double divisor, double* sum) {
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    double* values = scratch<double>(Scratch::reduce, chunks + 1);
    if (!values) return nullptr;
    double* to = sum ? sum : values + chunks;
    launch(chunk_penalties<T>, grid_for(32 * chunks), kBlock, 0, w, n, l1, l2, values);
    launch(add_values, 1, 32, 0, values, chunks, divisor, sum != nullptr, to);
    return to;
}

}  // namespace

template <class T>
double penalty(const T* w, int64_t n, double l1, double l2) {
    double value = 0.0;
    const double* sum = enqueue_penalty(w, n, l1, l2, 1.0, nullptr);
    return sum && fetch(&value, sum, 1) ? value : 0.0;
}

template <class T>
void activity_penalty(const T* y, T* dy, int64_t B, int64_t O, const PenaltySpec& p, double* value) {
    if (dy) {
        const auto groups = Groups<Pack<T>::N>::template of<T>(1, B * O, 0, {{y, 0}, {dy, 0}});
        const T l1 = T(p.l1 / double(B)), two_l2 = T(2.0 * p.l2 / double(B));
        launch(add_gradient<T>, grid_for(groups.count()), kBlock, 0, y, dy, l1, two_l2, groups);
    }
    if (value) enqueue_penalty(y, B * O, p.l1, p.l2, double(B), value);
}

template <class T>
int64_t count_zeros(const T* w, int64_t n) {
    return count(w, n, Counted::zeros);
}

template <class T>
bool all_finite(const T* x, int64_t n) {
    return count(x, n, Counted::nonfinite) == 0;
}

#define FR_INSTANTIATE(T)                                                                        \
    template double penalty(const T*, int64_t, double, double);                                  \
    template void activity_penalty(const T*, T*, int64_t, int64_t, const PenaltySpec&, double*); \
    template int64_t count_zeros(const T*, int64_t);                                             \
    template bool all_finite(const T*, int64_t);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
