// arrays: the checks behind arrays.h, and arrays at an address, of the GPU also as the protocol of DLPack tells of
// them. It must not know what a call computes: overlap and what shapes mean are the core's to check. It is over 250
// lines because both kinds of array pass the same checks.
#include "python/arrays.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/cuda.h"
#include "python/errors.h"
#include "python/module.h"

namespace fastreg::python {
namespace {

Shape shape_of(const AnyArray& array) { return {array.shape(), array.shape() + array.ndim()}; }

std::string to_text(const Shape& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

bool same_shape(const AnyArray& a, const AnyArray& b) {
    return std::equal(a.shape(), a.shape() + a.ndim(), b.shape(), b.shape() + b.ndim());
}

[[noreturn]] void wrong_shape(const AnyArray& array, const Name& name, const Shape& shape, const std::string& source) {
    raise(PyExc_ValueError, name + " must have shape " + to_text(shape) + source + ", got " + to_text(shape_of(array)));
}

void require_ndim(const AnyArray& array, const Name& name, py::ssize_t ndim) {
    if (array.ndim() == ndim) return;
    raise(PyExc_ValueError, name + " must have " + std::to_string(ndim) + (ndim == 1 ? " dimension" : " dimensions") +
                                ", got shape " + to_text(shape_of(array)));
}

// Elements have 8, 4 or 2 bytes (see check): constants, since a division by a variable takes as long as all else here.
int64_t stride_of(const AnyArray& array, py::ssize_t axis) {
    const py::ssize_t bytes = array.strides(axis);
    return array.itemsize() == 8 ? bytes / 8 : array.itemsize() == 4 ? bytes / 4 : bytes / 2;
}

// Whether a number of bytes is one of whole elements.
bool is_whole(const AnyArray& array, py::ssize_t bytes) { return (bytes & (array.itemsize() - 1)) == 0; }

// Axes of length 1 have no say, whatever their stride.
bool is_contiguous(const AnyArray& array, bool fortran = false) {
    if (array.size() == 0) return true;
    py::ssize_t expected = array.itemsize();
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
        const py::ssize_t axis = fortran ? i : array.ndim() - 1 - i;
        if (array.shape(axis) != 1 && array.strides(axis) != expected) return false;
        expected *= array.shape(axis);
    }
    return true;
}

bool has_rows(const AnyArray& array) {
    if (is_contiguous(array)) return true;
    if (array.ndim() == 1) return array.strides(0) != 0;
    if (array.ndim() != 2) return false;
    const bool contiguous_rows = array.shape(1) == 1 || array.strides(1) == array.itemsize();
    return contiguous_rows && (array.shape(0) == 1 || std::abs(stride_of(array, 0)) >= array.shape(1));
}

bool has_layout(const AnyArray& array, Layout layout) {
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

// How to get an array that will do. Of what is written in place a copy alone would not: the copy would change.
std::string advice(const Name& name, Access access, const std::string& copy) {
    if (access == Access::read) return "; use " + copy;
    return "; it is written in place: first say " + name + " = " + copy + ", and go on with that array";
}

void require_layout(const AnyArray& array, const Name& name, Layout layout, Access access) {
    if (!has_layout(array, layout)) {
        const Shape strides(array.strides(), array.strides() + array.ndim());
        const std::string copy = array.is_tensor() ? name + ".contiguous()" : "np.ascontiguousarray(" + name + ")";
        raise(PyExc_ValueError, name + " must " + layout_words(layout) + ", got shape " + to_text(shape_of(array)) +
                                    " with strides " + to_text(strides) + " in bytes" + advice(name, access, copy));
    }
    if (array.size() > 0 && !is_whole(array, reinterpret_cast<py::ssize_t>(array.data()))) {
        raise(PyExc_ValueError, name + " must be aligned to its elements of " + std::to_string(array.itemsize()) +
                                    " bytes" +
                                    advice(name, access, name + (array.is_tensor() ? ".clone()" : ".copy()")));
    }
}

void require_access(const AnyArray& array, const Name& name, Access access) {
    if (access == Access::read || array.writeable()) return;
    raise(PyExc_ValueError, name + " must be writeable, got a read-only array");
}

// The core reads null as "absent"; an empty array is present, whatever its pointer.
void* data_of(const AnyArray& array) {
    static double nothing = 0.0;
    void* data = array.data();
    return data ? data : &nothing;  // written to only where require_access has agreed
}

Matrix make_matrix(const AnyArray& array, const char* name, Dtype dtype, int64_t rows, int64_t cols) {
    Matrix view;
    view.name = name;
    view.data = data_of(array);
    view.rows = rows;
    view.cols = cols;
    view.row_stride = cols;
    view.dtype = dtype;
    view.on_gpu = array.on_gpu();
    view.stream = array.stream();
    return view;
}

// A 2-D array; the stride of an axis without a second element may be anything and is not passed on.
Matrix matrix_of(const AnyArray& array, const char* name, Dtype dtype) {
    Matrix view = make_matrix(array, name, dtype, array.shape(0), array.shape(1));
    if (view.rows > 1 && view.cols > 0) view.row_stride = stride_of(array, 0);
    if (view.cols > 1 && view.rows > 0) view.col_stride = stride_of(array, 1);
    return view;
}

// An array of any shape by its rows, the last axis.
Matrix rows_of(const AnyArray& array, const char* name, Dtype dtype) {
    if (array.ndim() == 2) return matrix_of(array, name, dtype);
    const py::ssize_t cols = array.ndim() > 0 ? array.shape(array.ndim() - 1) : 1;
    return make_matrix(array, name, dtype, cols > 0 ? array.size() / cols : 0, cols);
}

// A strided 1-D array: rows of one element.
Matrix column_of(const AnyArray& array, const char* name, Dtype dtype) {
    Matrix view = make_matrix(array, name, dtype, array.size(), 1);
    if (view.rows > 1) view.row_stride = stride_of(array, 0);
    return view;
}

// Either kind, of a value that has passed the gate.
AnyArray passed(py::handle value) {
    if (!py::isinstance<py::array>(value)) return AnyArray(value.cast<const RawArray&>());
    const auto array = py::reinterpret_borrow<py::array>(value);
    return AnyArray(array, array.writeable());
}

// ---- DLPack, https://dmlc.github.io/dlpack/latest/c_api.html: what its capsules hold, as far as it is read here ----

struct DlTensor {
    void* data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t type_code, type_bits;
    uint16_t type_lanes;
    int64_t *shape, *strides;  // strides in elements; null: C order
    uint64_t byte_offset;
};
struct DlVersioned {
    uint32_t major, minor;
    void* manager;
    void (*deleter)(DlVersioned*);
    uint64_t flags;
    DlTensor tensor;
};
constexpr int32_t kDlCuda = 2, kDlCudaManaged = 13;
constexpr uint8_t kDlFloat = 2, kDlBfloat = 4;
constexpr uint64_t kDlReadOnly = 1;

Shape contiguous_strides(const Shape& shape, py::ssize_t itemsize) {
    Shape strides(shape.size());
    py::ssize_t bytes = itemsize;
    for (size_t i = shape.size(); i-- > 0; bytes *= shape[i]) strides[i] = bytes;
    return strides;
}

Dtype dtype_of(const DlTensor& tensor) {
    const int code = tensor.type_lanes == 1 ? tensor.type_code : 0, bits = tensor.type_bits;
    if (code == kDlBfloat && bits == 16) return Dtype::bf16;
    if (code != kDlFloat || (bits != 32 && bits != 64)) raise(PyExc_TypeError, "the dtype must be float32 or float64");
    return bits == 32 ? Dtype::f32 : Dtype::f64;
}

// The capsule keeps its name, and so its memory's life: `owner` holds it.
RawArray from_dlpack(py::object capsule, uintptr_t stream) {
    PyObject* const object = capsule.ptr();
    const DlTensor* tensor = nullptr;
    bool writeable = true;
    if (PyCapsule_IsValid(object, "dltensor_versioned")) {
        const auto* versioned = static_cast<const DlVersioned*>(PyCapsule_GetPointer(object, "dltensor_versioned"));
        if (versioned->major != 1)
            raise(PyExc_TypeError, "DLPack " + std::to_string(versioned->major) + " is not known, 1 is");
        tensor = &versioned->tensor;
        writeable = (versioned->flags & kDlReadOnly) == 0;
    } else if (PyCapsule_IsValid(object, "dltensor")) {
        tensor = static_cast<const DlTensor*>(PyCapsule_GetPointer(object, "dltensor"));
    } else {
        raise(PyExc_TypeError, "there is no DLPack capsule, but " + type_name(capsule));
    }
    if ((tensor->device_type != kDlCuda && tensor->device_type != kDlCudaManaged) || tensor->device_id != 0)
        raise(PyExc_TypeError, "the DLPack capsule is not of CUDA:0, but of device type " +
                                   std::to_string(tensor->device_type) + ":" + std::to_string(tensor->device_id));
    RawArray array;
    array.dtype = dtype_of(*tensor);
    array.address = reinterpret_cast<uintptr_t>(tensor->data) + tensor->byte_offset;
    array.shape.assign(tensor->shape, tensor->shape + tensor->ndim);
    array.strides = contiguous_strides(array.shape, tensor->type_bits / 8);
    for (int32_t i = 0; tensor->strides && i < tensor->ndim; ++i)
        array.strides[size_t(i)] = tensor->strides[i] * (tensor->type_bits / 8);
    array.writeable = writeable;
    array.stream = stream;
    array.owner = std::move(capsule);
    return array;
}

RawArray new_raw_array(uintptr_t address, Shape shape, const py::object& strides, const std::string& dtype,
                       bool writeable, std::optional<uintptr_t> stream, py::object owner) {
    RawArray array;
    array.address = address;
    array.dtype = dtype == "float64" ? Dtype::f64 : dtype == "bfloat16" ? Dtype::bf16 : Dtype::f32;
    if (array.dtype == Dtype::f32 && dtype != "float32")
        raise(PyExc_TypeError, "the dtype must be float32, float64 or bfloat16, got " + dtype);
    array.strides = strides.is_none() ? contiguous_strides(shape, size_of(array.dtype)) : strides.cast<Shape>();
    if (array.strides.size() != shape.size()) raise(PyExc_ValueError, "shape and strides must be of one length");
    const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    if (address == 0 && !empty) raise(PyExc_ValueError, "the array has elements but no memory, its address is 0");
    array.shape = std::move(shape);
    array.writeable = writeable;
    array.on_gpu = stream.has_value();
    array.stream = stream.value_or(array.stream);
    array.owner = std::move(owner);
    return array;
}

}  // namespace

const char* dtype_name(Dtype dtype) {
    return dtype == Dtype::f32 ? "float32" : dtype == Dtype::f64 ? "float64" : "bfloat16";
}

py::array new_array(Dtype dtype, const Shape& shape) { return py::array(py::dtype(dtype_name(dtype)), shape); }

void ArrayGate::check_dtype(Dtype dtype, const Name& name) {
    if (first_.empty()) {
        first_ = name.text();
        dtype_ = dtype;
    } else if (dtype != dtype_) {
        raise(PyExc_TypeError,
              name + " must have dtype " + dtype_name(dtype_) + ", that of " + first_ + ", got " + dtype_name(dtype));
    }
}

AnyArray ArrayGate::check(py::handle value, const Name& name) {
    if (!py::isinstance<py::array>(value)) {
        if (!py::isinstance<RawArray>(value))
            raise(PyExc_TypeError, name + " must be a numpy.ndarray, got " + type_name(value));
        const AnyArray array = passed(value);
        const Dtype dtype = value.cast<const RawArray&>().dtype;
        if (dtype == Dtype::bf16 && !takes_bfloat16_)
            raise(PyExc_TypeError, name + " must have dtype float32 or float64, got bfloat16; convert it first: " +
                                       name + ".float() of a tensor");
        check_dtype(dtype, name);
        return array;
    }
    const auto array = py::reinterpret_borrow<py::array>(value);
    const py::dtype type = array.dtype();
    // '<' where the dtype says so itself, as buffers of ctypes do: every processor that fastreg knows is little-endian.
    const bool native_float = type.kind() == 'f' && (type.byteorder() == '=' || type.byteorder() == '<');
    if (!native_float || (type.itemsize() != sizeof(float) && type.itemsize() != sizeof(double))) {
        raise(PyExc_TypeError, name + " must have dtype " +
                                   (first_.empty() ? "float32 or float64" : dtype_name(dtype_)) +
                                   " in native byte order, got " + std::string(py::str(py::handle(type))));
    }
    check_dtype(type.itemsize() == sizeof(float) ? Dtype::f32 : Dtype::f64, name);
    return AnyArray(array, array.writeable());
}

Matrix ArrayGate::matrix(const ArrayArgument& argument, Layout layout) {
    const AnyArray array = check(argument.value, argument.name);
    require_ndim(array, argument.name, 2);
    require_layout(array, argument.name, layout, argument.access);
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
    const AnyArray array = check(argument.value, argument.name);
    require_layout(array, argument.name, layout, argument.access);
    require_access(array, argument.name, argument.access);
    return make_matrix(array, argument.name, dtype_, 1, array.size());
}

void ArrayGate::elementwise(const ArrayArgument* arguments, size_t n, Layout layout, bool keep_rows, Matrix* views) {
    bool contiguous = true;
    for (size_t i = 0; i < n; ++i) {
        const auto& [value, name, access] = arguments[i];
        const AnyArray array = check(value, name), first = passed(arguments[0].value);
        if (!same_shape(array, first))
            wrong_shape(array, name, shape_of(first), std::string(", that of ") + arguments[0].name);
        require_layout(array, name, keep_rows && array.ndim() != 2 ? Layout::contiguous : layout, access);
        require_access(array, name, access);
        contiguous = contiguous && is_contiguous(array);
    }
    for (size_t i = 0; i < n; ++i) {
        const AnyArray array = passed(arguments[i].value);
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
    const AnyArray array = check(value, name), model = passed(first);
    if (!same_shape(array, model)) wrong_shape(array, name, shape_of(model), ", that of " + first_name);
    require_layout(array, name, Layout::contiguous, access);
    require_access(array, name, access);
    return make_matrix(array, "", dtype_, 1, array.size());
}

void* ArrayGate::numbers(py::handle value, const Name& name, const Shape& shape, const std::string& source,
                         Access access) {
    const AnyArray array = check(value, name);
    if (array.on_gpu()) raise(PyExc_TypeError, name + " must be a numpy.ndarray, got an array on CUDA:0");
    if (shape_of(array) != shape) wrong_shape(array, name, shape, source);
    require_layout(array, name, Layout::contiguous, access);
    require_access(array, name, access);
    return data_of(array);
}

void bind_arrays(py::module_& module) {
    using py::arg;
    py::class_<RawArray>(module, "RawArray", "Memory at an address as an array.")
        .def(py::init(&new_raw_array), arg("address"), arg("shape"), arg("strides"), arg("dtype"), arg("writeable"),
             arg("stream"), arg("owner") = py::none())
        .def_static("from_dlpack", &from_dlpack, arg("capsule"), arg("stream"), "The memory that a capsule tells of.")
        .def_property_readonly("address", [](const RawArray& array) { return array.address; })
        .def_property_readonly("shape", [](const RawArray& array) { return py::tuple(py::cast(array.shape)); })
        .def_property_readonly("writeable", [](const RawArray& array) { return array.writeable; })
        .def_property_readonly("stream", [](const RawArray& array) -> std::optional<uintptr_t> {
            return array.on_gpu ? std::optional(array.stream) : std::nullopt;
        });
    module.def(
        "cuda_device_of",
        [](py::handle address) {
            const auto* memory = reinterpret_cast<const void*>(uintptr_t(to_uint64(address, "address")));
            int device = -1;
            run([&] { return cuda_device_of(memory, &device); });
            return device;
        },
        arg("address"), "The GPU in whose memory an address is; -1: in none's.");
    module.def(
        "cuda_order",
        [](py::handle first, py::handle second) {
            const uintptr_t before = uintptr_t(to_uint64(first, "first")),
                            after = uintptr_t(to_uint64(second, "second"));
            run([&] { return cuda_order(before, after); });
        },
        arg("first"), arg("second"), "What comes on the second stream waits for what is on the first.");
}

}  // namespace fastreg::python
