// csrc/cuda/ptx.cuh for the emulator: its sm_80 instructions and clusters, in C++. An address of shared memory is an
// offset into the dynamic one of the block. It must not know matrices larger than an instruction's.
#pragma once
#include <cuda_runtime.h>

#include "cuda/fast_numbers.h"

namespace fastreg::cuda::ptx {

template <class T>
T* dynamic_shared() {
    return reinterpret_cast<T*>(emulator::dynamic_shared());
}
template <class T>
T* keep_shared(T* p) {
    return p;
}
inline uint32_t shared_address(const void* p) {
    return uint32_t(static_cast<const unsigned char*>(p) - emulator::dynamic_shared());
}
inline void prefetch(const void*) {}
inline void store4(float* to, const float (&v)[4]) { std::memcpy(to, v, sizeof v); }
inline float load_if(bool there, const float* from, float otherwise) { return there ? *from : otherwise; }
inline float4 load_if(bool there, const float4* from, float otherwise) {
    return there ? *from : make_float4(otherwise, otherwise, otherwise, otherwise);
}
inline double2 load_if(bool there, const double2* from, double otherwise) {
    return there ? *from : double2{otherwise, otherwise};
}
template <class Pair>
Pair load_if(bool there, const Pair* from) {
    return there ? *from : Pair{};
}
template <class Pair>
void store_if(bool there, Pair* to, Pair x) {
    if (there) *to = x;
}
template <int kBarrier, int kThreads>
void sync_some() {
    emulator::sync_block(kBarrier, kThreads);
}
inline void let_next_start() {}
inline void wait_for_previous() {}
inline void arrive_in_cluster() { emulator::arrive_in_cluster(); }
inline void wait_for_cluster() { emulator::wait_for_cluster(); }

inline void copy16(uint32_t to, const void* from) { emulator::copy_later(emulator::dynamic_shared() + to, from, 16); }
inline void copy4(uint32_t to, const void* from) { emulator::copy_later(emulator::dynamic_shared() + to, from, 4); }
inline void commit_copies() { emulator::end_group(); }
template <int kPending>
void wait_for_copies() {
    emulator::wait_for_groups(kPending);
}

// Lane l gives the address of row l % 8 of matrix l / 8; it has of each matrix columns 2 (l % 4) and the next of row
// l / 4.
inline void load_matrices(uint32_t (&r)[4], uint32_t from) {
    const void* const* const all = emulator::exchange(&from, sizeof from);
    const int lane = int(threadIdx.x % 32);
    for (int m = 0; m < 4; ++m) {
        const uint32_t row = *static_cast<const uint32_t*>(all[8 * m + lane / 4]);
        std::memcpy(&r[m], emulator::dynamic_shared() + row + lane % 4 * 4, 4);
    }
}

// Lane l has of a rows l / 4 and l / 4 + 8: columns 2 (l % 4) and the next in a[0] and a[1], 8 columns further on in
// a[2] and a[3]; of b column l / 4: rows 2 (l % 4) and the next in b0, 8 rows further on in b1; of d as of a.
template <bool kHalf>
void mma(float* d, const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    struct Numbers {
        float of[6][2];  // a[0] to a[3], b0, b1
    };
    static_assert(sizeof(Numbers) <= emulator::kMostExchanged);
    const auto number = [](uint32_t bits) {
        return kHalf ? fast::from_half(uint16_t(bits)) : fast::from_bfloat(uint16_t(bits));
    };
    const uint32_t pairs[6] = {a[0], a[1], a[2], a[3], b0, b1};
    Numbers mine;
    for (int i = 0; i < 6; ++i) mine.of[i][0] = number(pairs[i] & 0xFFFFu), mine.of[i][1] = number(pairs[i] >> 16);
    const void* const* const all = emulator::exchange(&mine, sizeof mine);
    const auto of_lane = [&](int lane) -> const Numbers& { return *static_cast<const Numbers*>(all[lane]); };
    const int lane = int(threadIdx.x % 32);
    double sum[4] = {d[0], d[1], d[2], d[3]};
    for (int k = 0; k < 16; ++k) {
        const int high = k / 8, quad = k % 8 / 2, odd = k % 2;
        const Numbers& row = of_lane(lane / 4 * 4 + quad);
        for (int i = 0; i < 4; ++i)
            sum[i] +=
                double(row.of[2 * high + i / 2][odd]) * of_lane((lane % 4 * 2 + i % 2) * 4 + quad).of[4 + high][odd];
    }
    for (int i = 0; i < 4; ++i) d[i] = float(sum[i]);
}

}  // namespace fastreg::cuda::ptx
