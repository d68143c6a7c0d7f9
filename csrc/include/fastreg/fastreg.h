/* fastreg.h - the C interface: kernels on plain pointers, and the training session. C99; the only public header. It is
 * over 250 lines because it is the whole interface, each function with its formula.
 *
 * Arrays belong to the caller. A matrix is a pointer and strides in elements: element (i, j) of x lies at
 * x[i * x_rs + j * x_cs]. Where no column stride is asked for it is 1 and |row stride| must be >= the columns. Sizes
 * count elements and may be 0, unless said otherwise. Names end in the type of the numbers: _f32 or _f64. Outputs must
 * not overlap inputs or one another, except where "may be" names the array that an output may be. Columns of one wider
 * array may be inputs and outputs of a call; other arrays overlap where their extents do. A single number that is
 * filled in (*mean, *value, *n) must lie outside all arrays of the call. Every pointer must be aligned to what it
 * points at.
 *
 * Every function that can fail returns a status and checks everything before it changes anything; the message is in
 * fr_last_error(). NULL stands for "absent" where a comment says so. Nothing prints, aborts, exits or throws.
 *
 * Any thread may call any function at any time; a session is used by one call at a time, a second gets FR_RUNTIME.
 * Large calls are shared between a pool of threads. The same arguments give the same bits for any number of threads
 * and any instruction set. A forked child may go on with everything but a session that another thread was using
 * (FR_RUNTIME) and sessions on a GPU.
 *
 * Structs of options begin with struct_size and are made by the FR_..._INIT macros, so that a program compiled with an
 * older header keeps working with a newer library. See docs/embedding.md for what may change between versions.
 */
#ifndef FASTREG_H
#define FASTREG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FR_ABI_VERSION 2

/* The version of this header, for #if. */
#define FASTREG_VERSION_MAJOR 0
#define FASTREG_VERSION_MINOR 1
#define FASTREG_VERSION_PATCH 0

typedef enum fr_status {
    FR_OK = 0,
    FR_INVALID_ARGUMENT = 1, /* a value, a size, a pointer; the message names it, what is expected and what came */
    FR_TYPE_MISMATCH = 2,    /* a session of the other type of numbers */
    FR_OUT_OF_MEMORY = 3,    /* weights are as they were; outputs are undefined, and a session asks to be compiled again
                                if fr_session_compile failed so */
    FR_RUNTIME = 4,          /* not possible now: a session that is not compiled, or in use by another thread */
    FR_CANCELLED = 5         /* fr_session_set_cancel's function asked to stop; the session is at a step boundary */
} fr_status;

/* ---- the library --------------------------------------------------------------------------------------------- */

/* The ABI this library was built with: compare with FR_ABI_VERSION. */
int fr_abi_version(void);

/* The version of the library, "0.1.0"; valid for the life of the process. */
const char* fr_version(void);

/* A line about the library: version, compiler, instruction set in use, number of threads. Valid until this thread's
 * next call of it. */
const char* fr_build_info(void);

/* What went wrong in this thread's last failed call; "" if none failed. Valid until this thread's next failing call. */
const char* fr_last_error(void);

/* Threads that large calls are shared between, 1 to 1024; at first FASTREG_NUM_THREADS, OMP_NUM_THREADS or the number
 * of CPUs this process may use. If FASTREG_NUM_THREADS or FASTREG_ISA (scalar, avx2, avx512, neon) has a value
 * that cannot be used, every function that returns a status returns an error that names the variable. To be set while
 * no other call works: a poll function may get FR_RUNTIME. */
int fr_get_num_threads(void);
fr_status fr_set_num_threads(int n);

/* ---- the vocabulary ------------------------------------------------------------------------------------------ */

typedef enum fr_activation {
    FR_LINEAR = 0,
    FR_RELU,
    FR_LEAKY_RELU, /* alpha >= 0, the slope below 0: 0 in the INIT macros, 0.2 in Python */
    FR_ELU,        /* alpha >= 0, the scale below 0: 0 in the INIT macros, 1 in Python */
    FR_SELU,
    FR_GELU,
    FR_GELU_TANH,
    FR_SILU,
    FR_TANH,
    FR_SIGMOID,
    FR_SOFTPLUS,
    FR_SOFTMAX /* over a row; in a session or by fr_activation_forward and _backward, not fused into a dense kernel */
} fr_activation;

