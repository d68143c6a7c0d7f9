// Many training steps of a small network in one launch: what a step costs is then its arithmetic and two barriers, not
// a dozen launches. CTAs that run at once (on Hopper one cluster) share the rows of a batch in the first half of a
// step, the weights in the second; see train_steps_rows.cuh, _weights.cuh and _serve.cuh. It must not know sessions.
// Over 250 lines: the kernel, and the gate that says what it can take. Over 40: describe, all questions of the gate.
#include "cuda/train_steps.h"

#include "cuda/train_steps_rows.cuh"
#include "cuda/train_steps_serve.cuh"
#include "cuda/train_steps_weights.cuh"

namespace fastreg::cuda {
namespace steps {
namespace {

// ---- weights to shared memory --------------------------------------------------------------------------------------

// All weights as the last step left them, by the workers.
__device__ __forceinline__ void load_weights(const Parameters& p, float* memory) {
    for (int s = 0; s < p.n_segments; ++s) {
        const Segment& segment = p.segment[s];
        float* const to = memory + segment.shared;
        const bool by_four = 4 * segment.groups == segment.cols;
        each_group(segment.rows, segment.groups, segment.log_groups, [&](int row, int group) {
            if (by_four)
                copy16(to + row * segment.shared_rs + 4 * group, segment.w + row * segment.cols + 4 * group);
            else
                copy4(to + row * segment.shared_rs + group, segment.w + row * segment.cols + group);
        });
    }
    end_copies();
    wait_for_copies<0>();
}

// ---- the kernel ----------------------------------------------------------------------------------------------------

// The roles of a CTA's warps. Each goes through all steps; what they do at the same time is kept apart by three kinds
// of barriers: sync_workers(), sync_rows() of workers and server, and the barrier of all threads of all CTAs, twice a
// step:
//   first: all columns, losses and penalties are in global memory, and all workers are done with the activations, where
//   columns now go, and with the dropout decisions;
//   second: all weights are in global memory, and all columns, losses and penalties have been read.

__device__ __forceinline__ void work(const Parameters& p, float* memory, const StepState* states, Barrier& barrier) {
    const Plan& plan = p.plan;
    const int rank = int(blockIdx.x);
    Range rows = rows_of(rank, plan.ranks, p.batch_of(0));
    make_masks(p, memory, uint32_t(p.first_step), rows);
    int buffer = 0;
    for (int64_t step = 0; step < p.n_steps; ++step) {
        const int B = p.batch_of(step);
        load_weights(p, memory);
        int first = rows.begin;
        do {  // once without rows where there are none
            sync_rows();
            const int n = least(rows.end - first, plan.rows_at_once), at = buffer * plan.rows_at_once;
            const Piece piece{rows,
                              first,
                              n,
                              memory + plan.input + at * plan.input_rs,
                              memory + plan.target + at * plan.target_rs,
                              memory + plan.row_weight + at,
                              B == plan.batch ? p.share : p.last_share};
            train_rows(p, memory, piece);
            buffer ^= 1;
            first += n;
        } while (first < rows.end);
        barrier.arrive();
        if (step + 1 < p.n_steps) {  // while waiting; no worker reads the decisions of this step any more
            rows = rows_of(rank, plan.ranks, p.batch_of(step + 1));
            make_masks(p, memory, uint32_t(p.first_step + uint64_t(step) + 1), rows);
        }
        barrier.wait();
        train_weights(p, memory, states[step & 1], B);
        if (step + 1 == p.n_steps) return;
        barrier.arrive();
        barrier.wait();
    }
}

// At sync_rows() a piece of rows has come, and the workers are done with the one before: the next may overwrite it.
__device__ __forceinline__ void serve(const Parameters& p, float* memory, StepState* states, Barrier& barrier) {
    const Plan& plan = p.plan;
    const int rank = int(blockIdx.x);
    const bool is_first_lane = threadIdx.x % 32 == 0;
    Range rows = rows_of(rank, plan.ranks, p.batch_of(0));
    Fetch(p, memory, 0, rows.begin, least(rows.count(), plan.rows_at_once)).start(0);
    if (is_first_lane) make_scalars(p, 0, &states[0]);
    __syncwarp();
    int buffer = 0;
    for (int64_t step = 0; step < p.n_steps; ++step) {
        const bool is_last = step + 1 == p.n_steps;
        const Range next = is_last ? Range{0, 0} : rows_of(rank, plan.ranks, p.batch_of(step + 1));
        int first = rows.begin;
        do {
            wait_for_copies<0>();
            sync_rows();
            const bool starts = first == rows.begin;
            first += least(rows.end - first, plan.rows_at_once);
            const bool more = first < rows.end;
            const int begin = more ? first : next.begin, end = more ? rows.end : next.end;
            const Fetch fetch(p, memory, more ? step : step + 1, begin, least(end - begin, plan.rows_at_once));
            if (starts) chunk_penalties(p, memory, rank);  // while the rows' numbers come
            __syncwarp();
            buffer ^= 1;
            fetch.start(buffer);
        } while (first < rows.end);
        rows = next;
        barrier.arrive();
        barrier.wait();
        if (is_last) return;
        if (is_first_lane) make_scalars(p, step + 1, &states[(step + 1) & 1]);  // while the workers step their weights
        __syncwarp();
        barrier.arrive();
        barrier.wait();
    }
}

// One CTA's, the last, which has the least to do; the others' only come to the barriers.
__device__ __forceinline__ void count(const Parameters& p, Barrier& barrier) {
    const bool counts = int(blockIdx.x) == p.plan.ranks - 1;
    Counter counter(p);
    MetricCounter metrics(p);
    for (int64_t step = 0; step < p.n_steps; ++step) {
        const int B = p.batch_of(step);
        const bool is_last = step + 1 == p.n_steps;
        barrier.arrive();
        barrier.wait();
        if (counts) {
            counter.read(p, B);
            metrics.read(p, B);
        }
        if (!is_last) barrier.arrive();
        if (counts) {
            counter.add(p, B);
            metrics.add(p, step, B);
        }
        if (!is_last) barrier.wait();
    }
    if (!counts) return;
    counter.store(p);
    metrics.store(p);
}

__global__ void __launch_bounds__(kThreads, 1) train_kernel(const __grid_constant__ Parameters p) {
    __shared__ StepState states[2];  // of a step and the next
    float* const memory = ptx::keep_shared(ptx::dynamic_shared<float>());
    Barrier barrier(p.barrier);
    const int warp = int(threadIdx.x / 32), round = int(threadIdx.x);
    if (round < p.plan.rounds)
        make_round(p.plan, int(blockIdx.x), round, reinterpret_cast<Round*>(memory + p.plan.rounds_at) + round);
    if (warp < kWarps)
        work(p, memory, states, barrier);
    else if (warp == kWarps)
        serve(p, memory, states, barrier);
    else
        count(p, barrier);
}

// ---- the gate ------------------------------------------------------------------------------------------------------

bool takes_loss(const LossSpec& loss, int64_t y_cols, int64_t outputs) {
    if (loss.kind == Loss::sparse_categorical_crossentropy) return loss.from_logits && y_cols == 1;
    if (y_cols != outputs) return false;
    return loss.kind == Loss::categorical_crossentropy ? loss.from_logits : takes_elementwise(loss);
}

bool takes_metric(const MetricSpec& metric, int64_t y_cols, int64_t outputs) {
    switch (metric.kind) {
        case Metric::sparse_categorical_accuracy: return y_cols == 1;
        case Metric::binary_accuracy:
        case Metric::categorical_accuracy: return y_cols == outputs;
        case Metric::loss: return y_cols == outputs && takes_elementwise(metric.loss);
        case Metric::thresholds:
        case Metric::r2:
        case Metric::class_counts: return false;
    }
    return false;
}

// The kernel's parameters but for the plan and scratch memory; shapes: what the plan needs. False: not for this kernel.
bool describe(const TrainSteps<float>& t, Parameters* p, LayerShape* shapes, int64_t* weights) {
    const OptimizerSpec& o = t.optimizer;
    if (t.n_layers < 1 || t.n_layers > kMostLayers || t.n_segments > kMostSegments) return false;
    if (t.batch < 1 || t.batch > kMostBatch || t.steps < 1 || o.clipnorm > 0 || o.global_clipnorm > 0) return false;
    if (t.rows > int64_t(UINT32_MAX) || t.y_cols > kMostWidth) return false;
    const int64_t outputs = t.layers[t.n_layers - 1].out;
    if (!takes_loss(t.loss, t.y_cols, outputs) || t.n_metrics > kMostMetrics) return false;
    for (int64_t m = 0; m < t.n_metrics; ++m)
        if (!takes_metric(t.metrics[m], t.y_cols, outputs)) return false;
    *weights = 0;
    for (int64_t s = 0; s < t.n_segments; ++s) {
        const UpdateSegment<float>& from = t.segments[s];
        const Constraint c = from.constraint.kind;
        if (c != Constraint::none && c != Constraint::non_neg) return false;
        *weights += from.n;
        if (*weights > kMostWeights) return false;
        Segment& to = p->segment[s];
        to.w = from.w;
        for (int k = 0; k < 3; ++k) to.slot[k] = k < rules::n_slots(o) ? from.slot[k] : nullptr;
        to.penalty = from.penalty;
        to.non_neg = c == Constraint::non_neg;
        to.first_chunk = p->n_chunks;
        to.chunks = from.penalty.l1 > 0 || from.penalty.l2 > 0 ? int((from.n + kChunk - 1) / kChunk) : 0;
        p->n_chunks += to.chunks;
        to.shared_rs = 0;  // not yet a layer's
    }
    if (p->n_chunks > 32) return false;
    p->n_segments = int(t.n_segments);
    int64_t owned = 0;  // segments that are a layer's
    for (int64_t l = 0; l < t.n_layers; ++l) {
        const TrainLayer<float>& from = t.layers[l];
        if (from.activation.kind == Activation::softmax || from.kernel < 0 || from.kernel >= t.n_segments) return false;
        if (from.bias >= t.n_segments || from.in > kMostWidth || from.out > kMostWidth) return false;
        if (l > 0 && from.in != t.layers[l - 1].out) return false;
        if (t.segments[from.kernel].n != from.in * from.out) return false;
        if (from.bias >= 0 && t.segments[from.bias].n != from.out) return false;
        owned += from.bias >= 0 ? 2 : 1;
        Layer& to = p->layer[l];
        to.activation = from.activation.kind;
        to.alpha = float(from.activation.alpha);
        to.scale = float(from.dropout.scale);
        to.keep = from.dropout.keep;
        to.stream = from.dropout.stream;
        to.seed = from.dropout.seed;
        to.kernel = int(from.kernel);
        to.bias = int(from.bias);
        shapes[l] = {int(from.in), int(from.out), from.bias >= 0, rules::needs_z(to.activation, to.drops()),
                     to.drops()};
    }
    return owned == t.n_segments;
}

void place_segments(Parameters* p) {
    const auto place = [](Segment* s, int rows, int cols, int shared, int shared_rs) {
        const bool by_four = cols % 4 == 0 && reinterpret_cast<uintptr_t>(s->w) % 16 == 0;
        s->rows = rows;
        s->cols = cols;
        s->shared = shared;
        s->shared_rs = shared_rs;
        s->groups = by_four ? cols / 4 : cols;
        s->log_groups = log_at_least(s->groups);
    };
    for (int l = 0; l < p->plan.n_layers; ++l) {
        const LayerPlan& layer = p->plan.layer[l];
        place(&p->segment[p->layer[l].kernel], layer.in, layer.out, layer.w, layer.w_rs);
        if (layer.b >= 0) place(&p->segment[p->layer[l].bias], 1, layer.out, layer.b, layer.out);
    }
}

void add_epoch(const TrainSteps<float>& t, Parameters* p) {
    const double O = double(t.layers[t.n_layers - 1].out);
    const int64_t before_last = t.first_row + (t.steps - 1) * t.batch, left = t.rows - before_last;
    const double B = double(t.batch), last = double(left < t.batch ? left : t.batch);
    const bool categorical = rules::is_categorical(t.loss.kind);
    p->loss = t.loss;
    p->share = categorical ? float(1.0 / B) : float(1.0 / (B * O));
    p->last_share = categorical ? float(1.0 / last) : float(1.0 / (last * O));
    p->block = int(rules::k_block(t.batch));
    p->last_block = int(rules::k_block(int64_t(last)));
    const rules::TargetMap map = rules::smoothing_of(t.loss, O);
    p->keep_target = float(map.keep);
    p->add_target = float(map.add);
    p->x = t.x;
    p->y = t.y;
    p->row_weight = t.weight;
    p->order = t.order;
    p->rows = t.rows;
    p->first_row = t.first_row;
    p->n_steps = t.steps;
    p->first_step = t.first_step;
    p->optimizer = t.optimizer;
    p->penalties = t.penalties;
    p->totals = t.totals;
    p->n_metrics = int(t.n_metrics);
    const auto of_logits = [&](int m) { return t.metrics[m].kind == Metric::loss && t.metrics[m].loss.from_logits; };
    int turn = 0;
    for (const bool now : {true, false}) {
        for (int m = 0; m < p->n_metrics; ++m)
            if (of_logits(m) == now) p->in_turn[turn++] = m;
        if (now) p->n_of_logits = turn;
    }
    p->prediction = t.prediction;
    p->metric_totals = t.metric_totals;
    for (int m = 0; m < p->n_metrics; ++m) {
        RowMetric& to = p->metric[m];
        to.spec = t.metrics[m];
        to.spec.weighted = to.spec.weighted && t.weight;
        const rules::TargetMap of_metric = rules::smoothing_of(to.spec.loss, O);
        to.keep_target = float(of_metric.keep);
        to.add_target = float(of_metric.add);
    }
}

// How the kernel is launched: `attributes` of `config` make its CTAs run at once.
struct Launch {
    cudaLaunchConfig_t config{};
    cudaLaunchAttribute attributes[1]{};

