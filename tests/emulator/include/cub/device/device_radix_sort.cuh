// CUB's radix sort for the emulator (cuda_runtime.h): stable, by whole 32-bit keys. It must not know what is sorted.
#pragma once
#include <cuda_runtime.h>

#include <numeric>
#include <vector>

namespace cub {

template <class T>
struct DoubleBuffer {
    T* buffers[2];
    int selector = 0;
    DoubleBuffer(T* current, T* other) : buffers{current, other} {}
    T* Current() const { return buffers[selector]; }
};

struct DeviceRadixSort {
    template <class Key, class Value>
    static cudaError_t SortPairs(void* scratch, size_t& bytes, DoubleBuffer<Key>& keys, DoubleBuffer<Value>& values,
                                 uint32_t n, int, int, cudaStream_t stream) {
        if (!scratch) {
            bytes = 1;
            return cudaSuccess;
        }
        Key *const from_keys = keys.buffers[0], *const to_keys = keys.buffers[1];
        Value *const from = values.buffers[0], *const to = values.buffers[1];
        keys.selector = values.selector = 1;
        return emulator::enqueue(stream, [=] {
            std::vector<uint32_t> order(n);
            std::iota(order.begin(), order.end(), 0u);
            std::stable_sort(order.begin(), order.end(),
                             [&](uint32_t a, uint32_t b) { return from_keys[a] < from_keys[b]; });
            for (uint32_t i = 0; i < n; ++i) to_keys[i] = from_keys[order[i]], to[i] = from[order[i]];
        });
    }
};

}  // namespace cub
