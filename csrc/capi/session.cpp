// The sessions of the C interface: core/session.h behind a handle that one call at a time may use.
// It must not know the order of a training step. It is over 250 lines because every function of a
// session stands here.
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>

#include "capi/guard.h"
#include "core/cuda.h"
#include "core/session.h"

// What the header leaves opaque.
struct fr_session {
    std::unique_ptr<fastreg::Session> core;
    int64_t inputs = 0;
    bool class_indices = false;  // targets are one column of them
    int (*poll)(void*) = nullptr;
    void* poll_argument = nullptr;
    std::chrono::steady_clock::time_point last_poll;
    std::atomic<bool> busy{false};
};

namespace {

using namespace fastreg;
using namespace fastreg::capi;

using Handle = fr_session*;

constexpr int64_t kMostLayers = 1 << 20;

// f(session), a Status, with the session to itself.
template <class F>
fr_status with_session(fr_session* session, F f) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_given("session", session));
        if (session->busy.exchange(true)) return {Code::runtime, "session is in use by another call"};
        struct Turn {
            std::atomic<bool>& busy;
            ~Turn() { busy.store(false); }
        } turn{session->busy};
        return f(*session);
    });
}

template <class T>
Status check_dtype(const fr_session& s) {
    if (s.core->dtype() == dtype_of<T>()) return {};
    return {Code::type_mismatch, std::string("session holds ") + (sizeof(T) == 4 ? "float64" : "float32") +
                                     " numbers; call the function of that type"};
}

bool poll_once(void* session) {
    const fr_session* s = static_cast<fr_session*>(session);
    try {
        return s->poll(s->poll_argument) != 0;
    } catch (...) {  // C++ may: threads are at work behind it
        return true;
    }
}

Status to_layer(const unsigned char* at, size_t size, uint64_t seed, int64_t index, LayerSpec* out) {
    fr_layer l = FR_LAYER_INIT(FR_DENSE);
    const std::string name = "layers[" + std::to_string(index) + "]";
    const auto given = reinterpret_cast<const fr_layer*>(at);
    if (given->struct_size != size)
        return invalid(name + ".struct_size must be that of the first, " + std::to_string(size) + ", got " +
                       std::to_string(given->struct_size));
    FR_RETURN_IF_ERROR(read_struct(name.c_str(), given, &l));
    const auto field = [&](const char* f) { return name + "." + f; };
    FR_RETURN_IF_ERROR(check_kind(field("kind").c_str(), l.kind, FR_DROPOUT + 1));
    FR_RETURN_IF_ERROR(check_activation_kind(field("activation").c_str(), l.activation));
    FR_RETURN_IF_ERROR(check_flag(field("no_bias").c_str(), l.no_bias));
    FR_RETURN_IF_ERROR(check_flag(field("scale_at_inference").c_str(), l.scale_at_inference));
    out->kind = LayerKind(l.kind);
    out->units = l.units;
    out->activation = {Activation(l.activation), l.alpha};
    out->use_bias = l.no_bias == 0;
    out->rate = l.rate;
    out->scale_at_inference = l.scale_at_inference == 1;
    out->seed = seed;
    out->stream = uint32_t(index);
    FR_RETURN_IF_ERROR(to_penalty(field("kernel_penalty").c_str(), l.kernel_penalty, &out->kernel_penalty));
    FR_RETURN_IF_ERROR(to_penalty(field("bias_penalty").c_str(), l.bias_penalty, &out->bias_penalty));
    FR_RETURN_IF_ERROR(to_penalty(field("activity_penalty").c_str(), l.activity_penalty, &out->activity_penalty));
    const auto constraint = [&](const char* f, const fr_constraint& c, ConstraintSpec* spec) -> Status {
        FR_RETURN_IF_ERROR(check_kind((field(f) + ".kind").c_str(), c.kind, FR_UNIT_NORM + 1));
        *spec = {Constraint(c.kind), c.value, c.axis};
        return {};
    };
    FR_RETURN_IF_ERROR(constraint("kernel_constraint", l.kernel_constraint, &out->kernel_constraint));
    return constraint("bias_constraint", l.bias_constraint, &out->bias_constraint);
}

