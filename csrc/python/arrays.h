// arrays: NumPy arrays to the core's views, never copied. Checked in this order: an ndarray, its dtype, its shape, its
// layout, writeable. It must not know what a call computes: overlap and what shapes mean are the core's to check.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/ops.h"
#include "core/session.h"
#include "python/values.h"

namespace fastreg::python {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

const char* dtype_name(Dtype dtype);
py::array new_array(Dtype dtype, const Shape& shape);  // C-contiguous, not initialised

// strided: any strides that are whole elements. rows: contiguous, or 2-D with contiguous rows, or 1-D with a positive
// stride. contiguous: C order. any_order: C or Fortran order.
enum class Layout { strided, rows, contiguous, any_order };
enum class Access { read, write };

struct ArrayArgument {
    py::handle value;
    const char* name;
    Access access = Access::read;
};

// The gate of one call: all arrays that pass it have one dtype. Views point into the arrays, which must outlive them.
class ArrayGate {
public:
    ArrayGate() = default;                                                       // the first array sets the dtype
    ArrayGate(Dtype dtype, const char* owner) : dtype_(dtype), first_(owner) {}  // or its owner does

    Dtype dtype() const { return dtype_; }

    // (rows, cols) of a 2-D array; (1, n) of a contiguous 1-D array. The optional ones answer an absent Matrix to None.
    Matrix matrix(const ArrayArgument& argument, Layout layout);
    Matrix vector(const ArrayArgument& argument);
    Matrix optional_matrix(const ArrayArgument& argument, Layout layout);
    Matrix optional_vector(const ArrayArgument& argument);

    // All elements of an array of any shape, in memory order: (1, n). layout: contiguous or any_order.
    Matrix flat(const ArrayArgument& argument, Layout layout = Layout::contiguous);

    // Arrays of one shape, walked together element by element; layout: rows or contiguous. (1, n) where all are
    // contiguous, unless keep_rows: a row, the last axis, has a meaning of its own (softmax).
    template <size_t N>
    std::array<Matrix, N> elementwise(const ArrayArgument (&arguments)[N], Layout layout = Layout::rows,
                                      bool keep_rows = false) {
        std::array<Matrix, N> views;
        elementwise(arguments, N, layout, keep_rows, views.data());
        return views;
    }
    void elementwise(const ArrayArgument* arguments, size_t n, Layout layout, bool keep_rows, Matrix* views);

    // The same for items of lists, one by one: contiguous, the shape of `first`, an array that has passed, or itself.
    Matrix item(py::handle value, const Name& name, Access access, py::handle first, const Name& first_name);

    // The numbers of a contiguous array of exactly this shape; source, such as " (the shape of x)", ends the message.
    void* numbers(py::handle value, const Name& name, const Shape& shape, const std::string& source,
                  Access access = Access::read);

private:
    py::array check(py::handle value, const Name& name);  // an ndarray of the call's dtype

    Dtype dtype_ = Dtype::f32;
    std::string first_;  // what set dtype_; empty: nothing yet
};

}  // namespace fastreg::python
