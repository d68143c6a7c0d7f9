// Many steps in one launch, second half of a step: every warp makes the gradient of its tile of weights and steps them.
// It must not know losses or dropout. Bits: chains over increasing rows in the blocks of k_block(B), their sums added
// in order, as in cpu/gemm.inl and column_sums of cpu/dense.inl; the step is that of rules/update.h.
// Over 40 lines: train_weights, in which copies of the next rows and sums of these take turns.
#pragma once
#include "cuda/step_weights.cuh"
#include "cuda/train_steps.cuh"

namespace fastreg::cuda::steps {

constexpr int kPerLane = 4;  // weights of a lane: rows i and i + 8, columns o and o + 4 of the tile

// Weights of one segment that a lane steps; at < 0: none.
struct Weights {
    int at[kPerLane];
    float w[kPerLane], g[kPerLane], slots[3][kPerLane];

    // Asked for before the gradient is made, so that they are there when it is. Nobody else writes them.
    __device__ __forceinline__ void load_slots(const Segment& s) {
#pragma unroll
        for (int k = 0; k < 3; ++k) {
#pragma unroll
            for (int e = 0; e < kPerLane; ++e) slots[k][e] = 0.0f;
            if (!s.slot[k]) continue;
#pragma unroll
            for (int e = 0; e < kPerLane; ++e)
                if (at[e] >= 0) slots[k][e] = s.slot[k][at[e]];
        }
    }
    __device__ __forceinline__ void store(const Segment& s) const {
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) {
            if (at[e] < 0) continue;
            s.w[at[e]] = w[e];
#pragma unroll
            for (int k = 0; k < 3; ++k)
                if (s.slot[k]) s.slot[k][at[e]] = slots[k][e];
        }
    }
};

// The whole step of a lane's weights, its constraint included.
__device__ __forceinline__ void step_lane(const OptimizerSpec& optimizer, const Segment& s, const StepState& state,
                                          Weights* v) {
    using V = Lane<float>;
    rules::StepScalars<float> c = state.scalars;
    rules::set_penalty(s.penalty, 1.0, &c);
    add_penalty(s.penalty, c, v->w, v->g);
    rules::with_optimizer(optimizer,
                          [&](auto rule) { step_weights<decltype(rule)>(s.penalty, c, v->w, v->g, v->slots); });
    if (state.flushes) {
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            const float least = rules::least_slot<float>(optimizer, k);
#pragma unroll
            for (int e = 0; e < kPerLane; ++e) v->slots[k][e] = rules::flush(V{v->slots[k][e]}, least).v;
        }
    }
    if (s.non_neg) {
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) v->w[e] = V::select(V{v->w[e]} <= V::set(0), V::set(0), V{v->w[e]}).v;
    }
}

// ---- gradients -----------------------------------------------------------------------------------------------------

// Sums of a lane over the rows of the batch: of products, or in the first place of a column of dZ.
struct Sums {
    float chain[kPerLane], total[kPerLane];
    bool first;  // no block has ended yet

    __device__ __forceinline__ Sums() : chain{}, total{}, first(true) {}

    __device__ __forceinline__ void end_block() {
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) {
            total[e] = first ? chain[e] : total[e] + chain[e];
            chain[e] = 0.0f;
        }
        first = false;
    }

    __device__ __forceinline__ void add(float x0, float x1, float g0, float g1) {
        chain[0] = __fmaf_rn(x0, g0, chain[0]);
        chain[1] = __fmaf_rn(x0, g1, chain[1]);
        chain[2] = __fmaf_rn(x1, g0, chain[2]);
        chain[3] = __fmaf_rn(x1, g1, chain[3]);
    }

    // The next `rows` rows of columns in shared memory. Eight rows are asked for while eight others are used.
    __device__ __forceinline__ void add_products(const float* x, int x_step, const float* g, int g_step, int rows) {
        struct Operands {
            float x[2][2][4], g[2][2][4];
        };
        const auto load = [&](int k, Operands* to) {
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    load4(x + i * x_step + k + 4 * half, to->x[half][i]);
                    load4(g + i * g_step + k + 4 * half, to->g[half][i]);
                }
        };
        const auto multiply = [&](const Operands& a) {
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int u = 0; u < 4; ++u) add(a.x[half][0][u], a.x[half][1][u], a.g[half][0][u], a.g[half][1][u]);
        };
        const int whole = rows & ~7;
        each_ahead<Operands, 8>(whole, load, multiply);
#pragma unroll 1
        for (int k = whole; k < rows; ++k) add(x[k], x[x_step + k], g[k], g[g_step + k]);
    }

    // A sum that begins at 0 is never -0, so it does not matter that 0 is not added to the first block's.
    __device__ __forceinline__ void add_column(const float* g, int rows) {
        int k = 0;
#pragma unroll 4
        for (; k + 4 <= rows; k += 4) {
            float four[4];
            load4(g + k, four);
#pragma unroll
            for (int u = 0; u < 4; ++u) chain[0] = chain[0] + four[u];
        }
#pragma unroll 1
        for (; k < rows; ++k) chain[0] = chain[0] + g[k];
    }
};

