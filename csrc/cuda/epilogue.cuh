// What is done to finished elements of a matrix product: forward (keep Z, activation, dropout) or backward (through the
// layer that made the input). One type serves exact and fast products. It must not know how the product is made.
#pragma once
#include "cuda/device.cuh"

namespace fastreg::cuda {

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

    __host__ Epilogue() : dropper(DropoutSpec{}) {}

    static Epilogue of(const DenseForward<T>& a) {
        Epilogue e;
        const bool bare = a.activation.kind == Activation::linear && a.dropout.keep == 65536 && !a.Z;
        e.kind = bare ? none : forward;
        e.activation = a.activation.kind;
        e.alpha = T(a.activation.alpha);
        e.dropper = Dropper(a.dropout);
        e.width = a.O;
        e.Z = a.Z;
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
        e.z_rs = producer->z_rs;
        return e;
    }

    // n <= N neighbouring elements of row i from column j on; v holds them. With j and the width multiples of N (a
    // divisor of 8), one Philox block serves them all.
    template <int N>
    __device__ __forceinline__ void apply(int64_t i, int64_t j, int n, T (&v)[N]) const {
        if (kind == none) return;
        if (kind == forward)
            apply_forward(i, j, n, v);
        else
            apply_backward(i, j, n, v);
    }

private:
    template <int N>
    __device__ __forceinline__ void apply_forward(int64_t i, int64_t j, int n, T (&v)[N]) const {
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
            v[e] = draws.at(int(flat % 8)) < dropper.keep ? v[e] * T(dropper.scale) : T(0);
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
};

}  // namespace fastreg::cuda
