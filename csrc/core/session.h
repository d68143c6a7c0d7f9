// Session: a model being trained. Owns parameters, optimizer state and the arenas in which all its numbers lie; the
// order of a step is decided here. It must not know SIMD or Python, nor which thread computes what. One session is used
// by one thread at a time (a second caller gets an error).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/dtype.h"
#include "core/status.h"
#include "rules/spec.h"

namespace fastreg {

struct ModelSpec {
    std::vector<LayerSpec> layers;
    int64_t input_units = 0;
    Dtype dtype = Dtype::f32;
    uint64_t seed = 0;
    Device device = Device::cpu;
    Precision precision = Precision::exact;
};

// Rows of a sparse x: the elements of row r are those from starts[r] to starts[r + 1], by increasing column.
struct SparseView {
    const int64_t* starts = nullptr;  // rows + 1
    const int32_t* columns = nullptr;
    const void* values = nullptr;
    int64_t n_elements = 0;  // of columns and values
};

// A batch or a data set, row-major, in the session's dtype. y may be absent (predict). sample_weight may be null. x is
// null where sparse_x stands in for it; then the first layer must be dense.
// y has y_cols columns; for sparse_categorical_crossentropy it holds class indices as numbers of the session's dtype.
struct DataView {
    const void* x = nullptr;
    const void* y = nullptr;
    const void* sample_weight = nullptr;
    int64_t rows = 0;
    int64_t x_cols = 0;
    int64_t y_cols = 0;
    SparseView sparse_x = {};
};

// Sums over the rows seen so far; divide by rows for Keras's epoch values.
struct Totals {
    double loss = 0.0;  // sum of n_b * (data loss of batch b + penalties)
    double data_loss = 0.0;
    double penalty = 0.0;
    int64_t rows = 0;
    int64_t steps = 0;
    bool finished = false;   // the epoch's last batch has run
    bool nonfinite = false;  // a batch loss was NaN or infinite
    std::vector<std::vector<double>> metrics;
};

struct ParameterInfo {
    std::string name;    // "kernel" or "bias"
    int64_t rows, cols;  // bias: rows = units, cols = 1
    int64_t layer;       // index in ModelSpec::layers
};

class Session {
public:
    static Status create(const ModelSpec& spec, std::unique_ptr<Session>* out) FR_PRIVATE(session_create);
    virtual ~Session() = default;

    virtual Status compile(const LossSpec& loss, const OptimizerSpec& optimizer,
                           const std::vector<MetricSpec>& metrics) = 0;

    // An epoch: begin, then run until Totals::finished. data must stay alive and unchanged until then. A device copies
    // it, but not where the caller says that it is the last one's and not `fresh`. Told to stop, begin begins nothing.
    virtual Status begin_epoch(Cancel& cancel, const DataView& data, int64_t batch_size, bool shuffle,
                               bool fresh = true) = 0;
    // Runs at most max_steps further batches (all that remain when < 0); stops after a non-finite loss if asked to.
    virtual Status run_steps(Cancel& cancel, int64_t max_steps, bool stop_on_nonfinite, Totals* totals) = 0;
    virtual Status train_batch(Cancel& cancel, const DataView& batch, Totals* totals) = 0;
    virtual Status evaluate(Cancel& cancel, const DataView& data, Totals* totals, bool fresh = true) = 0;
    virtual Status predict(Cancel& cancel, const DataView& data, void* out) = 0;

    virtual const std::vector<ParameterInfo>& parameters() const = 0;
    virtual int64_t output_units() const = 0;
    virtual Dtype dtype() const = 0;
    // Optimizer slots (momentum, m, v ...), each with the shape of its parameter.
    virtual int64_t n_slots() const = 0;
    virtual std::string slot_name(int64_t slot) const = 0;
    // Copies a slot of parameter i, or for slot -1 the parameter itself, out of or into the session: rows * cols
    // numbers of its dtype.
    virtual Status get(int64_t i, int64_t slot, void* out) const = 0;
    virtual Status set(int64_t i, int64_t slot, const void* values) = 0;

    // The current penalty of parameter i, and how many of its values are exactly 0.
    virtual Status penalty(int64_t i, double* value) const = 0;
    virtual Status count_zeros(int64_t i, int64_t* count) const = 0;

    // Penalties may change between steps (losses.ElasticNet, schedules): one per parameter.
    virtual Status set_penalty(int64_t i, const PenaltySpec& penalty) = 0;
    // A frozen parameter, one that is not trained, stays as it is; its penalty, which nothing can change, is 0.
    virtual Status set_trainable(int64_t i, bool trainable) = 0;
    // Of the next step. set: of the coming n steps; later ones take the last.
    virtual double learning_rate() const = 0;
    virtual Status set_learning_rates(const double* values, int64_t n) = 0;
    virtual uint64_t step() const = 0;   // optimizer steps taken; addresses dropout
    virtual uint64_t epoch() const = 0;  // epochs begun; addresses shuffles
    virtual uint64_t seed() const = 0;
    virtual Status set_position(uint64_t step, uint64_t epoch) = 0;
};

}  // namespace fastreg
