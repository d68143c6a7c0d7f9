// session: how a session is made, compiled, trained and asked: in from Python, to the core without the GIL, and back.
// It must not know the order of a training step or any formula: that is core/session.h and below.
#include "python/session.h"

#include <pybind11/stl.h>

#include <utility>

#include "python/arrays.h"
#include "python/module.h"
#include "python/names.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

// The integers of a contiguous 1-D array, and how many there are.
template <class Int>
std::pair<const Int*, int64_t> to_integers(py::handle value, const char* name) {
    using Integers = py::array_t<Int, py::array::c_style>;
    if (!py::isinstance<Integers>(value)) {
        raise(PyExc_TypeError, std::string(name) + " must be a contiguous array of int" +
                                   std::to_string(8 * sizeof(Int)) + ", got " + type_name(value));
    }
    const auto array = py::reinterpret_borrow<Integers>(value);
    if (array.ndim() != 1) raise(PyExc_ValueError, std::string(name) + " must have 1 dimension");
    if (reinterpret_cast<uintptr_t>(array.data()) % sizeof(Int) != 0)
        raise(PyExc_ValueError, std::string(name) + " must be aligned");
    return {array.data(), array.size()};
}

// x as the rows of a matrix, or as a tuple (starts, columns, values, features). See csrc/core/session.h.
DataView to_rows(ArrayGate* gate, py::handle x) {
    DataView view;
    if (!py::isinstance<py::tuple>(x)) {
        const Matrix dense = gate->matrix({x, "x"}, Layout::contiguous);
        view.x = dense.data;
        view.rows = dense.rows;
        view.x_cols = dense.cols;
        return view;
    }
    const auto parts = py::reinterpret_borrow<py::tuple>(x);
    if (parts.size() != 4) raise(PyExc_ValueError, "a sparse x must be (starts, columns, values, features)");
    const auto [starts, n_starts] = to_integers<int64_t>(parts[0], "the starts of x");
    const auto [columns, n_elements] = to_integers<int32_t>(parts[1], "the columns of x");
    if (n_starts < 1) raise(PyExc_ValueError, "the starts of x must be one more than its rows");
    view.sparse_x = {starts, columns, gate->numbers(parts[2], "the values of x", {n_elements}, ", one for each column"),
                     n_elements};
    view.rows = n_starts - 1;
    view.x_cols = to_size(parts[3], "the features of x");
    return view;
}

DataSet to_data(Dtype dtype, py::handle x, py::handle y, py::handle sample_weight) {
    ArrayGate gate(dtype, "the session");
    DataView view = to_rows(&gate, x);
    const Matrix y_view = gate.matrix({y, "y"}, Layout::contiguous);
    if (y_view.rows != view.rows) {
        raise(PyExc_ValueError, "y has " + std::to_string(y_view.rows) + " rows; x has " + std::to_string(view.rows));
    }
    view.y = y_view.data;
    view.y_cols = y_view.cols;
    if (!sample_weight.is_none()) {
        view.sample_weight = gate.numbers(sample_weight, "sample_weight", {view.rows}, ", one for each row of x");
    }
    const auto keep = [](py::handle value) { return py::reinterpret_borrow<py::object>(value); };
    return {keep(x), keep(y), keep(sample_weight), view};
}

py::dict to_dict(const Totals& totals) {
    py::list metrics;
    for (const std::vector<double>& sums : totals.metrics) {
        metrics.append(py::array_t<double>(static_cast<py::ssize_t>(sums.size()), sums.data()));
    }
    py::dict dict;
    dict["loss"] = totals.loss;
    dict["data_loss"] = totals.data_loss;
    dict["penalty"] = totals.penalty;
    dict["rows"] = totals.rows;
    dict["steps"] = totals.steps;
    dict["finished"] = totals.finished;
    dict["nonfinite"] = totals.nonfinite;
    dict["metrics"] = metrics;
    return dict;
}

}  // namespace

PySession::PySession(py::handle layers, py::handle input_units, py::handle dtype, py::handle seed, py::handle device,
                     py::handle precision) {
    ModelSpec spec;
    spec.layers = to_layers(layers, "layers");
    spec.input_units = to_size(input_units, "input_units");
    read(dtype, "dtype", &spec.dtype);
    spec.seed = to_uint64(seed, "seed");
    read(device, "device", &spec.device);
    read(precision, "precision", &spec.precision);
    run([&] { return Session::create(spec, &core_); });
}

void PySession::compile(py::handle loss, py::handle optimizer, py::handle metrics) {
    const Turn turn(door_);
    const LossSpec loss_spec = to_loss(loss, "loss");
    const OptimizerSpec optimizer_spec = to_optimizer(optimizer, "optimizer");
    const Metrics wanted = to_metrics(metrics, "metrics");
    run([&] { return core_->compile(loss_spec, optimizer_spec, wanted.specs); });
    epoch_data_.reset();
}

void PySession::begin_epoch(py::handle x, py::handle y, py::handle sample_weight, py::handle batch_size,
                            py::handle shuffle, py::handle fresh) {
    const Turn turn(door_);
    DataSet data = to_data(core_->dtype(), x, y, sample_weight);
    const int64_t size = to_size(batch_size, "batch_size");
    const bool shuffled = to_bool(shuffle, "shuffle"), is_fresh = to_bool(fresh, "fresh");
    epoch_data_.reset();
    run_interruptible([&](Cancel& cancel) { return core_->begin_epoch(cancel, data.view, size, shuffled, is_fresh); });
    epoch_data_ = std::move(data);
}

