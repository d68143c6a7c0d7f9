// weighted_sum: the losses of a batch's rows in double, a LaneSum as in OpTable::totals. It must not know losses.
#pragma once
#include <cstdint>

#include "rules/lanes.h"

namespace fastreg {

// sum_i weight[i] * value[i]; weight may be null.
template <class T>
double weighted_sum(const T* value, const T* weight, int64_t n) {
    rules::LaneSum sum;
    for (int64_t i = 0; i < n; ++i) sum.add(i, double(value[i]) * (weight ? double(weight[i]) : 1.0));
    return sum.total(n);
}

}  // namespace fastreg
