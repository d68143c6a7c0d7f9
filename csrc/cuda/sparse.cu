// Sparse rows on the device. It must not know sessions or how a dense product is made. Over 40 lines: sparse_rows,
// one loop over the elements of a row with its sums in registers.
#include "cuda/sparse.h"

#include "cuda/gemm.cuh"
#include "cuda/gemm_plan.h"

namespace fastreg::cuda {
namespace {

// Row i of the batch; a recorded step begins where the clock says.
template <class T>
__device__ __forceinline__ int64_t row_at(const Csr<T>& x, const DeviceClock* clock, int64_t i) {
    const int64_t row = clock ? clock->row + i : i;
    return x.order ? int64_t(x.order[row]) : x.first + row;
}

template <class T>
struct SparseForward {
    int64_t B, I, O;
    Csr<T> X;
    const DeviceClock* clock;
    const T *W, *b;
    int64_t w_rs;
    T* Y;
    int64_t y_rs;
    bool w_wide, y_wide;
};

// A thread has four columns of a row. Elements are fetched kAhead at a time, since each says where its row of W lies.
constexpr int kForwardThreads = 128, kAhead = 4;
template <class T>
__global__ void __launch_bounds__(kForwardThreads)
    sparse_rows(const __grid_constant__ SparseForward<T> a, const __grid_constant__ Epilogue<T> epilogue) {
    const int64_t groups = padded4(a.O) / 4, index = int64_t(blockIdx.x) * kForwardThreads + threadIdx.x;
    const int64_t i = index / groups, j = index % groups * 4;
    if (i >= a.B) return;
    const int n = a.O - j < 4 ? int(a.O - j) : 4;
    const int64_t row = row_at(a.X, a.clock, i), end = a.X.starts[row + 1];
    const int64_t block = rules::k_block(a.I);

    T total[4], sum[4];
#pragma unroll
    for (int v = 0; v < 4; ++v) total[v] = sum[v] = a.b && v < n ? a.b[j + v] : T(0);
    bool added = false;         // whether total holds blocks before the one under way
    int64_t block_end = block;  // where that one ends
    for (int64_t e = a.X.starts[row]; e < end; e += kAhead) {
        int64_t k[kAhead];
        T x[kAhead], w[kAhead][4];
#pragma unroll
        for (int u = 0; u < kAhead; ++u) {
            const int64_t at = e + u < end ? e + u : e;
            k[u] = a.X.columns[at];
            x[u] = a.X.values[at];
            load_columns(a.W + k[u] * a.w_rs + j, n, a.w_wide, w[u]);
        }
#pragma unroll
        for (int u = 0; u < kAhead; ++u) {
            if (e + u >= end) break;
            if (k[u] >= block_end) {
#pragma unroll
                for (int v = 0; v < 4; ++v) {
                    total[v] = added ? total[v] + sum[v] : sum[v];
                    sum[v] = T(0);
                }
                added = true;
                block_end = (k[u] / block + 1) * block;
            }
#pragma unroll
            for (int v = 0; v < 4; ++v) sum[v] = fused(w[u][v], x[u], sum[v]);
        }
    }
#pragma unroll
    for (int v = 0; v < 4; ++v) sum[v] = added ? total[v] + sum[v] : sum[v];
    epilogue.template apply<4>(i, j, n, sum);
    store_columns(a.Y + i * a.y_rs + j, n, a.y_wide, sum);
}

constexpr int kDensifyThreads = 256;
template <class T>
__global__ void __launch_bounds__(kDensifyThreads)
    densify_rows(const __grid_constant__ Csr<T> x, const DeviceClock* clock, int64_t i0, int64_t i1, T* out,
                 int64_t out_rs) {
    T* const to = out + int64_t(blockIdx.x) * out_rs;
    for (int64_t i = threadIdx.x; i < out_rs; i += kDensifyThreads) to[i] = T(0);
    const int64_t row = row_at(x, clock, blockIdx.x), end = x.starts[row + 1];
    __syncthreads();
    for (int64_t e = x.starts[row] + threadIdx.x; e < end; e += kDensifyThreads) {
        const int64_t i = x.columns[e];
        if (i >= i0 && i < i1) to[i - i0] = x.values[e];
    }
}

}  // namespace

template <class T>
void sparse_forward(const DenseForward<T>& a) {
    if (a.B == 0 || a.O == 0) return;
    const auto aligned = [](const T* p, int64_t rs) {
        return reinterpret_cast<uintptr_t>(p) % 16 == 0 && rs % kWide<T> == 0;
    };
    const SparseForward<T> s{a.B, a.I,    a.O, *a.sparse_X, CudaQueue::current().clock(), a.W.p,
                             a.b, a.W.rs, a.Y, a.y_rs,      aligned(a.W.p, a.W.rs),       aligned(a.Y, a.y_rs)};
    launch(sparse_rows<T>, dim3(blocks_for(a.B * (padded4(a.O) / 4), kForwardThreads)), dim3(kForwardThreads), 0, s,
           Epilogue<T>::of(a));
}

template <class T>
Strided<const T> densify(const Csr<T>& x, int64_t B, int64_t i0, int64_t i1) {
    const int64_t rs = padded4(i1 - i0);
    T* out = scratch<T>(Scratch::weight_gradient, B * rs);
    if (out)
        launch(densify_rows<T>, dim3(unsigned(B)), dim3(kDensifyThreads), 0, x, CudaQueue::current().clock(), i0, i1,
               out, rs);
    return {out, rs, 1};
}

template void sparse_forward<float>(const DenseForward<float>&);
template void sparse_forward<double>(const DenseForward<double>&);
template Strided<const float> densify<float>(const Csr<float>&, int64_t, int64_t, int64_t);
template Strided<const double> densify<double>(const Csr<double>&, int64_t, int64_t, int64_t);

}  // namespace fastreg::cuda
