// The C interface over core/ops.h: pointers to views, Status to fr_status. No exception crosses.
// It must not know Python, kernels or tables.
#include "fastreg/fastreg.h"

#include <exception>
#include <new>
#include <string>

#include "core/ops.h"
#include "core/runtime.h"

namespace {

using fastreg::Dtype;
using fastreg::Matrix;
using fastreg::Status;

thread_local std::string t_message;

template <class T>
Matrix vector_of(const char* name, const T* p, int64_t n) {
    return {name, const_cast<T*>(p), 1, n, n, 1, sizeof(T) == 4 ? Dtype::f32 : Dtype::f64};
}

// Runs f, which returns a Status, and turns all that can happen into a status code. The environment is read before the
// first.
template <class F>
fr_status guarded(F f) {
    try {
        static const Status environment = fastreg::runtime_init();
        Status s = environment.ok() ? f() : environment;
        if (s.ok()) return FR_OK;
        t_message = s.message;
        return fr_status(int(s.code));
    } catch (const std::bad_alloc&) {
        t_message = "out of memory";
        return FR_OUT_OF_MEMORY;
    } catch (const std::exception& e) {
        t_message = e.what();
        return FR_RUNTIME;
    }
}

Status check_array(const char* name, const void* p, int64_t n) {
    if (n < 0) return fastreg::invalid("n must be >= 0, got " + std::to_string(n));
    if (!p && n > 0) return fastreg::invalid(std::string(name) + " must not be NULL");
    return {};
}

template <class T>
fr_status elastic_net(const T* w, int64_t n, double l1, double l2, double* value) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_array("w", w, n));
        FR_RETURN_IF_ERROR(check_array("value", value, 1));
        return fastreg::elastic_net(vector_of("w", w, n), l1, l2, value);
    });
}

template <class T>
fr_status prox(const T* w, int64_t n, double l1, double l2, double step, T* out) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_array("w", w, n));
        FR_RETURN_IF_ERROR(check_array("out", out, n));
        return fastreg::prox(vector_of("w", w, n), l1, l2, step, vector_of("out", out, n));
    });
}

template <class T>
fr_status dropout(const T* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step, T* out) {
    return guarded([&]() -> Status {
        FR_RETURN_IF_ERROR(check_array("x", x, n));
        FR_RETURN_IF_ERROR(check_array("out", out, n));
        fastreg::DropoutSpec spec;
        FR_RETURN_IF_ERROR(fastreg::make_dropout(rate, seed, step, stream, &spec));
        return fastreg::dropout(vector_of("x", x, n), spec, vector_of("out", out, n));
    });
}

}  // namespace

extern "C" {

FASTREG_API int fr_abi_version(void) { return FR_ABI_VERSION; }
FASTREG_API const char* fr_version(void) { return FASTREG_VERSION; }
FASTREG_API const char* fr_last_error(void) { return t_message.c_str(); }

FASTREG_API fr_status fr_elastic_net_f32(const float* w, int64_t n, double l1, double l2, double* value) {
    return elastic_net(w, n, l1, l2, value);
}
FASTREG_API fr_status fr_elastic_net_f64(const double* w, int64_t n, double l1, double l2, double* value) {
    return elastic_net(w, n, l1, l2, value);
}
FASTREG_API fr_status fr_prox_f32(const float* w, int64_t n, double l1, double l2, double step, float* out) {
    return prox(w, n, l1, l2, step, out);
}
FASTREG_API fr_status fr_prox_f64(const double* w, int64_t n, double l1, double l2, double step, double* out) {
    return prox(w, n, l1, l2, step, out);
}
FASTREG_API fr_status fr_dropout_f32(const float* x, int64_t n, double rate, uint64_t seed, uint32_t stream,
                                     uint32_t step, float* out) {
    return dropout(x, n, rate, seed, stream, step, out);
}
FASTREG_API fr_status fr_dropout_f64(const double* x, int64_t n, double rate, uint64_t seed, uint32_t stream,
                                     uint32_t step, double* out) {
    return dropout(x, n, rate, seed, stream, step, out);
}

}  // extern "C"
