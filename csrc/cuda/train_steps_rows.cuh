// Many steps in one launch, first half of a step: rows of the batch forward, their losses, and backward to every
// layer's dZ, in shared memory; inputs and dZ of the layers go to scratch memory, by columns, for the weights'
// gradients. It must not know weights' gradients or optimizers. Bits: sums of products are FMA chains over increasing k
// from the bias or 0 on, as in cpu/gemm.inl (k_block(K) = K for K <= kKC); passes over elements as in
// cpu/dense.inl. Over 250 lines: products, passes over elements and losses hand each other the same rows. Over 40: the
// two products, each one loop over k with its sums in registers.
#pragma once
#include "cuda/train_steps_metrics.cuh"
#include "rules/k_block.h"
#include "rules/loss.h"
#include "rules/row.h"

namespace fastreg::cuda::steps {

static_assert(kMostWidth <= rules::kKC, "a product over a layer's width is one chain");

// ---- products ------------------------------------------------------------------------------------------------------

// A thread's part of a product: a group of columns, and every step-th group of rows. Neighbouring lanes take two groups
// of rows of the same columns, so that a warp reads little of either operand.
struct Share {
    int row_group, step, col_group;

    __device__ __forceinline__ explicit Share(int log_cols) {  // no more than 2^log_cols groups of columns
        const int t = int(threadIdx.x);
        row_group = (t >> (log_cols + 1)) * 2 + (t & 1);
        step = 2 * (kWorkers >> (log_cols + 1));
        col_group = t >> 1 & ((1 << log_cols) - 1);
    }
};

// Y = b + X W: a thread makes R rows by four neighbouring columns. There is room for R rows and, all row strides being
// whole groups of four, for four columns: what a group has beyond the last row or column is never used. The operands of
// four steps are asked for while four others are used.
template <int R>
__device__ __forceinline__ void forward_product(const float* X, int x_rs, const float* W, int w_rs, bool has_b,
                                                const float* b, float* Y, int y_rs, int rows, int I, int O,
                                                int log_cols) {
    const Share share(log_cols);
    const int col = 4 * share.col_group, whole = I & ~3;
    if (col >= O) return;
#pragma unroll 1
    for (int row = share.row_group * R; row < rows; row += share.step * R) {
        const float* x[R];
        float bias[4] = {}, acc[R][4];
        if (has_b) load4(b + col, bias);
#pragma unroll
        for (int r = 0; r < R; ++r) {
            x[r] = X + least(row + r, rows - 1) * x_rs;
#pragma unroll
            for (int c = 0; c < 4; ++c) acc[r][c] = bias[c];
        }
        struct Operands {
            float x[R][4], w[4][4];
        };
        const auto load = [&](int k, Operands* to) {
#pragma unroll
            for (int r = 0; r < R; ++r) load4(x[r] + k, to->x[r]);
#pragma unroll
            for (int u = 0; u < 4; ++u) load4(W + (k + u) * w_rs + col, to->w[u]);
        };
        const auto multiply = [&](const Operands& a) {
#pragma unroll
            for (int u = 0; u < 4; ++u)
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < 4; ++c) acc[r][c] = __fmaf_rn(a.x[r][u], a.w[u][c], acc[r][c]);
        };
        each_ahead<Operands, 4>(whole, load, multiply);
#pragma unroll 1
        for (int k = whole; k < I; ++k) {
            float w[4];
            load4(W + k * w_rs + col, w);
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int c = 0; c < 4; ++c) acc[r][c] = __fmaf_rn(x[r][k], w[c], acc[r][c]);
        }
#pragma unroll
        for (int r = 0; r < R; ++r) store4(Y + (row + r) * y_rs + col, acc[r]);
    }
}

// dX = dZ W^T: a thread makes R rows by four columns that lie a quarter of them apart, so that neighbouring lanes read
// neighbouring rows of W, which begin in different banks.
template <int R>
__device__ __forceinline__ void backward_product(const float* dZ, int z_rs, const float* W, int w_rs, float* dX,
                                                 int x_rs, int rows, int I, int O, int log_cols) {
    const Share share(log_cols);
    const int quarter = ceil_div(I, 4), whole = O & ~3;
    if (share.col_group >= quarter) return;
    const float* w[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) w[c] = W + least(share.col_group + c * quarter, I - 1) * w_rs;
#pragma unroll 1
    for (int row = share.row_group * R; row < rows; row += share.step * R) {
        const float* z[R];
        float acc[R][4] = {};
#pragma unroll
        for (int r = 0; r < R; ++r) z[r] = dZ + least(row + r, rows - 1) * z_rs;
        struct Operands {
            float z[R][4], w[4][4];
        };
        const auto load = [&](int k, Operands* to) {
#pragma unroll
            for (int r = 0; r < R; ++r) load4(z[r] + k, to->z[r]);
#pragma unroll
            for (int c = 0; c < 4; ++c) load4(w[c] + k, to->w[c]);
        };
        const auto multiply = [&](const Operands& a) {
#pragma unroll
            for (int u = 0; u < 4; ++u)
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < 4; ++c) acc[r][c] = __fmaf_rn(a.z[r][u], a.w[c][u], acc[r][c]);
        };
        each_ahead<Operands, 4>(whole, load, multiply);
#pragma unroll 1
        for (int k = whole; k < O; ++k)
#pragma unroll
            for (int c = 0; c < 4; ++c)
#pragma unroll
                for (int r = 0; r < R; ++r) acc[r][c] = __fmaf_rn(z[r][k], w[c][k], acc[r][c]);
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int col = share.col_group + c * quarter;
                if (col < I) dX[(row + r) * x_rs + col] = acc[r][c];
            }
    }
}

