// What a batch adds to the totals of an epoch: losses with penalties, and metrics. Sums over rows are LaneSums per
// `unit` of rows, one warp's each, and join the totals in the order of the units. It must not know losses' formulas or
// epochs. What totals hold is written at BatchTotals in core/op_table.h and at Metric in rules/spec.h.
// Over 250 lines: totals and the kinds of metrics share how units of rows are added.
#include "cuda/accuracy.cuh"
#include "cuda/ops.h"
#include "rules/metric.h"

namespace fastreg::cuda {
namespace {

constexpr int kWarps = 16;  // of the one block that adds to totals

// totals[k] += terms[k], k < N, for every unit of rows in order; terms(begin, n, terms): those of rows begin ..
// begin + n - 1, by a warp, right in its first thread. One block.
template <int N, class F>
__device__ __forceinline__ void add_units(int64_t B, int64_t unit, double* totals, F terms_of) {
    __shared__ double terms[N][kWarps];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int64_t units = (B + unit - 1) / unit;
    double total = threadIdx.x < N ? totals[threadIdx.x] : 0.0;
    for (int64_t first = 0; first < units; first += warps) {
        if (first + warp < units) {
            const int64_t begin = (first + warp) * unit, n = B - begin < unit ? B - begin : unit;
            double own[N];
            terms_of(begin, n, own);
            for (int k = 0; k < N && threadIdx.x % 32 == 0; ++k) terms[k][warp] = own[k];
        }
        __syncthreads();
        if (threadIdx.x < N)
            for (int w = 0; w < warps && first + w < units; ++w) total += terms[threadIdx.x][w];
        __syncthreads();
    }
    if (threadIdx.x < N) totals[threadIdx.x] = total;
}
// Whether the block makes one sum together, because there is one unit and it is long.
__host__ __device__ __forceinline__ bool is_one_long_unit(int64_t B, int64_t unit) {
    return B <= unit && B > kManyTerms;
}
// Its sum.
template <class F>
__device__ __forceinline__ double sum_together(int64_t B, F term) {
    return block_lane_sum<32 * kWarps, 4096>(B, term);
}
unsigned threads_for_units(int64_t B, int64_t unit) {
    if (is_one_long_unit(B, unit)) return 32 * kWarps;
    const int64_t units = (B + unit - 1) / unit;
    return unsigned(32 * (units < 1 ? 1 : units < kWarps ? units : kWarps));
}

template <class T>
__device__ __forceinline__ double weight_of(const T* weight, int64_t r) {
    return weight ? double(weight[r]) : 1.0;
}

// It moves the clock of a recorded step on; what metrics count after it reads no clock.
template <class T>
__global__ void __launch_bounds__(32 * kWarps, 1) totals_kernel(BatchTotals<T> a, DeviceClock* clock) {
    const double activity = a.activity ? *a.activity : 0.0;
    bool finite = true;  // what this warp saw
    const bool one_long = is_one_long_unit(a.B, a.unit);
    const double together =
        one_long ? sum_together(a.B, [&](int64_t i) { return double(a.per_row[i]) * weight_of(a.weight, i); }) : 0.0;
    add_units<3>(a.B, a.unit, a.totals, [&](int64_t begin, int64_t rows, double (&own)[3]) {
        const T *per_row = a.per_row + begin, *weight = a.weight ? a.weight + begin : nullptr;
        const double n = double(rows);
        const double sum =
            one_long ? together : lane_sum(rows, [&](int64_t i) { return double(per_row[i]) * weight_of(weight, i); });
        const double data = sum / n;
        const double known = lane_sum(a.n_penalties, [&](int64_t i) { return a.penalties[i]; });
        const double pen = a.penalty + known + activity, all = data + pen;
        if (threadIdx.x % 32 == 0) finite &= all - all == 0.0;  // neither NaN nor infinite
        own[kTotalLoss] = n * all;
        own[kTotalDataLoss] = n * data;
        own[kTotalPenalty] = n * pen;
    });
    finite = __syncthreads_and(finite);
    if (threadIdx.x != 0) return;
    if (!finite) a.totals[kTotalNonfinite] = 1.0;
    if (a.activity) *a.activity = 0.0;
    if (!clock) return;
    clock->step += 1;
    clock->row += a.B;
}

// ---- metrics that are a mean over rows -----------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kBlock) row_metrics(MetricBatch<T> a, double* values) {
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T *y = a.prediction + r * a.O, *t = a.target + r * a.target_cols;
        const double value = accuracy(a.spec, y, t, n, a.O, a.target_cols, lane);
        if (lane == 0 && n > 0) values[r] = value;
    });
}

