// FR_RULE: how a rule is declared, so that one text serves every CPU instruction set and nvcc.
// Rules are templates on a vector type V (see cpu/vec_scalar.h for what V offers); they must not include a SIMD header.
#pragma once

#if defined(__CUDACC__)
#define FR_RULE __host__ __device__ __forceinline__
#else
#define FR_RULE __attribute__((always_inline)) inline
#endif
