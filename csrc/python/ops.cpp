// ops: the kernels on arrays of _core.pyi: arguments to views and specs, the core without the GIL, errors back.
// It must not know a formula, nor which shapes and overlaps an operation accepts: that is core/ops.h.
#include "core/ops.h"

#include "python/arrays.h"
#include "python/errors.h"
#include "python/module.h"
#include "python/specs.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

constexpr Access kWrite = Access::write;

DropoutSpec to_dropout(py::handle rate, py::handle seed, py::handle step, py::handle stream) {
    DropoutSpec spec;
    raise_if_error(make_dropout(to_double(rate, "rate"), to_uint64(seed, "seed"), to_uint64(step, "step"),
                                to_uint64(stream, "stream"), &spec));
    return spec;
}

void py_dense_forward(py::handle x, py::handle w, py::handle b, py::handle activation, py::handle alpha,
                      py::handle rate, py::handle seed, py::handle step, py::handle stream, py::handle out,
                      py::handle z_out) {
    ArrayGate gate;
    const Matrix x_view = gate.matrix({x, "x"}, Layout::strided);
    const Matrix w_view = gate.matrix({w, "w"}, Layout::strided);
    const Matrix b_view = gate.optional_vector({b, "b"});
    const Matrix out_view = gate.matrix({out, "out", kWrite}, Layout::rows);
    const Matrix z_view = gate.optional_matrix({z_out, "z_out", kWrite}, Layout::rows);
    const ActivationSpec f = to_activation(activation, alpha);
    const DropoutSpec drop = to_dropout(rate, seed, step, stream);
    run_interruptible(
        [&](Cancel& cancel) { return dense_forward(cancel, x_view, w_view, b_view, f, drop, out_view, z_view); });
}

void py_dense_backward(py::handle dy, py::handle x, py::handle w, py::handle y, py::handle z, py::handle activation,
                       py::handle alpha, py::handle rate, py::handle seed, py::handle step, py::handle stream,
                       py::handle dx, py::handle dw, py::handle db) {
    ArrayGate gate;
    const Matrix dy_view = gate.matrix({dy, "dy"}, Layout::rows);
    const Matrix x_view = gate.matrix({x, "x"}, Layout::strided);
    const Matrix w_view = gate.matrix({w, "w"}, Layout::strided);
    const Matrix y_view = gate.matrix({y, "y"}, Layout::rows);
    const Matrix z_view = gate.optional_matrix({z, "z"}, Layout::rows);
    const Matrix dx_view = gate.optional_matrix({dx, "dx", kWrite}, Layout::rows);
    const Matrix dw_view = gate.matrix({dw, "dw", kWrite}, Layout::rows);
    const Matrix db_view = gate.optional_vector({db, "db", kWrite});
    const ActivationSpec f = to_activation(activation, alpha);
    const DropoutSpec drop = to_dropout(rate, seed, step, stream);
    run_interruptible([&](Cancel& cancel) {
        return dense_backward(cancel, dy_view, x_view, w_view, y_view, z_view, f, drop, dx_view, dw_view, db_view);
    });
}

void py_activation_forward(py::handle x, py::handle activation, py::handle alpha, py::handle out) {
    const ActivationSpec f = to_activation(activation, alpha);
    ArrayGate gate;
    const auto views = gate.elementwise({{x, "x"}, {out, "out", kWrite}}, Layout::rows, f.kind == Activation::softmax);
    run([&] { return activation_forward(views[0], f, views[1]); });
}

void py_activation_backward(py::handle dy, py::handle x, py::handle activation, py::handle alpha, py::handle out) {
    const ActivationSpec f = to_activation(activation, alpha);
    ArrayGate gate;
    const auto views =
        gate.elementwise({{dy, "dy"}, {x, "x"}, {out, "out", kWrite}}, Layout::rows, f.kind == Activation::softmax);
    run([&] { return activation_backward(views[0], views[1], f, views[2]); });
}

double py_loss_forward(py::handle y_true, py::handle y_pred, py::handle sample_weight, py::handle loss,
                       py::handle per_row, py::handle gradient) {
    ArrayGate gate;
    const Matrix true_view = gate.matrix({y_true, "y_true"}, Layout::rows);
    const Matrix pred_view = gate.matrix({y_pred, "y_pred"}, Layout::rows);
    const Matrix weight_view = gate.optional_vector({sample_weight, "sample_weight"});
    const Matrix row_view = gate.vector({per_row, "per_row", kWrite});
    const Matrix gradient_view = gate.optional_matrix({gradient, "gradient", kWrite}, Layout::rows);
    const LossSpec spec = to_loss(loss, "loss");
    double mean = 0.0;
    run([&] { return loss_forward(true_view, pred_view, weight_view, spec, row_view, gradient_view, &mean); });
    return mean;
}