// The layers, dtype and all of a model whose seed is known.
Status to_model(const fr_layer* layers, int64_t n_layers, int32_t dtype, ModelSpec* spec) {
    FR_RETURN_IF_ERROR(check_given("layers", layers));
    FR_RETURN_IF_ERROR(check_size("n_layers", n_layers, 1));
    if (n_layers > kMostLayers)
        return invalid("n_layers must be at most " + std::to_string(kMostLayers) + ", got " + std::to_string(n_layers));
    FR_RETURN_IF_ERROR(check_kind("dtype", dtype, FR_F64 + 1));
    spec->dtype = Dtype(dtype);
    spec->layers.resize(size_t(n_layers));
    FR_RETURN_IF_ERROR(check_struct("layers[0]", layers));  // whose size takes to the next
    const size_t size = layers->struct_size;
    const auto* first = reinterpret_cast<const unsigned char*>(layers);
    for (int64_t i = 0; i < n_layers; ++i)
        FR_RETURN_IF_ERROR(to_layer(first + size_t(i) * size, size, spec->seed, i, &spec->layers[size_t(i)]));
    return {};
}

// Glorot and Bengio 2010, at the addresses that fastreg.Sequential uses: the stream is the layer. Biases are 0 already.
Status initialize_kernels(Session& core, uint64_t seed) {
    Cancel never;
    const size_t element = size_of(core.dtype());
    for (size_t i = 0; i < core.parameters().size(); ++i) {
        const ParameterInfo& p = core.parameters()[i];
        if (p.name != "kernel") continue;
        const int64_t n = p.rows * p.cols;
        const double mean_fan = double(p.rows + p.cols) / 2, variance = 1.0 / (mean_fan > 1.0 ? mean_fan : 1.0);
        const double limit = std::sqrt(3.0 * variance);
        std::unique_ptr<double[]> values(new double[(size_t(n) * element + 7) / 8]);
        const Matrix out{"kernel", values.get(), 1, n, n, 1, core.dtype()};
        FR_RETURN_IF_ERROR(initialize(never, Initializer::uniform, -limit, limit, seed, uint32_t(p.layer), out));
        FR_RETURN_IF_ERROR(core.set(int64_t(i), -1, values.get()));
    }
    return {};
}

// The caller's data, contiguous, all of it checked. y may be left out.
template <class T>
Status to_data(const fr_session& s, const T* x, const T* y, bool with_y, const T* sample_weight, int64_t rows,
               DataView* data) {
    FR_RETURN_IF_ERROR(check_dtype<T>(s));
    FR_RETURN_IF_ERROR(check_size("rows", rows, 1));
    const int64_t y_cols = s.class_indices ? 1 : s.core->output_units();
    Matrix mx, my, mw;
    FR_RETURN_IF_ERROR(matrix("x", x, rows, s.inputs, s.inputs, &mx));
    if (with_y) FR_RETURN_IF_ERROR(matrix("y", y, rows, y_cols, y_cols, &my));
    FR_RETURN_IF_ERROR(optional_vector("sample_weight", sample_weight, rows, &mw));
    *data = {mx.data, my.data, mw.data, rows, s.inputs, with_y ? y_cols : 0};
    return {};
}

// Checks what the caller gave to be filled; fill_totals() fills it.
Status check_totals(const fr_totals* totals) { return totals ? check_struct("totals", totals) : Status(); }
void fill_totals(const Totals& sums, fr_totals* totals) {
    if (!totals) return;
    const double rows = sums.rows > 0 ? double(sums.rows) : 1.0;
    write_struct({sizeof(fr_totals), sums.loss / rows, sums.data_loss / rows, sums.penalty / rows, sums.rows,
                  sums.steps, sums.nonfinite},
                 totals);
}

template <class T>
fr_status session_train_epoch_of(fr_session* session, const T* x, const T* y, const T* sample_weight, int64_t rows,
                                 int64_t batch_size, int shuffle, fr_totals* totals) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_totals(totals));
        FR_RETURN_IF_ERROR(check_flag("shuffle", shuffle));
        DataView data;
        FR_RETURN_IF_ERROR(to_data(s, x, y, true, sample_weight, rows, &data));
        Totals sums;
        Cancel cancel(s.poll ? poll_once : nullptr, &s, &s.last_poll);
        FR_RETURN_IF_ERROR(s.core->begin_epoch(cancel, data, batch_size, shuffle == 1));
        FR_RETURN_IF_ERROR(s.core->run_steps(cancel, -1, false, &sums));
        fill_totals(sums, totals);
        return {};
    });
}

