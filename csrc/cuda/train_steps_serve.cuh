// Many steps in one launch: the two warps beside the workers. The server fetches rows of the epoch ahead of the
// workers, and makes penalty values and the scalars of a step; the counter adds to the totals. It must not know what
// workers do with them.
#pragma once
#include "cuda/train_steps.cuh"

namespace fastreg::cuda::steps {

// Rows of the epoch on their way to the buffers of the first layer's input, targets and weights.
struct Fetch {
    const Parameters& p;
    float* memory;
    int rows;
    uint32_t index;  // of this lane's row in x

    // Rows [first, first + rows) of step `step`'s batch.
    __device__ __forceinline__ Fetch(const Parameters& parameters, float* memory, int64_t step, int first, int rows)
        : p(parameters), memory(memory), rows(rows), index(0) {
        const int lane = threadIdx.x % 32;
        const int64_t at = p.first_row + step * p.plan.batch + first + lane;
        if (lane < rows) index = p.order ? __ldg(p.order + at) : uint32_t(at);
    }

    __device__ __forceinline__ void start(int buffer) const {
        const Plan& plan = p.plan;
        const int lane = threadIdx.x % 32, I = plan.layer[0].in;
        float* const x = memory + plan.input + buffer * plan.rows_at_once * plan.input_rs;
        float* const y = memory + plan.target + buffer * plan.rows_at_once * plan.target_rs;
        if (p.row_weight && lane < rows)
            copy4(memory + plan.row_weight + buffer * plan.rows_at_once + lane, p.row_weight + index);
        for (int row = 0; row < rows; ++row) {
            const int64_t from = __shfl_sync(0xFFFFFFFFu, index, row);
            for (int i = lane; i < I; i += 32) copy4(x + row * plan.input_rs + i, p.x + from * I + i);
            for (int i = lane; i < plan.y_cols; i += 32)
                copy4(y + row * plan.target_rs + i, p.y + from * plan.y_cols + i);
        }
        end_copies();
    }
};

// The penalty of the chunks that are this CTA's, of the weights before the step.
__device__ __forceinline__ void chunk_penalties(const Parameters& p, const float* memory, int rank) {
    const int lane = threadIdx.x % 32;
    for (int s = 0; s < p.n_segments; ++s) {
        const Segment& segment = p.segment[s];
        for (int c = 0; c < segment.chunks; ++c) {
            if ((segment.first_chunk + c) % p.plan.ranks != rank) continue;
            const int begin = c * int(kChunk), n = least(int(kChunk), segment.rows * segment.cols - begin);
            const int first = begin + lane % 16;
            int row = first / segment.cols, col = first % segment.cols;
            const int down = 16 / segment.cols, right = 16 % segment.cols;
            const float* const w = memory + segment.shared;
            // chunk_penalty asks for a lane's elements in order, 16 apart: no division for each.
            const double value = chunk_penalty<float>(n, segment.penalty.l1, segment.penalty.l2, [&](int) {
                const float v = w[row * segment.shared_rs + col];
                row += down;
                col += right;
                if (col >= segment.cols) {
                    col -= segment.cols;
                    ++row;
                }
                return v;
            });
            if (lane == 0) p.values[segment.first_chunk + c] = value;
        }
    }
}

// The scalars of step `step` of the launch, by one thread.
__device__ __forceinline__ void make_scalars(const Parameters& p, int64_t step, StepState* state) {
    const int64_t t = int64_t(p.first_step) + step + 1;
    OptimizerSpec optimizer = p.optimizer;
    if (p.learning_rates) optimizer.learning_rate = __ldg(p.learning_rates + step);
    rules::StepScalars<float> scalars{};
    rules::set_step(optimizer, t, &scalars);
    state->scalars = scalars;
    state->flushes = rules::flushes(optimizer, t);
}

// What steps add to the totals: totals() of cpu/metric.inl with one unit, by a warp. Losses and chunks' values come
// from all CTAs. Every sum is a LaneSum: lane i has the terms i, i + 32, ...
struct Counter {
    double totals[kLossTotals];
    double losses, value;  // of this lane: of the rows, and of chunk `lane`

    __device__ __forceinline__ explicit Counter(const Parameters& p) : losses(0), value(0) {
#pragma unroll
        for (int k = 0; k < kLossTotals; ++k) totals[k] = p.totals[k];
    }

    // All that is read of other CTAs.
    __device__ __forceinline__ void read(const Parameters& p, int B) {
        const int lane = threadIdx.x % 32;
        value = lane < p.n_chunks ? __ldcg(p.values + lane) : 0.0;
        losses = 0.0;
#pragma unroll 8
        for (int i = lane; i < B; i += 32) losses += __ldcg(p.losses + i);
    }

    __device__ __forceinline__ void add(const Parameters& p, int B) {
        const int lane = threadIdx.x % 32;
        const double n = double(B), data = total32(losses) / n;
        double own = 0.0;  // lane s: of segment s
        for (int s = 0; s < p.n_segments; ++s) {
            const Segment& segment = p.segment[s];
            const double moved = __shfl_sync(0xFFFFFFFFu, value, (segment.first_chunk + lane) % 32);
            const double sum = total32(lane < segment.chunks ? 0.0 + moved : 0.0);
            const double all = __shfl_sync(0xFFFFFFFFu, sum, 0);
            if (lane == s) own = all;
        }
        if (lane < p.n_segments) p.penalties[lane] = own;
        const double penalty = 0.0 + total32(own), loss = data + penalty;  // right in lane 0
        totals[kTotalLoss] += n * loss;
        totals[kTotalDataLoss] += n * data;
        totals[kTotalPenalty] += n * penalty;
        if (!(loss - loss == 0.0)) totals[kTotalNonfinite] = 1.0;  // NaN or infinite
    }

    __device__ __forceinline__ void store(const Parameters& p) const {
        if (threadIdx.x % 32 != 0) return;
#pragma unroll
        for (int k = 0; k < kLossTotals; ++k) p.totals[k] = totals[k];
    }
};

}  // namespace fastreg::cuda::steps
