// Softmax, and the losses of a batch: a row is a half-warp's, lane i of it being lane i of the CPU's Sum16; with one
// output, a thread's. It must not know layers, nor formulas: they are in rules/row.h and rules/loss.h.
#include "cuda/ops.h"
#include "cuda/softmax.h"
#include "cuda/walk.cuh"
#include "rules/loss.h"
#include "rules/row.h"

namespace fastreg::cuda {
namespace {

// ---- softmax -------------------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kBlock) softmax_kernel(Rows<T> a) {
    each_row(a.rows, a.cols, [&](int64_t r, int64_t n, int lane) {
        rules::softmax(HalfWarpRow<T>{n, lane}, a.x + r * a.x_rs, a.y + r * a.y_rs);
    });
}

template <class T>
__global__ void __launch_bounds__(kBlock) softmax_backward_kernel(Rows<T> a, const T* Y, int64_t y_rs) {
    each_row(a.rows, a.cols, [&](int64_t r, int64_t n, int lane) {
        rules::softmax_backward(HalfWarpRow<T>{n, lane}, Y + r * y_rs, a.x + r * a.x_rs, a.y + r * a.y_rs);
    });
}

// ---- elementwise losses --------------------------------------------------------------------------------------------

template <class T>
using Scalars = rules::LossScalars<Lane<T>>;

// What hinge asks of a batch's targets: a flag per block, 1 where all that it saw are 0 or 1.
struct BinaryFlags {
    int* flags = nullptr;
    int n = 0;
};

template <class T>
__global__ void __launch_bounds__(kBlock) binary_targets(LossBatch<T> a, int* flags) {
    bool binary = true;
    for (int64_t i = global_thread(); i < a.B * a.O; i += global_threads()) {
        const T t = a.target[i / a.O * a.target_rs + i % a.O];
        binary &= t == T(0) || t == T(1);
    }
    binary = __syncthreads_and(binary);
    if (threadIdx.x == 0) flags[blockIdx.x] = binary;
}

// Keras: a batch whose targets are all 0 or 1 is mapped to -1, 1. Every thread of the block must call it.
template <class T>
__device__ __forceinline__ void map_binary(const BinaryFlags& f, Scalars<T>* s) {
    if (!f.flags) return;
    bool binary = true;
    for (int i = threadIdx.x; i < f.n; i += blockDim.x) binary &= f.flags[i] != 0;
    if (!__syncthreads_and(binary)) return;
    s->keep_target = Lane<T>::set(2);
    s->add_target = Lane<T>::set(-1);
}

// One output: a thread per row.
template <class T>
__global__ void __launch_bounds__(kBlock) column_loss(LossBatch<T> a, Scalars<T> s, T share, BinaryFlags binary) {
    using V = Lane<T>;
    map_binary<T>(binary, &s);
    for (int64_t i = global_thread(); i < a.B; i += global_threads()) {
        const V y{a.prediction[i]}, t{a.target[i]}, weight{a.weight ? a.weight[i] * share : share};
        rules::with_elementwise_loss(a.spec, [&](auto rule, auto logits) {
            using Rule = decltype(rule);
            a.per_row[i] = Rule::value(y, t, s).v;
            if (logits.value && a.probability) a.probability[i] = rules::sigmoid(y).v;
            if (a.gradient) a.gradient[i] = (Rule::gradient(y, t, s) * weight).v;
        });
    }
}

// A row's loss is the mean over its outputs.
template <class T>
__global__ void __launch_bounds__(kBlock, 2) row_loss(LossBatch<T> a, Scalars<T> s, T share, BinaryFlags binary) {
    using V = Lane<T>;
    map_binary<T>(binary, &s);
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const HalfWarpRow<T> row{n, lane};
        const V weight{a.weight ? a.weight[r] * share : share};
        V loss = V::set(0);
        rules::with_elementwise_loss(a.spec, [&](auto rule, auto logits) {
            T* const probability = logits.value && a.probability ? a.probability + r * a.O : nullptr;
            T* const gradient = a.gradient ? a.gradient + r * a.O : nullptr;
            loss = rules::mean_loss(row, rule, T(a.O), a.prediction + r * a.prediction_rs, a.target + r * a.target_rs,
                                    probability, gradient, weight, s);
        });
        if (row.leads()) a.per_row[r] = loss.v;
    });
}