// An epoch ends when it has finished or failed, and lets go of its arrays.
py::dict PySession::run_steps(py::handle max_steps, py::handle stop_on_nonfinite) {
    const Turn turn(door_);
    const int64_t steps = to_int64(max_steps, "max_steps");
    const bool stop = to_bool(stop_on_nonfinite, "stop_on_nonfinite");
    if (!epoch_data_) raise(PyExc_RuntimeError, "run_steps needs an epoch: call begin_epoch first");
    Totals totals;
    const Status status = interruptible([&](Cancel& cancel) { return core_->run_steps(cancel, steps, stop, &totals); });
    std::optional<DataSet> ended;  // goes after the pending error, if any, has been taken up
    if (totals.finished || !status.ok()) epoch_data_.swap(ended);
    raise_if_error(status);
    return to_dict(totals);
}

void PySession::end_epoch() {
    const Turn turn(door_);
    epoch_data_.reset();
}

py::dict PySession::train_batch(py::handle x, py::handle y, py::handle sample_weight) {
    const Turn turn(door_);
    const DataSet data = to_data(core_->dtype(), x, y, sample_weight);
    Totals totals;
    run_interruptible([&](Cancel& cancel) { return core_->train_batch(cancel, data.view, &totals); });
    return to_dict(totals);
}

py::dict PySession::evaluate(py::handle x, py::handle y, py::handle sample_weight, py::handle fresh) {
    const Turn turn(door_);
    const DataSet data = to_data(core_->dtype(), x, y, sample_weight);
    const bool is_fresh = to_bool(fresh, "fresh");
    Totals totals;
    run_interruptible([&](Cancel& cancel) { return core_->evaluate(cancel, data.view, &totals, is_fresh); });
    return to_dict(totals);
}

void PySession::predict(py::handle x, py::handle out) {
    const Turn turn(door_);
    ArrayGate gate(core_->dtype(), "the session");
    const DataView data = to_rows(&gate, x);
    void* out_numbers =
        gate.numbers(out, "out", {data.rows, core_->output_units()}, ", (rows of x, output_units)", Access::write);
    run_interruptible([&](Cancel& cancel) { return core_->predict(cancel, data, out_numbers); });
}

void bind_session(py::module_& module) {
    using py::arg;
    py::class_<PySession>(module, "Session", "A model being trained.")
        .def(py::init<py::handle, py::handle, py::handle, py::handle, py::handle, py::handle>(), arg("layers"),
             arg("input_units"), arg("dtype"), arg("seed"), arg("device") = "cpu", arg("precision") = "exact")
        .def("compile", &PySession::compile, arg("loss"), arg("optimizer"), arg("metrics"),
             "Set loss, optimizer and metrics; resets the optimizer's slots and the step.")
        .def("begin_epoch", &PySession::begin_epoch, arg("x"), arg("y"), arg("sample_weight"), arg("batch_size"),
             arg("shuffle"), arg("fresh") = true, "Start an epoch over x and y.")
        .def("run_steps", &PySession::run_steps, arg("max_steps") = -1, arg("stop_on_nonfinite") = false,
             "Run batches of the epoch; returns its totals so far.")
        .def("end_epoch", &PySession::end_epoch, "Let go of the epoch's arrays, also before it has finished.")
        .def("train_batch", &PySession::train_batch, arg("x"), arg("y"), arg("sample_weight"), "One step on one batch.")
        .def("evaluate", &PySession::evaluate, arg("x"), arg("y"), arg("sample_weight"), arg("fresh") = true,
             "Totals of loss and metrics, without training.")
        .def("predict", &PySession::predict, arg("x"), arg("out"), "Write the outputs for x to out.")
        .def("parameter_info", &PySession::parameter_info, "(name, shape, layer) of every parameter.")
        .def("get_weights", &PySession::get_weights, arg("first") = 0, arg("count") = py::none(),
             "Copies of `count` parameters from `first` on; None: of all that remain.")
        .def("set_weights", &PySession::set_weights, arg("weights"), arg("first") = 0, arg("count") = py::none(),
             "Replace `count` parameters from `first` on; None: all that remain.")
        .def("slot_names", &PySession::slot_names, "The optimizer's slots.")
        .def("get_slots", &PySession::get_slots, "Copies of the optimizer's state: [slot][parameter].")
        .def("set_slots", &PySession::set_slots, arg("slots"), "Replace the optimizer's state.")
        .def("state", &PySession::state, "Weights, slots, step and epoch, all of one moment.")
        .def("penalties", &PySession::penalties, "The penalty value of every parameter.")
        .def("count_zeros", &PySession::count_zeros, "How many values of every parameter are 0.")
        .def("set_penalty", &PySession::set_penalty, arg("parameter"), arg("l1"), arg("l2"), arg("proximal"),
             "Change the penalty of one parameter.")
        .def("set_trainable", &PySession::set_trainable, arg("parameter"), arg("trainable"),
             "Freeze one parameter, which then adds no penalty, or train it again.")
        .def("set_position", &PySession::set_position, arg("step"), arg("epoch"), "Resume counting from here.")
        .def_property("learning_rate", PySession::getter(&Session::learning_rate), &PySession::set_learning_rate)
        .def("set_learning_rates", &PySession::set_learning_rates, arg("learning_rates"),
             "Those of the coming steps; later ones take the last.")
        .def_property_readonly("step", PySession::getter(&Session::step))
        .def_property_readonly("epoch", PySession::getter(&Session::epoch))
        .def_property_readonly("seed", PySession::getter(&Session::seed))
        .def_property_readonly("output_units", PySession::getter(&Session::output_units));
}

}  // namespace fastreg::python
