// arrays: NumPy arrays, and memory at an address, to the core's views, never copied. Checked in this order: an array,
// its dtype, its shape, its layout, writeable. It must not know what a call computes: overlap, the place of arrays and
// what shapes mean are the core's to check.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/ops.h"
#include "python/values.h"

namespace fastreg::python {

namespace py = pybind11;

using Shape = std::vector<py::ssize_t>;

const char* dtype_name(Dtype dtype);
py::array new_array(Dtype dtype, const Shape& shape);  // C-contiguous, not initialised

// strided: any strides that are whole elements. rows: contiguous, or 2-D with contiguous rows, or 1-D with any stride
// but 0. contiguous: C order. any_order: C or Fortran order.
enum class Layout { strided, rows, contiguous, any_order };
enum class Access { read, write };

// _core.RawArray: memory of the host or of the first GPU as an array; `owner` keeps it alive. Strides are in bytes,
// as NumPy's.
struct RawArray {
    uintptr_t address = 0;
    Shape shape, strides;
    Dtype dtype = Dtype::f32;
    bool writeable = false;
    bool on_gpu = true;
    uintptr_t stream = 1;  // of the GPU, where its numbers are ready; see core/cuda.h
    py::object owner;
};

// What the two kinds of array have in common, by the names of py::array. Points into the array.
class AnyArray {
public:
    AnyArray(const py::array& array, bool writeable)
        : shape_(array.shape()),
          strides_(array.strides()),
          ndim_(array.ndim()),
          itemsize_(array.itemsize()),
          data_(const_cast<void*>(array.data())),
          writeable_(writeable) {}
    explicit AnyArray(const RawArray& array)
        : shape_(array.shape.data()),
          strides_(array.strides.data()),
          ndim_(py::ssize_t(array.shape.size())),
          itemsize_(size_of(array.dtype)),
          data_(reinterpret_cast<void*>(array.address)),
          writeable_(array.writeable),
          on_gpu_(array.on_gpu),
          tensor_(true),
          stream_(array.stream) {}

    const py::ssize_t* shape() const { return shape_; }
    py::ssize_t shape(py::ssize_t axis) const { return shape_[axis]; }
    const py::ssize_t* strides() const { return strides_; }
    py::ssize_t strides(py::ssize_t axis) const { return strides_[axis]; }
    py::ssize_t ndim() const { return ndim_; }
    py::ssize_t itemsize() const { return itemsize_; }
    py::ssize_t size() const {
        py::ssize_t n = 1;
        for (py::ssize_t i = 0; i < ndim_; ++i) n *= shape_[i];
        return n;
    }
    void* data() const { return data_; }
    bool writeable() const { return writeable_; }
    bool on_gpu() const { return on_gpu_; }
    bool is_tensor() const { return tensor_; }
    uintptr_t stream() const { return stream_; }

private:
    const py::ssize_t *shape_, *strides_;
    py::ssize_t ndim_, itemsize_;
    void* data_;
    bool writeable_, on_gpu_ = false, tensor_ = false;
    uintptr_t stream_ = 1;
};

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
    static ArrayGate that_takes_bfloat16() {                                     // float32 and float64 pass anyway
        ArrayGate gate;
        gate.takes_bfloat16_ = true;
        return gate;
    }

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

    // The numbers of a contiguous NumPy array of exactly this shape; source, such as " (the shape of x)", ends the
    // message.
    void* numbers(py::handle value, const Name& name, const Shape& shape, const std::string& source,
                  Access access = Access::read);

private:
    AnyArray check(py::handle value, const Name& name);  // an array of the call's dtype
    void check_dtype(Dtype dtype, const Name& name);

    Dtype dtype_ = Dtype::f32;
    std::string first_;  // what set dtype_; empty: nothing yet
    bool takes_bfloat16_ = false;
};

}  // namespace fastreg::python
