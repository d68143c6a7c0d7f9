// What a training starts from: initial weights, and the gather of a batch. Random numbers are Philox4x32-10; the
// formulas are those of cpu/init.inl. It must not know layers or epochs. The order of rows is in permutation.cu.
#include "cuda/ops.h"
#include "cuda/walk.cuh"
#include "rules/normal.h"

namespace fastreg::cuda {
namespace {

using D = Lane<double>;

struct Bits {
    D half[2];
};

__device__ __forceinline__ Bits block_of(uint64_t seed, uint32_t stream, uint32_t attempt, uint64_t block) {
    U32 word[4] = {{uint32_t(block)}, {uint32_t(block >> 32)}, {stream}, {attempt}};
    rules::philox4x32<10>(word, uint32_t(seed), uint32_t(seed >> 32));
    return {{D::set_bits(uint64_t(word[1].v) << 32 | word[0].v), D::set_bits(uint64_t(word[3].v) << 32 | word[2].v)}};
}

// What is drawn again has attempt 1, 2, ...
template <class T>
__global__ void __launch_bounds__(kBlock)
    initialize_kernel(Initializer kind, double a, double b, uint64_t seed, uint32_t stream, T* out, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += global_threads()) {
        if (kind == Initializer::uniform) {
            const Bits bits = block_of(seed, stream, 0, uint64_t(i) / 2);
            out[i] = T(a + (b - a) * rules::unit(i % 2 ? bits.half[1] : bits.half[0]).v);
        } else {
            uint32_t attempt = 0;
            double x;
            do {
                const Bits bits = block_of(seed, stream, attempt++, uint64_t(i));
                x = rules::standard_normal(bits.half[0], bits.half[1]).v;
            } while (kind == Initializer::truncated_normal && (x > 2.0 || x < -2.0));
            out[i] = T(a + b * x);
        }
    }
}

constexpr int kArrays = 3;  // of one gather: x, y and the weights of a batch

template <class T>
struct Arrays {
    Gather<T> at[kArrays];
    bool wide[kArrays];
};

// U: what is copied at once, `units` of them to a row.
template <class U>
__device__ __forceinline__ void gather_rows(const U* x, int64_t units, const uint32_t* index, int64_t n, int64_t first,
                                            U* out) {
    const int64_t all = n * units;
    const bool small = all <= int64_t(UINT32_MAX);  // a short division
    for (int64_t i = global_thread(); i < all; i += global_threads()) {
        const int64_t r = small ? int64_t(uint32_t(i) / uint32_t(units)) : i / units;
        const int64_t row = index ? int64_t(index[first + r]) : first + r;
        out[i] = x[row * units + (i - r * units)];
    }
}

// Array blockIdx.y. Left to itself, ptxas wants eight blocks on Blackwell, and spills.
template <class T>
__global__ void __launch_bounds__(kBlock, kResidentThreads / kBlock)
    gather_kernel(const __grid_constant__ Arrays<T> arrays, const DeviceClock* clock) {
    const Gather<T>& a = arrays.at[blockIdx.y];
    const int64_t first = clock ? clock->row : 0;
    if (arrays.wide[blockIdx.y])
        gather_rows(reinterpret_cast<const uint4*>(a.x), a.cols / Pack<T>::N, a.index, a.n, first,
                    reinterpret_cast<uint4*>(a.out));
    else
        gather_rows(a.x, a.cols, a.index, a.n, first, a.out);
}

}  // namespace

template <class T>
void initialize(Cancel&, Initializer kind, double a, double b, uint64_t seed, uint32_t stream, T* out, int64_t n) {
    launch(initialize_kernel<T>, grid_for(n), kBlock, 0, kind, a, b, seed, stream, out, n);
}

template <class T>
void gather(const Gather<T>* arrays, int64_t n_arrays) {
    Arrays<T> all{};
    int64_t most = 0;  // copies of one array
    for (int64_t i = 0; i < n_arrays; ++i) {
        const Gather<T>& a = all.at[i] = arrays[i];
        all.wide[i] = a.cols % Pack<T>::N == 0 && on_16_bytes(a.x) && on_16_bytes(a.out);
        const int64_t copies = all.wide[i] ? a.n * (a.cols / Pack<T>::N) : a.n * a.cols;
        most = copies > most ? copies : most;
    }
    launch(gather_kernel<T>, dim3(grid_for(most), unsigned(n_arrays)), kBlock, 0, all, CudaQueue::current().clock());
}

#define FR_INSTANTIATE(T)                                                                            \
    template void initialize(Cancel&, Initializer, double, double, uint64_t, uint32_t, T*, int64_t); \
    template void gather(const Gather<T>*, int64_t);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
