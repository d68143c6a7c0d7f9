// The operations of the CUDA table, by the names of OpTable's pointers; table.cpp puts them together. Each enqueues its
// kernels on CudaQueue::current() and gives the bits of the CPU (exact mode). Pointers are to device memory.
// It must not know kernels: no CUDA header.
#pragma once
#include "core/op_table.h"

namespace fastreg::cuda {

template <class T> void dense_forward(Cancel&, const DenseForward<T>&);
template <class T> void dense_backward_x(Cancel&, const DenseBackwardX<T>&);
template <class T> void dense_backward_w(Cancel&, const DenseBackwardW<T>* layers, int64_t n_layers);
template <class T> void activation_forward(const Rows<T>&, const ActivationSpec&);
template <class T> void layer_backward(const Rows<T>&, const LayerGradient<T>&);
template <class T> void dropout(const Rows<T>&, const DropoutSpec&);
template <class T> void scale(const Rows<T>&, double factor);
template <class T> void activity_penalty(const T* y, T* dy, int64_t B, int64_t O, const PenaltySpec&, double* value);
template <class T> void loss(const LossBatch<T>&);
template <class T> void metric(const MetricBatch<T>&);
template <class T> void totals(const BatchTotals<T>&);
template <class T> double penalty(const T* w, int64_t n, double l1, double l2);
template <class T> void penalty_gradient(const Rows<T>&, double l1, double l2);
template <class T> void prox(const Rows<T>&, double l1, double l2, double step);
template <class T> void update(const UpdateBatch<T>&);
template <class T> void gather(const Gather<T>* arrays, int64_t n_arrays);
template <class T> int64_t count_zeros(const T* w, int64_t n);
template <class T> bool all_finite(const T* x, int64_t n);
template <class T> void initialize(Cancel&, Initializer kind, double a, double b, uint64_t seed, uint32_t stream,
                                   T* out, int64_t n);
template <class T> void math(MathFunction function, const T* x, T* y, int64_t n);
void dropout_bf16(const Rows<Bfloat>&, const DropoutSpec&);
void dropout_mask(int64_t n, const DropoutSpec&, bool packed, uint8_t* mask);
void philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
            uint32_t* out);
void permutation(Cancel&, int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch);

// Fast mode: float32-accurate products on tensor cores. bf16: operands rounded to bfloat16, sums in float32; what large
// layers pass on is kept as bfloat16.
namespace fast {
void dense_forward(Cancel&, const DenseForward<float>&);
void dense_backward_x(Cancel&, const DenseBackwardX<float>&);
void dense_backward_w(Cancel&, const DenseBackwardW<float>* layers, int64_t n_layers);
}  // namespace fast
namespace bf16 {
void dense_forward(Cancel&, const DenseForward<float>&);
void dense_backward_x(Cancel&, const DenseBackwardX<float>&);
void dense_backward_w(Cancel&, const DenseBackwardW<float>* layers, int64_t n_layers);
int64_t bf16_from(const Queue&, int64_t in, int64_t out);
}  // namespace bf16

}  // namespace fastreg::cuda