// V: double, or T for losses
template <class T, class V>
__global__ void __launch_bounds__(32 * kWarps, 1)
    mean_metric(const V* values, const T* weights, int64_t B, int64_t unit, double* totals) {
    if (is_one_long_unit(B, unit)) {
        double value = 0.0, weight = double(B);
#pragma unroll 1
        for (int k = 0; k < (weights ? 2 : 1); ++k) {
            const double sum = sum_together(B, [&](int64_t i) {
                const double w = weight_of(weights, i);
                return k ? w : w * double(values[i]);
            });
            (k ? weight : value) = sum;
        }
        if (threadIdx.x != 0) return;
        totals[0] += value;
        totals[1] += weight;
        return;
    }
    add_units<2>(B, unit, totals, [&](int64_t begin, int64_t n, double (&own)[2]) {
        const V* value = values + begin;
        const T* weight = weights ? weights + begin : nullptr;
        own[0] = lane_sum(n, [&](int64_t i) { return weight_of(weight, i) * double(value[i]); });
        own[1] = lane_sum(n, [&](int64_t i) { return weight_of(weight, i); });
    });
}

template <class T>
void mean_over_rows(const MetricBatch<T>& a) {
    const unsigned threads = threads_for_units(a.B, a.unit);
    if (a.spec.kind == Metric::loss) {
        loss(LossBatch<T>{a.spec.loss, a.B, a.O, a.B, a.prediction, a.O, a.target, a.target_cols, nullptr, a.scratch,
                          nullptr, a.scratch + a.B});
        launch(mean_metric<T, T>, 1, threads, 0, a.scratch, a.weight, a.B, a.unit, a.totals);
        return;
    }
    double* values = scratch<double>(Scratch::rows, a.B);
    if (!values) return;
    launch(row_metrics<T>, grid_for_rows(a.B), kBlock, 0, a, values);
    launch(mean_metric<T, double>, 1, threads, 0, values, a.weight, a.B, a.unit, a.totals);
}

// ---- thresholds ----------------------------------------------------------------------------------------------------

constexpr int kThresholdsAtOnce = 512;
struct Thresholds {  // by value: they are in host memory, which a recorded step must not read
    float at[kThresholdsAtOnce];
    int n;
};

// bins[i] (+)= the number of thresholds below prediction i; first, where its target counts, it starts at that class's.
template <class T>
__global__ void __launch_bounds__(kBlock)
    bin_kernel(MetricBatch<T> a, const __grid_constant__ Thresholds thresholds, bool first, int* bins) {
    __shared__ float ascending[kThresholdsAtOnce];
    for (int i = threadIdx.x; i < thresholds.n; i += kBlock) ascending[i] = thresholds.at[i];
    __syncthreads();
    for (int64_t i = global_thread(); i < a.B * a.O; i += global_threads()) {
        const double y = double(a.prediction[i]);
        int low = 0, high = thresholds.n;
        while (low < high) {
            const int mid = (low + high) / 2;
            if (y > double(ascending[mid]))
                low = mid + 1;
            else
                high = mid;
        }
        if (first) {
            const bool positive = a.target[i / a.O * a.target_cols + i % a.O] > T(0.5);
            bins[i] = low + (positive ? 0 : a.spec.n_thresholds + 1);
        } else {
            bins[i] += low;
        }
    }
}

// totals[b] += the weights of bin b's elements in order: a thread per bin walks all of them, a tile at a time.
template <class T>
__global__ void __launch_bounds__(kBlock) bin_totals(MetricBatch<T> a, const int* bins) {
    constexpr int kTile = 1024;
    __shared__ int bin_of[kTile];
    __shared__ double weight[kTile];
    const int64_t n = a.B * a.O;
    const int b = int(global_thread());
    const bool owns = b < 2 * (a.spec.n_thresholds + 1);
    double total = owns ? a.totals[b] : 0.0;
    for (int64_t begin = 0; begin < n; begin += kTile) {
        const int count = n - begin < kTile ? int(n - begin) : kTile;
        for (int i = threadIdx.x; i < count; i += kBlock) {
            bin_of[i] = bins[begin + i];
            weight[i] = weight_of(a.weight, (begin + i) / a.O);
        }
        __syncthreads();
#pragma unroll 8
        for (int i = 0; i < count; ++i)
            if (bin_of[i] == b) total += weight[i];
        __syncthreads();
    }
    if (owns) a.totals[b] = total;
}