/* The loss of a row with predictions y and targets t; mean, sum: over its outputs. clip: into [1e-7, 1 - 1e-7]; nothing
 * goes back through what it changes. A session takes a sigmoid or softmax before its cross-entropy as from_logits,
 * unless dropout or an activity penalty stands between. */
typedef enum fr_loss_kind {
    FR_MEAN_SQUARED_ERROR = 0,          /* mean (y - t)^2 */
    FR_MEAN_ABSOLUTE_ERROR,             /* mean |y - t| */
    FR_HUBER,                           /* mean e^2 / 2, or, where e = |y - t| > delta, delta e - delta^2 / 2 */
    FR_BINARY_CROSSENTROPY,             /* mean -t log p - (1 - t) log(1 - p); p = clip(y), or sigmoid(y) of logits */
    FR_CATEGORICAL_CROSSENTROPY,        /* sum -t log p; p = clip(y / sum y), or softmax(y) of logits */
    FR_SPARSE_CATEGORICAL_CROSSENTROPY, /* -log(q_t / sum q); q = clip(y), or e^y of logits. Targets: one column of
                                           class indices, as numbers of the arrays' type */
    FR_HINGE,   /* mean max(1 - t y, 0); targets of a batch that are all 0 or 1 stand for -1 and 1 */
    FR_POISSON, /* mean y - t log(y + 1e-7) */
    FR_MEAN_ABSOLUTE_PERCENTAGE_ERROR, /* mean 100 |y - t| / max(|t|, 1e-7) */
    FR_MEAN_SQUARED_LOGARITHMIC_ERROR, /* mean (log(1 + y) - log(1 + t))^2, y and t below 1e-7 taken for 1e-7 */
    FR_LOG_COSH                        /* mean log cosh(y - t) */
} fr_loss_kind;

typedef enum fr_optimizer_kind { FR_SGD = 0, FR_ADAM, FR_RMSPROP, FR_ADAGRAD } fr_optimizer_kind;
typedef enum fr_layer_kind { FR_DENSE = 0, FR_ACTIVATION, FR_DROPOUT } fr_layer_kind;
typedef enum fr_constraint_kind { FR_NO_CONSTRAINT = 0, FR_MAX_NORM, FR_NON_NEG, FR_UNIT_NORM } fr_constraint_kind;
typedef enum fr_initializer { FR_UNIFORM = 0, FR_NORMAL, FR_TRUNCATED_NORMAL } fr_initializer;
typedef enum fr_dtype { FR_F32 = 0, FR_F64 = 1 } fr_dtype;
typedef enum fr_device { FR_CPU = 0, FR_CUDA = 1 } fr_device;
typedef enum fr_precision {
    FR_EXACT = 0, /* the bits of the CPU */
    FR_FAST = 1,  /* tensor cores, as accurate as float32 */
    FR_BF16 = 2   /* tensor cores; operands, and what large layers pass on, rounded to bfloat16 */
} fr_precision;

/* l1 sum|w| + l2 sum w^2, factors from 0 to 1e38. l1 acts as a soft threshold after the optimizer's step, which gives
 * exact zeros (ProxGen: Yun, Lozano, Yang 2020), or, if subgradient is 1, as l1 sign(w) in the gradient. */
typedef struct fr_penalty {
    double l1, l2;
    int32_t subgradient; /* 0 or 1 */
} fr_penalty;

/* Norms along axis 0 or 1 of a kernel (in, out), or of all of it (-1). value >= 0: the largest norm (FR_MAX_NORM). */
typedef struct fr_constraint {
    int32_t kind; /* fr_constraint_kind */
    int32_t axis;
    double value;
} fr_constraint;

/* What follows x w + b in a dense kernel: an activation, then dropout. rate in [0, 1], rounded to 1/65536; the decision
 * for element i of the output, counted row by row, is a function of (seed, stream, step, i) alone. */
typedef struct fr_dense {
    size_t struct_size;
    int32_t activation; /* fr_activation */
    double alpha;
    double rate;
    uint64_t seed;
    uint32_t stream, step;
} fr_dense;
#define FR_DENSE_INIT {sizeof(fr_dense), FR_LINEAR, 0.0, 0.0, 0, 0, 0}

