// Many steps in one launch: metrics that are a mean over the rows of a batch, made by the workers from a piece of rows
// after its losses, and added to the totals by the counter. It must not know gradients. Bits: as in cpu/metric.inl.
#pragma once
#include "cuda/accuracy.cuh"
#include "cuda/train_steps.cuh"
#include "rules/loss.h"
#include "rules/row.h"

namespace fastreg::cuda::steps {

// Whether this kernel takes an elementwise loss: not hinge, which looks at a whole batch, nor those that are rare and
// would make it a twelfth larger.
template <class Rule>
constexpr bool kTakes = !std::is_same_v<Rule, rules::Hinge> && !std::is_same_v<Rule, rules::AbsolutePercentageError> &&
                        !std::is_same_v<Rule, rules::SquaredLogarithmicError> && !std::is_same_v<Rule, rules::LogCosh>;

inline bool takes_elementwise(const LossSpec& spec) {
    bool takes = false;
    rules::with_elementwise_loss(spec, [&](auto rule, auto) { takes = kTakes<decltype(rule)>; });
    return takes;
}

// f(rule) with the rule of an elementwise loss that this kernel takes.
template <class F>
__device__ __forceinline__ void with_loss(const LossSpec& spec, F f) {
    rules::with_elementwise_loss(spec, [&](auto rule, auto) {
        if constexpr (kTakes<decltype(rule)>) f(rule);
    });
}

// Metrics of a piece's rows, times the rows' weights, to p.metric_values; a row is a half-warp's. First those of
// logits, then the outputs of the last layer become what the others see.
__device__ __forceinline__ void metrics_of_rows(const Parameters& p, float* memory, const Piece& piece) {
    using V = Lane<float>;
    const LayerPlan& last = p.plan.layer[p.plan.n_layers - 1];
    const int O = last.out;
    each_output_row(p.plan, piece, [&](int row, HalfWarpRow<float, int> half_warp) {
        float* const y = memory + last.y + row * last.rs;
        const float* const t = piece.target + row * p.plan.y_cols;
        for (int i = 0; i < p.n_metrics; ++i) {
            if (i == p.n_of_logits) {
                if (p.prediction == Activation::softmax) rules::softmax(half_warp, y, y);
                if (p.prediction == Activation::sigmoid)
                    half_warp.each([&](auto at) { at.store(y, rules::sigmoid(at.load(y))); });
                __syncwarp();  // every lane reads the first element
            }
            const int m = p.in_turn[i];
            const RowMetric& metric = p.metric[m];
            double value = 0.0;
            if (metric.spec.kind == Metric::loss) {
                const rules::LossScalars<V> scalars{
                    {float(metric.spec.loss.delta)}, {metric.keep_target}, {metric.add_target}};
                float* const none = nullptr;
                with_loss(metric.spec.loss, [&](auto rule) {
                    value = double(rules::mean_loss(half_warp, rule, float(O), y, t, none, none, V::set(1), scalars).v);
                });
            } else {
                value = accuracy(metric.spec, y, t, half_warp.n, O, p.plan.y_cols, half_warp.lane);
            }
            if (!half_warp.leads()) continue;
            const double weight = metric.spec.weighted ? double(piece.row_weight[row]) : 1.0;
            p.metric_values[m * p.plan.batch + piece.first + row] = weight * value;
        }
    });
}

// What steps add to the metrics' totals, by a warp. Every sum is a LaneSum, as in Counter.
struct MetricCounter {
    double total = 0.0, weight_total = 0.0;  // lane m: of metric m
    double values[kMostMetrics];             // of this lane's rows

    __device__ __forceinline__ explicit MetricCounter(const Parameters& p) : values{} {
        const int lane = threadIdx.x % 32;
        if (lane >= p.n_metrics) return;
        total = p.metric_totals[2 * lane];
        weight_total = p.metric_totals[2 * lane + 1];
    }

    // All that is read of other CTAs.
    __device__ __forceinline__ void read(const Parameters& p, int B) {
#pragma unroll
        for (int m = 0; m < kMostMetrics; ++m) {
            if (m >= p.n_metrics) break;
            values[m] = 0.0;
#pragma unroll 8
            for (int i = threadIdx.x % 32; i < B; i += 32) values[m] += __ldcg(p.metric_values + m * p.plan.batch + i);
        }
    }

    __device__ __forceinline__ void add(const Parameters& p, int64_t step, int B) {
        const int lane = threadIdx.x % 32;
        if (p.n_metrics == 0) return;
        double weights = 0.0;
        const int64_t first = p.first_row + step * p.plan.batch;
        for (int i = lane; p.row_weight && i < B; i += 32)
            weights += double(__ldg(p.row_weight + (p.order ? int64_t(__ldg(p.order + first + i)) : first + i)));
        const double weight = __shfl_sync(0xFFFFFFFFu, total32(weights), 0);
#pragma unroll
        for (int m = 0; m < kMostMetrics; ++m) {
            if (m >= p.n_metrics) break;
            const double value = __shfl_sync(0xFFFFFFFFu, total32(values[m]), 0);
            if (lane != m) continue;
            total += value;
            weight_total += p.metric[m].spec.weighted ? weight : double(B);
        }
    }

    __device__ __forceinline__ void store(const Parameters& p) const {
        const int lane = threadIdx.x % 32;
        if (lane >= p.n_metrics) return;
        p.metric_totals[2 * lane] = total;
        p.metric_totals[2 * lane + 1] = weight_total;
    }
};

}  // namespace fastreg::cuda::steps
