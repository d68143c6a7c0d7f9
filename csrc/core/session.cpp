// Session: the order of an epoch and of a step. See session.h.
// It must not know SIMD or Python, nor which thread computes what. It is over 250 lines because it is one class that
// answers for the whole interface. Over 40: train_many, a list of what a device is given.
#include "core/session.h"

#include "core/batches.h"
#include "core/cuda.h"
#include "core/network.h"
#include "core/parameters.h"
#include "core/plan.h"
#include "core/rates.h"
#include "core/resident.h"
#include "core/runtime.h"
#include "core/sums.h"
#include "core/validate.h"
#include "rules/metric.h"
#include "rules/update.h"

namespace fastreg {
namespace {

// Inference counts in batches of this many rows: rows do not know their batch. Long ones use what is packed of a
// layer's weights more often; very wide layers take short ones, for the memory.
int64_t inference_unit(const Plan& plan) { return plan.widest <= 8192 ? 1024 : 256; }

// A device computes several of them at once.
constexpr int64_t kUnitsAtOnce = 16;

template <class T>
class SessionOf final : public Session {
public:
    // device: whose tables to use; null: those of the CPU, whichever is in force.
    SessionOf(const ModelSpec& spec, Plan plan, const Backend* device)
        : plan_(std::move(plan)), seed_(spec.seed), device_(device), queue_(new_queue(backend())) {
        const Entered entered(*queue_);
        parameters_.init(plan_, queue_.get());
        network_.init(plan_, &parameters_, queue_.get());
        network_.set_loss(loss_);
    }

    Status compile(const LossSpec& loss, const OptimizerSpec& optimizer,
                   const std::vector<MetricSpec>& metrics) override {
        FR_RETURN_IF_ERROR(check_loss(loss));
        FR_RETURN_IF_ERROR(check_optimizer(optimizer));
        for (const MetricSpec& m : metrics) FR_RETURN_IF_ERROR(check_loss(m.loss));
        const Entered entered(*queue_);
        compiled_ = epoch_active_ = false;  // whatever throws below leaves a session that asks to be compiled
        ++version_;
        const bool adagrad = optimizer.kind == Optimizer::adagrad;
        FR_RETURN_IF_ERROR(
            parameters_.reset_slots(rules::n_slots(optimizer), T(adagrad ? optimizer.initial_accumulator_value : 0.0)));
        loss_ = loss;
        optimizer_ = optimizer;
        network_.set_loss(loss);
        metrics_ = metrics;
        thresholds_.clear();
        reads_classes_ = loss.kind == Loss::sparse_categorical_crossentropy;
        std::vector<size_t> totals_of_metrics;
        for (MetricSpec& m : metrics_) {
            thresholds_.emplace_back(m.thresholds, m.thresholds + m.n_thresholds);
            m.thresholds = thresholds_.back().data();
            reads_classes_ |= takes_classes(m);
            totals_of_metrics.push_back(size_t(rules::n_totals(m, plan_.outputs)));
        }
        sums_.init(queue_.get(), totals_of_metrics);
        step_ = 0;
        rates_.reset(optimizer_.learning_rate);
        compiled_ = true;
        return {};
    }

    Status begin_epoch(Cancel& cancel, const DataView& data, int64_t batch_size, bool shuffle, bool fresh) override {
        const Entered entered(*queue_);
        FR_RETURN_IF_ERROR(check_data(data, true));
        if (batch_size < 1) return invalid("batch_size must be >= 1, got " + std::to_string(batch_size));
        if (data.rows > int64_t(UINT32_MAX)) return invalid("x has more than 2^32 - 1 rows");
        epoch_active_ = false;
        FR_RETURN_IF_ERROR(bring(&training_data_, data, fresh));
        reserve(batch_size < data.rows ? batch_size : data.rows, true, data);
        if (batches_.begin(queue_.get(), training_data_.view, batch_size, shuffle)) ++version_;
        batches_.shuffle(cancel, backend(), seed_, uint32_t(epoch_));
        if (cancel.stopped()) return interrupted("training was interrupted");
        totals_ = sums_.zeros();
        ++epoch_;
        epoch_active_ = true;
        return {};
    }

