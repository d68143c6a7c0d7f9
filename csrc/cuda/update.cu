// The one update of a step: every parameter's penalty value, clipping, optimizer and proximal step. One launch for up
// to kSegments parameters, a block steps chunks of 1024 weights. The formulas are in rules/update.h; constraints are in
// constrain.cu. It must not know layers.
// Over 250 lines: norms, scales and the step share how chunks and segments are laid out. Over 40: the kernel, in
// which one warp adds penalties while the others step.
#include "rules/update.h"

#include "cuda/constrain.h"
#include "cuda/ops.h"
#include "cuda/step_weights.cuh"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

constexpr int kSegments = 32;  // of one launch: they travel as a kernel's parameters, 4 KiB at most
constexpr int kPerThread = 4;  // kBlock threads make a chunk
static_assert(kPerThread * kBlock == kChunk, "a block steps one chunk");

template <class T>
struct Segment {
    T* w;
    const T* g;
    T* slot[3];
    int64_t n;
    PenaltySpec penalty;
    bool wide;  // all arrays lie on 16 bytes
};

// The chunks of segment s are begin[s] .. begin[s + 1] - 1 of the launch.
template <class T>
struct Segments {
    Segment<T> at[kSegments];
    int begin[kSegments + 1];
    int n;
    bool penalised;  // any of them

    __device__ __forceinline__ int of_chunk(int chunk) const {
        int low = 0, high = n - 1;  // the last that begins at the chunk or before, empty ones passed over
        while (low < high) {
            const int mid = (low + high + 1) / 2;
            if (begin[mid] <= chunk)
                low = mid;
            else
                high = mid - 1;
        }
        return low;
    }
};

// What is the same for all blocks of a step.
template <class T>
struct alignas(16) StepState {
    rules::StepScalars<T> scalars;
    bool flushes;
    T least[3];  // of each slot, what a flush leaves
};

// The step that is meant, and where a recorded one reads it.
struct StepOf {
    OptimizerSpec optimizer;
    int64_t t;
    const DeviceClock* clock;

    template <class T>
    __device__ __forceinline__ void work_out(StepState<T>* state) const {
        OptimizerSpec o = optimizer;
        const int64_t step = clock ? int64_t(clock->step) + 1 : t;
        if (clock) o.learning_rate = clock->learning_rate;
        rules::set_step(o, step, &state->scalars);
        state->flushes = rules::flushes(o, step);
        for (int k = 0; k < 3; ++k) state->least[k] = rules::least_slot<T>(o, k);
    }
};

// ---- clipping by norm ----------------------------------------------------------------------------------------------

// values[c] = the sum of squares of chunk c's gradient, as clipping sees it, by a half-warp.
template <class T>
__global__ void __launch_bounds__(kBlock)
    gradient_squares(const __grid_constant__ Segments<T> segments, double* values) {
    const int chunks = segments.begin[segments.n];
    each_row(chunks, kChunk, [&](int64_t c, int64_t room, int lane) {
        const int s = segments.of_chunk(int(c));
        const Segment<T>& segment = segments.at[s];
        const int64_t begin = (c - segments.begin[s]) * kChunk, left = segment.n - begin;
        const int64_t n = left < room ? left : room;
        rules::StepScalars<T> scalars{};
        rules::set_penalty(segment.penalty, 1.0, &scalars);
        Lane<T> sum = Lane<T>::set(0);
        for (int64_t i = begin + lane; i < begin + n; i += 16) {
            const T w[1] = {segment.w[i]};
            T g[1] = {segment.g[i]};
            add_penalty(segment.penalty, scalars, w, g);
            sum = fma(Lane<T>{g[0]}, Lane<T>{g[0]}, sum);
        }
        const T total = total16(sum.v);
        if (lane == 0 && room > 0) values[c] = double(total);
    });
}