template <class T>
void threshold_metric(const MetricBatch<T>& a) {
    int* bins = scratch<int>(Scratch::rows, a.B * a.O);
    if (!bins) return;
    int from = 0;
    do {
        Thresholds some{};
        some.n = a.spec.n_thresholds - from < kThresholdsAtOnce ? a.spec.n_thresholds - from : kThresholdsAtOnce;
        for (int i = 0; i < some.n; ++i) some.at[i] = a.spec.thresholds[from + i];
        launch(bin_kernel<T>, grid_for(a.B * a.O), kBlock, 0, a, some, from == 0, bins);
        from += kThresholdsAtOnce;
    } while (from < a.spec.n_thresholds);
    launch(bin_totals<T>, blocks_for(2 * (int64_t(a.spec.n_thresholds) + 1), kBlock), kBlock, 0, a, bins);
}

// ---- sums per output ----------------------------------------------------------------------------------------------

// totals[n j + k] += term(k, r, j) of all rows r in order: a thread per output j and sum k of n.
template <int n, class T, class F>
__device__ __forceinline__ void add_rows(const MetricBatch<T>& a, F term) {
    const int64_t at = global_thread(), j = at / n;
    if (j >= a.O) return;
    double total = a.totals[at];
#pragma unroll 8
    for (int64_t r = 0; r < a.B; ++r) total += term(int(at % n), r, j);
    a.totals[at] = total;
}

template <class T>
__global__ void __launch_bounds__(128, 1) r2_kernel(MetricBatch<T> a) {
    add_rows<4>(a, [&](int which, int64_t r, int64_t j) {
        const double weight = weight_of(a.weight, r), t = double(a.target[r * a.target_cols + j]);
        const double e = t - double(a.prediction[r * a.O + j]);
        const double square = which == 3 ? weight * e * e : weight * t * t;
        return which == 0 ? weight : which == 1 ? weight * t : square;
    });
}

// tops[r] = the largest prediction of row r; NaN if the first is.
template <class T>
__global__ void __launch_bounds__(kBlock) row_tops(MetricBatch<T> a, double* tops) {
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T* y = a.prediction + r * a.O;
        const int64_t best = argmax(lane, y, n);
        if (lane == 0 && n > 0) tops[r] = double(y[best]);
    });
}

// tops: null unless the largest is chosen.
template <class T>
__global__ void __launch_bounds__(128, 1) class_counts_kernel(MetricBatch<T> a, const double* tops) {
    add_rows<3>(a, [&](int which, int64_t r, int64_t j) {
        const double weight = weight_of(a.weight, r);
        const bool chosen = rules::is_chosen(a.spec, double(a.prediction[r * a.O + j]), tops ? tops[r] : 0.0);
        const double term = which == 1 ? weight : weight * double(a.target[r * a.target_cols + j]);
        return chosen || which == 2 ? term : 0.0;
    });
}

template <class T>
void class_counts(const MetricBatch<T>& a) {
    double* tops = a.spec.largest ? scratch<double>(Scratch::rows, a.B) : nullptr;
    if (a.spec.largest) {
        if (!tops) return;
        launch(row_tops<T>, grid_for_rows(a.B), kBlock, 0, a, tops);
    }
    launch(class_counts_kernel<T>, blocks_for(3 * a.O, 128), 128, 0, a, tops);
}

}  // namespace

template <class T>
void totals(const BatchTotals<T>& a) {
    launch(totals_kernel<T>, 1, threads_for_units(a.B, a.unit), 0, a, CudaQueue::current().mutable_clock());
}

template <class T>
void metric(const MetricBatch<T>& a) {
    if (a.B == 0) return;
    if (a.spec.kind == Metric::thresholds) return threshold_metric(a);
    if (a.spec.kind == Metric::r2) return launch(r2_kernel<T>, blocks_for(4 * a.O, 128), 128, 0, a);
    if (a.spec.kind == Metric::class_counts) return class_counts(a);
    mean_over_rows(a);
}

#define FR_INSTANTIATE(T)                        \
    template void totals(const BatchTotals<T>&); \
    template void metric(const MetricBatch<T>&);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
