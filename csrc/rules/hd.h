// FR_RULE: how a rule is declared, so that one text serves every CPU instruction set and nvcc.
// FR_RULE_OF_CALLER before one that calls what it is given: on the host or the device, as its caller is.
// FR_DEVICE_RULE: the same for a rule that calls what only the device can. FR_LAMBDA: a lambda that must disappear into
// its caller.
// Rules are templates on a vector type V (see cpu/vec_scalar.h for what V offers); they must not include a SIMD header.
#pragma once

#if defined(__FAST_MATH__)
#error "fastreg keeps its bits, NaN and infinity: compile it without -ffast-math"
#endif

#if defined(__CUDACC__)
#define FR_RULE __host__ __device__ __forceinline__
#define FR_RULE_OF_CALLER _Pragma("nv_exec_check_disable")
#define FR_DEVICE_RULE __device__ __forceinline__
#define FR_LAMBDA
#else
#define FR_RULE __attribute__((always_inline)) inline
#define FR_RULE_OF_CALLER
#define FR_DEVICE_RULE FR_RULE
#define FR_LAMBDA __attribute__((always_inline))
#endif
