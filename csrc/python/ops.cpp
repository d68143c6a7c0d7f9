// ops: the kernels on arrays of _core.pyi (updates.cpp has the optimizer steps): arguments to views and specs, the core
// without the GIL, errors back. It must not know a formula, nor which shapes and overlaps an operation accepts: that is
// core/ops.h.
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
    raise_if_error(make_dropout(to_double(rate, "rate"), to_uint64(seed, "seed"), to_uint32(step, "step"),
                                to_uint32(stream, "stream"), &spec));
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
                       py::handle dx, py::handle dw, py::handle db, py::handle dw_transposed) {
    const bool transposed = to_bool(dw_transposed, "dw_transposed");
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
        return dense_backward(cancel, dy_view, x_view, w_view, y_view, z_view, f, drop, dx_view, dw_view, db_view,
                              transposed);
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
    ArrayGate gate = ArrayGate::that_takes_bfloat16();
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
               arg("dw"), arg("db"), arg("dw_transposed") = false, "dx, dw and db from dy.");
    module.def(
        "needs_z",
        [](py::handle activation, py::handle drops) {
            return needs_z(to_activation(activation, py::float_(0.0)), to_bool(drops, "drops"));
        },
        arg("activation"), arg("drops"), "Whether dense_backward needs z.");
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
    module.def("all_finite", &py_all_finite, arg("x"), "Whether no element is NaN or infinite.");
    module.def("math_function", &py_math_function, arg("name"), arg("x"), arg("out"), "out = name(x).");
}

}  // namespace fastreg::python
