// names: the words of _core.pyi to the core's enums.
// It must not know the dicts in which the words stand.
#pragma once
#include <pybind11/pybind11.h>

#include "core/ops.h"
#include "python/values.h"
#include "rules/spec.h"

namespace fastreg::python {

namespace py = pybind11;

// TypeError: not a str. ValueError: an unknown word; the message lists the known ones. name: how messages call value.
void read(py::handle value, const Name& name, Activation* out);
void read(py::handle value, const Name& name, Constraint* out);
void read(py::handle value, const Name& name, Device* out);
void read(py::handle value, const Name& name, Dtype* out);
void read(py::handle value, const Name& name, Initializer* out);
void read(py::handle value, const Name& name, LayerKind* out);
void read(py::handle value, const Name& name, Loss* out);
void read(py::handle value, const Name& name, Metric* out);
void read(py::handle value, const Name& name, Optimizer* out);
void read(py::handle value, const Name& name, Precision* out);

}  // namespace fastreg::python
