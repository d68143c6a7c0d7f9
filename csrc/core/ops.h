// ops: the kernels on arrays, each checked once and then trusted. This is the gate: kernels below it hold no checks.
// It must not know models, sessions, NumPy or how a kernel is made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/context.h"
#include "core/dtype.h"
#include "core/status.h"
#include "rules/spec.h"

namespace fastreg {

// A matrix view: element (r, c) is at data + r * row_stride + c * col_stride, strides in elements.
// name: how error messages call it. A vector of n numbers is (1, n) or (n, 1). on_gpu: in the memory of the first GPU;
// then the numbers are ready on `stream` (core/cuda.h), and a call runs on the stream of its first matrix.
struct Matrix {
    const char* name = "";
    void* data = nullptr;
    int64_t rows = 0, cols = 0;
    int64_t row_stride = 0, col_stride = 1;
    Dtype dtype = Dtype::f32;
    bool on_gpu = false;
    uintptr_t stream = 1;
    explicit operator bool() const { return data != nullptr; }  // absent when null; an empty array has a non-null data
};

// "rows" layout, asked for by every function but the dense ones: col_stride == 1 (or cols <= 1), |row_stride| >= cols.
// All matrices of a call have one dtype and are all in the memory of the CPU or all in that of the GPU. Outputs must
// not overlap inputs, except where "in place" is said. On a GPU a call returns when its work has been enqueued, but for
// one that returns numbers, which waits for them. loss_forward and initialize want the memory of the CPU.

// out = dropout(activation(x w + b)); x (B, I) and w (I, O) with any strides; b (1, O); out, z_out (B, O) rows layout.
Status dense_forward(Cancel& cancel, const Matrix& x, const Matrix& w, const Matrix& b,
                     const ActivationSpec& activation, const DropoutSpec& dropout, const Matrix& out,
                     const Matrix& z_out) FR_PRIVATE(dense_forward);
// From dy (B, O) to dx (B, I, may be absent), dw (I, O), db (1, O, may be absent). dw_transposed: dw is (O, I), and x
// has rows layout. See _core.pyi for y and z.
Status dense_backward(Cancel& cancel, const Matrix& dy, const Matrix& x, const Matrix& w, const Matrix& y,
                      const Matrix& z, const ActivationSpec& activation, const DropoutSpec& dropout, const Matrix& dx,
                      const Matrix& dw, const Matrix& db, bool dw_transposed = false) FR_PRIVATE(dense_backward);
bool needs_z(const ActivationSpec& activation, bool drops) FR_PRIVATE(needs_z);  // whether dense_backward does
Status activation_forward(const Matrix& x, const ActivationSpec& activation,
                          const Matrix& out) FR_PRIVATE(activation_forward);  // in place ok
Status activation_backward(const Matrix& dy, const Matrix& x, const ActivationSpec& activation,
                           const Matrix& out) FR_PRIVATE(activation_backward);  // out may be dy
// per_row (1, B). sample_weight (1, B) and gradient (B, O) may be absent. *mean = sum_i w_i per_row_i / B.
Status loss_forward(const Matrix& y_true, const Matrix& y_pred, const Matrix& sample_weight, const LossSpec& loss,
                    const Matrix& per_row, const Matrix& gradient, double* mean) FR_PRIVATE(loss_forward);
Status make_dropout(double rate, uint64_t seed, uint64_t step, uint64_t stream, DropoutSpec* out)
    FR_PRIVATE(make_dropout);
// In place ok. On a GPU bfloat16 too.
Status dropout(const Matrix& x, const DropoutSpec& dropout, const Matrix& out) FR_PRIVATE(dropout);
// mask: n bytes, or (n + 7) / 8 when packed.
Status dropout_mask(int64_t n, const DropoutSpec& dropout, bool packed, uint8_t* mask) FR_PRIVATE(dropout_mask);
Status elastic_net(const Matrix& w, double l1, double l2, double* value) FR_PRIVATE(elastic_net);
Status elastic_net_gradient(const Matrix& w, double l1, double l2, const Matrix& out) FR_PRIVATE(elastic_net_gradient);
Status prox(const Matrix& w, double l1, double l2, double step, const Matrix& out) FR_PRIVATE(prox);  // in place ok
int n_slots(const OptimizerSpec& optimizer);  // how many slots update() wants
// One optimizer step in place; w, g, slots: same shape, contiguous. step counts from 1.
Status update(const OptimizerSpec& optimizer, const Matrix& w, const Matrix& g, const Matrix* slots, size_t n_slots,
              int64_t step, const PenaltySpec& penalty, double* value) FR_PRIVATE(update);

// One of the parameters of a step; w, g and the slots as for update.
struct UpdateArrays {
    Matrix w, g;
    const Matrix* slots = nullptr;
    size_t n_slots = 0;
    PenaltySpec penalty;
};
// For parameters in GPU memory, where nothing should wait for them; each may be absent.
struct UpdateOnGpu {
    Matrix penalties;  // float64 (1, n): receives what else `values` does, which then may be null
    Matrix clock;      // 24 bytes as float64 (1, 3), a StepClock (core/queue.h): read for step and learning rate
};
// update for n parameters in one step, all of them checked before any is touched; values[i] is the penalty of the i-th
// before it. What is written overlaps nothing else of the call; gradients may overlap each other. A global_clipnorm
// sees all n together.
Status update_many(const OptimizerSpec& optimizer, const UpdateArrays* parameters, size_t n, int64_t step,
                   double* values, const UpdateOnGpu& on_gpu = {}) FR_PRIVATE(update_many);
Status all_finite(const Matrix& x, bool* result) FR_PRIVATE(all_finite);

// out (1, n) contiguous. uniform: [a, b], b by rounding alone; normal, truncated_normal: mean a, standard deviation b.
// What it leaves there when told to stop is of no use, as with permutation.
Status initialize(Cancel& cancel, Initializer kind, double a, double b, uint64_t seed, uint32_t stream,
                  const Matrix& out) FR_PRIVATE(initialize);
Status permutation(Cancel& cancel, int64_t n, uint64_t seed, uint64_t epoch, int64_t* out) FR_PRIVATE(permutation);
// out: n_blocks * 4 words.
Status philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
              uint32_t* out) FR_PRIVATE(philox);
// exp expm1 log log1p tanh sigmoid softplus norm_cdf cos_2pi; x, out contiguous (1, n).
Status math_function(const std::string& name, const Matrix& x, const Matrix& out) FR_PRIVATE(math_function);

}  // namespace fastreg