    Status run_steps(Cancel& cancel, int64_t max_steps, bool stop_on_nonfinite, Totals* totals) override {
        if (!epoch_active_) return {Code::runtime, "run_steps needs an epoch: call begin_epoch first"};
        epoch_active_ = false;  // whatever fails below ends the epoch
        const Entered entered(*queue_);
        reserve(batches_.size(), true, batches_.data());  // an evaluation since may have failed for want of memory
        take_turn(true);
        FR_RETURN_IF_ERROR(sums_.put(totals_));
        const int64_t rows = batches_.data().rows;
        for (int64_t i = 0; (max_steps < 0 || i < max_steps) && totals_.rows < rows; ++i) {
            if (const int64_t done = stop_on_nonfinite ? 0 : train_many(max_steps < 0 ? -1 : max_steps - i)) {
                i += done - 1;
                if (cancel.check()) return interrupted("training was interrupted");
                continue;
            }
            const int64_t row = totals_.rows, left = rows - row;
            const int64_t B = left < batches_.size() ? left : batches_.size();
            FR_RETURN_IF_ERROR(train(cancel, row, B, [&] { return batches_.at(ops(), row, B); }));
            totals_.rows += B;
            totals_.steps += 1;
            if (!stop_on_nonfinite) continue;
            FR_RETURN_IF_ERROR(sums_.take(&totals_));
            if (totals_.nonfinite) break;
        }
        FR_RETURN_IF_ERROR(sums_.take(&totals_));
        totals_.finished = totals_.rows == rows;
        epoch_active_ = !totals_.finished;
        *totals = totals_;
        return {};
    }

    Status train_batch(Cancel& cancel, const DataView& batch, Totals* totals) override {
        const Entered entered(*queue_);
        FR_RETURN_IF_ERROR(check_data(batch, true));
        reserve(batch.rows, true, batch);
        FR_RETURN_IF_ERROR(bring(&batch_data_, batch, true));
        take_turn(false);
        *totals = sums_.zeros();
        FR_RETURN_IF_ERROR(sums_.put(*totals));
        FR_RETURN_IF_ERROR(
            train(cancel, 0, batch.rows, [&] { return Batches<T>::of(batch_data_.view, 0, batch.rows); }));
        totals->finished = true;
        totals->rows = batch.rows;
        totals->steps = 1;
        return sums_.take(totals);
    }

    Status evaluate(Cancel& cancel, const DataView& data, Totals* totals, bool fresh) override {
        const Entered entered(*queue_);
        FR_RETURN_IF_ERROR(check_data(data, true));
        FR_RETURN_IF_ERROR(bring(&evaluation_data_, data, fresh));
        const int64_t step = inference_rows();
        reserve(step < data.rows ? step : data.rows, false, data);
        *totals = sums_.zeros();
        FR_RETURN_IF_ERROR(sums_.put(*totals));
        double penalty = 0.0;
        for (size_t i = 0; i < parameters_.count(); ++i) penalty += parameters_.penalty(ops(), i);
        for (int64_t row = 0; row < data.rows; row += step) {
            const int64_t B = data.rows - row < step ? data.rows - row : step;
            const Batch<T> b = Batches<T>::of(evaluation_data_.view, row, B);
            for_row_parts(B, [&](RowRange rows) {
                network_.forward(ops(), cancel, b.x, rows, false, step_, sums_.activity());
                network_.loss(ops(), b.targets, rows, B, false, sums_.activity());
            });
            if (cancel.check()) return interrupted("evaluate was interrupted");
            add(b, inference_unit(plan_), penalty, nullptr);
            totals->rows += B;
            totals->steps += (B + inference_unit(plan_) - 1) / inference_unit(plan_);
        }
        totals->finished = true;
        return sums_.take(totals);
    }

