// The order of an epoch's rows: row numbers sorted by a Philox key each, equal keys by row number. CUB's radix sort is
// stable. It must not know epochs.
#include <cub/device/device_radix_sort.cuh>

#include "cuda/ops.h"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

// The key of row i is word i % 4 of block i / 4.
__global__ void __launch_bounds__(kBlock)
    keys_kernel(uint32_t n, uint64_t seed, uint32_t epoch, uint32_t* keys, uint32_t* rows) {
    for (int64_t i = 4 * global_thread(); i < n; i += 4 * global_threads()) {
        const uint64_t block = uint64_t(i) / 4;
        U32 counter[4] = {{uint32_t(block)}, {uint32_t(block >> 32)}, {rules::kShuffleStream}, {epoch}};
        rules::philox4x32<10>(counter, uint32_t(seed), uint32_t(seed >> 32));
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (i + k >= n) continue;
            keys[i + k] = counter[k].v;
            rows[i + k] = uint32_t(i + k);
        }
    }
}

}  // namespace

void permutation(Cancel&, int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* work) {
    CudaQueue& queue = CudaQueue::current();
    const uint32_t rows = uint32_t(n);  // session.cpp takes no more
    if (queue.failed() || n == 0) return;
    cub::DoubleBuffer<uint32_t> keys(work, work + n), values(order, work + 2 * n);
    size_t bytes = 0;
    queue.note(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, values, rows, 0, 32, queue.stream()), "sorting");
    void* memory = queue.scratch(Scratch::reduce, bytes);
    if (!memory) return;
    launch(keys_kernel, grid_for((n + 3) / 4), kBlock, 0, rows, seed, epoch, keys.Current(), values.Current());
    if (queue.failed()) return;
    queue.note(cub::DeviceRadixSort::SortPairs(memory, bytes, keys, values, rows, 0, 32, queue.stream()), "sorting");
    if (values.Current() == order || queue.failed()) return;
    queue.note(
        cudaMemcpyAsync(order, values.Current(), size_t(n) * sizeof *order, cudaMemcpyDeviceToDevice, queue.stream()),
        "sorting");
}

}  // namespace fastreg::cuda
