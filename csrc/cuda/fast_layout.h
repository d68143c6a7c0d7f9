// Fast products: where numbers lie in memory and in which order tiles are made, as plain functions that the host can
// test. It must not know CUDA headers, nor how numbers are split (fast_numbers.h).
//
// An operand is kept as rows (of A, or columns of B) by k, in planes of 16-bit numbers. 32 k form a panel. A panel
// holds its planes one after the other, a plane all rows, a row 64 bytes whose four 16-byte chunks are permuted as the
// tensor cores and ldmatrix want them in shared memory. So any tile of rows is one contiguous piece per plane and
// panel, copied as it is. Rows and k are padded with zeros to whole tiles.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::cuda::fast {

constexpr int kPanel = 32;                     // k of a panel
constexpr int kSegment = 64;                   // k that share a scale
constexpr int kRowBytes = 2 * kPanel;          // of a row in one plane of a panel
constexpr int kTileN = 128, kHalfTileM = 128;  // a tile is 128 columns by `halves` times 128 rows
constexpr int kMaxHalves = 2;

// fp16x3: two planes of half precision and scales. bf16x6: three planes of bfloat16 and scales, for numbers of too wide
// a range. bf16: one plane.
enum class Format : int { fp16x3, bf16x6, bf16 };

// kGroup: panels between promotions of the tensor cores' sums, which lose bits as they grow. Products are those of
// planes a and b with a + b < kPlanes.
template <Format f>
struct Variant;
template <>
struct Variant<Format::fp16x3> {
    static constexpr bool kHalf = true, kScaled = true;
    static constexpr int kPlanes = 2, kGroup = 1;
};
template <>
struct Variant<Format::bf16x6> {
    static constexpr bool kHalf = false, kScaled = true;
    static constexpr int kPlanes = 3, kGroup = 1;
};
template <>
struct Variant<Format::bf16> {
    static constexpr bool kHalf = false, kScaled = false;
    static constexpr int kPlanes = 1, kGroup = 4;
};

// k is padded to whole units, and split-k cuts between them.
FR_RULE int unit_of(Format f) { return f == Format::bf16 ? 128 : kSegment; }

FR_RULE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
FR_RULE constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The byte of a plane's panel where chunk `chunk` (8 k) of row `row` begins: bits 4-5 of the address are xored with
// bits 7-8, which is the 64-byte swizzle of Hopper.
FR_RULE int64_t chunk_offset(int64_t row, int chunk) { return row * kRowBytes + ((chunk ^ int(row >> 1 & 3)) << 4); }
// The byte of an operand where a plane of a panel begins. rows: padded.
FR_RULE int64_t plane_offset(int64_t panel, int plane, int planes, int64_t rows) {
    return (panel * planes + plane) * rows * kRowBytes;
}
FR_RULE int64_t scale_index(int64_t segment, int64_t row, int64_t rows) { return segment * rows + row; }

// What wgmma is told of an operand tile in shared memory at `address` (a multiple of 512, or 32 bytes more for the
// second 16 k of a panel): K-major, 64-byte swizzle (2 in bits 62-63), 8 rows every 512 bytes. The low word counts
// addresses in units of 16 bytes, so that address_units(n) added to it is n bytes further on.
FR_RULE uint32_t descriptor_low(uint32_t address) { return (address >> 4 & 0x3FFF) | 1u << 16; }
FR_RULE uint32_t address_units(uint32_t bytes) { return bytes >> 4; }
FR_RULE uint64_t matrix_descriptor(uint32_t low) {
    return uint64_t(low) | uint64_t(8 * kRowBytes >> 4) << 32 | uint64_t(2) << 62;
}

// The planes of an operand, made by the split pass. rows: padded to whole tiles.
// scales: of each row by scale_index(), those of 64 columns of B alike; null for Format::bf16.
struct Planes {
    const unsigned char* image;
    const float* scales;
    int64_t rows;
};

struct Tile {
    int64_t m, n;
};

