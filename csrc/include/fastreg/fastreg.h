/* fastreg.h - the C interface: C99, plain pointers, status codes. The only public header.
 *
 * Today it holds the elementwise penalty and dropout kernels; the session and the dense kernels are reached from
 * Python. Every function may be called from any thread. Sizes are in elements. Nothing prints, aborts or exits.
 */
#ifndef FASTREG_H
#define FASTREG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FR_ABI_VERSION 1

typedef enum fr_status {
    FR_OK = 0,
    FR_INVALID_ARGUMENT = 1,
    FR_TYPE_MISMATCH = 2,
    FR_OUT_OF_MEMORY = 3,
    FR_RUNTIME = 4,
    FR_CANCELLED = 5
} fr_status;

/* The ABI this library was built with: compare with FR_ABI_VERSION. */
int fr_abi_version(void);

/* "0.1.0"; valid for the life of the process. */
const char* fr_version(void);

/* What went wrong in this thread's last failed call; "" if none failed. Valid until this thread's next failing call. */
const char* fr_last_error(void);

/* *value = l1 sum|w_i| + l2 sum w_i^2 over n weights. l1, l2 finite and >= 0. */
fr_status fr_elastic_net_f32(const float* w, int64_t n, double l1, double l2, double* value);
fr_status fr_elastic_net_f64(const double* w, int64_t n, double l1, double l2, double* value);

/* out_i = argmin_u (u - w_i)^2 / 2 + step (l1 |u| + l2 u^2): exact zeros where |w_i| <= step l1. out may be w. */
fr_status fr_prox_f32(const float* w, int64_t n, double l1, double l2, double step, float* out);
fr_status fr_prox_f64(const double* w, int64_t n, double l1, double l2, double step, double* out);

/* Inverted dropout: out_i = x_i scaled to keep the expectation, or 0 with probability rate in [0, 1]. The decision for
 * i is a function of (seed, stream, step, i) alone, so the same call on a gradient is the backward pass. out may be x.
 */
fr_status fr_dropout_f32(const float* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step,
                         float* out);
fr_status fr_dropout_f64(const double* x, int64_t n, double rate, uint64_t seed, uint32_t stream, uint32_t step,
                         double* out);

#ifdef __cplusplus
}
#endif

#endif