    Status predict(Cancel& cancel, const DataView& data, void* out) override {
        FR_RETURN_IF_ERROR(check_data(data, false));
        const char* const y = static_cast<const char*>(out);
        const auto meets = [&](const void* p, int64_t n, size_t size) {
            const char* const x = static_cast<const char*>(p);
            return x && x < y + size_t(data.rows * plan_.outputs) * sizeof(T) && y < x + size_t(n) * size;
        };
        const SparseView& s = data.sparse_x;
        if (meets(data.x, data.rows * plan_.inputs, sizeof(T)) || meets(s.values, s.n_elements, sizeof(T)) ||
            meets(s.columns, s.n_elements, sizeof *s.columns) || meets(s.starts, data.rows + 1, sizeof *s.starts))
            return invalid("out must not overlap x in memory");
        const Entered entered(*queue_);
        const int64_t step = inference_rows();
        reserve(step < data.rows ? step : data.rows, false, data);
        for (int64_t row = 0; row < data.rows; row += step) {
            const int64_t B = data.rows - row < step ? data.rows - row : step;
            FR_RETURN_IF_ERROR(predict_block(cancel, data, row, B, static_cast<T*>(out) + row * plan_.outputs));
            if (cancel.check()) return interrupted("predict was interrupted");
        }
        return {};
    }

    const std::vector<ParameterInfo>& parameters() const override { return parameters_.info(); }
    int64_t output_units() const override { return plan_.outputs; }
    Dtype dtype() const override { return dtype_of<T>(); }

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
    Status get(int64_t i, int64_t slot, void* out) const override {
        FR_RETURN_IF_ERROR(check_numbers(i, slot));
        const Entered entered(*queue_);
        return queue_->copy_out(out, memory_of(i, slot), bytes_of(i));
    }
    Status set(int64_t i, int64_t slot, const void* values) override {
        FR_RETURN_IF_ERROR(check_numbers(i, slot));
        const Entered entered(*queue_);
        return queue_->copy_in(memory_of(i, slot), values, bytes_of(i));
    }

    Status penalty(int64_t i, double* value) const override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        const Entered entered(*queue_);
        *value = parameters_.penalty(ops(), size_t(i));
        return queue_->wait();
    }
    Status count_zeros(int64_t i, int64_t* count) const override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        const Entered entered(*queue_);
        *count = ops().count_zeros(parameters_.segment(size_t(i)).w, parameters_.segment(size_t(i)).n);
        return queue_->wait();
    }
    Status set_penalty(int64_t i, const PenaltySpec& p) override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        FR_RETURN_IF_ERROR(check_penalty("penalty", p));
        parameters_.segment(size_t(i)).penalty = p;
        ++version_;
        return {};
    }
    Status set_trainable(int64_t i, bool trainable) override {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        parameters_.set_trainable(size_t(i), trainable);
        ++version_;
        return {};
    }
    double learning_rate() const override { return rates_.at(step_); }
    Status set_learning_rates(const double* values, int64_t n) override { return rates_.set(values, n, step_); }
    uint64_t step() const override { return step_; }
    uint64_t epoch() const override { return epoch_; }
    uint64_t seed() const override { return seed_; }
    Status set_position(uint64_t step, uint64_t epoch) override {
        if (step >> 62) return invalid("step must be below 2^62, got " + std::to_string(step));
        rates_.move(step_, step);
        step_ = step;
        epoch_ = epoch;
        return {};
    }

