// Session: the order of an epoch and of a step. See session.h.
// It must not know SIMD, threads or Python. It is over 250 lines because it is one class that answers for the whole
// interface.
#include "core/session.h"

#include <cmath>
#include <cstring>
#include <new>

#include "core/network.h"
#include "core/parameters.h"
#include "core/plan.h"
#include "core/runtime.h"
#include "core/validate.h"
#include "rules/update.h"

namespace fastreg {
namespace {

// The shuffled rows of as many batches as fit in this many bytes, at least one, are gathered at once: waiting for many
// far rows takes hardly longer than for a few, and they stay in the second cache.
constexpr int64_t kGatheredBytes = 128 * 1024;

// Inference walks the data in blocks of rows, whatever batch size the user named: rows do not know their batch. Long
// blocks use what is packed of a layer's weights more often; very wide layers take short ones, for the memory.
int64_t inference_rows(const Plan& plan) { return plan.widest <= 8192 ? 1024 : 256; }

struct MetricState {
    MetricSpec spec;
    std::vector<float> thresholds;
    size_t n_totals = 2;
};

template <class T>
class SessionOf final : public Session {
public:
    SessionOf(const ModelSpec& spec, Plan plan) : plan_(std::move(plan)), seed_(spec.seed) {
        parameters_.init(plan_);
        network_.init(plan_, &parameters_);
        network_.set_loss(loss_);
    }

    Status compile(const LossSpec& loss, const OptimizerSpec& optimizer,
                   const std::vector<MetricSpec>& metrics) override {
        FR_RETURN_IF_ERROR(check_loss(loss));
        FR_RETURN_IF_ERROR(check_optimizer(optimizer));
        for (const MetricSpec& m : metrics) FR_RETURN_IF_ERROR(check_loss(m.loss));
        compiled_ = epoch_active_ = false;  // whatever throws below leaves a session that asks to be compiled
        const bool adagrad = optimizer.kind == Optimizer::adagrad;
        parameters_.reset_slots(rules::n_slots(optimizer), T(adagrad ? optimizer.initial_accumulator_value : 0.0));
        loss_ = loss;
        optimizer_ = optimizer;
        network_.set_loss(loss);
        metrics_.clear();
        for (const MetricSpec& m : metrics) {
            MetricState state{m, {}, 2};
            if (m.kind == Metric::thresholds) {
                state.thresholds.assign(m.thresholds, m.thresholds + m.n_thresholds);
                state.n_totals = 2 * (size_t(m.n_thresholds) + 1);
            }
            if (m.kind == Metric::r2) state.n_totals = 4 * size_t(plan_.outputs);
            metrics_.push_back(std::move(state));
        }
        reads_classes_ = loss.kind == Loss::sparse_categorical_crossentropy;
        for (MetricState& m : metrics_) {
            m.spec.thresholds = m.thresholds.data();
            reads_classes_ |= takes_classes(m.spec);
        }
        step_ = 0;
        compiled_ = true;
        return {};
    }

    Status begin_epoch(const DataView& data, int64_t batch_size, bool shuffle) override {
        FR_RETURN_IF_ERROR(check_data(data, true));
        if (batch_size < 1) return invalid("batch_size must be >= 1, got " + std::to_string(batch_size));
        if (data.rows > int64_t(UINT32_MAX)) return invalid("x has more than 2^32 - 1 rows");
        epoch_active_ = false;
        data_ = data;
        batch_size_ = batch_size < data.rows ? batch_size : data.rows;
        shuffle_ = shuffle;
        network_.reserve(batch_size_, true);
        if (shuffle) prepare_shuffle();
        ++epoch_;
        totals_ = new_totals();
        epoch_active_ = true;
        return {};
    }

