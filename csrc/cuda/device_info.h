// Which devices there are, and a queue on the first of them (CUDA_VISIBLE_DEVICES chooses).
// It must not know operations: no CUDA header.
#pragma once
#include <string>

#include "core/queue.h"

namespace fastreg::cuda {

int device_count(std::string* why);  // 0: why says what is missing
std::string device_name(int device);
Queue* new_cuda_queue();

extern const Backend kHostArrays;  // host_arrays.cpp

}  // namespace fastreg::cuda