/* Cross-entropies: from_logits, label_smoothing s in [0, 1]: targets become t (1 - s) + s / outputs, binary ones
 * t (1 - s) + s / 2; 0 for the sparse one. Huber: delta > 0. Other kinds ignore them, but s must be in range. */
typedef struct fr_loss {
    size_t struct_size;
    int32_t kind;        /* fr_loss_kind */
    int32_t from_logits; /* 0 or 1 */
    double label_smoothing, delta;
} fr_loss;
#define FR_LOSS_INIT(kind) {sizeof(fr_loss), (kind), 0, 0.0, 1.0}

/* The optimizers in Keras 3's formulas and defaults. FR_ADAM with weight_decay > 0 is AdamW. A clip of 0 is none; at
 * most one may be set. Rates, decays, clips and the initial accumulator are finite and >= 0. What a kind does not use
 * must be in range, too. */
typedef struct fr_optimizer {
    size_t struct_size;
    int32_t kind;     /* fr_optimizer_kind */
    int32_t nesterov; /* FR_SGD: 0 or 1 */
    int32_t amsgrad;  /* FR_ADAM: 0 or 1 */
    int32_t centered; /* FR_RMSPROP: 0 or 1 */
    double learning_rate;
    double momentum;                  /* FR_SGD, FR_RMSPROP: [0, 1) */
    double beta_1, beta_2;            /* FR_ADAM: [0, 1) */
    double epsilon;                   /* FR_ADAM, FR_RMSPROP, FR_ADAGRAD: >= 0 */
    double rho;                       /* FR_RMSPROP: [0, 1) */
    double initial_accumulator_value; /* FR_ADAGRAD, in a session */
    double weight_decay;              /* w -= w weight_decay learning_rate before the step */
    double clipnorm, clipvalue;
    double global_clipnorm; /* of all parameters of a session; of fr_update's w alone */
} fr_optimizer;
#define FR_OPTIMIZER_INIT(kind, learning_rate) \
    {sizeof(fr_optimizer), (kind), 0, 0, 0, (learning_rate), 0.0, 0.9, 0.999, 1e-7, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0}

/* ---- kernels ------------------------------------------------------------------------------------------------- */

/* y = dropout(activation(x w + b)): x (batch, inputs), w (inputs, outputs), b (outputs, or NULL), y (batch, outputs).
 * options: NULL for x w + b alone. z: NULL, or where x w + b goes (batch, outputs), which fr_dense_backward needs but
 * for linear, relu, and, without dropout, tanh and sigmoid.
 */
fr_status fr_dense_forward_f32(int64_t batch, int64_t inputs, int64_t outputs, const float* x, int64_t x_rs,
                               int64_t x_cs, const float* w, int64_t w_rs, int64_t w_cs, const float* b,
                               const fr_dense* options, float* y, int64_t y_rs, float* z, int64_t z_rs);
fr_status fr_dense_forward_f64(int64_t batch, int64_t inputs, int64_t outputs, const double* x, int64_t x_rs,
                               int64_t x_cs, const double* w, int64_t w_rs, int64_t w_cs, const double* b,
                               const fr_dense* options, double* y, int64_t y_rs, double* z, int64_t z_rs);

/* With dz = dy through dropout and activation: dx = dz w^T (batch, inputs; or NULL), dw = x^T dz (inputs, outputs), db
 * = sum of dz over the batch (outputs; or NULL). y, z, options: those of fr_dense_forward; z may be NULL where not
 * needed. */
fr_status fr_dense_backward_f32(int64_t batch, int64_t inputs, int64_t outputs, const float* dy, int64_t dy_rs,
                                const float* x, int64_t x_rs, int64_t x_cs, const float* w, int64_t w_rs, int64_t w_cs,
                                const float* y, int64_t y_rs, const float* z, int64_t z_rs, const fr_dense* options,
                                float* dx, int64_t dx_rs, float* dw, int64_t dw_rs, float* db);
fr_status fr_dense_backward_f64(int64_t batch, int64_t inputs, int64_t outputs, const double* dy, int64_t dy_rs,
                                const double* x, int64_t x_rs, int64_t x_cs, const double* w, int64_t w_rs,
                                int64_t w_cs, const double* y, int64_t y_rs, const double* z, int64_t z_rs,
                                const fr_dense* options, double* dx, int64_t dx_rs, double* dw, int64_t dw_rs,
                                double* db);

