// updates: the optimizer steps on arrays of _core.pyi, of one parameter or of many in one call.
// It must not know a formula, nor which arrays a step accepts: that is core/ops.h.
#include <string>
#include <utility>
#include <vector>

#include "core/ops.h"
#include "python/arrays.h"
#include "python/errors.h"
#include "python/module.h"
#include "python/specs.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

constexpr Access kWrite = Access::write;

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

// A list with an item for each weight.
py::tuple to_items(py::handle value, const Name& name, size_t n) {
    const py::tuple items = to_sequence(value, name);
    if (items.size() != n)
        raise(PyExc_ValueError, name + " must hold " + std::to_string(n) + " items, one for each of weights, got " +
                                    std::to_string(items.size()));
    return items;
}

PenaltySpec to_penalty(py::handle value, const Name& name) {
    const py::tuple terms = to_sequence(value, name);
    if (terms.size() != 3)
        raise(PyExc_ValueError, name + " must hold 3 items, l1, l2 and proximal, got " + std::to_string(terms.size()));
    const Name l1(name, size_t(0)), l2(name, size_t(1)), proximal(name, size_t(2));
    return {to_double(terms[0], l1), to_double(terms[1], l2), to_bool(terms[2], proximal)};
}

// What the core calls slot k; no optimizer has more than 3, and it says so.
const char* slot_name(size_t k) {
    static const char* const names[] = {"slots[0]", "slots[1]", "slots[2]"};
    return names[k < 3 ? k : 2];
}

// The lists of update_many. Each is a copy, which keeps its arrays while the caller's list may change.
struct UpdateLists {
    py::tuple weights, gradients;
    std::vector<py::tuple> slots;
};

// The arrays of parameter i; slots receives the views that the result points at.
UpdateArrays to_arrays(const UpdateLists& lists, size_t i, ArrayGate* gate, std::vector<Matrix>* slots) {
    const Name w_list("weights"), g_list("gradients"), s_list("slots");
    const Name w_name(w_list, i), s_name(s_list, i);
    const py::handle w = lists.weights[i];
    const auto view = [&](py::handle value, const Name& name, Access access, const char* word) {
        Matrix m = gate->item(value, name, access, w, w_name);
        m.name = word;
        return m;
    };
    UpdateArrays arrays;
    arrays.w = view(w, w_name, kWrite, "w");
    arrays.g = view(lists.gradients[i], Name(g_list, i), Access::read, "g");
    for (size_t k = 0; k < lists.slots[i].size(); ++k)
        slots->push_back(view(lists.slots[i][k], Name(s_name, k), kWrite, slot_name(k)));
    arrays.slots = slots->data();
    arrays.n_slots = slots->size();
    return arrays;
}

// The arrays that may be given for parameters in GPU memory.
UpdateOnGpu to_on_gpu(py::handle values, py::handle clock) {
    ArrayGate gate(Dtype::f64, "penalties");
    UpdateOnGpu arrays;
    arrays.penalties = gate.optional_vector({values, "values", kWrite});
    arrays.clock = gate.optional_vector({clock, "clock"});
    return arrays;
}

py::object py_update_many(py::handle optimizer, py::handle weights, py::handle gradients, py::handle slots,
                          py::handle step, py::handle penalties, py::handle values_out, py::handle clock) {
    const OptimizerSpec spec = to_optimizer(optimizer, "optimizer");
    const Name s_list("slots"), p_list("penalties");
    UpdateLists lists;
    lists.weights = to_sequence(weights, "weights");
    const size_t n = lists.weights.size();
    lists.gradients = to_items(gradients, "gradients", n);
    const py::tuple slot_lists = to_items(slots, s_list, n), terms = to_items(penalties, p_list, n);
    for (size_t i = 0; i < n; ++i) lists.slots.push_back(to_sequence(slot_lists[i], Name(s_list, i)));
    const int64_t count = to_int64(step, "step");
    ArrayGate gate;
    std::vector<UpdateArrays> parameters;
    std::vector<std::vector<Matrix>> views(n);
    for (size_t i = 0; i < n; ++i) {
        parameters.push_back(to_arrays(lists, i, &gate, &views[i]));
        parameters[i].penalty = to_penalty(terms[i], Name(p_list, i));
    }
    const UpdateOnGpu on_gpu = to_on_gpu(values_out, clock);
    std::vector<double> values(n);
    run([&] { return update_many(spec, parameters.data(), n, count, values.data(), on_gpu); });
    if (on_gpu.penalties) return py::none();
    py::list result;
    for (const double value : values) result.append(value);
    return std::move(result);
}

}  // namespace

void bind_updates(py::module_& module) {
    using py::arg;
    module.def("update", &py_update, arg("optimizer"), arg("w"), arg("g"), arg("slots"), arg("step"), arg("l1"),
               arg("l2"), arg("proximal"), "One optimizer step in place; returns the penalty of w before it.");
    module.def("sgd_update", &py_sgd_update, arg("w"), arg("g"), arg("velocity"), arg("learning_rate"), arg("momentum"),
               arg("nesterov"), arg("weight_decay"), arg("l1"), arg("l2"), arg("proximal"),
               "update by sgd; velocity is None without momentum.");
    module.def("adam_update", &py_adam_update, arg("w"), arg("g"), arg("m"), arg("v"), arg("step"),
               arg("learning_rate"), arg("beta_1"), arg("beta_2"), arg("epsilon"), arg("weight_decay"), arg("l1"),
               arg("l2"), arg("proximal"), "update by adam.");
    module.def("update_many", &py_update_many, arg("optimizer"), arg("weights"), arg("gradients"), arg("slots"),
               arg("step"), arg("penalties"), arg("values") = py::none(), arg("clock") = py::none(),
               "update for many arrays at once; returns the penalty of each before it.");
}

}  // namespace fastreg::python
