// A batch of sparse rows: its dense layer, and the batch made dense for the weight gradient. It must not know how a
// dense product is made.
#pragma once
#include "core/op_table.h"

namespace fastreg::cuda {

// Y = dropout(f(X W + b)) for a.sparse_X, in the order of cpu/csr.inl.
template <class T>
void sparse_forward(const DenseForward<T>& a);

// Columns [i0, i1) of the rows of a batch, absent elements being 0, in scratch memory until the next call; null there
// after an error.
template <class T>
Strided<const T> densify(const Csr<T>& x, int64_t B, int64_t i0, int64_t i1);

}  // namespace fastreg::cuda