/* y = activation(x), an fr_activation, over rows of columns; softmax is taken over each row. y may be x. */
fr_status fr_activation_forward_f32(int64_t rows, int64_t cols, const float* x, int64_t x_rs, int32_t activation,
                                    double alpha, float* y, int64_t y_rs);
fr_status fr_activation_forward_f64(int64_t rows, int64_t cols, const double* x, int64_t x_rs, int32_t activation,
                                    double alpha, double* y, int64_t y_rs);

/* dx = dy times the derivative of activation at x, or for softmax, with y = softmax(x), y (dy - sum of dy y over the
 * row): what fr_dense_backward takes for dy with FR_LINEAR. x: what fr_activation_forward was given. dx may be dy. */
fr_status fr_activation_backward_f32(int64_t rows, int64_t cols, const float* dy, int64_t dy_rs, const float* x,
                                     int64_t x_rs, int32_t activation, double alpha, float* dx, int64_t dx_rs);
fr_status fr_activation_backward_f64(int64_t rows, int64_t cols, const double* dy, int64_t dy_rs, const double* x,
                                     int64_t x_rs, int32_t activation, double alpha, double* dx, int64_t dx_rs);

/* The loss of each row, its mean, and its gradient. y_true (batch, outputs; or (batch, 1) class indices), y_pred
 * (batch, outputs >= 1), sample_weight (batch, or NULL for 1), per_row (batch), gradient: contiguous d mean / d y_pred
 * (batch, outputs; or NULL). *mean = sum_i sample_weight_i per_row_i / batch; 0 for an empty batch. */
fr_status fr_loss_f32(int64_t batch, int64_t outputs, const float* y_true, int64_t y_true_rs, const float* y_pred,
                      int64_t y_pred_rs, const float* sample_weight, const fr_loss* options, float* per_row,
                      float* gradient, double* mean);
fr_status fr_loss_f64(int64_t batch, int64_t outputs, const double* y_true, int64_t y_true_rs, const double* y_pred,
                      int64_t y_pred_rs, const double* sample_weight, const fr_loss* options, double* per_row,
                      double* gradient, double* mean);

/* *value = l1 sum|w_i| + l2 sum w_i^2 over n weights. Here and below l1 and l2 are from 0 to 1e38. */
fr_status fr_elastic_net_f32(const float* w, int64_t n, double l1, double l2, double* value);
fr_status fr_elastic_net_f64(const double* w, int64_t n, double l1, double l2, double* value);

/* out_i = l1 sign(w_i) + 2 l2 w_i, with sign(0) = 0. out may be w. */
fr_status fr_elastic_net_gradient_f32(const float* w, int64_t n, double l1, double l2, float* out);
fr_status fr_elastic_net_gradient_f64(const double* w, int64_t n, double l1, double l2, double* out);

/* out_i = argmin_u (u - w_i)^2 / 2 + step (l1 |u| + l2 u^2): exact zeros where |w_i| <= step l1. step >= 0. out may
 * be w. */
fr_status fr_prox_f32(const float* w, int64_t n, double l1, double l2, double step, float* out);
fr_status fr_prox_f64(const double* w, int64_t n, double l1, double l2, double step, double* out);

/* Inverted dropout: out_i = x_i scaled to keep the expectation, or 0 with probability rate in [0, 1], rounded to
 * 1/65536. The decision for i is a function of (seed, stream, step, i) alone, so the same call on a gradient is the
 * backward pass. out may be x. */
fr_status fr_dropout_f32(const float* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step,
                         float* out);
fr_status fr_dropout_f64(const double* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step,
                         double* out);

/* Those decisions: 1 where kept. A byte each (n of them), or, if packed is 1, bit i % 8 of byte i / 8, lowest first
 * ((n + 7) / 8 bytes). */
fr_status fr_dropout_mask(int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step, int packed,
                          uint8_t* mask);

/* How many arrays of n numbers an optimizer keeps for n weights, 0 to 3; -1 if the options are wrong. In this order:
 * FR_SGD: momentum (if > 0); FR_ADAM: m, v, v_max (if amsgrad); FR_RMSPROP: v, momentum (if > 0), mean_gradient (if
 * centered); FR_ADAGRAD: accumulator. Set them to 0 (to initial_accumulator_value with FR_ADAGRAD) before step 1. */
int fr_n_slots(const fr_optimizer* options);

