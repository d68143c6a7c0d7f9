// Many steps in one launch: who owns which rows of a batch and which weights, and where everything lies in shared
// memory and in scratch memory. Plain functions, tested on the host by tests/cuda/train_steps_test.cpp. It must not
// know CUDA, and nothing here can change the bits of a step.
//
// "CTA" below is one of `ranks` that run at once. Rows: a CTA takes its rows of the batch forward and backward.
// Weights: tiles of kTileI x kTileO weights or kTileBias biases, a warp's each, so many one after another to a CTA;
// eight at a time are a round.
//
// Over 40 lines: make_plan, which lays out memory from front to back.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::cuda::steps {

constexpr int kMostLayers = 8, kMostSegments = 16, kMostMetrics = 4, kMostRanks = 16, kMostWidth = 256,
              kMostBatch = 4096;
constexpr int kMostWeights = 20000;                                          // with biases
constexpr int kWarps = 8, kWorkers = 32 * kWarps, kThreads = kWorkers + 64;  // two warps more serve
constexpr int kTileI = 16, kTileO = 8, kTileBias = 32;
constexpr int kUnit = 8;                                // columns that are brought to shared memory together
constexpr int kMostRows = 32;                           // at a time: a warp's lanes ask for one row each
constexpr int kMostSteps = 128;                         // of a chain that are in shared memory at a time
constexpr int kMostUnits = kWarps * kTileBias / kUnit;  // tiles of weights need fewer
constexpr int kMostRounds = 24;

FR_RULE constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
FR_RULE constexpr int round_up(int a, int b) { return ceil_div(a, b) * b; }
FR_RULE constexpr int least(int a, int b) { return a < b ? a : b; }

// The least log with 2^log >= n, n up to 256.
FR_RULE constexpr int log_at_least(int n) {
    return (n > 1) + (n > 2) + (n > 4) + (n > 8) + (n > 16) + (n > 32) + (n > 64) + (n > 128);
}

// Floats from one row to the next: an odd number of groups of four, so that rows begin in different banks.
FR_RULE constexpr int odd_stride(int n) { return (n + 3) / 4 % 2 ? round_up(n, 4) : round_up(n, 4) + 4; }

struct Range {
    int begin, end;
    FR_RULE int count() const { return end - begin; }
};

// For the decisions of so many numbers from anywhere in a byte on, and those that are read beyond them.
FR_RULE constexpr int mask_bytes_of(int rows, int out) { return rows * out / 8 + 4; }

// The rows of a batch of B that are CTA `rank`'s: whole groups of four, unless there are fewer for each.
FR_RULE Range rows_of(int rank, int ranks, int B) {
    int each = ceil_div(B, ranks);
    if (each > 4) each = round_up(each, 4);
    return {least(rank * each, B), least((rank + 1) * each, B)};
}

// What the plan must know of a layer.
struct LayerShape {
    int in, out;
    bool has_bias, keeps_z, drops;
};

// Offsets w, b, y, z, g in floats of shared memory, masks in bytes of the mask memory; -1: there is none.
struct LayerPlan {
    int in, out;
    int w, w_rs, b;   // weights (in, out)
    int y, z, g, rs;  // rows at a time by out
    int log_out;      // no more than 2^log_out groups of four in a row
    int x, x_rs;      // the layer's input; the first layer's is in a buffer of its own: x is not used
    int masks;
    int x_column, g_column;               // where the transposed input and dZ begin in scratch memory, in columns
    int first_tile, bias_tiles, tiles_o;  // the tiles of the bias come first; tiles_o of weights side by side
};

struct Plan {
    int ranks, n_layers, batch, y_cols;
    int rows_at_once, log_rows;                          // rows_at_once = 2^log_rows
    int steps_at_once, log_steps;                        // steps_at_once = 4 * 2^log_steps
    int input, input_rs, target, target_rs, row_weight;  // two buffers each, one behind the other
    int masks;                                           // begins here, in floats
    int staging;                                         // as activations are, which are not needed at the same time
    int staging_floats;                                  // of one of two buffers
    int rounds_at;                                       // begins here, in floats
    int tiles, tiles_each, rounds;
    int columns, column_stride;  // of scratch memory
    int shared_bytes;
    LayerPlan layer[kMostLayers];
};

FR_RULE int staging_stride(const Plan& p) { return p.steps_at_once + 4; }  // an odd number of groups of four

// The tiles of one round of a CTA and the columns they need: unit[i] is the first of kUnit columns of scratch memory,
// brought to place i. A tile's input columns are at places x_place and x_place + 1, its dZ from g_place on. Biases are
// a tile that has no input: i0 < 0.
struct Round {
    int n_tiles, n_units;
    int layer[kWarps], i0[kWarps], o0[kWarps];
    int x_place[kWarps], g_place[kWarps];
    int unit[kMostUnits];
};

// Places, one behind the other, for `count` units from column `first` on: those they have already, or new ones.
FR_RULE int place_of(Round* r, int first, int count) {
    for (int i = 0; i + count <= r->n_units; ++i) {
        int same = 0;
        while (same < count && r->unit[i + same] == first + same * kUnit) ++same;
        if (same == count) return i;
    }
    const int place = r->n_units;
    for (int i = 0; i < count; ++i) r->unit[r->n_units++] = first + i * kUnit;
    return place;
}

