// THE SEAM: a struct of function pointers, one per operation. csrc/cpu fills one per instruction set, CUDA one per
// precision and one for arrays of the host. Arguments arrive checked, and all numbers that they point to, but for the
// thresholds of metrics and tables of learning rates, lie in the memory of the backend's queue. It must not know
// errors, Python, SIMD or CUDA, nor models but for train_steps, which takes a whole small network. It is over 250 lines
// because what every operation takes stands here, in one place.
#pragma once
#include <cstdint>

#include "rules/spec.h"

namespace fastreg {

class Cancel;
class Queue;

// Element (r, c) of a strided matrix is at p[r * rs + c * cs].
template <class T>
struct Strided {
    T* p = nullptr;
    int64_t rs = 0, cs = 1;
};

// Rows of a sparse matrix: row i is row order[i] of the arrays, or first + i without an order; its elements are those
// from starts[row] to starts[row + 1], by increasing column.
template <class T>
struct Csr {
    const int64_t* starts = nullptr;
    const int32_t* columns = nullptr;
    const T* values = nullptr;
    const uint32_t* order = nullptr;
    int64_t first = 0;
};

// An array that a layer gives to the next may be kept as bfloat16 (the upper halves of float32 numbers, rounded to
// nearest): then it stands in a field of its own, named with 16, instead of the other. See OpTable::bf16_from.
using Bfloat = uint16_t;

// Dimensions everywhere: B batch, I inputs, O outputs. Unless strided, matrices are row-major with the given row
// stride.

// Y = dropout(f(X W + b)), and Z = X W + b if asked for. f is any activation but softmax.
template <class T>
struct DenseForward {
    int64_t B, I, O;
    Strided<const T> X, W;
    const T* b;  // O, or null
    ActivationSpec activation;
    DropoutSpec dropout;
    T* Y;
    int64_t y_rs;
    T* Z;  // or null
    int64_t z_rs;
    const Csr<T>* sparse_X = nullptr;  // instead of X; then the rows of W are contiguous
    const Bfloat* X16 = nullptr;       // instead of X, as it is strided
    Bfloat *Y16 = nullptr, *Z16 = nullptr;
};

// What turns dL/dY of a layer into dL/dZ: dZ = dY * mask * scale * f'(Z).
template <class T>
struct LayerGradient {
    ActivationSpec activation;
    DropoutSpec dropout;
    const T* Y;  // the layer's output, after dropout
    int64_t y_rs;
    const T* Z;  // needed where Y does not tell f'; see needs_z() of rules/layer_gradient.h
    int64_t z_rs;
    const Bfloat *Y16 = nullptr, *Z16 = nullptr;
};

// dX = dZ W^T, then through the gradient of the layer that produced X, where there is one.
template <class T>
struct DenseBackwardX {
    int64_t B, I, O;
    Strided<const T> dZ, W;
    T* dX;
    int64_t dx_rs;
    const LayerGradient<T>* producer;  // or null
};

// dW = X^T dZ (I, O), db = column sums of dZ, whose rows are contiguous.
template <class T>
struct DenseBackwardW {
    int64_t B, I, O;
    Strided<const T> X, dZ;
    T* dW;
    int64_t dw_rs;
    T* db;                             // O, or null
    const Csr<T>* sparse_X = nullptr;  // instead of X, in the first of several layers only
    const Bfloat* X16 = nullptr;       // instead of X, as it is strided
};

// An elementwise map over `rows` rows of `cols` contiguous elements.
template <class T>
struct Rows {
    int64_t rows, cols;
    const T* x;
    int64_t x_rs;
    T* y;
    int64_t y_rs;
};

// Losses of B rows of a batch. prediction: logits when spec.from_logits (they come from a fused sigmoid or softmax),
// else f(Z).
template <class T>
struct LossBatch {
    LossSpec spec;
    int64_t B, O;
    int64_t batch;  // rows of the whole batch, over which the loss is a mean
    const T* prediction;
    int64_t prediction_rs;
    const T* target;  // (B, O); (B, 1) class indices for sparse_categorical_crossentropy
    int64_t target_rs;
    const T* weight;  // B, or null
    T* per_row;       // B: unweighted losses
    T* gradient;      // (B, O), row stride O: of sum_i w_i loss_i / batch; or null
    T* probability;   // (B, O), row stride O: sigmoid or softmax of the logits; or null
};

template <class T>
struct MetricBatch {
    MetricSpec spec;
    int64_t B, O;
    const T* prediction;  // (B, O), row stride O
    const T* target;      // (B, target_cols), row stride target_cols
    int64_t target_cols;
    const T* weight;  // B, or null
    T* scratch;       // B * (1 + O)
    double* totals;   // added to; what and how many: Metric in rules/spec.h
    int64_t unit;     // as in BatchTotals
};

// One parameter in the one update of a step.
template <class T>
struct UpdateSegment {
    T* w;
    const T* g;  // dL_data/dw
    T* slot[3];
    int64_t n;
    PenaltySpec penalty;
    ConstraintSpec constraint;
    int64_t rows, cols;  // the parameter's shape, for the constraint
};

// One step of all parameters. What of it depends on t, rules/update.h works out from spec and step.
template <class T>
struct UpdateBatch {
    OptimizerSpec spec;
    int64_t step;  // t, counting from 1
    UpdateSegment<T>* segments;
    int64_t n_segments;
    double* penalties;  // n_segments: penalty values of w before the step
};

// out = the rows index[0:n] of a contiguous (., cols) x; without an index, its first n rows. In a recorded step
// (core/queue.h) all rows are those `row` further on.
template <class T>
struct Gather {
    const T* x;
    int64_t cols;
    const uint32_t* index;
    int64_t n;
    T* out;
};

// What a batch of B rows adds to the totals of an epoch. In inference the rows count as batches of `unit`, whatever is
// computed at once; in training B and unit are the same.
template <class T>
struct BatchTotals {
    int64_t B, unit;
    const T* per_row;         // B: unweighted losses
    const T* weight;          // B, or null
    double penalty;           // what is known of the penalty beforehand
    const double* penalties;  // n_penalties more, each a parameter's
    int64_t n_penalties;
    double* activity;  // the penalty of activities, set to 0 when it has been read; or null
    double* totals;    // kLossTotals numbers
};
// loss = data_loss + penalty, each times the rows of its batch; nonfinite: not 0 once a batch's loss was NaN or
// infinite
enum LossTotal : int { kTotalLoss, kTotalDataLoss, kTotalPenalty, kTotalNonfinite, kLossTotals };

// A network of dense layers, each with an activation of single elements and perhaps dropout, as train_steps takes it.
template <class T>
struct TrainLayer {
    int64_t in, out;
    ActivationSpec activation;
    DropoutSpec dropout;   // its step is that of each step
    int64_t kernel, bias;  // segments of the update; bias may be -1
};

// Steps of an epoch: what a session does in so many single steps, with the same bits. The last batch may be shorter.
// Losses, penalties, totals and metrics as in LossBatch, UpdateBatch, BatchTotals and MetricBatch.
template <class T>
struct TrainSteps {
    const TrainLayer<T>* layers;
    int64_t n_layers;
    LossSpec loss;            // from_logits where the last activation and the loss are one
    const T *x, *y, *weight;  // of the epoch, `rows` rows each; weight may be null
    int64_t rows, y_cols;
    const uint32_t* order;  // of the rows, or null
    int64_t first_row, batch, steps;
    OptimizerSpec optimizer;
    const double* learning_rates;  // of the steps, in the host's memory; null: the optimizer's for all
    uint64_t first_step;           // steps taken before
    const UpdateSegment<T>* segments;
    int64_t n_segments;
    double *penalties, *totals;
    const MetricSpec* metrics;
    int64_t n_metrics;
    double* metric_totals;  // those of one metric after those of the other
    Activation prediction;  // what metrics see, but for a loss from logits: this of the last layer's outputs
};

template <class T>
struct OpTable {
    void (*dense_forward)(Cancel&, const DenseForward<T>&);
    void (*dense_backward_x)(Cancel&, const DenseBackwardX<T>&);
    void (*dense_backward_w)(Cancel&, const DenseBackwardW<T>* layers, int64_t n_layers);
    void (*activation_forward)(const Rows<T>&, const ActivationSpec&);         // softmax too
    void (*layer_backward)(const Rows<T>& dy_to_dz, const LayerGradient<T>&);  // softmax too (Y needed, no dropout)
    void (*dropout)(const Rows<T>&, const DropoutSpec&);
    void (*scale)(const Rows<T>&, double factor);
    // dy += (l1 sign(y) + 2 l2 y) / B, *value += (l1 sum|y| + l2 sum y^2) / B; either may be null. contiguous (B, O)
    void (*activity_penalty)(const T* y, T* dy, int64_t B, int64_t O, const PenaltySpec&, double* value);
    void (*loss)(const LossBatch<T>&);
    void (*metric)(const MetricBatch<T>&);
    void (*totals)(const BatchTotals<T>&);
    double (*penalty)(const T* w, int64_t n, double l1, double l2);  // contiguous
    void (*penalty_gradient)(const Rows<T>&, double l1, double l2);
    void (*prox)(const Rows<T>&, double l1, double l2, double step);
    void (*update)(const UpdateBatch<T>&);
    void (*gather)(const Gather<T>* arrays, int64_t n_arrays);  // with one index and n; at most 3
    int64_t (*count_zeros)(const T* w, int64_t n);
    bool (*all_finite)(const T* x, int64_t n);
    void (*initialize)(Cancel&, Initializer, double a, double b, uint64_t seed, uint32_t stream, T* out, int64_t n);
    void (*math)(MathFunction, const T* x, T* y, int64_t n);
    // Many steps at once, where launching them one by one would take longer than they do; false, with nothing done, for
    // what should be done step by step. Null where there is no such thing.
    bool (*train_steps)(const TrainSteps<T>&) = nullptr;
    // From how many rows on the output of a dense layer that another takes is kept as bfloat16, together with its Z;
    // INT64_MAX: never, as where this is null.
    int64_t (*bf16_from)(const Queue&, int64_t in, int64_t out) = nullptr;
};

struct Backend {
    const char* name;
    OpTable<float> f32;
    OpTable<double> f64;
    void (*dropout_mask)(int64_t n, const DropoutSpec&, bool packed, uint8_t* mask);
    void (*philox)(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
                   uint32_t* out);
    // order: n row numbers sorted by their Philox keys; scratch: 4 n words.
    void (*permutation)(Cancel&, int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch);

    // Operations that take rows may be called side by side for parts of a batch. row_parts: how many parts a batch of
    // `rows` is worth in a network of so many weights (1: leave it to each operation); run_parts: task(context, i) for
    // i < n, side by side.
    int64_t (*row_parts)(int64_t rows, int64_t weights);
    void (*run_parts)(int64_t n, void (*task)(void* context, int64_t i), void* context);

    // Dropout of numbers in bfloat16, as if they were float32 and rounded at the end. Null on the CPU.
    void (*dropout_bf16)(const Rows<Bfloat>&, const DropoutSpec&) = nullptr;

    // A queue of its own, to be deleted by the caller; null on the CPU, whose operations run at once, in host memory.
    Queue* (*new_queue)() = nullptr;

    template <class T>
    const OpTable<T>& table() const;
};
template <>
inline const OpTable<float>& Backend::table<float>() const {
    return f32;
}
template <>
inline const OpTable<double>& Backend::table<double>() const {
    return f64;
}

}  // namespace fastreg
