// Elementwise operations over rows: activations, dropout and their gradients, penalty gradients, prox, scaling, single
// functions. It must not know layers or losses. It is over 250 lines: each operation's element, kernel and launch.
#include "cuda/ops.h"
#include "cuda/softmax.h"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

// ---- maps ----------------------------------------------------------------------------------------------------------

template <class T>
constexpr int kWidth = Pack<T>::N;  // elements of 16 bytes

template <class T, class F>
__global__ void __launch_bounds__(kBlock) map_kernel(Rows<T> a, Groups<kWidth<T>> groups, F f) {
    groups.each([&](int64_t r, int64_t c, int lo, int hi, int64_t) {
        T v[kWidth<T>];
        load_group(a.x + r * a.x_rs + c, lo, hi, groups.wide, v);
        f(v);
        store_group(a.y + r * a.y_rs + c, lo, hi, groups.wide, v);
    });
}

template <class T, class F>
void map_rows(const Rows<T>& a, F f) {
    const auto groups = Groups<kWidth<T>>::template of<T>(a.rows, a.cols, 0, {{a.x, a.x_rs}, {a.y, a.y_rs}});
    launch(map_kernel<T, F>, grid_for(groups.count()), kBlock, 0, a, groups, f);
}

// v[e] = f(v[e])
template <class T, int N, class F>
__device__ __forceinline__ void each_lane(T (&v)[N], F f) {
#pragma unroll
    for (int e = 0; e < N; ++e) v[e] = f(Lane<T>{v[e]}).v;
}

template <class T>
struct Activate {
    Activation kind;
    T alpha;
    template <int N>
    __device__ __forceinline__ void operator()(T (&v)[N]) const {
        rules::with_activation(kind, [&](auto act) {
            each_lane(v, [&](Lane<T> z) { return decltype(act)::forward(z, Lane<T>{alpha}); });
        });
    }
};

template <class T>
struct Scale {
    T by;
    template <int N>
    __device__ __forceinline__ void operator()(T (&v)[N]) const {
        each_lane(v, [&](Lane<T> x) { return x * Lane<T>{by}; });
    }
};

template <class T>
struct PenaltyGradient {
    T l1, two_l2;
    template <int N>
    __device__ __forceinline__ void operator()(T (&v)[N]) const {
        each_lane(v, [&](Lane<T> w) { return rules::penalty_gradient(w, Lane<T>{l1}, Lane<T>{two_l2}); });
    }
};

template <class T>
struct Prox {
    T threshold, inv;
    template <int N>
    __device__ __forceinline__ void operator()(T (&v)[N]) const {
        each_lane(v, [&](Lane<T> w) { return rules::prox_elastic_net(w, Lane<T>{threshold}, Lane<T>{inv}); });
    }
};

template <class T>
struct Math {
    MathFunction function;
    template <int N>
    __device__ __forceinline__ void operator()(T (&v)[N]) const {
        using V = Lane<T>;
        switch (function) {
            case MathFunction::exp: return each_lane(v, [](V x) { return rules::exp(x); });
            case MathFunction::expm1: return each_lane(v, [](V x) { return rules::expm1(x); });
            case MathFunction::log: return each_lane(v, [](V x) { return rules::log(x); });
            case MathFunction::log1p: return each_lane(v, [](V x) { return rules::log1p(x); });
            case MathFunction::tanh: return each_lane(v, [](V x) { return rules::tanh(x); });
            case MathFunction::sigmoid: return each_lane(v, [](V x) { return rules::sigmoid(x); });
            case MathFunction::softplus: return each_lane(v, [](V x) { return rules::softplus(x); });
            case MathFunction::norm_cdf: return each_lane(v, [](V x) { return rules::norm_cdf(x); });
            case MathFunction::cos_2pi: return each_lane(v, [](V x) { return rules::cos_2pi(x); });
        }
    }
};

// ---- dropout -------------------------------------------------------------------------------------------------------

