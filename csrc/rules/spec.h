// The vocabulary: every enum and plain struct that says WHAT to compute. Shared by all rooms, from rules to bindings.
// It must not know how anything is computed: no loops, no SIMD, no allocation.
#pragma once
#include <cstdint>

namespace fastreg {

enum class Activation : int32_t {
    linear,
    relu,
    leaky_relu,
    elu,
    selu,
    gelu,
    gelu_tanh,
    silu,
    tanh,
    sigmoid,
    softplus,
    softmax
};

// alpha: slope of leaky_relu for z < 0, scale of elu for z < 0; unused elsewhere.
struct ActivationSpec {
    Activation kind = Activation::linear;
    double alpha = 0.0;
};

// One dropout decision: u16 < keep, with u16 addressed by (seed, stream, step, flat index). See rules/dropout.h.
// keep = round((1 - rate) * 65536) in [0, 65536]; kept values are multiplied by scale.
struct DropoutSpec {
    uint32_t keep = 65536;
    double scale = 1.0;
    uint64_t seed = 0;
    uint32_t stream = 0;
    uint32_t step = 0;
    int64_t first = 0;  // the flat index of the first element that an operation is given
};

// l1 * sum|w| + l2 * sum(w^2). proximal: l1 acts as a soft threshold after the step, else as a subgradient.
struct PenaltySpec {
    double l1 = 0.0;
    double l2 = 0.0;
    bool proximal = true;
};

enum class Constraint : int32_t { none, max_norm, non_neg, unit_norm };

// value: the largest norm (max_norm). axis: norms run along this axis of the parameter (0 or 1), or -1: along all axes.
struct ConstraintSpec {
    Constraint kind = Constraint::none;
    double value = 0.0;
    int32_t axis = 0;
};

// Uniform in [a, b], b by rounding alone; normal with mean a and deviation b; the same, drawn again beyond two
// deviations.
enum class Initializer : int32_t { uniform, normal, truncated_normal };

enum class MathFunction : int { exp, expm1, log, log1p, tanh, sigmoid, softplus, norm_cdf, cos_2pi };

enum class Loss : int32_t {
    mean_squared_error,
    mean_absolute_error,
    huber,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
    hinge,
    poisson,
    mean_absolute_percentage_error,
    mean_squared_logarithmic_error,
    log_cosh
};

// from_logits and label_smoothing: cross-entropies only. delta: huber only.
struct LossSpec {
    Loss kind = Loss::mean_squared_error;
    bool from_logits = false;
    double label_smoothing = 0.0;
    double delta = 1.0;
};

enum class Optimizer : int32_t { sgd, adam, rmsprop, adagrad };

// Keras's names and meanings. adam with weight_decay > 0 is AdamW. A clip of 0 means "not set".
struct OptimizerSpec {
    Optimizer kind = Optimizer::sgd;
    double learning_rate = 0.01;
    double momentum = 0.0;                   // sgd, rmsprop
    bool nesterov = false;                   // sgd
    double beta_1 = 0.9;                     // adam
    double beta_2 = 0.999;                   // adam
    double epsilon = 1e-7;                   // adam, rmsprop, adagrad
    bool amsgrad = false;                    // adam
    double rho = 0.9;                        // rmsprop
    bool centered = false;                   // rmsprop
    double initial_accumulator_value = 0.1;  // adagrad
    double weight_decay = 0.0;
    double clipnorm = 0.0;
    double clipvalue = 0.0;
    double global_clipnorm = 0.0;
};

// What a metric accumulates over an epoch, as doubles:
//   binary_accuracy, categorical_accuracy, sparse_categorical_accuracy, loss: [sum of w_i m_i, sum of w_i]
//   thresholds: [positives(n_thresholds + 1), negatives(n_thresholds + 1)]: weight of the positive / negative targets
//               whose prediction exceeds exactly the first b of the ascending thresholds, b = 0 .. n_thresholds
//   r2: per output j: [sum w, sum w t, sum w t^2, sum w (t - y)^2]
//   class_counts: per output j: [sum w c t, sum w c, sum w t]; c = 1 where y is above `threshold` or, if `largest`,
//                 as large as any of its row and not 0 (is_chosen in rules/metric.h); else c = 0
enum class Metric : int32_t {
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    loss,
    thresholds,
    r2,
    class_counts
};

struct MetricSpec {
    Metric kind = Metric::loss;
    LossSpec loss;                      // Metric::loss
    double threshold = 0.5;             // Metric::binary_accuracy, class_counts
    bool largest = false;               // Metric::class_counts
    const float* thresholds = nullptr;  // Metric::thresholds; ascending, copied by compile()
    int32_t n_thresholds = 0;
    bool weighted = false;  // use the sample weights
};

enum class LayerKind : int32_t { dense, activation, dropout };

struct LayerSpec {
    LayerKind kind = LayerKind::dense;
    int64_t units = 0;                                  // dense
    ActivationSpec activation;                          // dense, activation
    bool use_bias = true;                               // dense
    PenaltySpec kernel_penalty, bias_penalty;           // dense
    PenaltySpec activity_penalty;                       // dense, activation; subgradient, divided by the batch size
    ConstraintSpec kernel_constraint, bias_constraint;  // dense
    double rate = 0.0;                                  // dropout, 0..1
    bool scale_at_inference = false;                    // dropout: the classic form, outputs * (1 - rate) at inference
    uint64_t seed = 0;                                  // dropout
    uint32_t stream = 0;                                // dropout
};

}  // namespace fastreg
