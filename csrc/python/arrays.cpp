// arrays: the checks behind arrays.h.
// It must not know what a call computes: overlap and what shapes mean are the core's to check.
#include "python/arrays.h"

#include <algorithm>
#include <cstdlib>

#include "python/errors.h"

namespace fastreg::python {
namespace {

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

std::string to_text(const Shape& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

bool same_shape(const py::array& a, const py::array& b) {
    return std::equal(a.shape(), a.shape() + a.ndim(), b.shape(), b.shape() + b.ndim());
}

[[noreturn]] void wrong_shape(const py::array& array, const Name& name, const Shape& shape, const std::string& source) {
    raise(PyExc_ValueError, name + " must have shape " + to_text(shape) + source + ", got " + to_text(shape_of(array)));
}

void require_ndim(const py::array& array, const Name& name, py::ssize_t ndim) {
    if (array.ndim() == ndim) return;
    raise(PyExc_ValueError, name + " must have " + std::to_string(ndim) + (ndim == 1 ? " dimension" : " dimensions") +
                                ", got shape " + to_text(shape_of(array)));
}

// Elements have 4 or 8 bytes (see check): constants, since a division by a variable takes as long as all else here.
int64_t stride_of(const py::array& array, py::ssize_t axis) {
    return array.itemsize() == 8 ? array.strides(axis) / 8 : array.strides(axis) / 4;
}

// Whether a number of bytes is one of whole elements.
bool is_whole(const py::array& array, py::ssize_t bytes) { return (bytes & (array.itemsize() - 1)) == 0; }

// Axes of length 1 have no say, whatever their stride.
bool is_contiguous(const py::array& array, bool fortran = false) {
    if (array.size() == 0) return true;
    py::ssize_t expected = array.itemsize();
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
        const py::ssize_t axis = fortran ? i : array.ndim() - 1 - i;
        if (array.shape(axis) != 1 && array.strides(axis) != expected) return false;
        expected *= array.shape(axis);
    }
    return true;
}

bool has_rows(const py::array& array) {
    if (is_contiguous(array)) return true;
    if (array.ndim() == 1) return array.strides(0) != 0;
    if (array.ndim() != 2) return false;
    const bool contiguous_rows = array.shape(1) == 1 || array.strides(1) == array.itemsize();
    return contiguous_rows && (array.shape(0) == 1 || std::abs(stride_of(array, 0)) >= array.shape(1));
}

bool has_layout(const py::array& array, Layout layout) {
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
        if (!is_whole(array, array.strides(axis))) return false;  // a field of a structured array
    }
    switch (layout) {
        case Layout::strided: return true;
        case Layout::rows: return has_rows(array);
        case Layout::contiguous: return is_contiguous(array);
        case Layout::any_order: return is_contiguous(array) || is_contiguous(array, true);
    }
    return false;
}

const char* layout_words(Layout layout) {
    switch (layout) {
        case Layout::strided: return "have strides of whole elements";
        case Layout::rows: return "have contiguous rows";
        case Layout::contiguous: return "be contiguous (C order)";
        case Layout::any_order: return "be contiguous";
    }
    return "";
}

void require_layout(const py::array& array, const Name& name, Layout layout) {
    if (!has_layout(array, layout)) {
        const Shape strides(array.strides(), array.strides() + array.ndim());
        raise(PyExc_ValueError, name + " must " + layout_words(layout) + ", got shape " + to_text(shape_of(array)) +
                                    " with strides " + to_text(strides) + " in bytes; use np.ascontiguousarray(" +
                                    name + ")");
    }
    if (array.size() > 0 && !is_whole(array, reinterpret_cast<py::ssize_t>(array.data()))) {
        raise(PyExc_ValueError, name + " must be aligned to its elements of " + std::to_string(array.itemsize()) +
                                    " bytes; use " + name + ".copy()");
    }
}

void require_access(const py::array& array, const Name& name, Access access) {
    if (access == Access::read || array.writeable()) return;
    raise(PyExc_ValueError, name + " must be writeable, got a read-only array");
}

// The core reads null as "absent"; an empty array is present, whatever its pointer.
void* data_of(const py::array& array) {
    static double nothing = 0.0;
    const void* data = array.data();
    return data ? const_cast<void*>(data) : &nothing;  // written to only where require_access has agreed
}

Matrix make_matrix(const py::array& array, const char* name, Dtype dtype, int64_t rows, int64_t cols) {
    Matrix view;
    view.name = name;
    view.data = data_of(array);
    view.rows = rows;
    view.cols = cols;
    view.row_stride = cols;
    view.dtype = dtype;
    return view;
}

// A 2-D array; the stride of an axis without a second element may be anything and is not passed on.
Matrix matrix_of(const py::array& array, const char* name, Dtype dtype) {
    Matrix view = make_matrix(array, name, dtype, array.shape(0), array.shape(1));
    if (view.rows > 1 && view.cols > 0) view.row_stride = stride_of(array, 0);
    if (view.cols > 1 && view.rows > 0) view.col_stride = stride_of(array, 1);
    return view;
}

// An array of any shape by its rows, the last axis.
Matrix rows_of(const py::array& array, const char* name, Dtype dtype) {
    if (array.ndim() == 2) return matrix_of(array, name, dtype);
    const py::ssize_t cols = array.ndim() > 0 ? array.shape(array.ndim() - 1) : 1;
    return make_matrix(array, name, dtype, cols > 0 ? array.size() / cols : 0, cols);
}

// A strided 1-D array: rows of one element.
Matrix column_of(const py::array& array, const char* name, Dtype dtype) {
    Matrix view = make_matrix(array, name, dtype, array.size(), 1);
    if (view.rows > 1) view.row_stride = stride_of(array, 0);
    return view;
}

}  // namespace

