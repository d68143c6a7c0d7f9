// parameters: a session's weights, optimizer slots and penalties, out as fresh arrays and in as checked ones.
// It must not know what a slot or a penalty means.
#include <pybind11/stl.h>

#include "python/arrays.h"
#include "python/session.h"
#include "python/values.h"

namespace fastreg::python {
namespace {

Shape shape_of(const ParameterInfo& info) {
    return info.name == "bias" ? Shape{info.rows} : Shape{info.rows, info.cols};
}

py::tuple to_items(py::handle list, const Name& name, int64_t count, const char* of_what) {
    const py::tuple items = to_sequence(list, name);
    if (static_cast<int64_t>(items.size()) != count) {
        raise(PyExc_ValueError, name + " has " + std::to_string(items.size()) + " items; the session has " +
                                    std::to_string(count) + " " + of_what);
    }
    return items;
}

std::string out_of(const char* name, int64_t most, int64_t received) {
    return std::string(name) + " must be from 0 to " + std::to_string(most) + ", got " + std::to_string(received);
}

// visit(i, item i) for each; the first error ends it.
template <class Items, class Visit>
Status each(Items& items, Visit visit) {
    for (size_t i = 0; i < items.size(); ++i) FR_RETURN_IF_ERROR(visit(static_cast<int64_t>(i), items[i]));
    return Status();
}

}  // namespace

PySession::Range PySession::range_of(py::handle first, py::handle count) const {
    const auto n = static_cast<int64_t>(core_->parameters().size());
    const Range r{to_int64(first, "first"), count.is_none() ? n : to_int64(count, "count")};
    if (r.first < 0 || r.first > n) raise(PyExc_ValueError, out_of("first", n, r.first));
    if (count.is_none()) return {r.first, n - r.first};
    if (r.count < 0 || r.count > n - r.first) raise(PyExc_ValueError, out_of("count", n - r.first, r.count));
    return r;
}

PySession::Values PySession::new_values(Range range) const {
    Values values;
    for (int64_t i = range.first; i < range.first + range.count; ++i) {
        const ParameterInfo& info = core_->parameters()[static_cast<size_t>(i)];
        py::array array = new_array(core_->dtype(), shape_of(info));
        values.data.push_back(array.mutable_data());
        values.arrays.append(array);
    }
    return values;
}

PySession::Values PySession::given_values(py::handle list, const Name& name, Range range) const {
    ArrayGate gate(core_->dtype(), "the session");
    Values values;
    for (const py::handle item : to_items(list, name, range.count, "parameters")) {
        const size_t i = values.data.size();
        const ParameterInfo& info = core_->parameters()[static_cast<size_t>(range.first) + i];
        const std::string source = ", that of the " + info.name + " of layer " + std::to_string(info.layer);
        values.data.push_back(gate.numbers(item, Name(name, i), shape_of(info), source));
        values.arrays.append(item);
    }
    return values;
}

py::list PySession::parameter_info() {
    const Turn turn(door_);
    py::list list;
    for (const ParameterInfo& info : core_->parameters()) {
        list.append(py::make_tuple(info.name, py::tuple(py::cast(shape_of(info))), info.layer));
    }
    return list;
}

py::list PySession::weights_of(Range range) {
    const Values values = new_values(range);
    run([&] {
        return each(values.data, [&](int64_t i, void* data) { return core_->get(range.first + i, -1, data); });
    });
    return values.arrays;
}

py::list PySession::get_weights(py::handle first, py::handle count) {
    const Turn turn(door_);
    return weights_of(range_of(first, count));
}

void PySession::set_weights(py::handle weights, py::handle first, py::handle count) {
    const Turn turn(door_);
    const Range range = range_of(first, count);
    const Values values = given_values(weights, "weights", range);
    run([&] {
        return each(values.data, [&](int64_t i, const void* data) { return core_->set(range.first + i, -1, data); });
    });
}

py::list PySession::slot_names() {
    const Turn turn(door_);
    py::list names;
    for (int64_t slot = 0; slot < core_->n_slots(); ++slot) names.append(core_->slot_name(slot));
    return names;
}

py::list PySession::get_slots() {
    const Turn turn(door_);
    return slots();
}

py::list PySession::slots() {
    py::list slots;
    for (int64_t slot = 0; slot < core_->n_slots(); ++slot) {
        const Values values = new_values(all());
        run([&] { return each(values.data, [&](int64_t i, void* data) { return core_->get(i, slot, data); }); });
        slots.append(values.arrays);
    }
    return slots;
}

void PySession::set_slots(py::handle slots) {
    const Turn turn(door_);
    std::vector<Values> checked;
    for (const py::handle slot : to_items(slots, "slots", core_->n_slots(), "slots")) {
        checked.push_back(given_values(slot, Name("slots", checked.size()), all()));
    }
    for (size_t k = 0; k < checked.size(); ++k) {
        const auto slot = static_cast<int64_t>(k);
        run([&] {
            return each(checked[k].data, [&](int64_t i, const void* data) { return core_->set(i, slot, data); });
        });
    }
}

py::dict PySession::state() {
    const Turn turn(door_);
    py::dict state;
    state["weights"] = weights_of(all());
    state["slots"] = slots();
    state["step"] = core_->step();
    state["epoch"] = core_->epoch();
    return state;
}

std::vector<double> PySession::penalties() {
    const Turn turn(door_);
    std::vector<double> values(core_->parameters().size());
    run([&] { return each(values, [&](int64_t i, double& value) { return core_->penalty(i, &value); }); });
    return values;
}

std::vector<int64_t> PySession::count_zeros() {
    const Turn turn(door_);
    std::vector<int64_t> counts(core_->parameters().size());
    run([&] { return each(counts, [&](int64_t i, int64_t& count) { return core_->count_zeros(i, &count); }); });
    return counts;
}

void PySession::set_penalty(py::handle parameter, py::handle l1, py::handle l2, py::handle proximal) {
    const Turn turn(door_);
    const int64_t i = to_int64(parameter, "parameter");
    const PenaltySpec penalty{to_double(l1, "l1"), to_double(l2, "l2"), to_bool(proximal, "proximal")};
    run([&] { return core_->set_penalty(i, penalty); });
}

void PySession::set_trainable(py::handle parameter, py::handle trainable) {
    const Turn turn(door_);
    const int64_t i = to_int64(parameter, "parameter");
    const bool is_trainable = to_bool(trainable, "trainable");
    run([&] { return core_->set_trainable(i, is_trainable); });
}

void PySession::set_position(py::handle step, py::handle epoch) {
    const Turn turn(door_);
    raise_if_error(core_->set_position(to_uint64(step, "step"), to_uint64(epoch, "epoch")));
}

void PySession::set_learning_rate(py::handle value) {
    const Turn turn(door_);
    const double rate = to_double(value, "learning_rate");
    run([&] { return core_->set_learning_rates(&rate, 1); });
}

void PySession::set_learning_rates(py::handle values) {
    const Turn turn(door_);
    const Name name("learning_rates");
    std::vector<double> rates;
    for (const py::handle item : to_sequence(values, name)) rates.push_back(to_double(item, Name(name, rates.size())));
    run([&] { return core_->set_learning_rates(rates.data(), static_cast<int64_t>(rates.size())); });
}

}  // namespace fastreg::python