template <class T>
fr_status session_evaluate_of(fr_session* session, const T* x, const T* y, const T* sample_weight, int64_t rows,
                              fr_totals* totals) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("totals", totals));
        FR_RETURN_IF_ERROR(check_totals(totals));
        DataView data;
        FR_RETURN_IF_ERROR(to_data(s, x, y, true, sample_weight, rows, &data));
        Totals sums;
        Cancel cancel(s.poll ? poll_once : nullptr, &s, &s.last_poll);
        FR_RETURN_IF_ERROR(s.core->evaluate(cancel, data, &sums));
        fill_totals(sums, totals);
        return {};
    });
}

template <class T>
fr_status session_predict_of(fr_session* session, const T* x, int64_t rows, T* out) {
    return with_session(session, [&](fr_session& s) -> Status {
        DataView data;
        const T* const none = nullptr;
        FR_RETURN_IF_ERROR(to_data(s, x, none, false, none, rows, &data));
        Matrix mo;
        const int64_t outputs = s.core->output_units();
        FR_RETURN_IF_ERROR(matrix("out", out, rows, outputs, outputs, &mo));
        Cancel cancel(s.poll ? poll_once : nullptr, &s, &s.last_poll);
        return s.core->predict(cancel, data, mo.data);
    });
}

Status check_parameter(const fr_session& s, int64_t parameter) {
    return check_kind("parameter", parameter, int64_t(s.core->parameters().size()));
}

// Checks that `values` is n numbers of a parameter, then f(core), a Status, copies them.
template <class T, class F>
fr_status copy(fr_session* session, int64_t parameter, int64_t n, const char* name, const T* values, F f) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_dtype<T>(s));
        FR_RETURN_IF_ERROR(check_parameter(s, parameter));
        const ParameterInfo& p = s.core->parameters()[size_t(parameter)];
        if (n != p.rows * p.cols)
            return invalid("n must be the " + std::to_string(p.rows * p.cols) + " numbers of parameter " +
                           std::to_string(parameter) + ", got " + std::to_string(n));
        Matrix view;
        FR_RETURN_IF_ERROR(vector(name, values, n, &view));
        return f(*s.core);
    });
}

template <class T>
fr_status session_get_of(fr_session* session, int64_t parameter, int64_t slot, int64_t n, T* out) {
    return copy(session, parameter, n, "out", out, [&](Session& core) { return core.get(parameter, slot, out); });
}

template <class T>
fr_status session_set_of(fr_session* session, int64_t parameter, int64_t slot, int64_t n, const T* values) {
    return copy(session, parameter, n, "values", values,
                [&](Session& core) { return core.set(parameter, slot, values); });
}

}  // namespace

extern "C" {

FASTREG_API fr_status fr_session_create(const fr_layer* layers, int64_t n_layers, int64_t inputs, int32_t dtype,
                                        uint64_t seed, fr_session** session) {
    return fr_session_create_on(FR_CPU, FR_EXACT, layers, n_layers, inputs, dtype, seed, session);
}

FASTREG_API fr_status fr_session_create_on(int32_t device, int32_t precision, const fr_layer* layers, int64_t n_layers,
                                           int64_t inputs, int32_t dtype, uint64_t seed, fr_session** session) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_given("session", session));
        FR_RETURN_IF_ERROR(check_kind("device", device, FR_CUDA + 1));
        FR_RETURN_IF_ERROR(check_kind("precision", precision, FR_BF16 + 1));
        ModelSpec spec;
        spec.input_units = inputs;
        spec.seed = seed;
        spec.device = Device(device);
        spec.precision = Precision(precision);
        FR_RETURN_IF_ERROR(to_model(layers, n_layers, dtype, &spec));
        auto made = std::make_unique<fr_session>();
        FR_RETURN_IF_ERROR(Session::create(spec, &made->core));
        made->inputs = inputs;
        FR_RETURN_IF_ERROR(initialize_kernels(*made->core, seed));
        *session = made.release();
        return {};
    });
}

FASTREG_API fr_status fr_cuda_device_count(int64_t* n) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_given("n", n));
        int count = 0;
        FR_RETURN_IF_ERROR(cuda_device_count(&count));
        *n = count;
        return {};
    });
}

FASTREG_API void fr_session_destroy(fr_session* session) { delete session; }