    Status run_steps(Cancel& cancel, int64_t max_steps, bool stop_on_nonfinite, Totals* totals) override {
        if (!epoch_active_) return {Code::runtime, "run_steps needs an epoch: call begin_epoch first"};
        epoch_active_ = false;
        network_.reserve(batch_size_, true);  // an evaluation since may have failed for want of memory
        epoch_active_ = true;
        for (int64_t i = 0; (max_steps < 0 || i < max_steps) && totals_.rows < data_.rows; ++i) {
            const int64_t left = data_.rows - totals_.rows;
            Status s = train(cancel, batch_at(totals_.rows, left < batch_size_ ? left : batch_size_), &totals_);
            if (!s.ok()) {
                epoch_active_ = false;
                return s;
            }
            if (stop_on_nonfinite && totals_.nonfinite) break;
        }
        totals_.finished = totals_.rows == data_.rows;
        if (totals_.finished) epoch_active_ = false;
        *totals = totals_;
        return {};
    }

    Status train_batch(Cancel& cancel, const DataView& batch, Totals* totals) override {
        FR_RETURN_IF_ERROR(check_data(batch, true));
        network_.reserve(batch.rows, true);
        *totals = new_totals();
        totals->finished = true;
        return train(cancel, typed(batch, 0, batch.rows), totals);
    }

    Status evaluate(Cancel& cancel, const DataView& data, int64_t batch_size, Totals* totals) override {
        FR_RETURN_IF_ERROR(check_data(data, true));
        if (batch_size < 1) return invalid("batch_size must be >= 1, got " + std::to_string(batch_size));
        const int64_t step = inference_rows(plan_);
        network_.reserve(step < data.rows ? step : data.rows, false);
        *totals = new_totals();
        double penalty = 0.0;
        for (size_t i = 0; i < parameters_.count(); ++i) penalty += parameters_.penalty(ops(), i);
        for (int64_t row = 0; row < data.rows; row += step) {
            const int64_t B = data.rows - row < step ? data.rows - row : step;
            const Batch b = typed(data, row, B);
            double activity = 0.0;
            for_row_parts(B, [&](RowRange rows) {
                network_.forward(ops(), cancel, b.x, rows, false, step_, &activity);
                network_.loss(ops(), b.targets, rows, B, false);
            });
            if (cancel.check()) return {Code::cancelled, "evaluate was interrupted"};
            const double data_loss = network_.loss_sum(b.targets, B) / double(B);
            add(b, data_loss, activity + penalty, totals);
        }
        totals->finished = true;
        return {};
    }

    Status predict(Cancel& cancel, const DataView& data, int64_t batch_size, void* out) override {
        FR_RETURN_IF_ERROR(check_data(data, false));
        if (batch_size < 1) return invalid("batch_size must be >= 1, got " + std::to_string(batch_size));
        const char *x = static_cast<const char*>(data.x), *y = static_cast<const char*>(out);
        if (x && x < y + size_t(data.rows * plan_.outputs) * sizeof(T) &&
            y < x + size_t(data.rows * plan_.inputs) * sizeof(T))
            return invalid("out must not overlap x in memory");
        const int64_t step = inference_rows(plan_);
        network_.reserve(step < data.rows ? step : data.rows, false);
        for (int64_t row = 0; row < data.rows; row += step) {
            const int64_t B = data.rows - row < step ? data.rows - row : step;
            double activity = 0.0;
            for_row_parts(B, [&](RowRange rows) {
                network_.forward(ops(), cancel, inputs(data, row), rows, false, step_, &activity);
                network_.finish_prediction(ops(), rows, static_cast<T*>(out) + row * plan_.outputs);
            });
            if (cancel.check()) return {Code::cancelled, "predict was interrupted"};
        }
        return {};
    }

    const std::vector<ParameterInfo>& parameters() const override { return parameters_.info(); }
    int64_t output_units() const override { return plan_.outputs; }
    Dtype dtype() const override { return sizeof(T) == 4 ? Dtype::f32 : Dtype::f64; }