// v as draws first, first + 1, ... of a block decide.
template <class T>
__device__ __forceinline__ void drop_all(const Dropper& d, const DrawBlock& draws, int first, T (&v)[kWidth<T>]) {
#pragma unroll
    for (int e = 0; e < kWidth<T>; ++e) v[e] = drop_by(draws.at(first + e), d.keep, v[e], T(d.scale));
}

// A group's draws are half a block's for float, a quarter for double: its numbers are 16 bytes, so that the threads of
// a warp read and write whole lines. Neighbours draw the same block, which costs less than half-filled sectors did.
template <class T>
__device__ __forceinline__ void drop_group(const Dropper& d, int64_t group, T (&v)[kWidth<T>]) {
    constexpr int kGroups = rules::kDrawsPerBlock / kWidth<T>;
    drop_all(d, d.draw(uint64_t(group / kGroups)), int(group % kGroups) * kWidth<T>, v);
}

template <class T>
__global__ void __launch_bounds__(kBlock) dropout_kernel(Rows<T> a, Dropper d, Groups<kWidth<T>> groups) {
    groups.each([&](int64_t r, int64_t c, int lo, int hi, int64_t group) {
        T v[kWidth<T>];
        load_group(a.x + r * a.x_rs + c, lo, hi, groups.wide, v);
        drop_group(d, group, v);
        store_group(a.y + r * a.y_rs + c, lo, hi, groups.wide, v);
    });
}

// An array of whole groups, cut as blocks of draws are, two groups of a thread at a time: of neighbours, which have the
// halves of a block, one draws for the first, the other for the second.
__global__ void __launch_bounds__(kBlock) dropout_flat(const float* x, float* y, int64_t n, Dropper d) {
    using Group = Pack<float>;
    const int64_t apart = global_threads(), first = d.first / kWidth<float>;
    const bool odd = threadIdx.x & 1;
    const uint32_t step = d.now();
    const auto drop = [&](int64_t g, Group v, uint32_t low, uint32_t high) {
        drop_all(d, DrawBlock{{low, high}}, 0, v.v);
        if (g < n) reinterpret_cast<Group*>(y)[g] = v;
    };
    for (int64_t g = global_thread(); g - threadIdx.x % 32 < n; g += 2 * apart) {  // a warp together
        const int64_t h = g + apart;
        Group v{}, u{};
        if (g < n) v = reinterpret_cast<const Group*>(x)[g];
        if (h < n) u = reinterpret_cast<const Group*>(x)[h];
        const DrawBlock mine = d.draw(uint64_t(first + (odd ? h : g)) / 2, step);
        const uint32_t (&w)[4] = mine.words;
        const uint32_t low = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[0] : w[2], 1);
        const uint32_t high = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[1] : w[3], 1);
        drop(g, v, odd ? low : w[0], odd ? high : w[1]);
        drop(h, u, odd ? w[2] : low, odd ? w[3] : high);
    }
}

// source: what tells f' of the layer, its Z (from_z) or its output, or null where nothing need be known.
template <class T>
struct Through {
    Activation kind;
    T alpha;
    const T* source;
    int64_t source_rs;
    bool from_z;
};

template <class T>
__global__ void __launch_bounds__(kBlock)
    layer_backward_kernel(Rows<T> a, Through<T> layer, Dropper dropper, Groups<kWidth<T>> groups) {
    // A group's decisions are drawn here; relu makes none, and through_layer scales for it.
    const bool draws = dropper.drops() && layer.kind != Activation::relu;
    Dropper rest = dropper;
    if (draws) rest.keep = 65536;
    groups.each([&](int64_t r, int64_t c, int lo, int hi, int64_t group) {
        T v[kWidth<T>], s[kWidth<T>] = {};
        load_group(a.x + r * a.x_rs + c, lo, hi, groups.wide, v);
        if (layer.source) load_group(layer.source + r * layer.source_rs + c, lo, hi, groups.wide, s);
        if (draws) drop_group(dropper, group, v);
        rules::with_activation(layer.kind, [&](auto act) {
            using Act = decltype(act);
            const auto through = [&](bool from_z) {
#pragma unroll
                for (int e = 0; e < kWidth<T>; ++e)
                    v[e] = through_layer<Act>(Lane<T>{v[e]}, &s[e], from_z ? &s[e] : nullptr, Lane<T>{layer.alpha},
                                              rest, 0)
                               .v;
            };
            if (!Act::kFromY || layer.from_z)
                through(true);
            else
                through(false);
        });
        store_group(a.y + r * a.y_rs + c, lo, hi, groups.wide, v);
    });
}

}  // namespace