FASTREG_API fr_status fr_session_compile(fr_session* session, const fr_loss* loss, const fr_optimizer* optimizer) {
    return with_session(session, [&](fr_session& s) -> Status {
        LossSpec loss_spec;
        OptimizerSpec optimizer_spec;
        FR_RETURN_IF_ERROR(to_loss(loss, &loss_spec));
        FR_RETURN_IF_ERROR(to_optimizer(optimizer, &optimizer_spec));
        FR_RETURN_IF_ERROR(s.core->compile(loss_spec, optimizer_spec, {}));
        s.class_indices = loss_spec.kind == Loss::sparse_categorical_crossentropy;
        return {};
    });
}

FASTREG_API fr_status fr_session_set_cancel(fr_session* session, int (*poll)(void* argument), void* argument) {
    return with_session(session, [&](fr_session& s) -> Status {
        s.poll = poll;
        s.poll_argument = argument;
        return {};
    });
}

FR_BOTH(session_train_epoch,
        (Handle session, const T* x, const T* y, const T* sample_weight, int64_t rows, int64_t batch_size, int shuffle,
         fr_totals* totals),
        (session, x, y, sample_weight, rows, batch_size, shuffle, totals))
FR_BOTH(session_evaluate,
        (Handle session, const T* x, const T* y, const T* sample_weight, int64_t rows, fr_totals* totals),
        (session, x, y, sample_weight, rows, totals))
FR_BOTH(session_predict, (Handle session, const T* x, int64_t rows, T* out), (session, x, rows, out))
FR_BOTH(session_get, (Handle session, int64_t parameter, int64_t slot, int64_t n, T* out),
        (session, parameter, slot, n, out))
FR_BOTH(session_set, (Handle session, int64_t parameter, int64_t slot, int64_t n, const T* values),
        (session, parameter, slot, n, values))

FASTREG_API fr_status fr_session_n_parameters(fr_session* session, int64_t* n) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("n", n));
        *n = int64_t(s.core->parameters().size());
        return {};
    });
}

FASTREG_API fr_status fr_session_parameter_shape(fr_session* session, int64_t parameter, int64_t* rows, int64_t* cols) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("rows", rows));
        FR_RETURN_IF_ERROR(check_given("cols", cols));
        FR_RETURN_IF_ERROR(check_parameter(s, parameter));
        *rows = s.core->parameters()[size_t(parameter)].rows;
        *cols = s.core->parameters()[size_t(parameter)].cols;
        return {};
    });
}

FASTREG_API fr_status fr_session_n_slots(fr_session* session, int64_t* n) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("n", n));
        *n = s.core->n_slots();
        return {};
    });
}

FASTREG_API fr_status fr_session_get_position(fr_session* session, uint64_t* step, uint64_t* epoch) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("step", step));
        FR_RETURN_IF_ERROR(check_given("epoch", epoch));
        *step = s.core->step();
        *epoch = s.core->epoch();
        return {};
    });
}
FASTREG_API fr_status fr_session_set_position(fr_session* session, uint64_t step, uint64_t epoch) {
    return with_session(session, [&](fr_session& s) { return s.core->set_position(step, epoch); });
}

FASTREG_API fr_status fr_session_set_learning_rate(fr_session* session, double learning_rate) {
    return with_session(session, [&](fr_session& s) { return s.core->set_learning_rates(&learning_rate, 1); });
}
FASTREG_API fr_status fr_session_set_learning_rates(fr_session* session, const double* learning_rates, int64_t n) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("learning_rates", learning_rates));
        return s.core->set_learning_rates(learning_rates, n);
    });
}

FASTREG_API fr_status fr_session_set_penalty(fr_session* session, int64_t parameter, const fr_penalty* penalty) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("penalty", penalty));
        PenaltySpec spec;
        FR_RETURN_IF_ERROR(to_penalty("penalty", *penalty, &spec));
        return s.core->set_penalty(parameter, spec);
    });
}

FASTREG_API fr_status fr_session_set_trainable(fr_session* session, int64_t parameter, int trainable) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_flag("trainable", trainable));
        return s.core->set_trainable(parameter, trainable != 0);
    });
}

FASTREG_API fr_status fr_session_count_zeros(fr_session* session, int64_t parameter, int64_t* zeros) {
    return with_session(session, [&](fr_session& s) -> Status {
        FR_RETURN_IF_ERROR(check_given("zeros", zeros));
        return s.core->count_zeros(parameter, zeros);
    });
}

}  // extern "C"
