// The accuracy of one row of a batch, by a half-warp. It must not know batches.
#pragma once
#include "cuda/walk.cuh"

namespace fastreg::cuda {

// The first of the largest, known to all threads. NaN is never larger: with p[0] NaN it is 0.
template <class T, class Index>
__device__ __forceinline__ Index argmax(int lane, const T* p, Index n) {
    T largest = n > 0 ? p[0] : T(0);
    Index best = 0;
    for (Index j = lane; j < n; j += 16)
        if (p[j] > largest) {
            largest = p[j];
            best = j;
        }
    for (int half = 8; half > 0; half /= 2) {
        const T other = __shfl_xor_sync(0xFFFFFFFFu, largest, half, 16);
        const Index at = __shfl_xor_sync(0xFFFFFFFFu, best, half, 16);
        if (other > largest || (other == largest && at < best)) {
            largest = other;
            best = at;
        }
    }
    return best;
}

// Of O predictions y against target_cols targets t, right in all threads; n is O, or 0 in a half-warp without a row,
// whose threads come along for the shuffles. spec.kind is one of the three accuracies.
template <class T, class Index>
__device__ __forceinline__ double accuracy(const MetricSpec& spec, const T* y, const T* t, Index n, Index O,
                                           Index target_cols, int lane) {
    if (spec.kind == Metric::binary_accuracy) {
        int hits = 0;  // of at most 2^31 outputs
        for (Index j = lane; j < n; j += 16) hits += t[j] == T(double(y[j]) > spec.threshold);
        return double(all_total16(hits)) / double(O);
    }
    const Index predicted = argmax(lane, y, n);
    const bool sparse = spec.kind == Metric::sparse_categorical_accuracy;
    const Index wanted = argmax(lane, t, sparse || n == 0 ? Index(0) : target_cols);
    return (sparse ? Index(t[0]) : wanted) == predicted;
}

}  // namespace fastreg::cuda
