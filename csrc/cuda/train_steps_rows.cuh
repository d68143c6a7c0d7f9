// Many steps in one launch, first half of a step: rows of the batch forward, their losses, and backward to every
// layer's dZ, in shared memory; inputs and dZ of the layers go to scratch memory, by columns, for the weights'
// gradients. It must not know weights' gradients or optimizers. Bits: sums of products are FMA chains over increasing k
// from the bias or 0 on, as in cpu/gemm.inl (k_block(K) = K for K <= kKC); passes over elements as in
// cpu/dense.inl. Over 250 lines: products, passes over elements and losses hand each other the same rows.
#pragma once
#include "cuda/train_steps_metrics.cuh"
#include "rules/k_block.h"
#include "rules/loss.h"
#include "rules/row.h"

namespace fastreg::cuda::steps {

static_assert(kMostWidth <= rules::kKC, "a product over a layer's width is one chain");

// ---- products ------------------------------------------------------------------------------------------------------

// Item `i` of a product of so many groups of rows and columns. Neighbouring lanes take two groups of rows of the same
// columns: loads of 16 bytes then serve half a warp at once.
struct Item {
    int row_group, col_group;

    __device__ __forceinline__ Item(int i, int row_groups, int col_groups) {
        const int pair = row_groups > 1, rest = i >> pair, down = rest / col_groups;
        col_group = rest - down * col_groups;
        row_group = (down << pair) + (i & pair);
    }
    static __device__ __forceinline__ int count(int row_groups, int col_groups) {
        return (row_groups > 1 ? row_groups + (row_groups & 1) : row_groups) * col_groups;
    }
};

__device__ __forceinline__ float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ __forceinline__ float part(const float4& v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Y = b + X W: a thread makes R rows by C neighbouring columns. All row strides are whole groups of four, so the last
// columns of a group may lie in the padding.
template <int R, int C>
__device__ __forceinline__ void forward_product(const float* X, int x_rs, const float* W, int w_rs, const float* b,
                                                float* Y, int y_rs, int rows, int I, int O) {
    const int row_groups = ceil_div(rows, R), col_groups = ceil_div(O, C);
    for (int i = threadIdx.x; i < Item::count(row_groups, col_groups); i += kWorkers) {
        const Item item(i, row_groups, col_groups);
        if (item.row_group >= row_groups) continue;
        const int row = item.row_group * R, col = item.col_group * C;
        const float *x[R], *w = W + col;
        float acc[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r) {
            x[r] = X + least(row + r, rows - 1) * x_rs;
#pragma unroll
            for (int c = 0; c < C; ++c) acc[r][c] = b ? b[col + c] : 0.0f;
        }
        const auto step = [&](const float (&xs)[R]) {
            float ws[C];
            if constexpr (C == 4) {
                const float4 four = load4(w);
#pragma unroll
                for (int c = 0; c < C; ++c) ws[c] = part(four, c);
            } else {
#pragma unroll
                for (int c = 0; c < C; ++c) ws[c] = w[c];
            }
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int c = 0; c < C; ++c) acc[r][c] = __fmaf_rn(xs[r], ws[c], acc[r][c]);
            w += w_rs;
        };
        int k = 0;
#pragma unroll 2
        for (; k + 4 <= I; k += 4) {
            float4 four[R];
#pragma unroll
            for (int r = 0; r < R; ++r) four[r] = load4(x[r] + k);
#pragma unroll
            for (int u = 0; u < 4; ++u) {
                float xs[R];
#pragma unroll
                for (int r = 0; r < R; ++r) xs[r] = part(four[r], u);
                step(xs);
            }
        }
        for (; k < I; ++k) {
            float xs[R];
#pragma unroll
            for (int r = 0; r < R; ++r) xs[r] = x[r][k];
            step(xs);
        }
#pragma unroll
        for (int r = 0; r < R; ++r) {
            if (row + r >= rows) break;
            float* y = Y + (row + r) * y_rs + col;
            if constexpr (C == 4)
                *reinterpret_cast<float4*>(y) = make_float4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
            else
#pragma unroll
                for (int c = 0; c < C; ++c) y[c] = acc[r][c];
        }
    }
}

// dX = dZ W^T: a thread makes R rows by C columns that lie col_groups apart, so that neighbouring lanes read
// neighbouring rows of W, which begin in different banks.
template <int R, int C>
__device__ __forceinline__ void backward_product(const float* dZ, int z_rs, const float* W, int w_rs, float* dX,
                                                 int x_rs, int rows, int I, int O) {
    const int row_groups = ceil_div(rows, R), col_groups = ceil_div(I, C);
    for (int i = threadIdx.x; i < Item::count(row_groups, col_groups); i += kWorkers) {
        const Item item(i, row_groups, col_groups);
        if (item.row_group >= row_groups) continue;
        const int row = item.row_group * R;
        const float *z[R], *w[C];
        float acc[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r) {
            z[r] = dZ + least(row + r, rows - 1) * z_rs;
#pragma unroll
            for (int c = 0; c < C; ++c) acc[r][c] = 0.0f;
        }
#pragma unroll
        for (int c = 0; c < C; ++c) w[c] = W + least(item.col_group + c * col_groups, I - 1) * w_rs;
        int k = 0;
#pragma unroll 2
        for (; k + 4 <= O; k += 4) {
            float4 zs[R];
#pragma unroll
            for (int r = 0; r < R; ++r) zs[r] = load4(z[r] + k);
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const float4 ws = load4(w[c] + k);
#pragma unroll
                for (int r = 0; r < R; ++r) {
                    acc[r][c] = __fmaf_rn(zs[r].x, ws.x, acc[r][c]);
                    acc[r][c] = __fmaf_rn(zs[r].y, ws.y, acc[r][c]);
                    acc[r][c] = __fmaf_rn(zs[r].z, ws.z, acc[r][c]);
                    acc[r][c] = __fmaf_rn(zs[r].w, ws.w, acc[r][c]);
                }
            }
        }
        for (; k < O; ++k)
#pragma unroll
            for (int c = 0; c < C; ++c)
#pragma unroll
                for (int r = 0; r < R; ++r) acc[r][c] = __fmaf_rn(z[r][k], w[c][k], acc[r][c]);
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const int col = item.col_group + c * col_groups;
                if (row + r < rows && col < I) dX[(row + r) * x_rs + col] = acc[r][c];
            }
    }
}