const char* dtype_name(Dtype dtype) { return dtype == Dtype::f32 ? "float32" : "float64"; }

py::array new_array(Dtype dtype, const Shape& shape) { return py::array(py::dtype(dtype_name(dtype)), shape); }

py::array ArrayGate::check(py::handle value, const Name& name) {
    if (!py::isinstance<py::array>(value)) {
        raise(PyExc_TypeError, name + " must be a numpy.ndarray, got " + type_name(value));
    }
    const auto array = py::reinterpret_borrow<py::array>(value);
    const py::dtype type = array.dtype();
    const bool native_float = type.kind() == 'f' && type.byteorder() == '=';
    if (!native_float || (type.itemsize() != sizeof(float) && type.itemsize() != sizeof(double))) {
        raise(PyExc_TypeError, name + " must have dtype " +
                                   (first_.empty() ? "float32 or float64" : dtype_name(dtype_)) +
                                   " in native byte order, got " + std::string(py::str(type)));
    }
    const Dtype dtype = type.itemsize() == sizeof(float) ? Dtype::f32 : Dtype::f64;
    if (first_.empty()) {
        first_ = name.text();
        dtype_ = dtype;
    } else if (dtype != dtype_) {
        raise(PyExc_TypeError,
              name + " must have dtype " + dtype_name(dtype_) + ", that of " + first_ + ", got " + dtype_name(dtype));
    }
    return array;
}

Matrix ArrayGate::matrix(const ArrayArgument& argument, Layout layout) {
    const py::array array = check(argument.value, argument.name);
    require_ndim(array, argument.name, 2);
    require_layout(array, argument.name, layout);
    require_access(array, argument.name, argument.access);
    return matrix_of(array, argument.name, dtype_);
}

Matrix ArrayGate::vector(const ArrayArgument& argument) {
    require_ndim(check(argument.value, argument.name), argument.name, 1);
    return flat(argument);
}

Matrix ArrayGate::optional_matrix(const ArrayArgument& argument, Layout layout) {
    return argument.value.is_none() ? Matrix() : matrix(argument, layout);
}

Matrix ArrayGate::optional_vector(const ArrayArgument& argument) {
    return argument.value.is_none() ? Matrix() : vector(argument);
}

Matrix ArrayGate::flat(const ArrayArgument& argument, Layout layout) {
    const py::array array = check(argument.value, argument.name);
    require_layout(array, argument.name, layout);
    require_access(array, argument.name, argument.access);
    return make_matrix(array, argument.name, dtype_, 1, array.size());
}

void ArrayGate::elementwise(const ArrayArgument* arguments, size_t n, Layout layout, bool keep_rows, Matrix* views) {
    const auto array_of = [&](size_t i) { return py::reinterpret_borrow<py::array>(arguments[i].value); };
    bool contiguous = true;
    for (size_t i = 0; i < n; ++i) {
        const auto& [value, name, access] = arguments[i];
        const py::array array = check(value, name), first = array_of(0);
        if (!same_shape(array, first))
            wrong_shape(array, name, shape_of(first), std::string(", that of ") + arguments[0].name);
        require_layout(array, name, keep_rows && array.ndim() != 2 ? Layout::contiguous : layout);
        require_access(array, name, access);
        contiguous = contiguous && is_contiguous(array);
    }
    for (size_t i = 0; i < n; ++i) {
        const py::array array = array_of(i);
        const char* name = arguments[i].name;
        if (keep_rows) {
            views[i] = rows_of(array, name, dtype_);
        } else if (contiguous) {
            views[i] = make_matrix(array, name, dtype_, 1, array.size());
        } else {
            views[i] = array.ndim() == 1 ? column_of(array, name, dtype_) : matrix_of(array, name, dtype_);
        }
    }
}

Matrix ArrayGate::item(py::handle value, const Name& name, Access access, py::handle first, const Name& first_name) {
    const py::array array = check(value, name), model = py::reinterpret_borrow<py::array>(first);
    if (!same_shape(array, model)) wrong_shape(array, name, shape_of(model), ", that of " + first_name);
    require_layout(array, name, Layout::contiguous);
    require_access(array, name, access);
    return make_matrix(array, "", dtype_, 1, array.size());
}

void* ArrayGate::numbers(py::handle value, const Name& name, const Shape& shape, const std::string& source,
                         Access access) {
    const py::array array = check(value, name);
    if (shape_of(array) != shape) wrong_shape(array, name, shape, source);
    require_layout(array, name, Layout::contiguous);
    require_access(array, name, access);
    return data_of(array);
}

}  // namespace fastreg::python