void py_dropout(py::handle x, py::handle rate, py::handle seed, py::handle step, py::handle stream, py::handle out) {
    ArrayGate gate;
    const auto views = gate.elementwise({{x, "x"}, {out, "out", kWrite}});
    const DropoutSpec spec = to_dropout(rate, seed, step, stream);
    run([&] { return dropout(views[0], spec, views[1]); });
}

py::array py_dropout_mask(py::handle n, py::handle rate, py::handle seed, py::handle step, py::handle stream,
                          py::handle packed) {
    const int64_t decisions = to_size(n, "n");
    const DropoutSpec spec = to_dropout(rate, seed, step, stream);
    const bool as_bits = to_bool(packed, "packed");
    py::array_t<uint8_t> mask(as_bits ? decisions / 8 + (decisions % 8 != 0) : decisions);
    uint8_t* bytes = mask.mutable_data();
    run([&] { return dropout_mask(decisions, spec, as_bits, bytes); });
    return mask;
}

double py_elastic_net(py::handle w, py::handle l1, py::handle l2) {
    ArrayGate gate;
    const Matrix view = gate.flat({w, "w"});
    const double l1_value = to_double(l1, "l1"), l2_value = to_double(l2, "l2");
    double value = 0.0;
    run([&] { return elastic_net(view, l1_value, l2_value, &value); });
    return value;
}

void py_elastic_net_gradient(py::handle w, py::handle l1, py::handle l2, py::handle out) {
    ArrayGate gate;
    const auto views = gate.elementwise({{w, "w"}, {out, "out", kWrite}});
    const double l1_value = to_double(l1, "l1"), l2_value = to_double(l2, "l2");
    run([&] { return elastic_net_gradient(views[0], l1_value, l2_value, views[1]); });
}

void py_prox(py::handle w, py::handle l1, py::handle l2, py::handle step, py::handle out) {
    ArrayGate gate;
    const auto views = gate.elementwise({{w, "w"}, {out, "out", kWrite}});
    const double l1_value = to_double(l1, "l1"), l2_value = to_double(l2, "l2"), size = to_double(step, "step");
    run([&] { return prox(views[0], l1_value, l2_value, size, views[1]); });
}

// arrays: w, g and the optimizer's slots.
double update_arrays(const OptimizerSpec& spec, const std::vector<ArrayArgument>& arrays, py::handle step,
                     py::handle l1, py::handle l2, py::handle proximal) {
    std::vector<Matrix> views(arrays.size());
    ArrayGate().elementwise(arrays.data(), arrays.size(), Layout::contiguous, false, views.data());
    const int64_t count = to_int64(step, "step");
    const PenaltySpec penalty{to_double(l1, "l1"), to_double(l2, "l2"), to_bool(proximal, "proximal")};
    double value = 0.0;
    run([&] { return update(spec, views[0], views[1], views.data() + 2, views.size() - 2, count, penalty, &value); });
    return value;
}

double py_update(py::handle optimizer, py::handle w, py::handle g, py::handle slots, py::handle step, py::handle l1,
                 py::handle l2, py::handle proximal) {
    const OptimizerSpec spec = to_optimizer(optimizer, "optimizer");
    const py::tuple slot_arrays = to_sequence(slots, "slots");
    std::vector<std::string> names;
    for (size_t i = 0; i < slot_arrays.size(); ++i) names.push_back(Name("slots", i).text());
    std::vector<ArrayArgument> arrays = {{w, "w", kWrite}, {g, "g"}};
    for (size_t i = 0; i < names.size(); ++i) arrays.push_back({slot_arrays[i], names[i].c_str(), kWrite});
    return update_arrays(spec, arrays, step, l1, l2, proximal);
}

// The next two are py_update without the dict, which takes longer to read than a small layer to update.
double py_sgd_update(py::handle w, py::handle g, py::handle velocity, py::handle learning_rate, py::handle momentum,
                     py::handle nesterov, py::handle weight_decay, py::handle l1, py::handle l2, py::handle proximal) {
    OptimizerSpec spec;
    spec.kind = Optimizer::sgd;
    spec.learning_rate = to_double(learning_rate, "learning_rate");
    spec.momentum = to_double(momentum, "momentum");
    spec.nesterov = to_bool(nesterov, "nesterov");
    spec.weight_decay = to_double(weight_decay, "weight_decay");
    std::vector<ArrayArgument> arrays = {{w, "w", kWrite}, {g, "g"}};
    if (!velocity.is_none()) arrays.push_back({velocity, "velocity", kWrite});
    return update_arrays(spec, arrays, py::int_(1), l1, l2, proximal);
}

