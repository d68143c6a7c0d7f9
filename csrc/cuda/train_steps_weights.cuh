// Many steps in one launch, second half of a step: every warp makes the gradient of its tile of weights and steps them.
// It must not know losses or dropout. Bits: chains over increasing rows in the blocks of k_block(B), their sums added
// in order, as in cpu/gemm.inl and sum_columns of cpu/dense.inl; the step is that of rules/update.h.
#pragma once
#include "cuda/train_steps.cuh"
#include "rules/k_block.h"

namespace fastreg::cuda::steps {

constexpr int kPerLane = 4;  // weights of a lane: rows i and i + 8, columns o and o + 4 of the tile

// Weights of one segment that a lane steps; at < 0: none.
struct Weights {
    int at[kPerLane];
    float w[kPerLane], g[kPerLane], slots[3][kPerLane];

    // Asked for before the gradient is made, so that they are there when it is. Nobody else writes them.
    __device__ __forceinline__ void load_slots(const Segment& s) {
#pragma unroll
        for (int k = 0; k < 3; ++k)
#pragma unroll
            for (int e = 0; e < kPerLane; ++e) slots[k][e] = s.slot[k] && at[e] >= 0 ? s.slot[k][at[e]] : 0.0f;
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

// The penalty's gradient is added first, so update_weight is told of soft thresholds alone; it always takes the path
// that clips, where a scale of 1 and no limit change nothing (as update.cu).
template <class T>
__device__ __forceinline__ void step_weights(const OptimizerSpec& optimizer, const Segment& s, const StepState& state,
                                             Weights* v) {
    using V = Lane<T>;
    rules::StepScalars<T> c = state.scalars;
    rules::set_penalty(s.penalty, 1.0, &c);
    rules::with_terms(s.penalty, [&](auto terms) {
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) v->g[e] = rules::full_gradient<decltype(terms)>(V{v->w[e]}, V{v->g[e]}, c).v;
    });
    rules::with_optimizer(optimizer, [&](auto rule) {
        const auto step = [&](auto terms) {
#pragma unroll
            for (int e = 0; e < kPerLane; ++e) {
                V s0{v->slots[0][e]}, s1{v->slots[1][e]}, s2{v->slots[2][e]};
                v->w[e] =
                    rules::update_weight<decltype(rule), decltype(terms), true>(V{v->w[e]}, V{v->g[e]}, s0, s1, s2, c)
                        .v;
                v->slots[0][e] = s0.v;
                v->slots[1][e] = s1.v;
                v->slots[2][e] = s2.v;
            }
        };
        if (s.penalty.l1 > 0 && s.penalty.proximal)
            step(rules::Terms<rules::L1::proximal, false>{});
        else
            step(rules::Terms<rules::L1::none, false>{});
    });
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

// Sums of a lane: of products, and of the two columns of dZ where the tile has the bias.
struct Sums {
    float chain[kPerLane], total[kPerLane];
    float column[2], column_total[2];
    bool first;  // no block has ended yet

    __device__ __forceinline__ Sums() : chain{}, total{}, column{}, column_total{}, first(true) {}

    __device__ __forceinline__ void end_block() {
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) {
            total[e] = first ? chain[e] : total[e] + chain[e];
            chain[e] = 0.0f;
        }
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            column_total[e] = column_total[e] + column[e];
            column[e] = 0.0f;
        }
        first = false;
    }

    template <bool kBias>
    __device__ __forceinline__ void add(float x0, float x1, float g0, float g1) {
        chain[0] = __fmaf_rn(x0, g0, chain[0]);
        chain[1] = __fmaf_rn(x0, g1, chain[1]);
        chain[2] = __fmaf_rn(x1, g0, chain[2]);
        chain[3] = __fmaf_rn(x1, g1, chain[3]);
        if (kBias) {
            column[0] = column[0] + g0;
            column[1] = column[1] + g1;
        }
    }

