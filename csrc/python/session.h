// session: the class Session of _core.pyi, whose methods are in session.cpp (training) and parameters.cpp (state).
// It must not know the order of a training step or any formula: that is core/session.h and below.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/session.h"
#include "python/errors.h"
#include "python/specs.h"
#include "python/turn.h"

namespace fastreg::python {

namespace py = pybind11;

// A data set: the core's view, and the arrays that it points into.
struct DataSet {
    py::object x, y, sample_weight;
    DataView view;
};

// Arguments are Python objects, each converted and checked by its name.
class PySession {
public:
    PySession(py::handle layers, py::handle input_units, py::handle dtype, py::handle seed, py::handle device,
              py::handle precision);

    void compile(py::handle loss, py::handle optimizer, py::handle metrics);
    void begin_epoch(py::handle x, py::handle y, py::handle sample_weight, py::handle batch_size, py::handle shuffle,
                     py::handle fresh);
    py::dict run_steps(py::handle max_steps, py::handle stop_on_nonfinite);
    void end_epoch();
    py::dict train_batch(py::handle x, py::handle y, py::handle sample_weight);
    py::dict evaluate(py::handle x, py::handle y, py::handle sample_weight, py::handle fresh);
    void predict(py::handle x, py::handle out);

    py::list parameter_info();
    py::list get_weights(py::handle first, py::handle count);
    void set_weights(py::handle weights, py::handle first, py::handle count);
    py::list slot_names();
    py::list get_slots();
    void set_slots(py::handle slots);
    py::dict state();
    std::vector<double> penalties();
    std::vector<int64_t> count_zeros();
    void set_trainable(py::handle parameter, py::handle trainable);
    void set_penalty(py::handle parameter, py::handle l1, py::handle l2, py::handle proximal);
    void set_position(py::handle step, py::handle epoch);
    void set_learning_rate(py::handle value);
    void set_learning_rates(py::handle values);

    template <class Value>
    static auto getter(Value (Session::*get)() const) {
        return [get](PySession& self) {
            const Turn turn(self.door_);
            return (self.core_.get()->*get)();
        };
    }

private:
    // An array for every parameter, and where its numbers are.
    struct Values {
        py::list arrays;
        std::vector<void*> data;
    };

    // Parameters [first, first + count).
    struct Range {
        int64_t first, count;
    };

    Range all() const { return {0, static_cast<int64_t>(core_->parameters().size())}; }
    Range range_of(py::handle first, py::handle count) const;
    Values new_values(Range range) const;
    Values given_values(py::handle list, const Name& name, Range range) const;
    py::list weights_of(Range range);
    py::list slots();

    std::unique_ptr<Session> core_;
    Door door_;
    std::optional<DataSet> epoch_data_;  // alive while core_ may read it
};

}  // namespace fastreg::python
