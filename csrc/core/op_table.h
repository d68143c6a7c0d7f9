// THE SEAM: a struct of function pointers, one per operation. csrc/cpu fills one per instruction set, CUDA one more.
// Arguments arrive checked. Nothing here knows models, errors, Python, SIMD or CUDA.
#pragma once
#include <cstddef>
#include <cstdint>

#include "rules/spec.h"

namespace fastreg {

class Cancel;

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
};

// What turns dL/dY of a layer into dL/dZ: dZ = dY * mask * scale * f'(Z).
template <class T>
struct LayerGradient {
    ActivationSpec activation;
    DropoutSpec dropout;
    const T* Y;  // the layer's output, after dropout
    int64_t y_rs;
    const T* Z;  // needed where Y does not tell f'; see activation_needs_z
    int64_t z_rs;
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

// A step in numbers: OptimizerSpec with everything that depends on t worked out. See rules/update.h.
template <class T>
struct UpdateBatch {
    OptimizerSpec spec;
    int64_t step;  // t, counting from 1
    UpdateSegment<T>* segments;
    int64_t n_segments;
    double* penalties;  // n_segments: penalty values of w before the step
};

// out = the rows index[0:n] of a contiguous (., cols) x.
template <class T>
struct Gather {
    const T* x;
    int64_t cols;
    const uint32_t* index;
    int64_t n;
    T* out;
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
    // dy += (l1 sign(y) + 2 l2 y) / B and returns (l1 sum|y| + l2 sum y^2) / B; dy may be null. contiguous (B, O)
    double (*activity_penalty)(const T* y, T* dy, int64_t B, int64_t O, const PenaltySpec&);
    void (*loss)(const LossBatch<T>&);
    void (*metric)(const MetricBatch<T>&);
    double (*penalty)(const T* w, int64_t n, double l1, double l2);  // contiguous
    void (*penalty_gradient)(const Rows<T>&, double l1, double l2);
    void (*prox)(const Rows<T>&, double l1, double l2, double step);
    void (*update)(const UpdateBatch<T>&);
    void (*gather)(const Gather<T>&);
    int64_t (*count_zeros)(const T* w, int64_t n);
    bool (*all_finite)(const T* x, int64_t n);
    void (*initialize)(int kind, double a, double b, uint64_t seed, uint32_t stream, T* out, int64_t n);
    void (*math)(int function, const T* x, T* y, int64_t n);
};

struct Backend {
    const char* name;
    OpTable<float> f32;
    OpTable<double> f64;
    void (*dropout_mask)(int64_t n, const DropoutSpec&, bool packed, uint8_t* mask);
    void (*philox)(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
                   uint32_t* out);
    // order: n row numbers sorted by their Philox keys; scratch: 3 n words.
    void (*permutation)(int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch);

    // Operations that take rows may be called side by side for parts of a batch. row_parts: how many parts a batch of
    // `rows` is worth in a network of so many weights (1: leave it to each operation); run_parts: task(context, i) for
    // i < n, side by side.
    int64_t (*row_parts)(int64_t rows, int64_t weights);
    void (*run_parts)(int64_t n, void (*task)(void* context, int64_t i), void* context);

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

enum class MathFunction : int { exp, expm1, log, log1p, tanh, sigmoid, softplus, norm_cdf };

// Whether f' cannot be had from the layer's output: then Z must be kept by forward and given to backward.
inline bool activation_needs_z(Activation a, bool dropout) {
    if (a == Activation::linear || a == Activation::relu || a == Activation::softmax) return false;
    const bool from_y = a == Activation::tanh || a == Activation::sigmoid;  // rules/activation.h: kFromY
    return !from_y || dropout;
}

}  // namespace fastreg
