// Many steps in one launch: what the kernel is given, copies to shared memory and the barrier between CTAs.
// It must not know what a step computes.
#pragma once
#include "cuda/ptx.cuh"
#include "cuda/train_steps_plan.h"
#include "cuda/walk.cuh"
#include "rules/update.h"

namespace fastreg::cuda::steps {

struct Layer {
    Activation activation;
    float alpha, scale;  // scale: of what dropout keeps
    uint32_t keep, stream;
    uint64_t seed;
    int kernel, bias;  // segments

    FR_RULE bool drops() const { return keep < 65536; }
};

struct Segment {
    float* w;
    float* slot[3];
    PenaltySpec penalty;
    bool non_neg;
    int rows, cols, shared, shared_rs;  // its copy in shared memory
    int groups, log_groups;             // of a row: of four numbers, or single ones; no more than 2^log_groups
    int first_chunk, chunks;            // of all chunks that have a penalty; 0 chunks: none
};

// A metric that is a mean over rows; weighted only where the rows have weights.
struct RowMetric {
    MetricSpec spec;
    float keep_target, add_target;  // label smoothing, of a loss
};

// Everything, by value.
struct Parameters {
    Plan plan;
    Layer layer[kMostLayers];
    Segment segment[kMostSegments];
    int n_segments, n_chunks;
    LossSpec loss;
    float keep_target, add_target;  // label smoothing
    float share, last_share;        // of a loss in the gradient; last: of the last batch
    int block, last_block;          // k_block() of a batch
    const float *x, *y, *row_weight;
    const uint32_t* order;
    int64_t rows, first_row, n_steps;
    uint64_t first_step;
    OptimizerSpec optimizer;
    const double* learning_rates;  // of the steps; null: the optimizer's
    double *penalties, *totals;
    RowMetric metric[kMostMetrics];
    int n_metrics, n_of_logits;  // losses from logits
    int in_turn[kMostMetrics];   // which metric is made when, those first
    Activation prediction;       // what metrics see, but for a loss from logits: this of the last layer's outputs
    double* metric_totals;       // two for each
    float* columns;  // scratch memory: columns of column_stride rows, those of each layer's input, then of its dZ
    double* losses;  // of the batch's rows, times the rows' weights
    double* values;  // of the chunks that have a penalty
    double* metric_values;  // of the batch's rows, times the rows' weights, one metric after the other
    unsigned* barrier;

    __device__ __forceinline__ int batch_of(int64_t step) const {
        const int64_t left = rows - first_row - step * plan.batch;
        return left < plan.batch ? int(left) : plan.batch;
    }
};

static_assert(sizeof(Parameters) <= 4096, "all that older drivers pass to a kernel");

// A step in numbers, in shared memory.
struct StepState {
    rules::StepScalars<float> scalars;
    bool flushes;
};

// A layer's dropout decisions for a CTA's rows: bit i % 8 of byte i / 8 - first_byte is that of flat element i.
struct Masks {
    const unsigned char* bytes;
    int first_row, width;  // of the batch, for row 0 below
    int first_byte;

    // Of four neighbours, in the lowest bits; beyond the row's end anything.
    __device__ __forceinline__ unsigned four(int row, int col) const {
        const int flat = (first_row + row) * width + col;
        const unsigned char* const at = bytes + ((flat >> 3) - first_byte);
        return unsigned(at[0] | at[1] << 8) >> (flat & 7);
    }
};

// What a CTA works at in the first half of a step.
struct Piece {
    Range mine;                            // its rows of the batch
    int first;                             // the first of them in shared memory now
    int rows;                              // how many
    const float *x, *target, *row_weight;  // row_weight only where rows have weights
    float share;

