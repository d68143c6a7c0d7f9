// Which devices there are, and queues on the first of them (CUDA_VISIBLE_DEVICES chooses).
// It must not know operations: no CUDA header.
#pragma once
#include <string>

#include "core/cuda.h"
#include "core/queue.h"

namespace fastreg::cuda {

int device_count(std::string* why);  // 0: why says what is missing
std::string device_name(int device);
Queue* new_cuda_queue();

extern const Backend kHostArrays;   // host_arrays.cpp
extern const CudaCallers kCallers;  // caller_arrays.cu

}  // namespace fastreg::cuda