    Launch(const CudaQueue& queue, const Plan& plan) {
        config.gridDim = dim3(unsigned(plan.ranks));
        config.blockDim = dim3(kThreads);
        config.dynamicSmemBytes = size_t(plan.shared_bytes);
        config.stream = queue.stream();
        config.attrs = attributes;
        config.numAttrs = 1;
        if (queue.capability() >= 90) {
            attributes[0].id = cudaLaunchAttributeClusterDimension;
            attributes[0].val.clusterDim.x = unsigned(plan.ranks);
            attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
        } else {
            attributes[0].id = cudaLaunchAttributeCooperative;
            attributes[0].val.cooperative = 1;
        }
    }
    Launch(const Launch&) = delete;

    // Whether the device has room for them all at once.
    // The kernel is allowed the same shared memory each time: a session of another thread may be about to launch it.
    bool fits(const CudaQueue& queue, int shared_limit) const {
        int n = 0;
        bool ok = cudaFuncSetAttribute(train_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit) ==
                  cudaSuccess;
        if (queue.capability() >= 90) {
            if (config.gridDim.x > 8)
                ok = ok && cudaFuncSetAttribute(train_kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) ==
                               cudaSuccess;
            ok = ok && cudaOccupancyMaxActiveClusters(&n, train_kernel, &config) == cudaSuccess && n >= 1;
        } else {
            ok = ok && int(config.gridDim.x) <= queue.multiprocessors() &&
                 cudaOccupancyMaxActiveBlocksPerMultiprocessor(&n, train_kernel, kThreads, config.dynamicSmemBytes) ==
                     cudaSuccess &&
                 n >= 1;
        }
        cudaGetLastError();  // a refusal is no error
        return ok;
    }
};

int shared_limit() {
    int device = 0, limit = 0;
    if (cudaGetDevice(&device) != cudaSuccess ||
        cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
        cudaGetLastError();
    return limit - int(2 * sizeof(StepState)) - 64;
}

}  // namespace
}  // namespace steps

template <>
bool train_steps_on(const TrainSteps<float>& t, int wanted) {
    using namespace steps;
    CudaQueue& queue = CudaQueue::current();
    Parameters p{};
    LayerShape shapes[kMostLayers] = {};
    int64_t weights = 0;
    if (queue.failed() || !describe(t, &p, shapes, &weights)) return false;
    const int limit = shared_limit();
    // Not every device can have a cluster of 16.
    for (int ranks = wanted ? wanted : wanted_ranks(int(t.batch), int(weights), kMostRanks);; ranks = 8) {
        if (!wanted && !worth_it(t.batch, weights, ranks)) return false;
        if (make_plan(shapes, int(t.n_layers), int(t.batch), int(t.y_cols), ranks, limit, &p.plan) &&
            Launch(queue, p.plan).fits(queue, limit))
            break;
        if (wanted || ranks <= 8) return false;
    }
    place_segments(&p);
    add_epoch(t, &p);
    // Doubles first; columns begin on 32 bytes.
    const int64_t rates = t.learning_rates ? t.steps : 0;
    const int64_t doubles = round_up(2 + p.n_chunks + (1 + p.n_metrics) * p.plan.batch + rates, 4);
    double* const memory =
        scratch<double>(Scratch::rows, doubles + (int64_t(p.plan.columns) * p.plan.column_stride + 1) / 2);
    if (!memory) return false;  // the single step will tell
    p.barrier = reinterpret_cast<unsigned*>(memory);
    p.values = memory + 2;
    p.losses = p.values + p.n_chunks;
    p.metric_values = p.losses + p.plan.batch;
    p.columns = reinterpret_cast<float*>(memory + doubles);
    queue.note(cudaMemsetAsync(memory, 0, 2 * sizeof(double), queue.stream()), "clearing memory");
    if (rates) {
        double* const to = p.metric_values + p.n_metrics * p.plan.batch;
        const size_t bytes = size_t(rates) * sizeof *to;
        queue.note(cudaMemcpyAsync(to, t.learning_rates, bytes, cudaMemcpyHostToDevice, queue.stream()),
                   "copying to the device");
        p.learning_rates = to;
    }
    if (queue.failed()) return true;
    const Launch launch(queue, p.plan);
    queue.note(cudaLaunchKernelEx(&launch.config, train_kernel, p), "a launch");
    queue.end_group();
    return true;
}

template <>
bool train_steps(const TrainSteps<float>& t) {
    return train_steps_on(t, 0);
}

}  // namespace fastreg::cuda
