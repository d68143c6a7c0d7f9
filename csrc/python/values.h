// values: Python numbers, booleans and strings to C++, strictly; every error names the argument.
// It must not know specs or arrays, nor what a value means beyond its type and range.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace fastreg::python {

namespace py = pybind11;

// The type's name, for messages: "got str".
std::string type_name(py::handle value);

// bool is never a number, a number is never a bool. TypeError for another type, ValueError for another range.
bool to_bool(py::handle value, const std::string& name);
double to_double(py::handle value, const std::string& name);    // int, float and NumPy scalars
int64_t to_int64(py::handle value, const std::string& name);    // anything with __index__
int64_t to_size(py::handle value, const std::string& name);     // 0 <= value < 2**63
uint64_t to_uint64(py::handle value, const std::string& name);  // 0 <= value < 2**64
uint32_t to_uint32(py::handle value, const std::string& name);  // 0 <= value < 2**32
int32_t to_int32(py::handle value, const std::string& name);
std::string to_string(py::handle value, const std::string& name);

// The items of a list or a tuple, as they are now; TypeError otherwise.
py::tuple to_sequence(py::handle value, const std::string& name);
// How messages call item i of a list: "layers[2]".
inline std::string item_name(const std::string& name, size_t i) { return name + "[" + std::to_string(i) + "]"; }

}  // namespace fastreg::python
