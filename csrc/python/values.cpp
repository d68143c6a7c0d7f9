// values: the checks behind values.h.
// It must not know specs or arrays, nor what a value means beyond its type and range.
#include "python/values.h"

#include <limits>

#include "python/errors.h"

namespace fastreg::python {
namespace {

[[noreturn]] void wrong_type(py::handle value, const Name& name, const char* expected) {
    raise(PyExc_TypeError, name + " must be " + expected + ", got " + type_name(value));
}

// The exact Python int behind value. Counts only __index__, as Python's own range() does: floats are refused.
py::object to_index(py::handle value, const Name& name) {
    if (PyBool_Check(value.ptr()) || !PyIndex_Check(value.ptr())) wrong_type(value, name, "an int");
    PyObject* index = PyNumber_Index(value.ptr());
    if (!index) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
        PyErr_Clear();
        wrong_type(value, name, "an int");
    }
    return py::reinterpret_steal<py::object>(index);
}

[[noreturn]] void out_of_range(py::handle value, const Name& name, const char* range) {
    raise(PyExc_ValueError, name + " must be in " + range + ", got " + std::string(py::str(value)));
}

int64_t to_ranged(py::handle value, const Name& name, int64_t low, int64_t high, const char* range) {
    const py::object index = to_index(value, name);
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow != 0 || number < low || number > high) out_of_range(value, name, range);
    return number;
}

}  // namespace

std::string Name::text() const {
    if (!parent_) return word_;
    return parent_->text() + (word_ ? "['" + std::string(word_) + "']" : "[" + std::to_string(item_) + "]");
}

std::string type_name(py::handle value) { return Py_TYPE(value.ptr())->tp_name; }

bool to_bool(py::handle value, const Name& name) {
    if (!PyBool_Check(value.ptr())) wrong_type(value, name, "True or False");
    return value.ptr() == Py_True;
}

double to_double(py::handle value, const Name& name) {
    if (PyBool_Check(value.ptr()) || PySequence_Check(value.ptr())) wrong_type(value, name, "a real number");
    const double number = PyFloat_AsDouble(value.ptr());
    if (number == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) raise(PyExc_ValueError, name + " is too large for a float");
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
        wrong_type(value, name, "a real number");
    }
    return number;
}

int64_t to_int64(py::handle value, const Name& name) {
    using Limits = std::numeric_limits<int64_t>;
    return to_ranged(value, name, Limits::min(), Limits::max(), "[-2**63, 2**63)");
}

int64_t to_size(py::handle value, const Name& name) {
    return to_ranged(value, name, 0, std::numeric_limits<int64_t>::max(), "[0, 2**63)");
}

uint64_t to_uint64(py::handle value, const Name& name) {
    const py::object index = to_index(value, name);
    const unsigned long long number = PyLong_AsUnsignedLongLong(index.ptr());
    if (number == static_cast<unsigned long long>(-1) && PyErr_Occurred()) {
        PyErr_Clear();  // OverflowError: negative or too large
        out_of_range(value, name, "[0, 2**64)");
    }
    return number;
}

uint32_t to_uint32(py::handle value, const Name& name) {
    return static_cast<uint32_t>(to_ranged(value, name, 0, std::numeric_limits<uint32_t>::max(), "[0, 2**32)"));
}

int32_t to_int32(py::handle value, const Name& name) {
    using Limits = std::numeric_limits<int32_t>;
    return static_cast<int32_t>(to_ranged(value, name, Limits::min(), Limits::max(), "[-2**31, 2**31)"));
}

std::string_view to_string(py::handle value, const Name& name) {
    if (!PyUnicode_Check(value.ptr())) wrong_type(value, name, "a str");
    Py_ssize_t size = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
    if (!bytes) {  // a lone surrogate
        PyErr_Clear();
        raise(PyExc_ValueError, name + " must be text, got " + std::string(py::repr(value)));
    }
    return {bytes, static_cast<size_t>(size)};
}

py::tuple to_sequence(py::handle value, const Name& name) {
    if (!PyList_Check(value.ptr()) && !PyTuple_Check(value.ptr())) wrong_type(value, name, "a list");
    return py::reinterpret_borrow<py::sequence>(value);  // a list is copied, so that another thread cannot change it
}

}  // namespace fastreg::python
