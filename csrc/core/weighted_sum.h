// weighted_sum: the losses of a batch's rows, added in order, in double. It must not know losses.
#pragma once
#include <cstdint>

namespace fastreg {

// sum_i weight[i] * value[i]; weight may be null.
template <class T>
double weighted_sum(const T* value, const T* weight, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) sum += double(value[i]) * (weight ? double(weight[i]) : 1.0);
    return sum;
}

}  // namespace fastreg