// Tiles run down bands of `band` rows of tiles, so that those in flight at a time share rows and columns in the L2.
FR_RULE Tile tile_at(int64_t index, int64_t tiles_m, int64_t tiles_n, int64_t band) {
    const int64_t first = index / (band * tiles_n) * band;
    const int64_t height = tiles_m - first < band ? tiles_m - first : band;
    const int64_t within = index - first * tiles_n;
    return {first + within % height, within / height};
}

// A product cut into items: a tile, and a range of units of k. Item i is tile i % (tiles_m tiles_n) of its range.
struct Plan {
    int halves;
    int splits;  // ranges of k; with more than one, partial sums are kept and added in order
    int64_t tiles_m, tiles_n, units;

    FR_RULE int64_t tiles() const { return tiles_m * tiles_n; }
    FR_RULE int64_t items() const { return tiles() * splits; }
    FR_RULE int64_t first_unit(int64_t split) const { return units * split / splits; }
    FR_RULE Tile tile(int64_t index) const { return tile_at(index, tiles_m, tiles_n, halves == 2 ? 8 : 16); }
};

// A product as the kernels are given it.
struct Work {
    Planes A, B;
    Plan plan;
    Format format;    // fp16x3 turns into bf16x6 ...
    const int* wide;  // ... where *wide, in the memory of the device
};

FR_RULE Format format_of(const Work& w) {  // on the device, when *w.wide is known
    return w.format == Format::fp16x3 && *w.wide ? Format::bf16x6 : w.format;
}

// The cheapest plan. Costs in microseconds of an H200: 64 k of a tile, finishing a tile, a combining launch and what
// it reads and writes.
inline Plan make_plan(int64_t M, int64_t N, int64_t K, int unit, int multiprocessors, int max_halves) {
    Plan best{};
    double least = 0;
    for (int halves = 1; halves <= max_halves; ++halves) {
        Plan p{halves, 1, ceil_div(M, kHalfTileM * halves), ceil_div(N, kTileN), ceil_div(K, unit)};
        const double segment =
            (halves == 2 ? 2.4 : 1.35) * (unit == kSegment ? 1.0 : 0.38);  // bf16: one product of three
        const int64_t most = p.units * unit / 256 < 16 ? p.units * unit / 256 : 16;
        for (p.splits = 1; p.splits == 1 || p.splits <= most; ++p.splits) {
            const double each = double(ceil_div(p.units, p.splits)) * (unit / kSegment) * segment + 1 + 1.5 * halves;
            const double combine = p.splits == 1 ? 0 : 3 + double(M) * double(N) * 4 * (p.splits + 1) / 2.5e6;
            const double cost = double(ceil_div(p.items(), multiprocessors)) * each + combine;
            if (best.splits && cost >= least) continue;
            best = p;
            least = cost;
        }
    }
    return best;
}

// --- Hopper's shared memory: a ring of stages of one panel each, scales of the stages, barriers. ---

constexpr int kMaxStages = 12, kMaxScaledStages = 6;
constexpr int kRingBytes = 3 * 3 * (kMaxHalves * kHalfTileM + kTileN) * kRowBytes;  // three of the largest panels
constexpr int kScaleRows = kMaxHalves * kHalfTileM + kTileN;  // scales of a stage: those of A, then those of B
constexpr int kScalesAt = kRingBytes, kFullAt = kScalesAt + kMaxScaledStages * kScaleRows * 4;
constexpr int kEmptyAt = kFullAt + kMaxStages * 8, kHopperBytes = kEmptyAt + kMaxStages * 8;
static_assert(kHopperBytes + 1024 <= 232448);  // 1024: to begin at a multiple of 1024

template <Format f>
FR_RULE constexpr int stage_bytes(int halves) {
    return Variant<f>::kPlanes * (halves * kHalfTileM + kTileN) * kRowBytes;
}
// Groups of Variant::kGroup stages that the ring holds.
template <Format f>
FR_RULE constexpr int groups_in_ring(int halves) {
    constexpr int kMost = (Variant<f>::kScaled ? kMaxScaledStages : kMaxStages) / Variant<f>::kGroup;
    const int fit = kRingBytes / (stage_bytes<f>(halves) * Variant<f>::kGroup);
    return fit < kMost ? fit : kMost;
}

}  // namespace fastreg::cuda::fast