    Status get_parameter(int64_t i, void* out) const override { return copy_out(i, -1, out); }
    Status set_parameter(int64_t i, const void* v) override { return copy_in(i, -1, v); }
    int64_t n_slots() const override { return parameters_.n_slots(); }
    std::string slot_name(int64_t slot) const override {
        switch (optimizer_.kind) {
            case Optimizer::sgd: return "momentum";
            case Optimizer::adam: return slot == 0 ? "m" : slot == 1 ? "v" : "v_max";
            case Optimizer::rmsprop:
                return slot == 0 ? "v" : slot == 1 && optimizer_.momentum > 0 ? "momentum" : "mean_gradient";
            case Optimizer::adagrad: return "accumulator";
        }
        return "";
    }
    Status get_slot(int64_t slot, int64_t i, void* out) const override {
        FR_RETURN_IF_ERROR(check_index("slot", slot, n_slots()));
        return copy_out(i, slot, out);
    }
    Status set_slot(int64_t slot, int64_t i, const void* v) override {
        FR_RETURN_IF_ERROR(check_index("slot", slot, n_slots()));
        return copy_in(i, slot, v);
    }

    Status penalty(int64_t i, double* value) const override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        *value = parameters_.penalty(ops(), size_t(i));
        return {};
    }
    Status count_zeros(int64_t i, int64_t* count) const override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        *count = ops().count_zeros(parameters_.segment(size_t(i)).w, parameters_.segment(size_t(i)).n);
        return {};
    }
    Status set_penalty(int64_t i, const PenaltySpec& p) override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        FR_RETURN_IF_ERROR(check_penalty("penalty", p));
        parameters_.segment(size_t(i)).penalty = p;
        return {};
    }
    double learning_rate() const override { return optimizer_.learning_rate; }
    Status set_learning_rate(double value) override {
        if (!std::isfinite(value) || value < 0)
            return invalid("learning_rate must be finite and >= 0, got " + number(value));
        optimizer_.learning_rate = value;
        return {};
    }
    uint64_t step() const override { return step_; }
    uint64_t epoch() const override { return epoch_; }
    uint64_t seed() const override { return seed_; }
    Status set_position(uint64_t step, uint64_t epoch) override {
        if (step >= uint64_t(INT64_MAX)) return invalid("step must be below 2^63 - 1, got " + std::to_string(step));
        step_ = step;
        epoch_ = epoch;
        return {};
    }

