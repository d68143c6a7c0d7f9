// Many steps of a small network in one launch, with the bits of as many single steps; see TrainSteps in
// core/op_table.h. It must not know kernels: no CUDA header.
#pragma once
#include "core/op_table.h"

namespace fastreg::cuda {

// False, with nothing done, for networks that are too large or have something that only single steps can do. For float.
// ranks: how many multiprocessors share the work; 0: as many as seem best.
template <class T> bool train_steps_on(const TrainSteps<T>&, int ranks);
template <class T> bool train_steps(const TrainSteps<T>&);

}  // namespace fastreg::cuda
