// What kernels share: walking elements, activations by name, dropout decisions, 16-lane and 32-lane sums in the order
// of the CPU. It must not know operations.
#pragma once
#include "core/op_table.h"
#include "cuda/queue.cuh"
#include "cuda/vec_cuda.cuh"
#include "rules/activation.h"
#include "rules/dropout.h"
#include "rules/lanes.h"
#include "rules/layer_gradient.h"
#include "rules/philox.h"

namespace fastreg::cuda {

// Threads that a multiprocessor has room for at least. Turing has 1024.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kResidentThreads = 1024;
#else
constexpr int kResidentThreads = 1536;
#endif

// The 16-bit draws of block `block` (8 elements), as cpu/draws.inl has them: half i % 8 of element i, low half first.
struct DrawBlock {
    uint32_t words[4];

    __device__ __forceinline__ uint32_t at(int i) const {  // no index that would put the words into local memory
        const uint32_t low = i & 2 ? words[1] : words[0], high = i & 2 ? words[3] : words[2];
        return (i & 4 ? high : low) >> (16 * (i & 1)) & 0xFFFFu;
    }
};

// rules::drop() by a draw in a register.
template <class T>
__device__ __forceinline__ T drop_by(uint32_t draw, uint32_t keep, T x, T scale) {
    return draw < keep ? x * scale : T(0);
}

// Dropout as a kernel sees it. `clock`, where there is one, tells the step.
struct Dropper {
    uint32_t keep;
    double scale;
    uint64_t seed;
    uint32_t stream, step;
    int64_t first;
    const DeviceClock* clock;

    __host__ explicit Dropper(const DropoutSpec& d)
        : keep(d.keep),
          scale(d.scale),
          seed(d.seed),
          stream(d.stream),
          step(d.step),
          first(d.first),
          clock(CudaQueue::current().clock()) {}

    __host__ __device__ bool drops() const { return keep < 65536; }

    __device__ __forceinline__ uint32_t now() const { return clock ? uint32_t(clock->step) : step; }

    // The draws of flat elements 8 block .. 8 block + 7.
    __device__ __forceinline__ DrawBlock draw(uint64_t block) const { return draw(block, now()); }
    // The same where many are drawn: now() reads memory.
    __device__ __forceinline__ DrawBlock draw(uint64_t block, uint32_t now) const {
        U32 counter[4] = {{uint32_t(block)}, {uint32_t(block >> 32)}, {stream}, {now}};
        rules::philox4x32<rules::kMaskRounds>(counter, uint32_t(seed), uint32_t(seed >> 32));
        return {{counter[0].v, counter[1].v, counter[2].v, counter[3].v}};
    }
    // Whether element `flat` of the operation is kept: for single elements; draw() serves eight.
    __device__ __forceinline__ bool keeps(int64_t flat) const {
        const uint64_t i = uint64_t(first + flat);
        return draw(i / 8).at(int(i % 8)) < keep;
    }
};

// dL/dZ of one element from dL/dY. y: the layer's output after dropout; z: only where it is kept.
template <class Act, class T>
__device__ __forceinline__ Lane<T> through_layer(Lane<T> g, const T* y, const T* z, Lane<T> alpha, const Dropper& d,
                                                 int64_t flat) {
    using V = Lane<T>;
    const V scale = V::set(T(d.scale));
    return rules::layer_gradient<Act>(
        g, alpha, scale, d.drops(), z != nullptr, [&] { return V::load(y); }, [&] { return V::load(z); },
        [&](V v) { return d.keeps(flat) ? v * scale : V::set(0); });
}

// The total of a Sum16 (cpu/sweep.inl) whose lane i the i-th thread of an aligned group of 16 holds; right in its
// first thread. All 32 threads of the warp must call it.
template <class T>
__device__ __forceinline__ T total16(T lane) {
    for (int half = 8; half > 0; half /= 2) lane += __shfl_down_sync(0xFFFFFFFFu, lane, half, 16);
    return lane;
}

// The total of a LaneSum (rules/lanes.h) whose lane i the i-th thread of the warp holds; right in its first thread.
__device__ __forceinline__ double total32(double lane) {
    for (int half = 16; half > 0; half /= 2) lane += __shfl_down_sync(0xFFFFFFFFu, lane, half);
    return lane;
}

}  // namespace fastreg::cuda