FR_RULE void make_round(const Plan& p, int rank, int round, Round* r) {
    const int first = rank * p.tiles_each + round * kWarps;
    const int last = least(p.tiles, (rank + 1) * p.tiles_each);
    r->n_tiles = r->n_units = 0;
    for (int tile = first; tile < last && r->n_tiles < kWarps; ++tile) {
        int l = 0;
        while (l + 1 < p.n_layers && tile >= p.layer[l + 1].first_tile) ++l;
        const LayerPlan& layer = p.layer[l];
        const int of_bias = tile - layer.first_tile, of_weights = of_bias - layer.bias_tiles, n = r->n_tiles++;
        const bool is_bias = of_weights < 0;
        r->layer[n] = l;
        r->i0[n] = is_bias ? -1 : of_weights / layer.tiles_o * kTileI;
        r->o0[n] = is_bias ? of_bias * kTileBias : of_weights % layer.tiles_o * kTileO;
        const int columns = least(is_bias ? kTileBias : kTileO, layer.out - r->o0[n]);
        r->x_place[n] = is_bias ? 0 : place_of(r, layer.x_column + r->i0[n], kTileI / kUnit);
        r->g_place[n] = place_of(r, layer.g_column + r->o0[n], ceil_div(columns, kUnit));
    }
}

// Fewer CTAs for short batches: what all of them read of the weights then takes longer than the rows.
inline int wanted_ranks(int batch, int weights, int most) {
    const int ranks = batch <= 64 || weights <= 1024 ? 8 : kMostRanks;
    return least(ranks, most);
}

// Whether so many weights and rows are few enough that launching ordinary kernels would take longer than the step.
inline bool worth_it(int64_t batch, int64_t weights, int ranks) {
    return batch * weights <= int64_t(ranks) * 512 * 1024;
}

// False where shared memory does not suffice or something is too large.
inline bool make_plan(const LayerShape* shapes, int n_layers, int batch, int y_cols, int ranks, int shared_limit,
                      Plan* out) {
    Plan p{};
    p.ranks = ranks;
    p.n_layers = n_layers;
    p.batch = batch;
    p.y_cols = y_cols;
    if (n_layers < 1 || n_layers > kMostLayers || batch < 1 || batch > kMostBatch || y_cols < 1) return false;
    if (ranks < 1 || ranks > kMostRanks || y_cols > kMostWidth) return false;
    int floats = 0;
    const auto take = [&floats](int n) {
        const int at = floats;
        floats += round_up(n, 4);
        return at;
    };
    for (int l = 0; l < n_layers; ++l) {
        const LayerShape& s = shapes[l];
        LayerPlan& layer = p.layer[l];
        if (s.in < 1 || s.in > kMostWidth || s.out < 1 || s.out > kMostWidth) return false;
        layer.in = s.in;
        layer.out = s.out;
        layer.w_rs = odd_stride(s.out);
        layer.w = take(s.in * layer.w_rs);
        layer.b = s.has_bias ? take(s.out) : -1;
        layer.rs = odd_stride(s.out);
        layer.log_out = log_at_least(ceil_div(s.out, 4));
        layer.tiles_o = ceil_div(s.out, kTileO);
        layer.first_tile = p.tiles;
        layer.bias_tiles = s.has_bias ? ceil_div(s.out, kTileBias) : 0;
        p.tiles += layer.bias_tiles + ceil_div(s.in, kTileI) * layer.tiles_o;
        layer.x_column = p.columns;
        layer.g_column = p.columns + round_up(s.in, kTileI);
        p.columns = layer.g_column + round_up(s.out, kTileO);
    }
    p.column_stride = round_up(batch, 8);
    p.tiles_each = ceil_div(p.tiles, ranks);
    p.rounds = ceil_div(p.tiles_each, kWarps);
    if (p.rounds > kMostRounds) return false;
    p.rounds_at = take(p.rounds * int(sizeof(Round) / sizeof(float)));
    int units = 0;
    for (int rank = 0; rank < ranks; ++rank)
        for (int round = 0; round < p.rounds; ++round) {
            Round r;
            make_round(p, rank, round, &r);
            units = r.n_units > units ? r.n_units : units;
        }
    const int rows = rows_of(0, ranks, batch).count();  // no CTA has more
    int mask_bytes = 0;
    for (int l = 0; l < n_layers; ++l) {
        p.layer[l].masks = shapes[l].drops ? mask_bytes : -1;
        if (shapes[l].drops) mask_bytes += mask_bytes_of(rows, shapes[l].out);
    }
    p.masks = take(ceil_div(mask_bytes, 4));
    const int before = floats;
    // The largest pieces that fit.
    for (int at_once = kMostRows; at_once >= 4; at_once /= 2) {
        if (at_once >= 8 && at_once / 2 >= rows) continue;
        for (int steps = kMostSteps; steps >= 16; steps /= 2) {
            if (steps > 16 && steps / 2 >= batch) continue;
            floats = before;
            p.rows_at_once = at_once;
            p.log_rows = log_at_least(at_once);
            p.steps_at_once = steps;
            p.log_steps = log_at_least(steps / 4);
            p.input_rs = odd_stride(shapes[0].in);
            p.input = take(2 * at_once * p.input_rs);
            p.target_rs = y_cols;
            p.target = take(2 * at_once * y_cols);
            p.row_weight = take(2 * at_once);
            p.staging = floats;
            for (int l = 0; l < n_layers; ++l) {
                LayerPlan& layer = p.layer[l];
                layer.y = take(at_once * layer.rs);
                layer.z = shapes[l].keeps_z ? take(at_once * layer.rs) : -1;
                layer.g = take(at_once * layer.rs);
                layer.x = l ? p.layer[l - 1].y : p.input;
                layer.x_rs = l ? p.layer[l - 1].rs : p.input_rs;
            }
            p.staging_floats = units * kUnit * staging_stride(p);
            if (p.staging + 2 * p.staging_floats > floats) floats = p.staging + 2 * p.staging_floats;
            p.shared_bytes = floats * int(sizeof(float));
            *out = p;
            if (p.shared_bytes <= shared_limit) return true;
        }
    }
    return false;
}

}  // namespace fastreg::cuda::steps
