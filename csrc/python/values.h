// values: Python numbers, booleans and strings to C++, strictly; every error names the argument.
// It must not know specs or arrays, nor what a value means beyond its type and range.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace fastreg::python {

namespace py = pybind11;

// How messages call a value: an argument, an item of a list or the value of a key ("layers[2]['units']"). The text is
// put together when a message needs it, so that calls without errors do not pay for it. A Name refers to what it was
// made from and is only passed down.
class Name {
public:
    Name(const char* argument) : word_(argument) {}
    Name(const Name& list, size_t item) : parent_(&list), item_(item) {}
    Name(const Name& dict, const char* key) : parent_(&dict), word_(key) {}

    std::string text() const;

private:
    const Name* parent_ = nullptr;  // the list or dict
    const char* word_ = nullptr;    // the argument or the key; null: an item
    size_t item_ = 0;
};
inline std::string operator+(const Name& name, const char* words) { return name.text() + words; }
inline std::string operator+(const std::string& words, const Name& name) { return words + name.text(); }

// The type's name, for messages: "got str".
std::string type_name(py::handle value);

// bool is never a number, a number is never a bool. TypeError for another type, ValueError for another range.
bool to_bool(py::handle value, const Name& name);
double to_double(py::handle value, const Name& name);    // int, float and NumPy scalars
int64_t to_int64(py::handle value, const Name& name);    // anything with __index__
int64_t to_size(py::handle value, const Name& name);     // 0 <= value < 2**63
uint64_t to_uint64(py::handle value, const Name& name);  // 0 <= value < 2**64
uint32_t to_uint32(py::handle value, const Name& name);  // 0 <= value < 2**32
int32_t to_int32(py::handle value, const Name& name);
std::string_view to_string(py::handle value, const Name& name);  // as long as value lives

// The items of a list or a tuple, as they are now; TypeError otherwise.
py::tuple to_sequence(py::handle value, const Name& name);

}  // namespace fastreg::python