// f(R, C): as many elements to a thread as leave work for four warps.
template <class F>
__device__ __forceinline__ void with_shape(int elements, F f) {
    using One = std::integral_constant<int, 1>;
    using Two = std::integral_constant<int, 2>;
    using Four = std::integral_constant<int, 4>;
    if (elements >= 1024) return f(Two{}, Four{});
    if (elements >= 512) return f(One{}, Four{});
    f(One{}, One{});
}

// ---- elements ------------------------------------------------------------------------------------------------------

// f(row, col), by the workers.
template <class F>
__device__ __forceinline__ void each_element(int rows, int cols, F f) {
    for (int row = threadIdx.x / 32; row < rows; row += kWarps)
        for (int col = threadIdx.x % 32; col < cols; col += 32) f(row, col);
}

// The decisions of all layers for step `step` and these rows of its batch.
__device__ __forceinline__ void make_masks(const Parameters& p, float* memory, uint32_t step, Range rows) {
    unsigned char* const all = reinterpret_cast<unsigned char*>(memory + p.plan.masks);
    for (int l = 0; l < p.plan.n_layers; ++l) {
        const Layer& layer = p.layer[l];
        if (!layer.drops() || rows.count() == 0) continue;
        unsigned char* const bytes = all + p.plan.layer[l].masks;
        const int width = p.plan.layer[l].out, first = rows.begin * width / 8, end = ceil_div(rows.end * width, 8);
        for (int block = first + int(threadIdx.x); block < end; block += kWorkers) {
            U32 counter[4] = {{uint32_t(block)}, {0}, {layer.stream}, {step}};
            rules::philox4x32<rules::kMaskRounds>(counter, uint32_t(layer.seed), uint32_t(layer.seed >> 32));
            unsigned byte = 0;
#pragma unroll
            for (int i = 0; i < 8; ++i)
                byte |= unsigned((counter[i / 2].v >> (16 * (i % 2)) & 0xFFFFu) < layer.keep) << i;
            bytes[block - first] = static_cast<unsigned char>(byte);
        }
    }
}