// Rows [begin, begin + steps_at_once) of the round's columns, or as many as B has, to a buffer in shared memory; rows
// up to the next multiple of four come along and are not used.
__device__ __forceinline__ void stage(const Parameters& p, const Round& round, float* buffer, int begin, int B) {
    const Plan& plan = p.plan;
    const int stride = staging_stride(plan), quads = ceil_div(least(plan.steps_at_once, B - begin), 4);
    const int quad = int(threadIdx.x) & ((1 << plan.log_steps) - 1), columns = round.n_units * kUnit;
    const int first = int(threadIdx.x) >> plan.log_steps, step = kWorkers >> plan.log_steps;
    if (quad < quads) {
        const float* const from = p.columns + (begin + 4 * quad);
        int unit = round.unit[least(first, columns - 1) / kUnit];
        for (int column = first; column < columns; column += step) {
            const int place = unit + column % kUnit;
            unit = round.unit[least(column + step, columns - 1) / kUnit];  // asked for before a copy begins
            copy16(buffer + column * stride + 4 * quad, from + place * plan.column_stride);
        }
    }
    end_copies();
}

// The second half of a step, by the workers.
__device__ __forceinline__ void train_weights(const Parameters& p, float* memory, const StepState& state, int B) {
    const Plan& plan = p.plan;
    const Round* const all_rounds = reinterpret_cast<const Round*>(memory + plan.rounds_at);
    const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, stride = staging_stride(plan);
    // Lanes two apart share input columns, neighbours columns of dZ: a warp reads little of either.
    const int i = (lane & 1) | (lane >> 2 & 6), o = lane >> 1 & 3;
    const int block = B == plan.batch ? p.block : p.last_block;
    const int pieces = (B + plan.steps_at_once - 1) >> (plan.log_steps + 2);
    for (int n = 0; n < plan.rounds; ++n) {
        const Round& round = all_rounds[n];
        if (round.n_tiles == 0) break;
        if (n > 0) sync_workers();
#pragma unroll 1
        for (int piece = 0; piece < least(pieces, 2); ++piece)
            stage(p, round, memory + plan.staging + piece * plan.staging_floats, piece * plan.steps_at_once, B);
        const bool has_tile = warp < round.n_tiles;
        const int mine = has_tile ? warp : 0, l = round.layer[mine], i0 = round.i0[mine], o0 = round.o0[mine];
        const LayerPlan& layer = plan.layer[l];
        const bool is_bias = i0 < 0;
        const Segment& segment = p.segment[is_bias ? p.layer[l].bias : p.layer[l].kernel];
        const float* const from = memory + segment.shared;
        Weights own;
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) {
            const int row = is_bias ? e : i0 + i + e / 2 * 8, col = is_bias ? o0 + lane : o0 + o + e % 2 * 4;
            const bool there = has_tile & (row < segment.rows) & (col < segment.cols);  // without branches
            own.at[e] = there ? row * segment.cols + col : -1;
            own.w[e] = from[there ? row * segment.shared_rs + col : 0];
        }
        own.load_slots(segment);

        const int column = is_bias ? least(lane, layer.out - 1 - o0) : o;
        const int x_at = (round.x_place[mine] * kUnit + i) * stride;
        const int g_at = (round.g_place[mine] * kUnit + column) * stride;
        Sums sums;
        int block_end = block;
        for (int piece = 0; piece < pieces; ++piece) {
            // The copies of this piece have come when at most one later group has not.
            if (piece + 1 < pieces)
                wait_for_copies<1>();
            else
                wait_for_copies<0>();
            sync_workers();
            const float* const buffer = memory + plan.staging + (piece & 1) * plan.staging_floats;
            const int begin = piece * plan.steps_at_once, end = least(begin + plan.steps_at_once, B);
            for (int k = begin; has_tile && k < end;) {  // blocks begin at multiples of 8
                const int to = least(end, block_end);
                const float *const x = buffer + x_at + (k - begin), *const g = buffer + g_at + (k - begin);
                if (is_bias)
                    sums.add_column(g, to - k);
                else
                    sums.add_products(x, kUnit * stride, g, 4 * stride, to - k);
                k = to;
                if (k == block_end || k == B) {
                    sums.end_block();
                    block_end += block;
                }
            }
            if (piece + 2 >= pieces) continue;
            sync_workers();  // all have read the buffer
            stage(p, round, memory + plan.staging + (piece & 1) * plan.staging_floats, begin + 2 * plan.steps_at_once,
                  B);
        }
        if (!has_tile) continue;
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) own.g[e] = sums.total[e];
        step_lane(p.optimizer, segment, state, &own);
        own.store(segment);
    }
}

}  // namespace fastreg::cuda::steps
