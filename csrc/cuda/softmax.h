// Softmax over rows, as activation_forward and layer_backward need it; made in softmax_loss.cu.
// It must not know kernels: no CUDA header.
#pragma once
#include "core/op_table.h"

namespace fastreg::cuda {

template <class T> void softmax_forward(const Rows<T>&);
template <class T> void softmax_backward(const Rows<T>& dy_to_dz, const T* Y, int64_t y_rs);

}  // namespace fastreg::cuda
