// How a matrix product is shared out: blocks of k, tiles, which CTA makes what. Plain functions, tested on the host by
// tests/cuda/gemm_order_test.cpp. It must not know CUDA, and nothing here can change the bits of a product.
#pragma once
#include <cstdint>

#include "rules/hd.h"
#include "rules/k_block.h"

namespace fastreg::cuda {

// The blocks of a sum over K steps, at least one. Made on the host: a kernel would begin with two divisions.
struct KBlocks {
    int64_t K, step;
    int count;

    KBlocks() = default;
    FR_RULE explicit KBlocks(int64_t k)
        : K(k), step(rules::k_block(k)), count(k <= rules::kKC ? 1 : int((k + step - 1) / step)) {}
    FR_RULE int64_t begin(int i) const { return i * step; }
    FR_RULE int64_t end(int i) const { return (i + 1) * step < K ? (i + 1) * step : K; }
};

// n / d by one multiplication, for n up to most_n: the factor, or 0 where it would not be exact (Granlund and
// Montgomery 1994, theorem 4.2: 2^40 / d rounded up is too large by less than 1).
constexpr int kReciprocalBits = 40;
constexpr uint64_t reciprocal_of(int64_t d, int64_t most_n) {
    if (most_n >= int64_t(1) << (64 - kReciprocalBits) || most_n >= (int64_t(1) << kReciprocalBits) / d) return 0;
    return ((uint64_t(1) << kReciprocalBits) + uint64_t(d) - 1) / uint64_t(d);
}
FR_RULE int quotient_by(int n, int d, uint64_t reciprocal) {
    return reciprocal ? int(uint64_t(n) * reciprocal >> kReciprocalBits) : n / d;
}

// A tile by its number. Bands of kBand tile rows, each by columns, so that the CTAs that run at one time share rows of
// A and columns of B in the L2 cache.
struct TileAt {
    int row, col;
};
constexpr int kBand = 8;
struct TileOrder {
    int rows, cols;             // of tiles
    uint64_t band, short_band;  // reciprocals of the tiles of a band, and of the rows of the last where it has fewer

    TileOrder() = default;
    TileOrder(int64_t n_rows, int64_t n_cols) : rows(int(n_rows)), cols(int(n_cols)) {
        band = reciprocal_of(kBand * n_cols, n_rows * n_cols);
        short_band = reciprocal_of(n_rows % kBand ? n_rows % kBand : 1, kBand * n_cols);
    }
    FR_RULE TileAt at(int index) const {
        const int first = quotient_by(index, kBand * cols, band) * kBand, within = index - first * cols;
        const int left = rows - first;
        if (left >= kBand) return {first + within % kBand, within / kBand};
        const int col = quotient_by(within, left, short_band);
        return {first + within - col * left, col};
    }
};

constexpr int kLargeTile = 128, kSmallTile = 32;
FR_RULE constexpr int64_t tiles_along(int64_t n, int tile) { return (n + tile - 1) / tile; }

// Which outputs of a kM x kN tile a thread has: kT x kT, in groups of kWide neighbours. A warp is 4 x 8 threads, so
// that it reads little of either operand.
template <int kM, int kN, int kT, int kWide>
struct TileOutputs {
    static constexpr int kThreads = kM * kN / (kT * kT), kRowThreads = kM / kT, kColThreads = kN / kT;