// Y = dropout(f(Z)) in place, Z kept where backward needs it: finish_forward of cpu/dense.inl.
__device__ __forceinline__ void activate_rows(const Parameters& p, float* memory, int l, const Piece& piece) {
    using V = Lane<float>;
    const Layer& layer = p.layer[l];
    const LayerPlan& plan = p.plan.layer[l];
    float *const Y = memory + plan.y, *const Z = plan.z >= 0 ? memory + plan.z : nullptr;
    const Masks masks = piece.masks(p.plan, l, memory);
    const bool drops = layer.drops();
    rules::with_activation(layer.activation, [&](auto act) {
        each_element(piece.rows, plan.out, [&](int row, int col) {
            const int at = row * plan.rs + col;
            V v{Y[at]};
            if (Z) Z[at] = v.v;
            v = decltype(act)::forward(v, V{layer.alpha});
            if (drops) v = masks.kept(row, col) ? v * V{layer.scale} : V::set(0);
            Y[at] = v.v;
        });
    });
}

// G = dL/dZ from G = dL/dY.
__device__ __forceinline__ void gradient_rows(const Parameters& p, float* memory, int l, const Piece& piece) {
    using V = Lane<float>;
    const Layer& layer = p.layer[l];
    const LayerPlan& plan = p.plan.layer[l];
    float* const G = memory + plan.g;
    const float *const Y = memory + plan.y, *const Z = plan.z >= 0 ? memory + plan.z : nullptr;
    const Masks masks = piece.masks(p.plan, l, memory);
    const bool drops = layer.drops();
    rules::with_activation(layer.activation, [&](auto act) {
        using Act = decltype(act);
        const V scale{layer.scale}, alpha{layer.alpha};
        each_element(piece.rows, plan.out, [&](int row, int col) {
            const int at = row * plan.rs + col;
            const V g = rules::layer_gradient<Act>(
                V{G[at]}, alpha, scale, drops, Z != nullptr, [&] { return V{Y[at]}; }, [&] { return V{Z[at]}; },
                [&](V v) { return masks.kept(row, col) ? v * scale : V::set(0); });
            G[at] = g.v;
        });
    });
}

// Rows of a (., rs) array in shared memory to the columns of scratch memory from `column` on, lanes along rows.
__device__ __forceinline__ void put_columns(const Parameters& p, const float* from, int rs, int cols, int column,
                                            const Piece& piece) {
    int log = 0;  // of the lanes a column takes
    while (1 << log < piece.rows) ++log;
    const int lane = threadIdx.x % 32, row = lane & ((1 << log) - 1), at_once = 32 >> log;
    if (row >= piece.rows) return;
    float* to = p.columns + int64_t(column) * p.plan.column_stride + piece.first + row;
    for (int col = int(threadIdx.x / 32) * at_once + (lane >> log); col < cols; col += kWarps * at_once)
        to[int64_t(col) * p.plan.column_stride] = from[row * rs + col];
}

// ---- losses --------------------------------------------------------------------------------------------------------

