// What is done to finished elements of a matrix product: forward (keep Z, activation, dropout) or backward (through the
// layer that made the input). One type serves exact and fast products. It must not know how the product is made.
#pragma once
#include "cuda/device.cuh"
#include "cuda/fast_numbers.h"

namespace fastreg::cuda {

// Two bfloat16 neighbours in memory, the first in the low half.
__device__ __forceinline__ uint32_t bfloat_pair(float low, float high) {
    return fast::to_bfloat(low) | uint32_t(fast::to_bfloat(high)) << 16;
}

template <class T>
struct Epilogue {
    enum Kind : int { none, forward, backward };

    Kind kind = none;
    Activation activation = Activation::linear;
    T alpha = T(0);
    Dropper dropper;
    int64_t width = 0;     // of the array whose elements the dropout decisions count
    T* Z = nullptr;        // forward: where pre-activations go; or null
    const T* y = nullptr;  // backward: the layer's output; and its Z, where it is kept
    const T* z = nullptr;
    int64_t y_rs = 0, z_rs = 0;
    // Instead of these, where the product is made by tensor cores and layers pass on bfloat16.
    Bfloat* Z16 = nullptr;
    const Bfloat *y16 = nullptr, *z16 = nullptr;

    __host__ Epilogue() : dropper(DropoutSpec{}) {}

    static Epilogue of(const DenseForward<T>& a) {
        Epilogue e;
        const bool bare = a.activation.kind == Activation::linear && a.dropout.keep == 65536 && !a.Z && !a.Z16;
        e.kind = bare ? none : forward;
        e.activation = a.activation.kind;
        e.alpha = T(a.activation.alpha);
        e.dropper = Dropper(a.dropout);
        e.width = a.O;
        e.Z = a.Z;
        e.Z16 = a.Z16;
        e.z_rs = a.z_rs;
        return e;
    }
    static Epilogue of(const LayerGradient<T>* producer, int64_t width) {
        Epilogue e;
        if (!producer) return e;
        e.kind = backward;
        e.activation = producer->activation.kind;
        e.alpha = T(producer->activation.alpha);
        e.dropper = Dropper(producer->dropout);
        e.width = width;
        e.y = producer->Y;
        e.y_rs = producer->y_rs;
        e.z = producer->Z;
        e.y16 = producer->Y16;
        e.z16 = producer->Z16;
        e.z_rs = producer->z_rs;
        return e;
    }

    // n <= N neighbouring elements of row i from column j on; v holds them. With j and the width multiples of N (a
    // divisor of 8), one Philox block serves them all. may_be_bf16: whether to look for what is kept as bfloat16.
    template <int N, bool may_be_bf16 = false>
    __device__ __forceinline__ void apply(int64_t i, int64_t j, int n, T (&v)[N]) const {
        if (kind == none) return;
        if (kind == forward)
            apply_forward<may_be_bf16>(i, j, n, v);
        else if (may_be_bf16 && (y16 || z16))
            apply_backward_of_bf16(i, j, n, v);
        else
            apply_backward(i, j, n, v);
    }

    // Where what apply() reads of row i from column j on lies (rules/layer_gradient.h), backward; null: nowhere.
    template <bool may_be_bf16 = false>
    __device__ __forceinline__ const void* read_at(int64_t i, int64_t j) const {
        const auto at = [&](const auto* of_y, const auto* of_z) -> const void* {
            if (activation == Activation::linear || activation == Activation::softmax) return nullptr;
            if (of_z && activation != Activation::relu) return of_z + i * z_rs + j;
            return of_y ? of_y + i * y_rs + j : nullptr;
        };
        return may_be_bf16 && (y16 || z16) ? at(y16, z16) : at(y, z);
    }

private:
    template <bool may_be_bf16, int N>
    __device__ __forceinline__ void apply_forward(int64_t i, int64_t j, int n, T (&v)[N]) const {
        if (may_be_bf16 && Z16) {
#pragma unroll
            for (int e = 0; e < N; ++e)
                if (e < n) Z16[i * z_rs + j + e] = fast::to_bfloat(float(v[e]));
        }
        if (Z) {
#pragma unroll
            for (int e = 0; e < N; ++e)
                if (e < n) Z[i * z_rs + j + e] = v[e];
        }
        rules::with_activation(activation, [&](auto act) {
#pragma unroll
            for (int e = 0; e < N; ++e) v[e] = decltype(act)::forward(Lane<T>{v[e]}, Lane<T>{alpha}).v;
        });
        if (!dropper.drops()) return;
        DrawBlock draws{};
        uint64_t block = ~uint64_t(0);
#pragma unroll
        for (int e = 0; e < N; ++e) {
            const uint64_t flat = uint64_t(dropper.first + i * width + j + e);
            if (flat / 8 != block) draws = dropper.draw(block = flat / 8);
            v[e] = drop_by(draws.at(int(flat % 8)), dropper.keep, v[e], T(dropper.scale));
        }
    }

    template <int N>
    __device__ __forceinline__ void apply_backward(int64_t i, int64_t j, int n, T (&v)[N]) const {
        rules::with_activation(activation, [&](auto act) {
#pragma unroll
            for (int e = 0; e < N; ++e) {
                const int64_t c = j + e;
                if (e < n)
                    v[e] = through_layer<decltype(act)>(Lane<T>{v[e]}, y ? y + i * y_rs + c : nullptr,
                                                        z ? z + i * z_rs + c : nullptr, Lane<T>{alpha}, dropper,
                                                        i * width + c)
                               .v;
            }
        });
    }

    template <int N>
    __device__ __forceinline__ void apply_backward_of_bf16(int64_t i, int64_t j, int n, T (&v)[N]) const {
        rules::with_activation(activation, [&](auto act) {
#pragma unroll
            for (int e = 0; e < N; ++e) {
                const int64_t c = j + e;
                if (e >= n) continue;
                const T of_y = y16 ? T(fast::from_bfloat(y16[i * y_rs + c])) : T(0);
                const T of_z = z16 ? T(fast::from_bfloat(z16[i * z_rs + c])) : T(0);
                v[e] = through_layer<decltype(act)>(Lane<T>{v[e]}, &of_y, z16 ? &of_z : nullptr, Lane<T>{alpha},
                                                    dropper, i * width + c)
                           .v;
            }
        });
    }
};

}  // namespace fastreg::cuda