private:
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

    const Backend& backend() const { return device_ ? *device_ : fastreg::backend(); }
    const OpTable<T>& ops() const { return backend().template table<T>(); }
    int64_t inference_rows() const { return inference_unit(plan_) * (queue_->is_host() ? 1 : kUnitsAtOnce); }

    // What a recorded step was given must not move unnoticed.
    void reserve(int64_t rows, bool training, const DataView& data) {
        if (network_.reserve(ops(), rows, training, data.sparse_x.starts != nullptr)) ++version_;
    }
    Status bring(Resident<T>* to, const DataView& data, bool fresh) {
        bool moved = false;
        Status s = to->bring(*queue_, data, fresh, &moved);
        if (moved) ++version_;
        return s;
    }

    // Steps of an epoch and steps of their own work on other memory, though their batches may be as large.
    void take_turn(bool epoch) {
        if (epoch != last_was_epoch_) ++version_;
        last_was_epoch_ = epoch;
    }

    // Outputs for B rows of the caller's data from `row` on. A device takes dense rows one block at a time.
    Status predict_block(Cancel& cancel, const DataView& data, int64_t row, int64_t B, T* out) {
        Inputs<T> x = Batches<T>::inputs(data, row);
        T* result = out;
        if (!queue_->is_host()) {
            DataView block = data;
            if (data.x) {
                block.x = x.dense;
                block.rows = B;
            }
            FR_RETURN_IF_ERROR(bring(&prediction_data_, block, data.x || row == 0));
            x = Batches<T>::inputs(prediction_data_.view, data.x ? 0 : row);
            const size_t bytes = Arena::padded<T>(B * plan_.outputs);
            if (bytes > prediction_memory_.size_bytes()) prediction_memory_.reserve(*queue_, bytes);
            prediction_memory_.rewind();
            result = prediction_memory_.take<T>(B * plan_.outputs);
        }
        for_row_parts(B, [&](RowRange rows) {
            network_.forward(ops(), cancel, x, rows, false, step_, nullptr);
            network_.finish_prediction(ops(), rows, result);
        });
        if (queue_->is_host()) return {};
        FR_RETURN_IF_ERROR(queue_->wait());
        return queue_->copy_out(out, result, size_t(B * plan_.outputs) * sizeof(T));
    }

    // Ends a computation that was told to stop. What a device has been given runs to its end.
    Status interrupted(const char* message) {
        FR_RETURN_IF_ERROR(queue_->wait());
        return {Code::cancelled, message};
    }

    Status check_data(const DataView& d, bool with_targets) const {
        if (with_targets && !compiled_) return {Code::runtime, "the session is not compiled: call compile first"};
        if (d.rows < 1) return invalid("x has no rows");
        if (d.x_cols != plan_.inputs)
            return invalid("x has " + std::to_string(d.x_cols) + " columns; layer 0 expects " +
                           std::to_string(plan_.inputs));
        if (d.sparse_x.starts) FR_RETURN_IF_ERROR(check_sparse(d));
        if (!with_targets) return {};
        FR_RETURN_IF_ERROR(check_targets(loss_, d.y_cols, plan_.outputs));
        for (const MetricSpec& m : metrics_) FR_RETURN_IF_ERROR(check_metric_targets(m, d.y_cols, plan_.outputs));
        return check_classes_of(static_cast<const T*>(d.y), d.rows);
    }

    Status check_sparse(const DataView& d) const {
        const SparseView& x = d.sparse_x;
        if (plan_.nodes.front().kind != NodeKind::dense)
            return {Code::type_mismatch, "x is sparse, which only a Dense first layer takes; pass x.toarray()"};
        if (d.rows > INT32_MAX) return invalid("a sparse x has more than 2^31 - 1 rows");
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

    // Asked again before each step, as costs little: a caller who changed y meanwhile, as session.h says not to, gets
    // an error. A sparse x is checked once, by begin_epoch.
    Status check_classes_of(const T* y, int64_t rows) const {
        return reads_classes_ ? check_classes("y", y, rows, 1, plan_.outputs) : Status{};
    }

    static Status check_index(const char* name, int64_t i, int64_t n, int64_t first = 0) {
        if (i >= first && i < n) return {};
        return invalid(std::string(name) + " must be from " + std::to_string(first) + " to " + std::to_string(n - 1) +
                       ", got " + std::to_string(i));
    }

    // What get() and set() are asked for: a slot of parameter i, or (-1) the parameter itself.
    Status check_numbers(int64_t i, int64_t slot) const {
        FR_RETURN_IF_ERROR(check_index("parameter", i, int64_t(parameters_.count())));
        return check_index("slot", slot, n_slots(), -1);
    }
    T* memory_of(int64_t i, int64_t slot) const {
        const UpdateSegment<T>& s = parameters_.segment(size_t(i));
        return slot < 0 ? s.w : s.slot[slot];
    }
    size_t bytes_of(int64_t i) const { return size_t(parameters_.size(size_t(i))) * sizeof(T); }

    // One step of B rows on what batch() gives. On the CPU it can be interrupted before the update, which leaves
    // everything as it was; a device is not asked to stop within a step.
    template <class F>
    Status train(Cancel& cancel, int64_t row, int64_t B, F batch) {
        Status status;
        Cancel never;
        optimizer_.learning_rate = learning_rate();
        Cancel& inner = queue_->is_host() ? cancel : never;
        auto body = [&] { status = operations_of_step(inner, batch()); };
        using Body = decltype(body);
        queue_->run_step(
            version_, B, {step_, row, optimizer_.learning_rate}, [](void* f) { (*static_cast<Body*>(f))(); }, &body);
        FR_RETURN_IF_ERROR(status);
        if (!queue_->is_host()) FR_RETURN_IF_ERROR(queue_->told());
        ++step_;
        if (!queue_->is_host() && cancel.check()) return interrupted("training was interrupted");
        return {};
    }

    // Steps of the epoch that a device takes as one, at most max_steps (< 0: as many as there are): how many.
    int64_t train_many(int64_t max_steps) {
        if (!ops().train_steps || batches_.data().sparse_x.starts || parameters_.any_frozen()) return 0;
        TrainSteps<T> t{};
        if (!network_.describe(&train_layers_, &t)) return 0;
        constexpr int64_t kMostRows = 1 << 18;  // soon over, and few are on their way: a training can be told to stop
        const DataView& data = batches_.data();
        const int64_t left = batches_.left(totals_.rows);
        int64_t steps = kMostRows / batches_.size() + 1;
        if (steps > left) steps = left;
        if (max_steps >= 0 && steps > max_steps) steps = max_steps;
        optimizer_.learning_rate = learning_rate();
        const int64_t listed = rates_.left(step_);
        if (listed > 1) {
            if (steps > listed) steps = listed;
            t.learning_rates = rates_.from(step_);
        }
        t.x = static_cast<const T*>(data.x);
        t.y = static_cast<const T*>(data.y);
        t.weight = static_cast<const T*>(data.sample_weight);
        t.rows = data.rows;
        t.y_cols = data.y_cols;
        t.order = batches_.order();
        t.first_row = totals_.rows;
        t.batch = batches_.size();
        t.steps = steps;
        t.optimizer = optimizer_;
        t.first_step = step_;
        t.segments = parameters_.segments();
        t.n_segments = int64_t(parameters_.count());
        t.penalties = parameters_.penalty_values();
        t.totals = sums_.losses();
        counted_.clear();
        for (const MetricSpec& m : metrics_) {  // there, what is from logits is made of the loss's
            if (m.kind == Metric::loss && m.loss.from_logits && t.prediction != Activation::linear) return 0;
            counted_.push_back(network_.counted(m).metric);
        }
        t.metrics = counted_.data();
        t.n_metrics = int64_t(metrics_.size());
        t.metric_totals = sums_.metrics();
        const int64_t rows = left == steps ? data.rows - totals_.rows : steps * batches_.size();
        if (!ops().train_steps(t)) return 0;
        step_ += uint64_t(steps);
        totals_.steps += steps;
        totals_.rows += rows;
        return steps;
    }

    Status operations_of_step(Cancel& cancel, const Batch<T>& b) {
        if (queue_->is_host()) FR_RETURN_IF_ERROR(check_classes_of(b.targets.y, b.rows));
        for_row_parts(b.rows, [&](RowRange rows) {
            network_.forward(ops(), cancel, b.x, rows, true, step_, sums_.activity());
            if (cancel.stopped()) return;
            network_.loss(ops(), b.targets, rows, b.rows, true, sums_.activity());
            network_.backward(ops(), cancel, b.x, rows, step_);
        });
        if (cancel.stopped()) return {Code::cancelled, "training was interrupted"};
        network_.parameter_gradients(ops(), cancel, b.x, b.rows);
        if (cancel.check()) return {Code::cancelled, "training was interrupted"};
        parameters_.update(ops(), optimizer_, int64_t(step_) + 1);
        add(b, b.rows, 0.0, &parameters_);
        return {};
    }

    // Adds the batch to the sums, `unit` rows at a time; updated: whose penalties count beside `penalty`, or null.
    void add(const Batch<T>& b, int64_t unit, double penalty, const Parameters<T>* updated) {
        double* metric_totals = sums_.metrics();
        const T* losses = network_.per_row_losses();
        ops().totals({b.rows, unit, losses, b.targets.weight, penalty, updated ? updated->penalty_values() : nullptr,
                      updated ? int64_t(updated->trained_count()) : 0, sums_.activity(), sums_.losses()});
        for (const MetricSpec& m : metrics_) {
            const auto [spec, outputs] = network_.counted(m);
            ops().metric({spec, b.rows, plan_.outputs, outputs, b.targets.y, b.targets.y_cols,
                          m.weighted ? b.targets.weight : nullptr, network_.scratch(), metric_totals, unit});
            metric_totals += rules::n_totals(m, plan_.outputs);
        }
    }

    const Plan plan_;
    const uint64_t seed_;
    const Backend* const device_;
    const std::unique_ptr<Queue> queue_;  // outlives all memory below
    uint64_t version_ = 0;                // of what steps are given: memory, penalties, losses
    bool last_was_epoch_ = false;
    Parameters<T> parameters_;
    Network<T> network_;
    LossSpec loss_;
    OptimizerSpec optimizer_;  // with the learning rate of the step under way
    LearningRates rates_;
    std::vector<MetricSpec> metrics_;
    std::vector<std::vector<float>> thresholds_;  // of each metric, which points here
    Sums sums_;
    Resident<T> training_data_, batch_data_, evaluation_data_, prediction_data_;
    Arena prediction_memory_;
    bool compiled_ = false, reads_classes_ = false;
    uint64_t step_ = 0, epoch_ = 0;
    // the epoch under way
    bool epoch_active_ = false;
    Batches<T> batches_;
    Totals totals_;
    // as a device takes many steps at once
    std::vector<TrainLayer<T>> train_layers_;
    std::vector<MetricSpec> counted_;
};

}  // namespace

Status Session::create(const ModelSpec& spec, std::unique_ptr<Session>* out) {
    Plan plan;
    FR_RETURN_IF_ERROR(make_plan(spec, &plan));
    const Backend* device = nullptr;
    if (spec.device == Device::cuda) FR_RETURN_IF_ERROR(cuda_backend(spec.precision, &device));
    if (spec.device == Device::cpu && spec.precision != Precision::exact)
        return invalid("precision must be exact on the CPU");
    if (spec.dtype == Dtype::f64 && spec.precision != Precision::exact)
        return invalid("precision must be exact for float64");
    if (spec.dtype == Dtype::f32)
        *out = std::make_unique<SessionOf<float>>(spec, std::move(plan), device);
    else
        *out = std::make_unique<SessionOf<double>>(spec, std::move(plan), device);
    return {};
}

}  // namespace fastreg
