// module: what each file of this room adds to the module _core.
// It must not know how.
#pragma once
#include <pybind11/pybind11.h>

namespace fastreg::python {

void bind_arrays(pybind11::module_& module);
void bind_session(pybind11::module_& module);
void bind_ops(pybind11::module_& module);
void bind_updates(pybind11::module_& module);
void bind_random(pybind11::module_& module);

}  // namespace fastreg::python
