// Softmax, and the losses of a batch: a row is a half-warp's, lane i of it being lane i of the CPU's Sum16; with one
// output, a thread's. The formulas are those of cpu/softmax.inl and cpu/loss.inl. It must not know layers.
// Over 250 lines: softmax and the four families of losses are one algorithm over rows.
#include "cuda/ops.h"
#include "cuda/softmax.h"
#include "cuda/walk.cuh"
#include "rules/loss.h"

namespace fastreg::cuda {
namespace {

// ---- softmax -------------------------------------------------------------------------------------------------------

// y = exp(x - max x) / sum; returns the sum and, in *top, the maximum (NaN where x[0] is). Lane i reads again what it
// wrote: elements i, i + 16, ...; y may be x.
template <class T>
__device__ __forceinline__ T softmax_row(int64_t n, int lane, const T* x, T* y, T* top) {
    using V = Lane<T>;
    T best = lane == 0 && n > 0 ? x[0] : T(0);
    best = __shfl_sync(0xFFFFFFFFu, best, 0, 16);
    for (int64_t i = lane; i < n; i += 16) best = best < x[i] ? x[i] : best;
    for (int half = 8; half > 0; half /= 2) {
        const T other = __shfl_xor_sync(0xFFFFFFFFu, best, half, 16);
        best = best < other ? other : best;
    }
    T sum = T(0);
    for (int64_t i = lane; i < n; i += 16) {
        const T e = rules::exp(V{x[i]} - V{best}).v;
        y[i] = e;
        sum += e;
    }
    const T total = all_total16(sum);
    for (int64_t i = lane; i < n; i += 16) y[i] = (V{y[i]} / V{total}).v;
    *top = best;
    return total;
}

template <class T>
__global__ void __launch_bounds__(kBlock) softmax_kernel(Rows<T> a) {
    each_row(a.rows, a.cols, [&](int64_t r, int64_t n, int lane) {
        T top;
        softmax_row(n, lane, a.x + r * a.x_rs, a.y + r * a.y_rs, &top);
    });
}

// dz = y (dy - sum_j dy_j y_j); dz may be dy
template <class T>
__global__ void __launch_bounds__(kBlock) softmax_backward_kernel(Rows<T> a, const T* Y, int64_t y_rs) {
    using V = Lane<T>;
    each_row(a.rows, a.cols, [&](int64_t r, int64_t n, int lane) {
        const T *dy = a.x + r * a.x_rs, *y = Y + r * y_rs;
        T* dz = a.y + r * a.y_rs;
        V dot = V::set(0);
        for (int64_t i = lane; i < n; i += 16) dot = fma(V{dy[i]}, V{y[i]}, dot);
        const V sum{all_total16(dot.v)};
        for (int64_t i = lane; i < n; i += 16) dz[i] = (V{y[i]} * (V{dy[i]} - sum)).v;
    });
}

// ---- elementwise losses --------------------------------------------------------------------------------------------

template <class T>
using Scalars = rules::LossScalars<Lane<T>>;

// f(rule, logits): with the rule of an elementwise loss.
template <class F>
__device__ __forceinline__ void with_loss(const LossSpec& spec, F f) {
    switch (spec.kind) {
        case Loss::mean_squared_error: return f(rules::SquaredError{}, std::false_type{});
        case Loss::mean_absolute_error: return f(rules::AbsoluteError{}, std::false_type{});
        case Loss::huber: return f(rules::Huber{}, std::false_type{});
        case Loss::hinge: return f(rules::Hinge{}, std::false_type{});
        case Loss::poisson: return f(rules::Poisson{}, std::false_type{});
        case Loss::binary_crossentropy:
            return spec.from_logits ? f(rules::BinaryCrossentropyLogits{}, std::true_type{})
                                    : f(rules::BinaryCrossentropy{}, std::false_type{});
        case Loss::categorical_crossentropy:
        case Loss::sparse_categorical_crossentropy: return;
    }
}

// What hinge asks of a batch's targets: a flag per block, 1 where all that it saw are 0 or 1.
struct BinaryFlags {
    int* flags = nullptr;
    int n = 0;
};

template <class T>
__global__ void __launch_bounds__(kBlock) binary_targets(LossBatch<T> a, int* flags) {
    bool binary = true;
    for (int64_t i = global_thread(); i < a.B * a.O; i += global_threads()) {
        const T t = a.target[i / a.O * a.target_rs + i % a.O];
        binary &= t == T(0) || t == T(1);
    }
    binary = __syncthreads_and(binary);
    if (threadIdx.x == 0) flags[blockIdx.x] = binary;
}

// Keras: a batch whose targets are all 0 or 1 is mapped to -1, 1. Every thread of the block must call it.
template <class T>
__device__ __forceinline__ void map_binary(const BinaryFlags& f, Scalars<T>* s) {
    if (!f.flags) return;
    bool binary = true;
    for (int i = threadIdx.x; i < f.n; i += blockDim.x) binary &= f.flags[i] != 0;
    if (!__syncthreads_and(binary)) return;
    s->keep_target = Lane<T>::set(2);
    s->add_target = Lane<T>::set(-1);
}

// One output: a thread per row.
template <class T>
__global__ void __launch_bounds__(kBlock) column_loss(LossBatch<T> a, Scalars<T> s, T share, BinaryFlags binary) {
    using V = Lane<T>;
    map_binary<T>(binary, &s);
    for (int64_t i = global_thread(); i < a.B; i += global_threads()) {
        const V y{a.prediction[i]}, t{a.target[i]}, weight{a.weight ? a.weight[i] * share : share};
        with_loss(a.spec, [&](auto rule, auto logits) {
            using Rule = decltype(rule);
            a.per_row[i] = Rule::value(y, t, s).v;
            if (logits.value && a.probability) a.probability[i] = rules::sigmoid(y).v;
            if (a.gradient) a.gradient[i] = (Rule::gradient(y, t, s) * weight).v;
        });
    }
}

// A row's loss is the mean over its outputs.
template <class T>
__global__ void __launch_bounds__(kBlock) row_loss(LossBatch<T> a, Scalars<T> s, T share, BinaryFlags binary) {
    using V = Lane<T>;
    map_binary<T>(binary, &s);
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T *y = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        const V weight{a.weight ? a.weight[r] * share : share};
        V sum = V::set(0);
        with_loss(a.spec, [&](auto rule, auto logits) {
            using Rule = decltype(rule);
            for (int64_t i = lane; i < n; i += 16) {
                const V yv{y[i]}, tv{t[i]};
                sum = sum + Rule::value(yv, tv, s);
                if (logits.value && a.probability) a.probability[r * a.O + i] = rules::sigmoid(yv).v;
                if (a.gradient) a.gradient[r * a.O + i] = (Rule::gradient(yv, tv, s) * weight).v;
            }
        });
        const T total = total16(sum.v);
        if (lane == 0 && n > 0) a.per_row[r] = (V{total} / V{T(a.O)}).v;
    });
}