    __device__ __forceinline__ Masks masks(const Plan& plan, int l, const float* memory) const {
        const LayerPlan& layer = plan.layer[l];
        const unsigned char* all = reinterpret_cast<const unsigned char*>(memory + plan.masks);
        return {all + layer.masks, first, layer.out, mine.begin * layer.out / 8};
    }
};

// f(row, group) by the workers for groups of numbers of all rows; no more than 2^log_groups of a row.
template <class F>
__device__ __forceinline__ void each_group(int rows, int groups, int log_groups, F f) {
    const int group = int(threadIdx.x) & ((1 << log_groups) - 1);
    if (group >= groups) return;
    for (int row = int(threadIdx.x) >> log_groups; row < rows; row += kWorkers >> log_groups) f(row, group);
}

// use(operands) for k = 0, kStep, ... below n, a multiple of kStep; load(k, &operands) asks for those of the next k
// before the ones at hand are used.
template <class Operands, int kStep, class Load, class Use>
__device__ __forceinline__ void each_ahead(int n, Load load, Use use) {
    if (n <= 0) return;
    Operands now, next;
    load(0, &now);
#pragma unroll 2
    for (int k = kStep; k < n; k += kStep) {
        load(k, &next);
        use(now);
        now = next;
    }
    use(now);
}

// f(row, half_warp) by a half-warp for each row of the last layer's outputs; in a half-warp without a row, half_warp.n
// is 0 and row the last, so that its threads come along for the shuffles.
template <class F>
__device__ __forceinline__ void each_output_row(const Plan& plan, const Piece& piece, F f) {
    const int outputs = plan.layer[plan.n_layers - 1].out, lane = threadIdx.x % 16;
    for (int pair = threadIdx.x / 32; 2 * pair < piece.rows; pair += kWarps) {  // a warp's threads stay together
        const int own = 2 * pair + int(threadIdx.x / 16 & 1);
        f(least(own, piece.rows - 1), HalfWarpRow<float, int>{own < piece.rows ? outputs : 0, lane});
    }
}

__device__ __forceinline__ void load4(const float* from, float (&to)[4]) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
}
__device__ __forceinline__ void store4(float* to, const float (&v)[4]) {
    *reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
}

// ---- copies to shared memory ---------------------------------------------------------------------------------------

// Nothing of data that other CTAs write is in the first cache after a barrier: waiting empties it.
__device__ __forceinline__ void copy16(float* shared, const float* global) {
#if __CUDA_ARCH__ >= 800
    ptx::copy16(ptx::shared_address(shared), global);
#else
    *reinterpret_cast<float4*>(shared) = __ldcg(reinterpret_cast<const float4*>(global));
#endif
}
__device__ __forceinline__ void copy4(float* shared, const float* global) {
#if __CUDA_ARCH__ >= 800
    ptx::copy4(ptx::shared_address(shared), global);
#else
    *shared = __ldcg(global);
#endif
}
__device__ __forceinline__ void end_copies() {  // of a group
#if __CUDA_ARCH__ >= 800
    ptx::commit_copies();
#endif
}
// Until all groups of this thread but the last n have come. Others see them after the next barrier.
template <int n>
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    ptx::wait_for_copies<n>();
#endif
}

// ---- barriers ------------------------------------------------------------------------------------------------------

// Of the workers of a CTA; of them and the warp that serves them.
__device__ __forceinline__ void sync_workers() { ptx::sync_some<1, kWorkers>(); }
__device__ __forceinline__ void sync_rows() { ptx::sync_some<2, kWorkers + 32>(); }

// Of all threads of all CTAs: what a thread wrote to global memory before arrive() any thread may read after wait().
// On Hopper the CTAs are one cluster, whose barrier releases at arrive and acquires at wait. On older devices a counter
// in global memory does: the fence before __syncthreads() makes every thread's writes visible to the device before the
// first thread counts this CTA; the fence after the last CTA was seen, and reads past the first cache, do the rest.
// The counter begins at 0 and only grows.
class Barrier {
public:
    __device__ __forceinline__ explicit Barrier(unsigned* counter) : counter_(counter) {}

    __device__ __forceinline__ void arrive() {
#if __CUDA_ARCH__ >= 900
        ptx::arrive_in_cluster();
#else
        __threadfence();
        __syncthreads();
        wanted_ += gridDim.x;
        if (threadIdx.x == 0) atomicAdd(counter_, 1u);
#endif
    }
    __device__ __forceinline__ void wait() {
#if __CUDA_ARCH__ >= 900
        ptx::wait_for_cluster();
#else
        if (threadIdx.x == 0)
            while (int(*static_cast<volatile unsigned*>(counter_) - wanted_) < 0) {
            }
        __threadfence();
        __syncthreads();
#endif
    }

private:
    unsigned* counter_;
    unsigned wanted_ = 0;
};

}  // namespace fastreg::cuda::steps