// ---- categorical losses --------------------------------------------------------------------------------------------

template <class T, bool Logits, bool Sparse>
__global__ void __launch_bounds__(kBlock, 2) categorical_loss(LossBatch<T> a, Scalars<T> s, T share) {
    using V = Lane<T>;
    a.spec.from_logits = Logits;  // so that each kernel holds one loss
    a.spec.kind = Sparse ? Loss::sparse_categorical_crossentropy : Loss::categorical_crossentropy;
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const HalfWarpRow<T> row{n, lane};
        T* const probability = a.probability ? a.probability + r * a.O : nullptr;
        T* const gradient = a.gradient ? a.gradient + r * a.O : nullptr;
        const V weight{a.weight ? a.weight[r] * share : share};
        const V loss = rules::categorical_loss(row, a.spec, a.prediction + r * a.prediction_rs,
                                               a.target + r * a.target_rs, probability, gradient, weight, s);
        if (row.leads()) a.per_row[r] = loss.v;
    });
}

// ---- launches ------------------------------------------------------------------------------------------------------

template <class T>
Scalars<T> scalars_of(const LossBatch<T>& a) {
    const rules::TargetMap map = rules::smoothing_of(a.spec, double(a.O));
    return {{T(a.spec.delta)}, {T(map.keep)}, {T(map.add)}};
}

template <class T>
void elementwise_loss(const LossBatch<T>& a) {
    const Scalars<T> s = scalars_of(a);
    BinaryFlags binary;
    if (a.spec.kind == Loss::hinge) {
        binary.n = int(grid_for(a.B * a.O));
        binary.flags = scratch<int>(Scratch::reduce, binary.n);
        if (!binary.flags) return;
        launch(binary_targets<T>, binary.n, kBlock, 0, a, binary.flags);
    }
    const T share = T(1.0 / (double(a.batch) * double(a.O)));
    if (a.O == 1 && a.prediction_rs == 1 && a.target_rs == 1)
        launch(column_loss<T>, grid_for(a.B), kBlock, 0, a, s, share, binary);
    else
        launch(row_loss<T>, grid_for_rows(a.B), kBlock, 0, a, s, share, binary);
}

}  // namespace

template <class T>
void softmax_forward(const Rows<T>& a) {
    if (a.cols > 0) launch(softmax_kernel<T>, grid_for_rows(a.rows), kBlock, 0, a);
}

template <class T>
void softmax_backward(const Rows<T>& a, const T* Y, int64_t y_rs) {
    launch(softmax_backward_kernel<T>, grid_for_rows(a.rows), kBlock, 0, a, Y, y_rs);
}

template <class T>
void loss(const LossBatch<T>& a) {
    const T share = T(1.0 / double(a.batch));
    if (!rules::is_categorical(a.spec.kind)) return elementwise_loss(a);
    const bool sparse = a.spec.kind == Loss::sparse_categorical_crossentropy;
    const auto of_logits = sparse ? categorical_loss<T, true, true> : categorical_loss<T, true, false>;
    const auto of_probabilities = sparse ? categorical_loss<T, false, true> : categorical_loss<T, false, false>;
    const auto kernel = a.spec.from_logits ? of_logits : of_probabilities;
    launch(kernel, grid_for_rows(a.B), kBlock, 0, a, scalars_of(a), share);
}

#define FR_INSTANTIATE(T)                                              \
    template void softmax_forward(const Rows<T>&);                     \
    template void softmax_backward(const Rows<T>&, const T*, int64_t); \
    template void loss(const LossBatch<T>&);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
