// The kernels of the C interface: pointers to views, then the gate of core/ops.h. Each is written once for both types
// of numbers. It must not know how anything is computed. It is over 250 lines because every kernel has
// its function of C here.
#include "capi/guard.h"
#include "core/validate.h"
#include "rules/spec.h"

namespace {

using namespace fastreg;
using namespace fastreg::capi;

Status to_dense(const fr_dense* given, ActivationSpec* activation, DropoutSpec* dropout) {
    fr_dense d = FR_DENSE_INIT;
    if (given) FR_RETURN_IF_ERROR(read_struct("options", given, &d));
    FR_RETURN_IF_ERROR(check_activation_kind("options.activation", d.activation));
    *activation = {Activation(d.activation), d.alpha};
    return make_dropout(d.rate, d.seed, d.step, d.stream, dropout);
}

Status check_sizes(int64_t batch, int64_t inputs, int64_t outputs) {
    FR_RETURN_IF_ERROR(check_size("batch", batch));
    FR_RETURN_IF_ERROR(check_size("inputs", inputs));
    return check_size("outputs", outputs);
}

template <class T>
fr_status dense_forward_of(int64_t batch, int64_t inputs, int64_t outputs, const T* x, int64_t x_rs, int64_t x_cs,
                           const T* w, int64_t w_rs, int64_t w_cs, const T* b, const fr_dense* options, T* y,
                           int64_t y_rs, T* z, int64_t z_rs) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_sizes(batch, inputs, outputs));
        ActivationSpec activation;
        DropoutSpec dropout;
        FR_RETURN_IF_ERROR(to_dense(options, &activation, &dropout));
        Matrix mx, mw, mb, my, mz;
        FR_RETURN_IF_ERROR(strided_matrix("x", x, batch, inputs, x_rs, x_cs, &mx));
        FR_RETURN_IF_ERROR(strided_matrix("w", w, inputs, outputs, w_rs, w_cs, &mw));
        FR_RETURN_IF_ERROR(optional_vector("b", b, outputs, &mb));
        FR_RETURN_IF_ERROR(matrix("y", y, batch, outputs, y_rs, &my));
        FR_RETURN_IF_ERROR(optional_matrix("z", z, batch, outputs, z_rs, &mz));
        Cancel never;
        return dense_forward(never, mx, mw, mb, activation, dropout, my, mz);
    });
}

template <class T>
fr_status dense_backward_of(int64_t batch, int64_t inputs, int64_t outputs, const T* dy, int64_t dy_rs, const T* x,
                            int64_t x_rs, int64_t x_cs, const T* w, int64_t w_rs, int64_t w_cs, const T* y,
                            int64_t y_rs, const T* z, int64_t z_rs, const fr_dense* options, T* dx, int64_t dx_rs,
                            T* dw, int64_t dw_rs, T* db) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_sizes(batch, inputs, outputs));
        ActivationSpec activation;
        DropoutSpec dropout;
        FR_RETURN_IF_ERROR(to_dense(options, &activation, &dropout));
        Matrix mdy, mx, mw, my, mz, mdx, mdw, mdb;
        FR_RETURN_IF_ERROR(matrix("dy", dy, batch, outputs, dy_rs, &mdy));
        FR_RETURN_IF_ERROR(strided_matrix("x", x, batch, inputs, x_rs, x_cs, &mx));
        FR_RETURN_IF_ERROR(strided_matrix("w", w, inputs, outputs, w_rs, w_cs, &mw));
        FR_RETURN_IF_ERROR(matrix("y", y, batch, outputs, y_rs, &my));
        FR_RETURN_IF_ERROR(optional_matrix("z", z, batch, outputs, z_rs, &mz));
        FR_RETURN_IF_ERROR(optional_matrix("dx", dx, batch, inputs, dx_rs, &mdx));
        FR_RETURN_IF_ERROR(matrix("dw", dw, inputs, outputs, dw_rs, &mdw));
        FR_RETURN_IF_ERROR(optional_vector("db", db, outputs, &mdb));
        Cancel never;
        return dense_backward(never, mdy, mx, mw, my, mz, activation, dropout, mdx, mdw, mdb);
    });
}

template <class T>
fr_status activation_forward_of(int64_t rows, int64_t cols, const T* x, int64_t x_rs, int32_t activation, double alpha,
                                T* y, int64_t y_rs) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("rows", rows));
        FR_RETURN_IF_ERROR(check_size("cols", cols));
        FR_RETURN_IF_ERROR(check_activation_kind("activation", activation));
        Matrix mx, my;
        FR_RETURN_IF_ERROR(matrix("x", x, rows, cols, x_rs, &mx));
        FR_RETURN_IF_ERROR(matrix("y", y, rows, cols, y_rs, &my));
        return activation_forward(mx, {Activation(activation), alpha}, my);
    });
}