/* One optimizer step in place, all in one pass: *value = the penalty of w before; g plus the gradient of l2 (and of l1
 * as a subgradient), where less than 2^-56 (f64: 2^-504) counts as 0; clipping; weight decay; the step, which counts
 * from 1; the soft threshold of l1. w, g and the slots hold n numbers each; none may overlap another. penalty: NULL for
 * none. value: NULL if not wanted. */
fr_status fr_update_f32(const fr_optimizer* options, float* w, const float* g, float* const* slots, int64_t n,
                        int64_t step, const fr_penalty* penalty, double* value);
fr_status fr_update_f64(const fr_optimizer* options, double* w, const double* g, double* const* slots, int64_t n,
                        int64_t step, const fr_penalty* penalty, double* value);

/* n random numbers by kind, an fr_initializer: uniform in [a, b] (b by rounding alone), or normal (truncated: within
 * two deviations) with mean a and deviation b >= 0. Number i is a function of (seed, stream, i) alone. */
fr_status fr_initialize_f32(int32_t kind, double a, double b, uint64_t seed, uint32_t stream, int64_t n, float* out);
fr_status fr_initialize_f64(int32_t kind, double a, double b, uint64_t seed, uint32_t stream, int64_t n, double* out);

/* ---- sessions: a network being trained ----------------------------------------------------------------------- */

typedef struct fr_session fr_session;

/* A layer. FR_DENSE: units from 1 to 2^31, activation, penalties, constraints; FR_ACTIVATION: activation,
 * activity_penalty; FR_DROPOUT: rate, scale_at_inference. What a kind does not use is ignored; enums and flags must be
 * valid all the same. */
typedef struct fr_layer {
    size_t struct_size;
    int32_t kind;       /* fr_layer_kind */
    int32_t activation; /* fr_activation */
    double alpha;
    int64_t units;
    int32_t no_bias;            /* 0 or 1 */
    int32_t scale_at_inference; /* dropout: 1 scales outputs at inference instead of in training */
    double rate;
    fr_penalty kernel_penalty, bias_penalty;
    fr_penalty activity_penalty; /* of the outputs, divided by the batch size; a gradient always, no threshold */
    fr_constraint kernel_constraint, bias_constraint;
} fr_layer;
#define FR_LAYER_INIT(kind)                                                              \
    {sizeof(fr_layer), (kind),        FR_LINEAR,     0.0,         0,          0, 0, 0.0, \
     {0.0, 0.0, 0},    {0.0, 0.0, 0}, {0.0, 0.0, 0}, {0, 0, 0.0}, {0, 0, 0.0}}

/* Means over the rows of an epoch, each batch's loss taken before its update: loss = data_loss + penalty. */
typedef struct fr_totals {
    size_t struct_size;
    double loss, data_loss, penalty;
    int64_t rows, steps;
    int32_t nonfinite; /* 1: a batch loss was NaN or infinite */
} fr_totals;
#define FR_TOTALS_INIT {sizeof(fr_totals), 0.0, 0.0, 0.0, 0, 0, 0}

/* *session = a network over `inputs` columns of dtype, an fr_dtype: at least one FR_DENSE layer, n_layers structs of
 * one size. Kernels start Glorot-uniform, biases 0, from the seed, as fastreg.Sequential(layers, seed=seed) does; the
 * seed also addresses shuffles and dropout, whose stream is the number of the layer. */
fr_status fr_session_create(const fr_layer* layers, int64_t n_layers, int64_t inputs, int32_t dtype, uint64_t seed,
                            fr_session** session);

/* How many NVIDIA GPUs this process can use; where none, FR_RUNTIME and what is missing in fr_last_error(). */
fr_status fr_cuda_device_count(int64_t* n);

/* fr_session_create on a device, an fr_device. With FR_CUDA weights, data and shuffles live on the first GPU; every
 * function of sessions takes and fills arrays of the host all the same. precision, an fr_precision, is that of matrix
 * products of float32 there; FR_F64 and the CPU know FR_EXACT only, which gives the CPU's bits. FR_RUNTIME without a
 * GPU. */
fr_status fr_session_create_on(int32_t device, int32_t precision, const fr_layer* layers, int64_t n_layers,
                               int64_t inputs, int32_t dtype, uint64_t seed, fr_session** session);

/* Frees a session; NULL is nothing. No call may be using it. */
void fr_session_destroy(fr_session* session);