// ---- categorical losses --------------------------------------------------------------------------------------------

// Cross-entropy of softmax(z) with targets t, smoothed to t keep + add: sum_j t_j (log sum e^z - z_j), gradient
// p sum(t) - t.
template <class T>
__global__ void __launch_bounds__(kBlock) categorical_from_logits(LossBatch<T> a, T share, T keep, T add) {
    using V = Lane<T>;
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T *z = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        T *p = a.probability + r * a.O, *g = a.gradient ? a.gradient + r * a.O : nullptr;
        T top;
        const V log_sum = rules::log(V{softmax_row(n, lane, z, p, &top)});
        V loss = V::set(0), targets = V::set(0);
        for (int64_t i = lane; i < n; i += 16) {
            const V tv = fma(V{t[i]}, V{keep}, V{add});
            targets = targets + tv;
            loss = loss + tv * ((V{top} - V{z[i]}) + log_sum);
        }
        const T row = total16(loss.v);
        const V mass{all_total16(targets.v)};
        if (lane == 0 && n > 0) a.per_row[r] = row;
        if (!g) return;
        const V weight{a.weight ? a.weight[r] * share : share};
        for (int64_t i = lane; i < n; i += 16) {
            const V tv = fma(V{t[i]}, V{keep}, V{add});
            g[i] = ((V{p[i]} * mass - tv) * weight).v;
        }
    });
}

// The same with a class instead of targets.
template <class T>
__global__ void __launch_bounds__(kBlock, 2) sparse_from_logits(LossBatch<T> a, T share) {
    using V = Lane<T>;
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T* z = a.prediction + r * a.prediction_rs;
        T *p = a.probability + r * a.O, top;
        const V log_sum = rules::log(V{softmax_row(n, lane, z, p, &top)});
        const int64_t label = int64_t(a.target[r * a.target_rs]);
        if (lane == 0 && n > 0) a.per_row[r] = ((V{top} - V{z[label]}) + log_sum).v;
        if (!a.gradient) return;
        T* g = a.gradient + r * a.O;
        const T weight = a.weight ? a.weight[r] * share : share;
        for (int64_t i = lane; i < n; i += 16) g[i] = i == label ? (p[i] - T(1)) * weight : p[i] * weight;
    });
}