template <class T>
__host__ __device__ __forceinline__ bool is_long(const Segments<T>& segments, int s) {
    return segments.begin[s + 1] - segments.begin[s] > kManyTerms;
}
// out[s] = the LaneSum of segment s's chunk values: of segments with few by a warp each, of the others by a block each.
template <class T>
__device__ __forceinline__ void sum_short_segments(const Segments<T>& segments, const double* values, double* out) {
    for (int s = threadIdx.x / 32; s < segments.n; s += blockDim.x / 32) {
        if (is_long(segments, s)) continue;
        const int first = segments.begin[s];
        // Written by other blocks of perhaps this launch: read past the first cache.
        const double sum =
            lane_sum(segments.begin[s + 1] - first, [&](int64_t i) { return __ldcg(values + first + i); });
        if (threadIdx.x % 32 == 0) out[s] = sum;
    }
}
constexpr int kLongThreads = 512;
template <class T>
__global__ void __launch_bounds__(kLongThreads)
    sum_long_segments(const __grid_constant__ Segments<T> segments, const double* values, double* out) {
    const int s = int(blockIdx.x);
    if (!is_long(segments, s)) return;
    const int first = segments.begin[s];
    const double sum =
        block_lane_sum<kLongThreads, 4096>(segments.begin[s + 1] - first, [&](int64_t i) { return values[first + i]; });
    if (threadIdx.x == 0) out[s] = sum;
}
template <class T>
void sum_long(const Segments<T>& segments, const double* values, double* out) {
    bool any = false;
    for (int s = 0; s < segments.n; ++s) any |= is_long(segments, s);
    if (any) launch(sum_long_segments<T>, unsigned(segments.n), kLongThreads, 0, segments, values, out);
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    segment_norms(const __grid_constant__ Segments<T> segments, const double* values, double* norm2) {
    sum_short_segments(segments, values, norm2);
}

// ---- the step ------------------------------------------------------------------------------------------------------

// The state of the step, and scales[s], where there is clipping by norm. One warp.
template <class T>
__global__ void __launch_bounds__(32)
    prepare_step(StepOf step, const double* norm2, int64_t n_segments, double* scales, StepState<T>* state) {
    const OptimizerSpec& o = step.optimizer;
    if (threadIdx.x == 0) {
        StepState<T> s{};
        step.work_out(&s);
        *state = s;
    }
    if (!scales) return;
    double all = 0.0;
    if (!(o.clipnorm > 0))
        for (int64_t s = 0; s < n_segments; ++s) all += norm2[s];
    for (int64_t s = threadIdx.x; s < n_segments; s += 32)
        scales[s] =
            o.clipnorm > 0 ? rules::clip_scale(norm2[s], o.clipnorm) : rules::clip_scale(all, o.global_clipnorm);
}

// Warps that step weights, and one more that works the step out and adds up the penalties of the chunk before: its
// chains of sums take as long as the others need for the next chunk's arrays to come.
constexpr int kUpdateThreads = kBlock + 32;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
constexpr int kFloatBlocks = 4;
#else
constexpr int kFloatBlocks = 3;  // Turing's multiprocessors have 1024 threads
#endif
template <class T>
constexpr int kUpdateBlocks = sizeof(T) == 4 ? kFloatBlocks : 1;  // of a multiprocessor at least

// Of a launch's blocks that are done, and of its chunks that were asked for; each ends at 0 again, for the next launch.
struct Counters {
    unsigned done, taken;
};

// What a block keeps of a chunk, two deep.
template <class T>
struct ChunkShared {
    T before[kChunk];  // the weights before the step, for their penalty; 0 behind the end
    int next;          // the block's next chunk
    StepState<T> state;
};

// A block that is done with a chunk takes the next that none has: some multiprocessors are further from memory than
// others. With a bound on blocks ptxas need not guess how many registers are too many, and spills none.
template <class T, class O>
__global__ void __launch_bounds__(kUpdateThreads, kUpdateBlocks<T>)
    update_kernel(const __grid_constant__ Segments<T> segments, const __grid_constant__ StepOf step,
                  const StepState<T>* prepared, const double* scales, Counters* counters, double* values,
                  double* penalties) {
    __shared__ ChunkShared<T> shared[2];
    __shared__ bool last;
    const int chunks = segments.begin[segments.n];
    const bool steps = threadIdx.x < kBlock;
    if (!steps) {  // while the others ask for their first chunk
        const unsigned lane = threadIdx.x - kBlock;
        if (lane < 2) {
            if (prepared)
                shared[lane].state = *prepared;
            else
                step.work_out(&shared[lane].state);
        }
        __syncwarp();
    }
    int chunk = int(blockIdx.x);
    for (int turn = 0; chunk < chunks; turn ^= 1) {
        ChunkShared<T>& mine = shared[turn];
        unsigned taken = 0;
        if (threadIdx.x == 0) taken = atomicInc(&counters->taken, unsigned(chunks) - 1);
        const int s = segments.of_chunk(chunk);
        const Segment<T>& segment = segments.at[s];
        const bool penalised = segment.penalty.l1 > 0 || segment.penalty.l2 > 0;
        const int64_t at = (chunk - segments.begin[s]) * kChunk + kPerThread * threadIdx.x, left = segment.n - at;
        const int n = left <= 0 ? 0 : left < kPerThread ? int(left) : kPerThread;
        T w[kPerThread], g[kPerThread], slots[3][kPerThread] = {};
        if (steps) {
            load_group(segment.w + at, 0, n, segment.wide, w);
            load_group(segment.g + at, 0, n, segment.wide, g);
#pragma unroll
            for (int k = 0; k < O::kSlots; ++k) load_group(segment.slot[k] + at, 0, n, segment.wide, slots[k]);
            if (penalised) store_group(mine.before + kPerThread * threadIdx.x, 0, kPerThread, true, w);
            if (threadIdx.x == 0) mine.next = int(gridDim.x + taken);
        } else if (threadIdx.x == kBlock) {
            rules::set_penalty(segment.penalty, scales ? scales[s] : 1.0, &mine.state.scalars);
        }
        __syncthreads();  // who is here has done with the chunk before, and with the arrays of the one before that
        const int this_chunk = chunk;
        chunk = mine.next;
        if (!steps) {
            if (!segments.penalised) continue;
            double value = 0.0;
            if (penalised)
                value = chunk_penalty<T>(int(kChunk), segment.penalty.l1, segment.penalty.l2,
                                         [&](int i) { return mine.before[i]; });
            if (threadIdx.x == kBlock) values[this_chunk] = value;
            continue;
        }
        add_penalty(segment.penalty, mine.state.scalars, w, g);
        step_weights<O>(segment.penalty, mine.state.scalars, w, g, slots);
        if (mine.state.flushes) {
#pragma unroll
            for (int k = 0; k < O::kSlots; ++k) {
#pragma unroll
                for (int e = 0; e < kPerThread; ++e)
                    slots[k][e] = rules::flush(Lane<T>{slots[k][e]}, mine.state.least[k]).v;
            }
        }
#pragma unroll
        for (int k = 0; k < O::kSlots; ++k) store_group(segment.slot[k] + at, 0, n, segment.wide, slots[k]);
        store_group(segment.w + at, 0, n, segment.wide, w);
    }

    // Penalties: the last block of the launch adds those of the chunks, where they are few.
    if (!segments.penalised) {
        if (blockIdx.x == 0 && threadIdx.x < unsigned(segments.n)) penalties[threadIdx.x] = 0.0;
        return;
    }
    if (threadIdx.x == kBlock) {  // which wrote this block's values
        __threadfence();
        last = atomicInc(&counters->done, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    sum_short_segments(segments, values, penalties);
}

// Blocks that a multiprocessor runs at a time: as many as fit, so that loads of some are under way while others
// compute.
template <class T, class O>
int resident_blocks() {
    int n = 0;
    const auto kernel = update_kernel<T, O>;
    if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&n, kernel, kUpdateThreads, 0) == cudaSuccess && n > 0) return n;
    cudaGetLastError();  // the launch will tell
    return kUpdateBlocks<T>;
}

int64_t chunks_of(int64_t n) { return (n + kChunk - 1) / kChunk; }

// Segments first .. first + kSegments - 1 of u, or as many as there are.
template <class T>
Segments<T> segments_from(const UpdateBatch<T>& u, int64_t first) {
    Segments<T> all{};
    for (; all.n < kSegments && first + all.n < u.n_segments; ++all.n) {
        const UpdateSegment<T>& s = u.segments[first + all.n];
        const bool wide = on_16_bytes(s.w) && on_16_bytes(s.g) && on_16_bytes(s.slot[0]) && on_16_bytes(s.slot[1]) &&
                          on_16_bytes(s.slot[2]);
        all.at[all.n] = {s.w, s.g, {s.slot[0], s.slot[1], s.slot[2]}, s.n, s.penalty, wide};
        all.begin[all.n + 1] = all.begin[all.n] + int(chunks_of(s.n));
        all.penalised |= s.penalty.l1 > 0 || s.penalty.l2 > 0;
    }
    return all;
}

}  // namespace

