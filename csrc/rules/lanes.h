// Sums in double whose bits do not depend on how many threads or lanes add them: term i goes to lane i % 32, each lane
// adds in increasing i, and a fixed tree adds the lanes. A GPU's warp is one such sum.
// It must not know what is summed.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::rules {

constexpr int kSumLanes = 32;

struct LaneSum {
    double lanes[kSumLanes] = {};

    FR_RULE void add(int64_t i, double term) { lanes[i % kSumLanes] += term; }

    // Of n terms: a tree over no more lanes than they reached, the others being 0.
    FR_RULE double total(int64_t n) {
        for (int half = kSumLanes / 2; half > 0; half /= 2) {
            if (half >= n) continue;
            for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
        }
        return lanes[0];
    }
};

// The sum of term(i) for i < n.
FR_RULE_OF_CALLER template <class F>
FR_RULE double lane_sum(int64_t n, F term) {
    LaneSum sum;
    for (int64_t i = 0; i < n; ++i) sum.add(i, term(i));
    return sum.total(n);
}

}  // namespace fastreg::rules