template <class T>
void activation_forward(const Rows<T>& a, const ActivationSpec& spec) {
    if (spec.kind == Activation::softmax) return softmax_forward(a);
    map_rows(a, Activate<T>{spec.kind, T(spec.alpha)});
}

template <class T>
void layer_backward(const Rows<T>& a, const LayerGradient<T>& g) {
    if (g.activation.kind == Activation::softmax) return softmax_backward(a, g.Y, g.y_rs);
    const Activation kind = g.activation.kind;
    const bool from_z = kind != Activation::relu && g.Z;
    const T* source = kind == Activation::linear ? nullptr : from_z ? g.Z : g.Y;
    const Through<T> layer{kind, T(g.activation.alpha), source, from_z ? g.z_rs : g.y_rs, from_z};
    const auto groups = Groups<kWidth<T>>::template of<T>(
        a.rows, a.cols, g.dropout.first, {{a.x, a.x_rs}, {a.y, a.y_rs}, {layer.source, layer.source_rs}});
    launch(layer_backward_kernel<T>, grid_for(groups.count()), kBlock, 0, a, layer, Dropper(g.dropout), groups);
}

template <class T>
void dropout(const Rows<T>& a, const DropoutSpec& d) {
    const auto groups = Groups<kWidth<T>>::template of<T>(a.rows, a.cols, d.first, {{a.x, a.x_rs}, {a.y, a.y_rs}});
    if constexpr (sizeof(T) == 4) {
        const int64_t n = groups.count();
        if (groups.rows == 1 && groups.wide && groups.cols % kWidth<T> == 0 && d.first % rules::kDrawsPerBlock == 0)
            return launch(dropout_flat, grid_for((n + 1) / 2), kBlock, 0, a.x, a.y, n, Dropper(d));
    }
    launch(dropout_kernel<T>, grid_for(groups.count()), kBlock, 0, a, Dropper(d), groups);
}

template <class T>
void scale(const Rows<T>& a, double factor) {
    map_rows(a, Scale<T>{T(factor)});
}

template <class T>
void penalty_gradient(const Rows<T>& a, double l1, double l2) {
    map_rows(a, PenaltyGradient<T>{T(l1), T(2 * l2)});
}

template <class T>
void prox(const Rows<T>& a, double l1, double l2, double step) {
    map_rows(a, Prox<T>{T(step * l1), T(1.0 / (1.0 + 2.0 * step * l2))});
}

template <class T>
void math(MathFunction function, const T* x, T* y, int64_t n) {
    map_rows(Rows<T>{1, n, x, n, y, n}, Math<T>{function});
}

#define FR_INSTANTIATE(T)                                                    \
    template void activation_forward(const Rows<T>&, const ActivationSpec&); \
    template void layer_backward(const Rows<T>&, const LayerGradient<T>&);   \
    template void dropout(const Rows<T>&, const DropoutSpec&);               \
    template void scale(const Rows<T>&, double);                             \
    template void penalty_gradient(const Rows<T>&, double, double);          \
    template void prox(const Rows<T>&, double, double, double);              \
    template void math(MathFunction, const T*, T*, int64_t);
FR_INSTANTIATE(float)
FR_INSTANTIATE(double)

}  // namespace fastreg::cuda
