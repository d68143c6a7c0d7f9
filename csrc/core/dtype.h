// What numbers are stored as, and where and how they are multiplied. It must not know arrays.
#pragma once
#include <cstdint>

namespace fastreg {

enum class Dtype : int32_t { f32, f64, bf16 };  // bf16: of ops' dropout on a GPU, of nothing else
constexpr int64_t size_of(Dtype dtype) { return dtype == Dtype::f64 ? 8 : dtype == Dtype::f32 ? 4 : 2; }
template <class T>
constexpr Dtype dtype_of() {
    return sizeof(T) == 4 ? Dtype::f32 : Dtype::f64;
}

enum class Device : int32_t { cpu, cuda };

// How a device makes matrix products of float32: exact: with the bits of the CPU; fast: on tensor cores, as accurate as
// float32; bf16: from operands rounded to bfloat16. The CPU knows exact only.
enum class Precision : int32_t { exact, fast, bf16 };

}  // namespace fastreg