private:
    struct Batch {
        Inputs<T> x;
        Targets<T> targets;
        int64_t rows;
    };

    // f(rows) for all rows of a batch, in parts that may run side by side.
    template <class F>
    void for_row_parts(int64_t B, F f) const {
        const int64_t parts = network_.row_parts(backend(), B);
        if (parts == 1) return f(RowRange{0, B});
        auto part = [&](int64_t i) {
            constexpr int64_t kUnit = 4;
            const int64_t units = (B + kUnit - 1) / kUnit, begin = units * i / parts * kUnit,
                          end = units * (i + 1) / parts * kUnit;
            f(RowRange{begin, (end < B ? end : B) - begin});
        };
        using Part = decltype(part);
        backend().run_parts(parts, [](void* context, int64_t i) { (*static_cast<Part*>(context))(i); }, &part);
    }

    static const OpTable<T>& ops() { return backend().table<T>(); }

    Status check_data(const DataView& d, bool with_targets) const {
        if (with_targets && !compiled_) return {Code::runtime, "the session is not compiled: call compile first"};
        if (d.rows < 1) return invalid("x has no rows");
        if (d.x_cols != plan_.inputs)
            return invalid("x has " + std::to_string(d.x_cols) + " columns; layer 0 expects " +
                           std::to_string(plan_.inputs));
        if (d.sparse_x.starts) FR_RETURN_IF_ERROR(check_sparse(d));
        if (!with_targets) return {};
        FR_RETURN_IF_ERROR(check_targets(loss_, d.y_cols, plan_.outputs));
        for (const MetricState& m : metrics_) FR_RETURN_IF_ERROR(check_metric_targets(m.spec, d.y_cols, plan_.outputs));
        return check_classes_of(static_cast<const T*>(d.y), d.rows);
    }

    Status check_sparse(const DataView& d) const {
        const SparseView& x = d.sparse_x;
        if (plan_.nodes.front().kind != NodeKind::dense)
            return {Code::type_mismatch, "x is sparse, which only a Dense first layer takes; pass x.toarray()"};
        if (x.starts[0] < 0 || x.starts[d.rows] > x.n_elements)
            return invalid("x is no CSR matrix: its rows go beyond its elements");
        for (int64_t row = 0; row < d.rows; ++row)
            if (x.starts[row] > x.starts[row + 1]) return invalid("x is no CSR matrix: a row ends before it starts");
        for (int64_t row = 0; row < d.rows; ++row) {
            int64_t before = -1;
            for (int64_t e = x.starts[row]; e < x.starts[row + 1]; before = x.columns[e++])
                if (x.columns[e] <= before || x.columns[e] >= d.x_cols)
                    return invalid("x is no CSR matrix: columns must increase along row " + std::to_string(row) +
                                   " and be below " + std::to_string(d.x_cols));
        }
        return {};
    }

    // Asked again before each step: the data is the caller's and may have changed.
    Status check_classes_of(const T* y, int64_t rows) const {
        return reads_classes_ ? check_classes("y", y, rows, 1, plan_.outputs) : Status{};
    }

    static Status check_index(const char* name, int64_t i, int64_t n) {
        if (i >= 0 && i < n) return {};
        return invalid(std::string(name) + " must be from 0 to " + std::to_string(n - 1) + ", got " +
                       std::to_string(i));
    }

    // Parameter i, or a slot of it (slot < 0: the weights), as memory to copy from or to.
    Status memory_of(int64_t i, int64_t slot, T** memory, size_t* size_bytes) const {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        const UpdateSegment<T>& s = parameters_.segment(size_t(i));
        *memory = slot >= 0 ? s.slot[slot] : s.w;
        *size_bytes = size_t(s.n) * sizeof(T);
        return {};
    }

    Status copy_out(int64_t i, int64_t slot, void* out) const {
        T* memory = nullptr;
        size_t size_bytes = 0;
        FR_RETURN_IF_ERROR(memory_of(i, slot, &memory, &size_bytes));
        std::memcpy(out, memory, size_bytes);
        return {};
    }

    Status copy_in(int64_t i, int64_t slot, const void* values) const {
        T* memory = nullptr;
        size_t size_bytes = 0;
        FR_RETURN_IF_ERROR(memory_of(i, slot, &memory, &size_bytes));
        std::memcpy(memory, values, size_bytes);
        return {};
    }

    Totals new_totals() const {
        Totals t;
        for (const MetricState& m : metrics_) t.metrics.emplace_back(m.n_totals, 0.0);
        return t;
    }

    // The order of this epoch's rows, and room for its gathered batches.
    void prepare_shuffle() {
        order_.resize(size_t(data_.rows));
        sort_scratch_.resize(3 * size_t(data_.rows));
        backend().permutation(data_.rows, seed_, uint32_t(epoch_), order_.data(), sort_scratch_.data());
        const int64_t numbers_a_row = gathered_x_cols() + data_.y_cols + 1;
        const int64_t batches = kGatheredBytes / int64_t(sizeof(T)) / numbers_a_row / batch_size_;
        gathered_rows_ = batch_size_ * (batches > 1 ? batches : 1);
        if (gathered_rows_ > data_.rows) gathered_rows_ = data_.rows;
        gathered_.resize(size_t(gathered_rows_ * numbers_a_row));
        gathered_begin_ = gathered_end_ = 0;
    }

    // Of a sparse x nothing is gathered: its rows are read in the epoch's order.
    int64_t gathered_x_cols() const { return data_.sparse_x.starts ? 0 : data_.x_cols; }

    static Inputs<T> inputs(const DataView& d, int64_t row) {
        const SparseView& s = d.sparse_x;
        if (!s.starts) return {static_cast<const T*>(d.x) + row * d.x_cols, {}};
        return {nullptr, {s.starts, s.columns, static_cast<const T*>(s.values), nullptr, row}};
    }

    static Batch typed(const DataView& d, int64_t row, int64_t B) {
        const T* weight = static_cast<const T*>(d.sample_weight);
        return {inputs(d, row),
                {static_cast<const T*>(d.y) + row * d.y_cols, d.y_cols, weight ? weight + row : nullptr},
                B};
    }

    Batch batch_at(int64_t row, int64_t B) {
        if (!shuffle_) return typed(data_, row, B);
        T *x = gathered_.data(), *y = x + gathered_rows_ * gathered_x_cols(),
          *weight = y + gathered_rows_ * data_.y_cols;
        if (row + B > gathered_end_) {
            gathered_begin_ = row;
            gathered_end_ = row + gathered_rows_ < data_.rows ? row + gathered_rows_ : data_.rows;
            const auto gather = [&](const void* from, int64_t cols, T* to) {
                ops().gather({static_cast<const T*>(from), cols, order_.data() + row, gathered_end_ - row, to});
            };
            if (data_.x) gather(data_.x, data_.x_cols, x);
            gather(data_.y, data_.y_cols, y);
            if (data_.sample_weight) gather(data_.sample_weight, 1, weight);
        }
        const DataView gathered{x,
                                y,
                                data_.sample_weight ? weight : nullptr,
                                gathered_end_ - gathered_begin_,
                                gathered_x_cols(),
                                data_.y_cols,
                                {}};
        Batch batch = typed(gathered, row - gathered_begin_, B);
        if (!data_.x) {
            batch.x = inputs(data_, 0);
            batch.x.sparse.order = order_.data() + row;
        }
        return batch;
    }

    // One step. Interrupted before the update, it leaves everything as it was.
    Status train(Cancel& cancel, const Batch& b, Totals* totals) {
        FR_RETURN_IF_ERROR(check_classes_of(b.targets.y, b.rows));
        double activity = 0.0;
        for_row_parts(b.rows, [&](RowRange rows) {
            network_.forward(ops(), cancel, b.x, rows, true, step_, &activity);
            if (cancel.stopped()) return;
            network_.loss(ops(), b.targets, rows, b.rows, true);
            network_.backward(ops(), cancel, b.x, rows, step_);
        });
        if (cancel.stopped()) return {Code::cancelled, "training was interrupted"};
        const double data_loss = network_.loss_sum(b.targets, b.rows) / double(b.rows);
        network_.parameter_gradients(ops(), cancel, b.x, b.rows);
        if (cancel.check()) return {Code::cancelled, "training was interrupted"};
        const double penalty = parameters_.update(ops(), optimizer_, int64_t(step_) + 1);
        ++step_;
        add(b, data_loss, penalty + activity, totals);
        return {};
    }

    void add(const Batch& b, double data_loss, double penalty, Totals* totals) {
        for (size_t i = 0; i < metrics_.size(); ++i)
            ops().metric({metrics_[i].spec, b.rows, plan_.outputs, network_.prediction(), b.targets.y, b.targets.y_cols,
                          metrics_[i].spec.weighted ? b.targets.weight : nullptr, network_.scratch(),
                          totals->metrics[i].data()});
        totals->loss += double(b.rows) * (data_loss + penalty);
        totals->data_loss += double(b.rows) * data_loss;
        totals->penalty += double(b.rows) * penalty;
        totals->rows += b.rows;
        totals->steps += 1;
        if (!std::isfinite(data_loss + penalty)) totals->nonfinite = true;
    }

    const Plan plan_;
    const uint64_t seed_;
    Parameters<T> parameters_;
    Network<T> network_;
    LossSpec loss_;
    OptimizerSpec optimizer_;
    std::vector<MetricState> metrics_;
    bool compiled_ = false, reads_classes_ = false;
    uint64_t step_ = 0, epoch_ = 0;
    // the epoch under way
    bool epoch_active_ = false, shuffle_ = false;
    DataView data_;
    int64_t batch_size_ = 0;
    Totals totals_;
    std::vector<uint32_t> order_, sort_scratch_;
    std::vector<T> gathered_;  // gathered_rows_ rows of x, then of y, then of sample_weight
    int64_t gathered_rows_ = 0, gathered_begin_ = 0, gathered_end_ = 0;
};

}  // namespace

Status Session::create(const ModelSpec& spec, std::unique_ptr<Session>* out) {
    Plan plan;
    FR_RETURN_IF_ERROR(make_plan(spec, &plan));
    if (spec.dtype == Dtype::f32)
        *out = std::make_unique<SessionOf<float>>(spec, std::move(plan));
    else
        *out = std::make_unique<SessionOf<double>>(spec, std::move(plan));
    return {};
}

}  // namespace fastreg