/* Loss and optimizer; the optimizer starts anew, at step 0. */
fr_status fr_session_compile(fr_session* session, const fr_loss* loss, const fr_optimizer* optimizer);

/* poll(argument) is asked now and then, by the thread that called and at most every 20 ms, during calls that compute; a
 * result other than 0, or a C++ exception, ends the call with FR_CANCELLED. It is first asked 20 ms after the first of
 * such calls began. poll NULL: never. */
fr_status fr_session_set_cancel(fr_session* session, int (*poll)(void* argument), void* argument);

/* One epoch over x (rows >= 1, inputs) and y (rows, outputs; or (rows, 1) class indices), both contiguous, in batches
 * of batch_size >= 1, the last as long as what is left; if there are several and shuffle is 1, in a new order each
 * epoch. sample_weight (rows) or NULL. totals: NULL if not wanted. After FR_CANCELLED the steps that were done stay,
 * and totals are as they were. */
fr_status fr_session_train_epoch_f32(fr_session* session, const float* x, const float* y, const float* sample_weight,
                                     int64_t rows, int64_t batch_size, int shuffle, fr_totals* totals);
fr_status fr_session_train_epoch_f64(fr_session* session, const double* x, const double* y, const double* sample_weight,
                                     int64_t rows, int64_t batch_size, int shuffle, fr_totals* totals);

/* The totals of x and y as they are, without dropout and without changing anything; totals' steps are the blocks that
 * it computed. */
fr_status fr_session_evaluate_f32(fr_session* session, const float* x, const float* y, const float* sample_weight,
                                  int64_t rows, fr_totals* totals);
fr_status fr_session_evaluate_f64(fr_session* session, const double* x, const double* y, const double* sample_weight,
                                  int64_t rows, fr_totals* totals);

/* out (rows, outputs) = the network's outputs for x (rows >= 1, inputs). After FR_CANCELLED part of out is written. */
fr_status fr_session_predict_f32(fr_session* session, const float* x, int64_t rows, float* out);
fr_status fr_session_predict_f64(fr_session* session, const double* x, int64_t rows, double* out);

/* Parameters, in the order kernel, bias, kernel, bias, ...: a kernel is (in, out), a bias (units, 1). */
fr_status fr_session_n_parameters(fr_session* session, int64_t* n);
fr_status fr_session_parameter_shape(fr_session* session, int64_t parameter, int64_t* rows, int64_t* cols);

/* Copies a parameter (slot -1) or an optimizer slot of it (0 to n_slots - 1) out of or into the session; n must be rows
 * cols. Slots are in the order of fr_n_slots. */
fr_status fr_session_n_slots(fr_session* session, int64_t* n);
fr_status fr_session_get_f32(fr_session* session, int64_t parameter, int64_t slot, int64_t n, float* out);
fr_status fr_session_get_f64(fr_session* session, int64_t parameter, int64_t slot, int64_t n, double* out);
fr_status fr_session_set_f32(fr_session* session, int64_t parameter, int64_t slot, int64_t n, const float* values);
fr_status fr_session_set_f64(fr_session* session, int64_t parameter, int64_t slot, int64_t n, const double* values);

/* Steps taken and epochs begun: with parameters, slots and what the functions below have changed, all that a session
 * needs to go on as if it had never stopped. Setting the position keeps the learning rates of the coming steps. */
fr_status fr_session_get_position(fr_session* session, uint64_t* step, uint64_t* epoch);
fr_status fr_session_set_position(fr_session* session, uint64_t step, uint64_t epoch);

/* What may change between epochs. Learning rates are those of the coming n >= 1 steps; later steps take the last. A
 * parameter that is not trainable (0) keeps its values and adds no penalty; at first all are trainable. */
fr_status fr_session_set_learning_rate(fr_session* session, double learning_rate);
fr_status fr_session_set_learning_rates(fr_session* session, const double* learning_rates, int64_t n);
fr_status fr_session_set_penalty(fr_session* session, int64_t parameter, const fr_penalty* penalty);
fr_status fr_session_set_trainable(fr_session* session, int64_t parameter, int trainable);

/* How many numbers of a parameter are exactly 0. */
fr_status fr_session_count_zeros(fr_session* session, int64_t parameter, int64_t* zeros);

#ifdef __cplusplus
}
#endif

#endif