// Losses of a piece's rows to p.losses, their gradients to G of the last layer. A row is a half-warp's; with one
// output, a thread's.
__device__ __forceinline__ void losses_of_rows(const Parameters& p, float* memory, const Piece& piece) {
    using V = Lane<float>;
    const LayerPlan& last = p.plan.layer[p.plan.n_layers - 1];
    const int O = last.out;
    const bool sparse = p.loss.kind == Loss::sparse_categorical_crossentropy;
    const bool categorical = sparse || p.loss.kind == Loss::categorical_crossentropy;  // both from logits
    const rules::LossScalars<V> scalars{{float(p.loss.delta)}, {p.keep_target}, {p.add_target}};
    const auto put = [&](int row, float loss) {
        const double weight = piece.row_weight ? double(piece.row_weight[row]) : 1.0;
        p.losses[piece.first + row] = double(loss) * weight;
    };
    const auto weight_of = [&](int row) {
        return piece.row_weight ? piece.row_weight[row] * piece.share : piece.share;
    };
    if (!categorical && O == 1) {
        for (int row = threadIdx.x; row < piece.rows; row += kWorkers) {
            const V y{memory[last.y + row * last.rs]}, t{piece.target[row]}, weight{weight_of(row)};
            with_loss(p.loss, [&](auto rule) {
                put(row, decltype(rule)::value(y, t, scalars).v);
                memory[last.g + row * last.rs] = (decltype(rule)::gradient(y, t, scalars) * weight).v;
            });
        }
        return;
    }
    each_output_row(p.plan, piece, [&](int row, HalfWarpRow<float, int> half_warp) {
        const float *const z = memory + last.y + row * last.rs, *const t = piece.target + row * p.plan.y_cols;
        float* const g = memory + last.g + row * last.rs;
        const V weight{weight_of(row)};
        if (categorical) {
            const rules::Smoothing<V> smooth{{p.keep_target}, {p.add_target}};
            const V loss = sparse ? rules::sparse_from_logits(half_warp, z, int64_t(t[0]), g, g, weight)
                                  : rules::categorical_from_logits(half_warp, z, t, g, g, weight, smooth);
            if (half_warp.leads()) put(row, loss.v);
            return;
        }
        with_loss(p.loss, [&](auto rule) {
            const V loss =
                rules::mean_loss(half_warp, rule, float(O), z, t, static_cast<float*>(nullptr), g, weight, scalars);
            if (half_warp.leads()) put(row, loss.v);
        });
    });
}

// ---- the first half of a step, by the workers ----------------------------------------------------------------------

__device__ __forceinline__ bool changes_rows(const Parameters& p, int l) {
    return p.layer[l].activation != Activation::linear || p.layer[l].drops();
}

__device__ __forceinline__ void train_rows(const Parameters& p, float* memory, const Piece& piece) {
    const int last = p.plan.n_layers - 1;
    for (int l = 0; l <= last; ++l) {
        const LayerPlan& layer = p.plan.layer[l];
        const float* const X = l ? memory + layer.x : piece.x;
        const float* const b = layer.b >= 0 ? memory + layer.b : nullptr;
        with_shape(piece.rows * layer.out, [&](auto R, auto C) {
            forward_product<R.value, C.value>(X, layer.x_rs, memory + layer.w, layer.w_rs, b, memory + layer.y,
                                              layer.rs, piece.rows, layer.in, layer.out);
        });
        put_columns(p, X, layer.x_rs, layer.in, layer.x_column, piece);
        sync_workers();
        if (!changes_rows(p, l)) continue;
        activate_rows(p, memory, l, piece);
        sync_workers();
    }
    losses_of_rows(p, memory, piece);
    if (p.n_metrics > 0) {
        sync_workers();
        metrics_of_rows(p, memory, piece);
    }
    for (int l = last; l >= 0; --l) {
        const LayerPlan& layer = p.plan.layer[l];
        float* const G = memory + layer.g;
        sync_workers();
        if (changes_rows(p, l)) {
            gradient_rows(p, memory, l, piece);
            sync_workers();
        }
        if (l > 0) {
            const LayerPlan& before = p.plan.layer[l - 1];
            with_shape(piece.rows * layer.in, [&](auto R, auto C) {
                backward_product<R.value, C.value>(G, layer.rs, memory + layer.w, layer.w_rs, memory + before.g,
                                                   before.rs, piece.rows, layer.in, layer.out);
            });
        }
        put_columns(p, G, layer.rs, layer.out, layer.g_column, piece);
    }
}

}  // namespace fastreg::cuda::steps
