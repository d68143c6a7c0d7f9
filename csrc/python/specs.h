// specs: the dicts of _core.pyi to the core's spec structs, by tables of keys and names.
// It must not know sessions or arrays, nor which values make sense: ranges are the core's to check.
#pragma once
#include <pybind11/pybind11.h>

#include <vector>

#include "python/values.h"
#include "rules/spec.h"

namespace fastreg::python {

namespace py = pybind11;

// TypeError: not a dict, an unknown or missing key, a value of the wrong type. ValueError: an unknown name, a number
// out of its type's range. name: how messages call the dict.
ActivationSpec to_activation(py::handle kind, py::handle alpha);
LossSpec to_loss(py::handle value, const Name& name);
OptimizerSpec to_optimizer(py::handle value, const Name& name);
std::vector<LayerSpec> to_layers(py::handle value, const Name& name);

// MetricSpec points at its thresholds, so they travel together.
struct Metrics {
    std::vector<MetricSpec> specs;
    std::vector<std::vector<float>> thresholds;
};
Metrics to_metrics(py::handle value, const Name& name);

}  // namespace fastreg::python
