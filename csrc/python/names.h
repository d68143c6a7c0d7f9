// names: the words of _core.pyi to the core's enums.
// It must not know the dicts in which the words stand.
#pragma once
#include <pybind11/pybind11.h>

#include <string>

#include "core/ops.h"
#include "rules/spec.h"

namespace fastreg::python {

namespace py = pybind11;

// TypeError: not a str. ValueError: an unknown word; the message lists the known ones. name: how messages call value.
void read(py::handle value, const std::string& name, Activation* out);
void read(py::handle value, const std::string& name, Constraint* out);
void read(py::handle value, const std::string& name, Dtype* out);
void read(py::handle value, const std::string& name, Initializer* out);
void read(py::handle value, const std::string& name, LayerKind* out);
void read(py::handle value, const std::string& name, Loss* out);
void read(py::handle value, const std::string& name, Metric* out);
void read(py::handle value, const std::string& name, Optimizer* out);

}  // namespace fastreg::python
