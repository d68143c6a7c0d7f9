// Constraints on a parameter after its step: non-negative weights, norms that are bounded or 1. Norms are sums in
// order, in T, as in cpu/update.inl. It must not know optimizers.
#include "cuda/constrain.h"

#include "cuda/walk.cuh"
#include "rules/update.h"

namespace fastreg::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kBlock) non_negative(T* w, int64_t n) {
    using V = Lane<T>;
    for (int64_t i = global_thread(); i < n; i += global_threads())
        w[i] = V::select(V{w[i]} <= V::set(0), V::set(0), V{w[i]}).v;
}

// Norms down the columns of a (rows, cols) parameter: a thread each.
template <class T>
__global__ void __launch_bounds__(kBlock) normalise_columns(T* w, int64_t rows, int64_t cols, T max_norm, bool unit) {
    const int64_t j = global_thread();
    if (j >= cols) return;
    T sum = T(0);
#pragma unroll 8
    for (int64_t i = 0; i < rows; ++i) sum += w[i * cols + j] * w[i * cols + j];
    const T factor = rules::norm_factor(sum, max_norm, unit);
    for (int64_t i = 0; i < rows; ++i) w[i * cols + j] *= factor;
}

// Norms along rows: a warp each, whose threads fetch 32 squares at once and all add them in order.
template <class T>
__global__ void __launch_bounds__(kBlock) normalise_rows(T* w, int64_t rows, int64_t cols, T max_norm, bool unit) {
    const int64_t r = global_thread() / 32, lane = threadIdx.x % 32;
    if (r >= rows) return;
    T* const row = w + r * cols;
    T sum = T(0), next = lane < cols ? row[lane] : T(0);
    for (int64_t begin = 0; begin < cols; begin += 32) {
        const T square = next * next;  // 0 beyond the end, which adds nothing
        next = begin + 32 + lane < cols ? row[begin + 32 + lane] : T(0);
#pragma unroll
        for (int i = 0; i < 32; ++i) sum += __shfl_sync(0xFFFFFFFFu, square, i);
    }
    const T factor = rules::norm_factor(sum, max_norm, unit);
    for (int64_t i = lane; i < cols; i += 32) row[i] *= factor;
}

}  // namespace

template <class T>
void constrain(const UpdateSegment<T>& s) {
    const ConstraintSpec& c = s.constraint;
    if (c.kind == Constraint::none) return;
    if (c.kind == Constraint::non_neg) return launch(non_negative<T>, grid_for(s.n), kBlock, 0, s.w, s.n);
    const bool unit = c.kind == Constraint::unit_norm;
    const T max_norm = T(c.value);
    if (c.axis == 0) {
        launch(normalise_columns<T>, blocks_for(s.cols, kBlock), kBlock, 0, s.w, s.rows, s.cols, max_norm, unit);
        return;
    }
    const int64_t rows = c.axis < 0 ? 1 : s.rows, cols = c.axis < 0 ? s.n : s.cols;
    launch(normalise_rows<T>, blocks_for(32 * rows, kBlock), kBlock, 0, s.w, rows, cols, max_norm, unit);
}

template void constrain(const UpdateSegment<float>&);
template void constrain(const UpdateSegment<double>&);

}  // namespace fastreg::cuda
