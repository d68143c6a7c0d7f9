// The CUDA tables, one per precision, and the function by which the plugin is found. See core/cuda.h.
// It must not know kernels: no CUDA header.
#include "core/cuda.h"
#include "cuda/device_info.h"
#include "cuda/ops.h"
#include "cuda/train_steps.h"

namespace fastreg::cuda {
namespace {

template <class T>
constexpr OpTable<T> exact_table() {
    return {dense_forward<T>,
            dense_backward_x<T>,
            dense_backward_w<T>,
            activation_forward<T>,
            layer_backward<T>,
            dropout<T>,
            scale<T>,
            activity_penalty<T>,
            loss<T>,
            metric<T>,
            totals<T>,
            penalty<T>,
            penalty_gradient<T>,
            prox<T>,
            update<T>,
            gather<T>,
            count_zeros<T>,
            all_finite<T>,
            initialize<T>,
            math<T>};
}

constexpr OpTable<float> float_table() {
    OpTable<float> t = exact_table<float>();
    t.train_steps = train_steps<float>;
    return t;
}

constexpr OpTable<float> fast_table() {
    OpTable<float> t = float_table();
    t.dense_forward = fast::dense_forward;
    t.dense_backward_x = fast::dense_backward_x;
    t.dense_backward_w = fast::dense_backward_w;
    return t;
}

constexpr OpTable<float> bf16_table() {
    OpTable<float> t = float_table();
    t.dense_forward = bf16::dense_forward;
    t.dense_backward_x = bf16::dense_backward_x;
    t.dense_backward_w = bf16::dense_backward_w;
    t.bf16_from = bf16::bf16_from;
    return t;
}

// A device shares out the work of an operation by itself.
int64_t one_part(int64_t, int64_t) { return 1; }
void run_in_order(int64_t n, void (*task)(void* context, int64_t i), void* context) {
    for (int64_t i = 0; i < n; ++i) task(context, i);
}

constexpr Backend backend_of(const char* name, OpTable<float> f32) {
    return {name,        f32,      exact_table<double>(), dropout_mask, philox,
            permutation, one_part, run_in_order,          dropout_bf16, new_cuda_queue};
}

const Backend kExact = backend_of("cuda", float_table());
const Backend kFast = backend_of("cuda fast", fast_table());
const Backend kBf16 = backend_of("cuda bf16", bf16_table());

const CudaPlugin kPlugin{FASTREG_VERSION, {&kExact, &kFast, &kBf16}, &kHostArrays, device_count, device_name,
                         &kCallers};

}  // namespace
}  // namespace fastreg::cuda

extern "C" __attribute__((visibility("default"))) const fastreg::CudaPlugin* fr_private_cuda_plugin() {
    return &fastreg::cuda::kPlugin;
}