// Of probabilities y: p = y / sum y, clipped; -sum_j t_j log p_j. No gradient through what is clipped.
template <class T>
__global__ void __launch_bounds__(kBlock) categorical_from_probabilities(LossBatch<T> a, T share, T keep, T add) {
    using V = Lane<T>;
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T *y = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        V sum = V::set(0), loss = V::set(0), inner = V::set(0);
        for (int64_t i = lane; i < n; i += 16) sum = sum + V{y[i]};
        const V total{all_total16(sum.v)};
        for (int64_t i = lane; i < n; i += 16) {
            const V tv = fma(V{t[i]}, V{keep}, V{add}), raw = V{y[i]} / total, p = rules::clip_probability(raw);
            loss = loss - tv * rules::log(p);
            inner = inner + V::select(p == raw, tv, V::set(0));
        }
        const T row = total16(loss.v);
        const V through{all_total16(inner.v)}, weight{a.weight ? a.weight[r] * share : share};
        if (lane == 0 && n > 0) a.per_row[r] = row;
        if (!a.gradient) return;
        for (int64_t i = lane; i < n; i += 16) {
            const V tv = fma(V{t[i]}, V{keep}, V{add}), raw = V{y[i]} / total, p = rules::clip_probability(raw);
            const V own = V::select(p == raw, tv / p, V::set(0));
            a.gradient[r * a.O + i] = ((through - own) / total * weight).v;
        }
    });
}

// Keras on TensorFlow: clip, take logarithms as logits: log sum_j q_j - log q_c with q the clipped probabilities.
template <class T>
__global__ void __launch_bounds__(kBlock) sparse_from_probabilities(LossBatch<T> a, T share) {
    using V = Lane<T>;
    each_row(a.B, a.O, [&](int64_t r, int64_t n, int lane) {
        const T* y = a.prediction + r * a.prediction_rs;
        const int64_t label = int64_t(a.target[r * a.target_rs]);
        V sum = V::set(0);
        for (int64_t i = lane; i < n; i += 16) sum = sum + rules::clip_probability(V{y[i]});
        const V total{all_total16(sum.v)}, of_label{y[label]}, q = rules::clip_probability(of_label);
        if (lane == 0 && n > 0) a.per_row[r] = (rules::log(total) - rules::log(q)).v;
        if (!a.gradient) return;
        const V weight{a.weight ? a.weight[r] * share : share}, shared = weight / total;
        for (int64_t i = lane; i < n; i += 16) {
            const V raw{y[i]};
            V g = V::select(rules::clip_probability(raw) == raw, shared, V::set(0));
            if (i == label && q == of_label) g = g - weight / q;
            a.gradient[r * a.O + i] = g.v;
        }
    });
}

// ---- launches ------------------------------------------------------------------------------------------------------

template <class T>
void elementwise_loss(const LossBatch<T>& a) {
    Scalars<T> s{{T(a.spec.delta)}, {T(1)}, {T(0)}};
    BinaryFlags binary;
    if (a.spec.kind == Loss::binary_crossentropy) {
        s.keep_target = {T(1.0 - a.spec.label_smoothing)};
        s.add_target = {T(0.5 * a.spec.label_smoothing)};
    } else if (a.spec.kind == Loss::hinge) {
        binary.n = int(grid_for(a.B * a.O));
        binary.flags = scratch<int>(Scratch::reduce, binary.n);
        if (!binary.flags) return;
        launch(binary_targets<T>, binary.n, kBlock, 0, a, binary.flags);
    }
    const T share = T(1.0 / (double(a.batch) * double(a.O)));
    if (a.O == 1 && a.prediction_rs == 1 && a.target_rs == 1)
        launch(column_loss<T>, grid_for(a.B), kBlock, 0, a, s, share, binary);
    else
        launch(row_loss<T>, grid_for_rows(a.B), kBlock, 0, a, s, share, binary);
}

}  // namespace

template <class T>
void softmax_forward(const Rows<T>& a) {
    if (a.cols > 0) launch(softmax_kernel<T>, grid_for_rows(a.rows), kBlock, 0, a);
}

template <class T>
void softmax_backward(const Rows<T>& a, const T* Y, int64_t y_rs) {
    launch(softmax_backward_kernel<T>, grid_for_rows(a.rows), kBlock, 0, a, Y, y_rs);
}

template <class T>
void loss(const LossBatch<T>& a) {
    const T share = T(1.0 / double(a.batch));
    const T keep = T(1.0 - a.spec.label_smoothing), add = T(a.spec.label_smoothing / double(a.O));
    const bool categorical = a.spec.kind == Loss::categorical_crossentropy;
    if (!categorical && a.spec.kind != Loss::sparse_categorical_crossentropy) return elementwise_loss(a);
    const unsigned grid = grid_for_rows(a.B);
    if (a.spec.from_logits && categorical) launch(categorical_from_logits<T>, grid, kBlock, 0, a, share, keep, add);
    if (a.spec.from_logits && !categorical) launch(sparse_from_logits<T>, grid, kBlock, 0, a, share);
    if (!a.spec.from_logits && categorical)
        launch(categorical_from_probabilities<T>, grid, kBlock, 0, a, share, keep, add);
    if (!a.spec.from_logits && !categorical) launch(sparse_from_probabilities<T>, grid, kBlock, 0, a, share);
}

#define FR_INSTANTIATE(T)                                              \
    template void softmax_forward(const Rows<T>&);                     \
    template void softmax_backward(const Rows<T>&, const T*, int64_t); \
    template void loss(const LossBatch<T>&);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