    // Rows [from, to) of columns in shared memory; from is a multiple of 4.
    template <bool kBias>
    __device__ __forceinline__ void add_rows(const float* x, int x_step, const float* g, int g_step, int from, int to) {
        int k = from;
#pragma unroll 4
        for (; k + 4 <= to; k += 4) {
            const float4 x0 = *reinterpret_cast<const float4*>(x + k),
                         x1 = *reinterpret_cast<const float4*>(x + x_step + k);
            const float4 g0 = *reinterpret_cast<const float4*>(g + k),
                         g1 = *reinterpret_cast<const float4*>(g + g_step + k);
            add<kBias>(x0.x, x1.x, g0.x, g1.x);
            add<kBias>(x0.y, x1.y, g0.y, g1.y);
            add<kBias>(x0.z, x1.z, g0.z, g1.z);
            add<kBias>(x0.w, x1.w, g0.w, g1.w);
        }
        for (; k < to; ++k) add<kBias>(x[k], x[x_step + k], g[k], g[g_step + k]);
    }
};

// Rows [begin, begin + steps_at_once) of the round's columns, or as many as B has, to a buffer in shared memory; rows
// up to the next multiple of four come along and are not used.
__device__ __forceinline__ void stage(const Parameters& p, const Round& round, float* buffer, int begin, int B) {
    const Plan& plan = p.plan;
    const int stride = staging_stride(plan), rows = least(plan.steps_at_once, B - begin);
    int log = 2;  // of the quads of a column: steps_at_once is a power of two
    while (4 << log < plan.steps_at_once) ++log;
    const int quads = ceil_div(rows, 4), pieces = round.n_units * kUnit << log;
    for (int i = threadIdx.x; i < pieces; i += kWorkers) {
        const int column = i >> log, quad = i & ((1 << log) - 1);
        if (quad >= quads) continue;
        const int from = round.unit[column / kUnit] + column % kUnit;
        copy16(buffer + column * stride + 4 * quad, p.columns + int64_t(from) * plan.column_stride + begin + 4 * quad);
    }
    end_copies();
}

// The second half of a step, by the workers.
__device__ __forceinline__ void train_weights(const Parameters& p, float* memory, const StepState& state, int B) {
    const Plan& plan = p.plan;
    const Round* const all_rounds = reinterpret_cast<const Round*>(memory + plan.rounds_at);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, stride = staging_stride(plan);
    // Lanes two apart share input columns, neighbours columns of dZ: loads of 16 bytes then serve half a warp at once.
    const int i = (lane & 1) | (lane >> 2 & 6), o = lane >> 1 & 3;
    const int block = int(rules::k_block(B)), pieces = ceil_div(B, plan.steps_at_once);
    for (int n = 0; n < plan.rounds; ++n) {
        const Round& round = all_rounds[n];
        if (round.n_tiles == 0) break;
        if (n > 0) sync_workers();
        stage(p, round, memory + plan.staging, 0, B);
        if (pieces > 1) stage(p, round, memory + plan.staging + plan.staging_floats, plan.steps_at_once, B);
        const bool has_tile = warp < round.n_tiles;
        const int mine = has_tile ? warp : 0, l = round.layer[mine];
        const LayerPlan& layer = plan.layer[l];
        const Segment& kernel = p.segment[p.layer[l].kernel];
        const int i0 = round.i0[mine] + i, o0 = round.o0[mine] + o;
        const bool biases = has_tile && round.i0[mine] == 0 && p.layer[l].bias >= 0;
        Weights own, own_bias;
        const float* const W = memory + layer.w;
#pragma unroll
        for (int e = 0; e < kPerLane; ++e) {
            const int row = i0 + e / 2 * 8, col = o0 + e % 2 * 4;
            const bool there = has_tile && row < layer.in && col < layer.out;
            own.at[e] = there ? row * layer.out + col : -1;
            own.w[e] = there ? W[row * layer.w_rs + col] : 0.0f;
            const bool bias = biases && i == 0 && e < 2 && col < layer.out;
            own_bias.at[e] = bias ? col : -1;
            own_bias.w[e] = bias ? memory[layer.b + col] : 0.0f;
        }
        own.load_slots(kernel);
        const Segment& bias_segment = p.segment[biases ? p.layer[l].bias : p.layer[l].kernel];
        own_bias.load_slots(bias_segment);

        const int x_at = (round.x_place[mine] * kUnit + i) * stride, g_at = (round.g_place[mine] * kUnit + o) * stride;
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
                const float *x = buffer + x_at, *g = buffer + g_at;
                if (biases)
                    sums.add_rows<true>(x, kUnit * stride, g, 4 * stride, k - begin, to - begin);
                else
                    sums.add_rows<false>(x, kUnit * stride, g, 4 * stride, k - begin, to - begin);
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
        for (int e = 0; e < kPerLane; ++e) {
            own.g[e] = sums.total[e];
            own_bias.g[e] = sums.column_total[e % 2];
        }
        const Segment* segment = &kernel;
#pragma unroll 1
        for (bool is_bias = false;; is_bias = true) {  // one text for both
            step_weights<float>(p.optimizer, *segment, state, &own);
            own.store(*segment);
            if (is_bias || !biases) break;
            own = own_bias;
            segment = &bias_segment;
        }
    }
}

}  // namespace fastreg::cuda::steps