    static FR_RULE int thread_row(int thread) { return thread / 32 / (kColThreads / 8) * 4 + thread % 32 / 8; }
    static FR_RULE int thread_col(int thread) { return thread / 32 % (kColThreads / 8) * 8 + thread % 8; }
    // Row i and column j of a thread's outputs, within the tile.
    static FR_RULE int row(int thread_row, int i) {
        return i / kWide * kRowThreads * kWide + thread_row * kWide + i % kWide;
    }
    static FR_RULE int col(int thread_col, int j) {
        return j / kWide * kColThreads * kWide + thread_col * kWide + j % kWide;
    }
};

// Where in the tile of an operand the group of kWide neighbours begins that a thread brings; its next ones are
// 2 kWide steps of k on. Along k a warp brings two groups of 16 rows: whole sectors of global memory, and different
// banks of shared memory. A CTA has two threads a row.
struct BroughtAt {
    int row, k;
};
template <int kRows, int kWide>
FR_RULE BroughtAt brought_at(bool along_k, int thread) {
    if (along_k) return {thread / 2, thread % 2 * kWide};
    return {thread % (kRows / kWide) * kWide, thread / (kRows / kWide)};
}

// Which group of four outputs of a small tile a thread finishes as its own number `mine`, in a cluster of `ranks` CTAs.
FR_RULE int finished_group(int mine, int rank, int ranks, int thread, int threads) {
    return (mine * ranks + rank) * threads + thread;
}

// Several products or column sums in one launch: which of n ranges of CTAs, that begin at first[0] = 0 <= first[1] ...,
// holds `index`. Empty ranges hold nothing.
FR_RULE int range_of(int index, const int* first, int n) {
    int range = 0;
    while (range + 1 < n && index >= first[range + 1]) ++range;
    return range;
}

// How one product is made.
struct GemmPlan {
    bool large;           // tiles of 128 x 128, else of 32 x 32
    int ranks;            // CTAs of a cluster, that make blocks of k side by side; 1: no cluster
    int wave;             // blocks of k that go to the workspace at a time, side by side; 0: none do
    bool narrow = false;  // with a workspace, by gemm_narrow.cuh
};

constexpr int64_t kWorkspaceBytes = 64 << 20;
constexpr int kMostRanks = 8;  // the largest portable cluster

// Blocks i of a wave are made by CTAs i % ranks, in rounds.
FR_RULE constexpr int rounds_of(int blocks, int ranks) { return (blocks + ranks - 1) / ranks; }

// Columns of a partial sum in the workspace: rows of whole groups of four.
FR_RULE constexpr int64_t padded4(int64_t n) { return (n + 3) / 4 * 4; }

struct Device {
    int multiprocessors;
    bool clusters;
};

// Whether C is so large, and k so short, that its time is that of writing C.
constexpr bool has_few_steps(int64_t M, int64_t N, int64_t K) { return K <= 16 && N > 64 && M * N >= 1 << 18; }

// Whether C has so few columns that its time is that of reading A, and there is enough to read: row by row, or by
// blocks of k into a workspace, of which there must be enough for all multiprocessors.
constexpr int kNarrowCols = 16;
constexpr bool has_narrow_rows(int64_t M, int64_t N, int64_t K) { return N <= kNarrowCols && M >= 16384 && K >= 64; }
constexpr bool has_narrow_blocks(int64_t M, int64_t N, int64_t K) { return N <= kNarrowCols && M >= 32 && K >= 16384; }

// How many blocks of k fit a workspace, at least one.
inline int wave_of(int blocks, int64_t partial_bytes) {
    const int64_t most = partial_bytes ? kWorkspaceBytes / partial_bytes : blocks;
    const int64_t wave = most < blocks ? most : blocks;
    return int(wave < 1 ? 1 : wave < 65535 ? wave : 65535);  // grid.y
}

// The plan that should be done first, in cycles of an H100: what a step of k costs one CTA alone (latency) and what it
// costs a multiprocessor with many (throughput), and a second launch and its traffic where there is a workspace.
inline GemmPlan plan_gemm(int64_t M, int64_t N, int64_t K, int64_t element_bytes, bool large_allowed, Device device) {
    constexpr double kReduceLaunch = 3000, kExchange = 800, kBytesPerCycle = 12;
    const KBlocks blocks(K);
    const double step = blocks.count > 1 ? double(blocks.step) : double(K);
    const int64_t partial_bytes = M * padded4(N) * element_bytes;
    GemmPlan best{false, 1, 0};
    double least = -1;
    const auto consider = [&](GemmPlan plan, double cycles) {
        if (least >= 0 && cycles >= least) return;
        least = cycles;
        best = plan;
    };
    for (int large = 0; large <= int(large_allowed); ++large) {
        const int tile = large ? kLargeTile : kSmallTile;
        const int64_t tiles = tiles_along(M, tile) * tiles_along(N, tile);
        const auto steps = [&](int64_t ctas, double k) {
            const double each = double((ctas + device.multiprocessors - 1) / device.multiprocessors);
            const double alone = large ? 170 : 44, shared = (large ? 132 : 18) * each;
            return k * (shared > alone ? shared : alone);
        };
        consider({large == 1, 1, 0}, steps(tiles, double(K)));
        if (blocks.count == 1 || tiles > 4 * device.multiprocessors) continue;
        if (device.clusters && !large) {
            const int rounds = rounds_of(blocks.count, kMostRanks), ranks = rounds_of(blocks.count, rounds);
            consider({false, ranks, 0}, rounds * (steps(tiles * ranks, step) + kExchange));
        }
        if (partial_bytes > kWorkspaceBytes / 2) continue;
        const int wave = wave_of(blocks.count, partial_bytes), waves = rounds_of(blocks.count, wave);
        const double traffic = 2.0 * double(partial_bytes) * blocks.count / (kBytesPerCycle * device.multiprocessors);
        consider({large == 1, 1, wave}, waves * (steps(tiles * wave, step) + kReduceLaunch) + traffic);
    }
    return best;
}

}  // namespace fastreg::cuda