// f(R): rows for each thread. What a multiprocessor does at a time are 128 products or 32 numbers brought to its lanes:
// the more rows, the fewer numbers a product takes, and the longer a thread is at it.
template <class F>
__device__ __forceinline__ void with_rows(int elements, F f) {
    if (elements >= 1024) return f(std::integral_constant<int, 4>{});
    if (elements >= 512) return f(std::integral_constant<int, 2>{});
    f(std::integral_constant<int, 1>{});
}

// ---- elements ------------------------------------------------------------------------------------------------------

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

// Y = dropout(f(Z)) in place, Z kept where backward needs it: finish_forward of cpu/dense.inl. Groups of four may end
// in the padding, here and below.
__device__ __forceinline__ void activate_rows(const Parameters& p, float* memory, int l, const Piece& piece) {
    using V = Lane<float>;
    const Layer& layer = p.layer[l];
    const LayerPlan& plan = p.plan.layer[l];
    float *const Y = memory + plan.y, *const Z = memory + plan.z;
    const bool has_z = plan.z >= 0;
    const Masks masks = piece.masks(p.plan, l, memory);
    const bool drops = layer.drops();
    const V scale{layer.scale}, alpha{layer.alpha};
    rules::with_activation(layer.activation, [&](auto act) {
        each_group(piece.rows, ceil_div(plan.out, 4), plan.log_out, [&](int row, int group) {
            const int at = row * plan.rs + 4 * group;
            float y[4];
            load4(Y + at, y);
            const unsigned kept = drops ? masks.four(row, 4 * group) : 0;
            if (has_z) store4(Z + at, y);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                V v = decltype(act)::forward(V{y[i]}, alpha);
                if (drops) v = kept >> i & 1 ? v * scale : V::set(0);
                y[i] = v.v;
            }
            store4(Y + at, y);
        });
    });
}

// G = dL/dZ from G = dL/dY.
__device__ __forceinline__ void gradient_rows(const Parameters& p, float* memory, int l, const Piece& piece) {
    using V = Lane<float>;
    const Layer& layer = p.layer[l];
    const LayerPlan& plan = p.plan.layer[l];
    float* const G = memory + plan.g;
    const float *const Y = memory + plan.y, *const Z = memory + plan.z;
    const bool has_z = plan.z >= 0;
    const Masks masks = piece.masks(p.plan, l, memory);
    const bool drops = layer.drops();
    const V scale{layer.scale}, alpha{layer.alpha};
    rules::with_activation(layer.activation, [&](auto act) {
        using Act = decltype(act);
        each_group(piece.rows, ceil_div(plan.out, 4), plan.log_out, [&](int row, int group) {
            const int at = row * plan.rs + 4 * group;
            float g[4], y[4], z[4] = {};
            load4(G + at, g);
            load4(Y + at, y);
            if (has_z) load4(Z + at, z);
            const unsigned kept = drops ? masks.four(row, 4 * group) : 0;
#pragma unroll
            for (int i = 0; i < 4; ++i)
                g[i] = rules::layer_gradient<Act>(
                           V{g[i]}, alpha, scale, drops, has_z, [&] { return V{y[i]}; }, [&] { return V{z[i]}; },
                           [&](V v) { return kept >> i & 1 ? v * scale : V::set(0); })
                           .v;
            store4(G + at, g);
        });
    });
}

// Rows of a (., rs) array in shared memory to the columns of scratch memory from `column` on, lanes along rows.
__device__ __forceinline__ void put_columns(const Parameters& p, const float* from, int rs, int cols, int column,
                                            const Piece& piece) {
    const int log = p.plan.log_rows, row = int(threadIdx.x) & ((1 << log) - 1), stride = p.plan.column_stride;
    if (row >= piece.rows) return;
    float* const to = p.columns + (column * stride + piece.first + row);
    for (int group = int(threadIdx.x) >> log; group < ceil_div(cols, 4); group += kWorkers >> log) {
        float v[4];
        load4(from + row * rs + 4 * group, v);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[(4 * group + i) * stride] = v[i];
    }
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
        const double weight = p.row_weight ? double(piece.row_weight[row]) : 1.0;
        p.losses[piece.first + row] = double(loss) * weight;
    };
    const auto weight_of = [&](int row) { return p.row_weight ? piece.row_weight[row] * piece.share : piece.share; };
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
            const V loss = sparse ? rules::sparse_from_logits(half_warp, z, int64_t(t[0]), g, g, weight)
                                  : rules::categorical_from_logits(half_warp, z, t, g, g, weight, scalars);
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
        put_columns(p, X, layer.x_rs, layer.in, layer.x_column, piece);
        with_rows(piece.rows * layer.out, [&](auto R) {
            forward_product<R.value>(X, layer.x_rs, memory + layer.w, layer.w_rs, layer.b >= 0, memory + layer.b,
                                     memory + layer.y, layer.rs, piece.rows, layer.in, layer.out, layer.log_out);
        });
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
        put_columns(p, G, layer.rs, layer.out, layer.g_column, piece);
        if (l == 0) return;
        const LayerPlan& before = p.plan.layer[l - 1];
        with_rows(piece.rows * layer.in, [&](auto R) {
            backward_product<R.value>(G, layer.rs, memory + layer.w, layer.w_rs, memory + before.g, before.rs,
                                      piece.rows, layer.in, layer.out, before.log_out);
        });
    }
}

}  // namespace fastreg::cuda::steps