template <class T>
fr_status activation_backward_of(int64_t rows, int64_t cols, const T* dy, int64_t dy_rs, const T* x, int64_t x_rs,
                                 int32_t activation, double alpha, T* dx, int64_t dx_rs) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("rows", rows));
        FR_RETURN_IF_ERROR(check_size("cols", cols));
        FR_RETURN_IF_ERROR(check_activation_kind("activation", activation));
        Matrix mdy, mx, mdx;
        FR_RETURN_IF_ERROR(matrix("dy", dy, rows, cols, dy_rs, &mdy));
        FR_RETURN_IF_ERROR(matrix("x", x, rows, cols, x_rs, &mx));
        FR_RETURN_IF_ERROR(matrix("dx", dx, rows, cols, dx_rs, &mdx));
        return activation_backward(mdy, mx, {Activation(activation), alpha}, mdx);
    });
}

template <class T>
fr_status loss_of(int64_t batch, int64_t outputs, const T* y_true, int64_t y_true_rs, const T* y_pred,
                  int64_t y_pred_rs, const T* sample_weight, const fr_loss* options, T* per_row, T* gradient,
                  double* mean) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("batch", batch));
        FR_RETURN_IF_ERROR(check_size("outputs", outputs, 1));
        FR_RETURN_IF_ERROR(check_given("mean", mean));
        LossSpec loss;
        FR_RETURN_IF_ERROR(to_loss(options, &loss));
        const int64_t targets = loss.kind == Loss::sparse_categorical_crossentropy ? 1 : outputs;
        Matrix mt, mp, mw, mr, mg;
        FR_RETURN_IF_ERROR(matrix("y_true", y_true, batch, targets, y_true_rs, &mt));
        FR_RETURN_IF_ERROR(matrix("y_pred", y_pred, batch, outputs, y_pred_rs, &mp));
        FR_RETURN_IF_ERROR(optional_vector("sample_weight", sample_weight, batch, &mw));
        FR_RETURN_IF_ERROR(vector("per_row", per_row, batch, &mr));
        FR_RETURN_IF_ERROR(optional_matrix("gradient", gradient, batch, outputs, outputs, &mg));
        double result = 0.0;
        FR_RETURN_IF_ERROR(loss_forward(mt, mp, mw, loss, mr, mg, &result));
        *mean = result;
        return {};
    });
}

template <class T>
fr_status elastic_net_of(const T* w, int64_t n, double l1, double l2, double* value) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("n", n));
        FR_RETURN_IF_ERROR(check_given("value", value));
        Matrix mw;
        FR_RETURN_IF_ERROR(vector("w", w, n, &mw));
        return elastic_net(mw, l1, l2, value);
    });
}

// The functions from one array of n numbers to another.
template <class T, class F>
fr_status map_of(const char* name, const T* x, int64_t n, T* out, F f) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("n", n));
        Matrix mx, mo;
        FR_RETURN_IF_ERROR(vector(name, x, n, &mx));
        FR_RETURN_IF_ERROR(vector("out", out, n, &mo));
        return f(mx, mo);
    });
}

template <class T>
fr_status elastic_net_gradient_of(const T* w, int64_t n, double l1, double l2, T* out) {
    return map_of("w", w, n, out,
                  [&](const Matrix& mw, const Matrix& mo) { return elastic_net_gradient(mw, l1, l2, mo); });
}

template <class T>
fr_status prox_of(const T* w, int64_t n, double l1, double l2, double step, T* out) {
    return map_of("w", w, n, out, [&](const Matrix& mw, const Matrix& mo) { return prox(mw, l1, l2, step, mo); });
}

template <class T>
fr_status dropout_of(const T* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step, T* out) {
    return map_of("x", x, n, out, [&](const Matrix& mx, const Matrix& mo) -> Status {
        DropoutSpec spec;
        FR_RETURN_IF_ERROR(make_dropout(rate, seed, step, stream, &spec));
        return dropout(mx, spec, mo);
    });
}

template <class T>
fr_status update_of(const fr_optimizer* options, T* w, const T* g, T* const* slots, int64_t n, int64_t step,
                    const fr_penalty* penalty, double* value) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("n", n));
        OptimizerSpec optimizer;
        FR_RETURN_IF_ERROR(to_optimizer(options, &optimizer));
        FR_RETURN_IF_ERROR(check_optimizer(optimizer));  // it says how many slots are read
        PenaltySpec spec;
        if (penalty) {
            FR_RETURN_IF_ERROR(check_given("penalty", penalty));
            FR_RETURN_IF_ERROR(to_penalty("penalty", *penalty, &spec));
        }
        if (value) FR_RETURN_IF_ERROR(check_given("value", value));
        Matrix mw, mg, ms[3];
        FR_RETURN_IF_ERROR(vector("w", w, n, &mw));
        FR_RETURN_IF_ERROR(vector("g", g, n, &mg));
        static const char* const names[] = {"slots[0]", "slots[1]", "slots[2]"};
        const int count = n_slots(optimizer);
        if (count > 0) FR_RETURN_IF_ERROR(check_given("slots", slots));
        for (int i = 0; i < count; ++i) FR_RETURN_IF_ERROR(vector(names[i], slots[i], n, &ms[i]));
        double before = 0.0;
        FR_RETURN_IF_ERROR(update(optimizer, mw, mg, ms, size_t(count), step, spec, &before));
        if (value) *value = before;
        return {};
    });
}