double py_adam_update(py::handle w, py::handle g, py::handle m, py::handle v, py::handle step, py::handle learning_rate,
                      py::handle beta_1, py::handle beta_2, py::handle epsilon, py::handle weight_decay, py::handle l1,
                      py::handle l2, py::handle proximal) {
    OptimizerSpec spec;
    spec.kind = Optimizer::adam;
    spec.learning_rate = to_double(learning_rate, "learning_rate");
    spec.beta_1 = to_double(beta_1, "beta_1");
    spec.beta_2 = to_double(beta_2, "beta_2");
    spec.epsilon = to_double(epsilon, "epsilon");
    spec.weight_decay = to_double(weight_decay, "weight_decay");
    return update_arrays(spec, {{w, "w", kWrite}, {g, "g"}, {m, "m", kWrite}, {v, "v", kWrite}}, step, l1, l2,
                         proximal);
}

bool py_all_finite(py::handle x) {
    ArrayGate gate;
    const Matrix view = gate.flat({x, "x"}, Layout::any_order);
    bool result = false;
    run([&] { return all_finite(view, &result); });
    return result;
}

void py_math_function(py::handle name, py::handle x, py::handle out) {
    const std::string function(to_string(name, "name"));
    ArrayGate gate;
    const auto views = gate.elementwise({{x, "x"}, {out, "out", kWrite}}, Layout::contiguous);
    run([&] { return math_function(function, views[0], views[1]); });
}

}  // namespace

void bind_ops(py::module_& module) {
    using py::arg;
    module.def("dense_forward", &py_dense_forward, arg("x"), arg("w"), arg("b"), arg("activation"), arg("alpha"),
               arg("rate"), arg("seed"), arg("step"), arg("stream"), arg("out"), arg("z_out"),
               "out = dropout(activation(x @ w + b)).");
    module.def("dense_backward", &py_dense_backward, arg("dy"), arg("x"), arg("w"), arg("y"), arg("z"),
               arg("activation"), arg("alpha"), arg("rate"), arg("seed"), arg("step"), arg("stream"), arg("dx"),
               arg("dw"), arg("db"), "dx, dw and db from dy.");
    module.def("activation_forward", &py_activation_forward, arg("x"), arg("activation"), arg("alpha"), arg("out"),
               "out = activation(x).");
    module.def("activation_backward", &py_activation_backward, arg("dy"), arg("x"), arg("activation"), arg("alpha"),
               arg("out"), "out = dL/dx, from dy = dL/d activation(x).");
    module.def("loss_forward", &py_loss_forward, arg("y_true"), arg("y_pred"), arg("sample_weight"), arg("loss"),
               arg("per_row"), arg("gradient"), "The mean loss; per_row and gradient are written.");
    module.def("dropout", &py_dropout, arg("x"), arg("rate"), arg("seed"), arg("step"), arg("stream"), arg("out"),
               "out = x, dropped and scaled.");
    module.def("dropout_mask", &py_dropout_mask, arg("n"), arg("rate"), arg("seed"), arg("step"), arg("stream"),
               arg("packed"), "The decisions of dropout: 1 keeps.");
    module.def("elastic_net", &py_elastic_net, arg("w"), arg("l1"), arg("l2"), "l1 * sum|w| + l2 * sum(w^2).");
    module.def("elastic_net_gradient", &py_elastic_net_gradient, arg("w"), arg("l1"), arg("l2"), arg("out"),
               "out = l1 * sign(w) + 2 * l2 * w.");
    module.def("prox", &py_prox, arg("w"), arg("l1"), arg("l2"), arg("step"), arg("out"),
               "out = the proximal step of elastic_net from w.");
    module.def("update", &py_update, arg("optimizer"), arg("w"), arg("g"), arg("slots"), arg("step"), arg("l1"),
               arg("l2"), arg("proximal"), "One optimizer step in place; returns the penalty of w before it.");
    module.def("sgd_update", &py_sgd_update, arg("w"), arg("g"), arg("velocity"), arg("learning_rate"), arg("momentum"),
               arg("nesterov"), arg("weight_decay"), arg("l1"), arg("l2"), arg("proximal"),
               "update by sgd; velocity is None without momentum.");
    module.def("adam_update", &py_adam_update, arg("w"), arg("g"), arg("m"), arg("v"), arg("step"),
               arg("learning_rate"), arg("beta_1"), arg("beta_2"), arg("epsilon"), arg("weight_decay"), arg("l1"),
               arg("l2"), arg("proximal"), "update by adam.");
    module.def("all_finite", &py_all_finite, arg("x"), "Whether no element is NaN or infinite.");
    module.def("math_function", &py_math_function, arg("name"), arg("x"), arg("out"), "out = name(x), for tests.");
}

}  // namespace fastreg::python