template <class T>
void update(const UpdateBatch<T>& u) {
    static_assert(sizeof(Segments<T>) <= 4000, "kernel parameters are at most 4 KiB");
    int64_t most = 0;  // chunks of a launch
    for (int64_t first = 0; first < u.n_segments; first += kSegments) {
        int64_t chunks = 0;
        for (int64_t s = first; s < first + kSegments && s < u.n_segments; ++s) chunks += chunks_of(u.segments[s].n);
        most = chunks > most ? chunks : most;
    }
    // The counters, 0 from the start; the state of the step; then numbers.
    const int64_t counter = 2, head = counter + int64_t(sizeof(StepState<T>) / sizeof(double));
    double* memory = scratch<double>(Scratch::update, head + 2 * u.n_segments + most);
    if (!memory || u.n_segments == 0) return;
    Counters* counters = reinterpret_cast<Counters*>(memory);
    StepState<T>* state = reinterpret_cast<StepState<T>*>(memory + counter);
    double *norm2 = memory + head, *scales = norm2 + u.n_segments, *values = scales + u.n_segments;
    const bool by_norm = u.spec.clipnorm > 0 || u.spec.global_clipnorm > 0;
    for (int64_t first = 0; by_norm && first < u.n_segments; first += kSegments) {
        const Segments<T> segments = segments_from(u, first);
        launch(gradient_squares<T>, grid_for_rows(segments.begin[segments.n]), kBlock, 0, segments, values);
        launch(segment_norms<T>, 1, kBlock, 0, segments, values, norm2 + first);
        sum_long(segments, values, norm2 + first);
    }
    // A few blocks work the step out themselves, sooner than another launch could; many would do so at some cost.
    const StepOf step{u.spec, u.step, CudaQueue::current().clock()};
    const int64_t multiprocessors = CudaQueue::current().multiprocessors();
    const bool prepares = by_norm || most > 8 * multiprocessors;
    if (prepares) launch(prepare_step<T>, 1, 32, 0, step, norm2, u.n_segments, by_norm ? scales : nullptr, state);
    for (int64_t first = 0; first < u.n_segments; first += kSegments) {
        const Segments<T> segments = segments_from(u, first);
        const int64_t chunks = segments.begin[segments.n];
        if (chunks == 0) {  // parameters without weights, which no block comes to
            CudaQueue& queue = CudaQueue::current();
            const size_t bytes = size_t(segments.n) * sizeof(double);
            if (!queue.failed())
                queue.note(cudaMemsetAsync(u.penalties + first, 0, bytes, queue.stream()), "clearing memory");
            continue;
        }
        rules::with_optimizer(u.spec, [&](auto optimizer) {
            using O = decltype(optimizer);
            const int64_t resident = resident_blocks<T, O>() * multiprocessors;
            launch(update_kernel<T, O>, unsigned(chunks < resident ? chunks : resident), kUpdateThreads, 0, segments,
                   step, prepares ? state : nullptr, by_norm ? scales + first : nullptr, counters, values,
                   u.penalties + first);
        });
        if (segments.penalised) sum_long(segments, values, u.penalties + first);
    }
    for (int64_t s = 0; s < u.n_segments; ++s) constrain(u.segments[s]);
}

template void update(const UpdateBatch<float>&);
template void update(const UpdateBatch<double>&);

}  // namespace fastreg::cuda
