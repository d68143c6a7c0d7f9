// Loops that do one kind of work and nothing else: what a core can do at most under one instruction set.
// It must not know kernels, threads or time.
#pragma once
#include <cstdint>

namespace fastreg {

struct Loop {
    double (*run)(int64_t iterations, double a);  // the result is of no use; it keeps the compiler from dropping it
    double per_iteration;                         // operations of one lane each
};

struct IsaLoops {
    const char* isa;
    Loop fma[2], divide[2], root[2];  // f32, f64
    Loop wide_multiply;               // 32 x 32 -> 64 bits, the work of Philox
    void (*copy)(float* to, const float* from, int64_t n);
    void (*copy_past_cache)(float* to, const float* from, int64_t n);  // `to` 64-byte aligned
};

}  // namespace fastreg
