// What every function of the C interface does: catch everything, keep the message, and check pointers, sizes and
// options before the core sees them. It must not know what a function computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

#include "capi/structs.h"
#include "core/float_settings.h"
#include "core/ops.h"
#include "core/runtime.h"
#include "core/status.h"
#include "fastreg/fastreg.h"

namespace fastreg::capi {

void keep_message(const char* message) noexcept;  // for fr_last_error

const Status& read_environment();  // once, whichever function is called first

// Runs f, which returns a Status, and turns all that can happen into a status code.
template <class F>
fr_status guarded(F f) noexcept {
    try {
        const FloatSettings settings;
        const Status& environment = read_environment();
        const Status s = environment.ok() ? or_out_of_memory(f) : environment;
        if (s.ok()) return FR_OK;
        keep_message(s.message.c_str());
        return fr_status(int(s.code));
    } catch (const std::exception& e) {
        keep_message(e.what());
        return FR_RUNTIME;
    }
}

Status check_size(const char* name, int64_t n, int64_t least = 0);
Status check_flag(const char* name, int64_t value);
Status check_kind(const char* name, int64_t value, int64_t kinds);  // an enum of 0 .. kinds - 1
inline Status check_activation_kind(const char* name, int64_t value) { return check_kind(name, value, FR_SOFTMAX + 1); }

// An array as the caller describes it. Without strides it is contiguous.
struct Array {
    const char* name;
    const void* data;
    int64_t rows, cols;
    int64_t row_stride, col_stride = 1;
    bool optional = false;
};

// *view = a, absent if it is optional and NULL. Rows must be contiguous unless `strided`.
Status to_view(const Array& a, Dtype dtype, bool strided, Matrix* view);

template <class T>
Status matrix(const char* name, const T* p, int64_t rows, int64_t cols, int64_t row_stride, Matrix* view) {
    return to_view({name, p, rows, cols, row_stride}, dtype_of<T>(), false, view);
}
template <class T>
Status optional_matrix(const char* name, const T* p, int64_t rows, int64_t cols, int64_t row_stride, Matrix* view) {
    return to_view({name, p, rows, cols, row_stride, 1, true}, dtype_of<T>(), false, view);
}
template <class T>
Status strided_matrix(const char* name, const T* p, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride,
                      Matrix* view) {
    return to_view({name, p, rows, cols, row_stride, col_stride}, dtype_of<T>(), true, view);
}
template <class T>
Status vector(const char* name, const T* p, int64_t n, Matrix* view) {
    return to_view({name, p, 1, n, n}, dtype_of<T>(), false, view);
}
template <class T>
Status optional_vector(const char* name, const T* p, int64_t n, Matrix* view) {
    return to_view({name, p, 1, n, n, 1, true}, dtype_of<T>(), false, view);
}

Status to_penalty(const char* name, const fr_penalty& p, PenaltySpec* out);
Status to_optimizer(const fr_optimizer* given, OptimizerSpec* out);
Status to_loss(const fr_loss* given, LossSpec* out);

}  // namespace fastreg::capi

// A function of the header for both types of numbers, whose body is the template name##_of. T is the type within
// `parameters`, from the namespace around it, which is no part of the name of a C function.
namespace f32 {
using T = float;
}
namespace f64 {
using T = double;
}
#define FR_BOTH(name, parameters, arguments)                                         \
    namespace f32 {                                                                  \
    FASTREG_API fr_status fr_##name##_f32 parameters { return name##_of arguments; } \
    }                                                                                \
    namespace f64 {                                                                  \
    FASTREG_API fr_status fr_##name##_f64 parameters { return name##_of arguments; } \
    }
