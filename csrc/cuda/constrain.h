// The constraint of one parameter after its step; made in constrain.cu. It must not know kernels: no CUDA header.
#pragma once
#include "core/op_table.h"

namespace fastreg::cuda {

template <class T> void constrain(const UpdateSegment<T>&);

}  // namespace fastreg::cuda
