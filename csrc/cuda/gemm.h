// The exact matrix product, for other translation units: the bits of cpu/gemm.inl (rules/k_block.h says the order of
// the sums), whatever the shape. It must not know layers.
#pragma once
#include "cuda/epilogue.cuh"

namespace fastreg::cuda {

// C = bias + A B, then the epilogue: A (M, K), B (K, N), bias N numbers or null, C row-major, none of them overlapping.
template <class T>
void gemm(int64_t M, int64_t N, int64_t K, Strided<const T> A, Strided<const T> B, const T* bias, T* C, int64_t c_rs,
          const Epilogue<T>& epilogue);

// C = A B, without anything else.
template <class T>
struct Product {
    int64_t M, N, K;
    Strided<const T> A, B;
    T* C;
    int64_t c_rs;
};

// out[j] = sum over the rows of x (rows, cols), whose rows are contiguous: as column_sums in cpu/dense.inl.
template <class T>
struct ColumnSum {
    const T* x;
    int64_t row_stride, rows, cols;
    T* out;
};

// All of them, small ones in one launch. K of all products and the rows of all sums are the same.
template <class T>
void gemm_group(const Product<T>* products, int64_t n_products, const ColumnSum<T>* sums, int64_t n_sums);

// The same where a layer passes on bfloat16: A16 instead of A, as it is strided, or what the epilogue reads. For the
// few shapes that have kernels of their own; false: nothing was done. sums: null, or with A16 and without a bias and an
// epilogue N numbers, which become the sums of B's columns.
bool gemm_of_bf16(const Product<float>& product, const Bfloat* A16, const float* bias, const Epilogue<float>& epilogue,
                  float* sums);

}  // namespace fastreg::cuda
