// What a metric accumulates: how many numbers, and which outputs count as chosen. It must not know batches or sums.
#pragma once
#include "rules/hd.h"
#include "rules/spec.h"

namespace fastreg::rules {

// How many doubles a metric's accumulators are: see Metric in rules/spec.h.
inline int64_t n_totals(const MetricSpec& metric, int64_t outputs) {
    switch (metric.kind) {
        case Metric::thresholds: return 2 * (int64_t(metric.n_thresholds) + 1);
        case Metric::r2: return 4 * outputs;
        case Metric::class_counts: return 3 * outputs;
        default: return 2;
    }
}

// Keras's: below it the largest of a row is none, so that of zeros none is chosen.
constexpr double kNoOutput = 1e-9;

// Metric::class_counts: whether output y is chosen in a row whose largest is `top`. NaN never is.
FR_RULE bool is_chosen(const MetricSpec& metric, double y, double top) {
    return metric.largest ? y >= top && (y > kNoOutput || y < -kNoOutput) : y > metric.threshold;
}

}  // namespace fastreg::rules