template <class T>
fr_status initialize_of(int32_t kind, double a, double b, uint64_t seed, uint32_t stream, int64_t n, T* out) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("n", n));
        FR_RETURN_IF_ERROR(check_kind("kind", kind, FR_TRUNCATED_NORMAL + 1));
        Matrix mo;
        FR_RETURN_IF_ERROR(vector("out", out, n, &mo));
        Cancel never;
        return initialize(never, Initializer(kind), a, b, seed, stream, mo);
    });
}

}  // namespace

extern "C" {

FASTREG_API fr_status fr_dropout_mask(int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step, int packed,
                                      uint8_t* mask) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_size("n", n));
        FR_RETURN_IF_ERROR(check_flag("packed", packed));
        if (n > 0) FR_RETURN_IF_ERROR(check_given("mask", mask));
        DropoutSpec spec;
        FR_RETURN_IF_ERROR(make_dropout(rate, seed, step, stream, &spec));
        return dropout_mask(n, spec, packed == 1, mask);
    });
}

FASTREG_API int fr_n_slots(const fr_optimizer* options) {
    int n = -1;
    const fr_status status = guarded([&]() -> Status {
        OptimizerSpec optimizer;
        FR_RETURN_IF_ERROR(to_optimizer(options, &optimizer));
        FR_RETURN_IF_ERROR(check_optimizer(optimizer));
        n = n_slots(optimizer);
        return {};
    });
    return status == FR_OK ? n : -1;
}

FR_BOTH(dense_forward,
        (int64_t batch, int64_t inputs, int64_t outputs, const T* x, int64_t x_rs, int64_t x_cs, const T* w,
         int64_t w_rs, int64_t w_cs, const T* b, const fr_dense* options, T* y, int64_t y_rs, T* z, int64_t z_rs),
        (batch, inputs, outputs, x, x_rs, x_cs, w, w_rs, w_cs, b, options, y, y_rs, z, z_rs))
FR_BOTH(dense_backward,
        (int64_t batch, int64_t inputs, int64_t outputs, const T* dy, int64_t dy_rs, const T* x, int64_t x_rs,
         int64_t x_cs, const T* w, int64_t w_rs, int64_t w_cs, const T* y, int64_t y_rs, const T* z, int64_t z_rs,
         const fr_dense* options, T* dx, int64_t dx_rs, T* dw, int64_t dw_rs, T* db),
        (batch, inputs, outputs, dy, dy_rs, x, x_rs, x_cs, w, w_rs, w_cs, y, y_rs, z, z_rs, options, dx, dx_rs, dw,
         dw_rs, db))
FR_BOTH(activation_forward,
        (int64_t rows, int64_t cols, const T* x, int64_t x_rs, int32_t activation, double alpha, T* y, int64_t y_rs),
        (rows, cols, x, x_rs, activation, alpha, y, y_rs))
FR_BOTH(activation_backward,
        (int64_t rows, int64_t cols, const T* dy, int64_t dy_rs, const T* x, int64_t x_rs, int32_t activation,
         double alpha, T* dx, int64_t dx_rs),
        (rows, cols, dy, dy_rs, x, x_rs, activation, alpha, dx, dx_rs))
FR_BOTH(loss,
        (int64_t batch, int64_t outputs, const T* y_true, int64_t y_true_rs, const T* y_pred, int64_t y_pred_rs,
         const T* sample_weight, const fr_loss* options, T* per_row, T* gradient, double* mean),
        (batch, outputs, y_true, y_true_rs, y_pred, y_pred_rs, sample_weight, options, per_row, gradient, mean))
FR_BOTH(elastic_net, (const T* w, int64_t n, double l1, double l2, double* value), (w, n, l1, l2, value))
FR_BOTH(elastic_net_gradient, (const T* w, int64_t n, double l1, double l2, T* out), (w, n, l1, l2, out))
FR_BOTH(prox, (const T* w, int64_t n, double l1, double l2, double step, T* out), (w, n, l1, l2, step, out))
FR_BOTH(dropout, (const T* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step, T* out),
        (x, n, rate, seed, stream, step, out))
FR_BOTH(update,
        (const fr_optimizer* options, T* w, const T* g, T* const* slots, int64_t n, int64_t step,
         const fr_penalty* penalty, double* value),
        (options, w, g, slots, n, step, penalty, value))
FR_BOTH(initialize, (int32_t kind, double a, double b, uint64_t seed, uint32_t stream, int64_t n, T* out),
        (kind, a, b, seed, stream, n, out))

}  // extern "C"
