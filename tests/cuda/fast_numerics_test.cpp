// The host's part of testing fast products: layouts, plans, splits, and an emulation of Hopper's tensor cores that
// shows the error bound held, and not held without promotion. No GPU, no CUDA:
//   g++ -std=c++17 -O2 -Icsrc tests/cuda/fast_numerics_test.cpp -o fast_numerics_test && ./fast_numerics_test
// It must not know kernels. Over 250 lines: each promise of fast_layout.h and fast_numbers.h has its check here.
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cuda/fast_layout.h"
#include "cuda/fast_numbers.h"

using namespace fastreg::cuda::fast;

namespace {

int n_passed = 0, n_failed = 0;

void check(bool ok, const std::string& what) {
    if (ok) {
        ++n_passed;
        return;
    }
    if (++n_failed <= 50) std::printf("FAIL %s\n", what.c_str());
}

// --- layouts and plans ---

void test_chunks() {
    std::set<int64_t> seen;
    for (int row = 0; row < 256; ++row)
        for (int chunk = 0; chunk < 4; ++chunk) {
            const int64_t at = chunk_offset(row, chunk), plain = row * 64 + chunk * 16;
            check(at == (plain ^ (plain >> 7 & 3) << 4), "a chunk is where the 64-byte swizzle has it");
            check(at % 16 == 0 && at >= 0 && at < 256 * 64, "a chunk lies in its plane");
            seen.insert(at);
        }
    check(seen.size() == 256 * 4, "chunks do not overlap");
    for (int row = 0; row < 256; row += 8)
        for (int chunk = 0; chunk < 4; ++chunk) {
            std::set<int64_t> banks;
            for (int r = 0; r < 8; ++r) banks.insert(chunk_offset(row + r, chunk) % 128 / 16);
            check(banks.size() == 8, "eight rows of a chunk are in different banks");
        }
    check(plane_offset(3, 1, 2, 256) == (3 * 2 + 1) * 256 * 64, "planes of a panel follow one another");
}

void test_descriptor() {
    const uint64_t d = matrix_descriptor(descriptor_low(0x2C600));
    check((d & 0x3FFF) == 0x2C60, "address in units of 16");
    check((d >> 32 & 0x3FFF) == 32, "eight rows are 512 bytes");
    check(d >> 62 == 2, "64-byte swizzle");
    check((d >> 46 & 0xFFFF) == 0 && (d >> 30 & 3) == 0, "nothing else");
    check(
        matrix_descriptor(descriptor_low(0x2C600) + address_units(4128)) == matrix_descriptor(descriptor_low(0x2D620)),
        "addresses can be added");
}

template <Format f>
void test_ring() {
    using V = Variant<f>;
    for (int halves : {1, 2}) {
        const int groups = groups_in_ring<f>(halves), stages = groups * V::kGroup;
        check(groups >= 2 && stages <= kMaxStages && (!V::kScaled || stages <= kMaxScaledStages), "groups in the ring");
        check(stages * stage_bytes<f>(halves) <= kRingBytes && stage_bytes<f>(halves) % 1024 == 0, "stages fit");
        // Every tile of a stage begins at a multiple of 512, as the swizzle needs.
        check(halves * kHalfTileM * kRowBytes % 512 == 0 && 64 * kRowBytes % 512 == 0, "tiles are aligned");
    }
    check(unit_of(f) % (V::kGroup * kPanel) == 0, "units are whole groups");
}

// A tile that lies in shared memory as it lay in a panel, read as the manual says that wgmma reads: row r of a
// descriptor at start + r / 8 * stride + r % 8 * 64, then bits 4-5 of the address xored with bits 7-8.
void test_tile_as_wgmma_reads_it() {
    constexpr int kRows = 384, kRing = 1024;
    std::vector<uint16_t> plane(kRows * kPanel), memory((kRing + 3 * 256 * kRowBytes) / 2);
    const auto number = [](int row, int k) { return uint16_t(row * 64 + k); };
    for (int row = 0; row < kRows; ++row)
        for (int k = 0; k < kPanel; ++k) plane[(chunk_offset(row, k / 8) + k % 8 * 2) / 2] = number(row, k);
    for (int row0 : {0, 128}) {
        for (int i = 0; i < 256 * kPanel; ++i) memory[(kRing + 256 * kRowBytes) / 2 + i] = plane[row0 * kPanel + i];
        for (int block = 0; block < 4; ++block)
            for (int k0 : {0, 16}) {
                const uint64_t d = matrix_descriptor(descriptor_low(kRing) + address_units(256 * kRowBytes) +
                                                     address_units(block * 64 * kRowBytes + k0 * 2));
                const int start = int(d & 0x3FFF) * 16, stride = int(d >> 32 & 0x3FFF) * 16;
                for (int row = 0; row < 64; ++row)
                    for (int k = 0; k < 16; ++k) {
                        int at = start + row / 8 * stride + row % 8 * 64 + k * 2;
                        at ^= (at >> 7 & 3) << 4;
                        check(memory[at / 2] == number(row0 + block * 64 + row, k0 + k), "wgmma finds row and k");
                    }
            }
    }
}

void test_plans() {
    for (int64_t tiles_m : {1, 2, 7, 8, 9, 31, 64})
        for (int64_t tiles_n : {1, 3, 8, 17, 40})
            for (int64_t band : {1, 8, 16}) {
                std::set<std::pair<int64_t, int64_t>> seen;
                for (int64_t i = 0; i < tiles_m * tiles_n; ++i) {
                    const Tile t = tile_at(i, tiles_m, tiles_n, band);
                    check(t.m >= 0 && t.m < tiles_m && t.n >= 0 && t.n < tiles_n, "a tile is inside");
                    seen.insert({t.m, t.n});
                }
                check(int64_t(seen.size()) == tiles_m * tiles_n, "every tile comes once");
            }
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        const auto dimension = [&] { return int64_t(std::exp(std::uniform_real_distribution<>(0, 9.7)(random))); };
        const int64_t M = dimension(), N = dimension(), K = dimension();
        const int unit = i % 2 ? 64 : 128, halves = 1 + i / 2 % 2;
        const Plan p = make_plan(M, N, K, unit, 132, halves);
        check(p.halves >= 1 && p.halves <= halves && p.splits >= 1 && p.splits <= p.units, "a plan is possible");
        check(p.tiles_m * p.halves * 128 >= M && p.tiles_n * 128 >= N && p.units * unit >= K, "a plan covers all");
        check(p.first_unit(0) == 0 && p.first_unit(p.splits) == p.units, "ranges begin and end");
        for (int s = 0; s < p.splits; ++s) check(p.first_unit(s) < p.first_unit(s + 1), "no range is empty");
    }
    check(make_plan(4096, 4096, 4096, 64, 132, 2).halves == 2, "large products take large tiles");
    check(make_plan(512, 512, 8192, 64, 132, 2).splits > 4, "few tiles and much k: k is split");
}

// --- splits ---

float random_bits(std::mt19937& random) { return from_bits(uint32_t(random())); }

void test_half() {
    std::mt19937 random(2);
    for (int i = 0; i < 400000; ++i) {
        float x = std::ldexp(std::uniform_real_distribution<float>(-1, 1)(random), int(random() % 44) - 28);
        if (i % 16 == 0) x = std::ldexp(float(int(random() % 8193) - 4096), int(random() % 29) - 25);  // ties
        if (std::fabs(x) >= 65520) continue;
        int e;
        std::frexp(x, &e);
        const double quantum = std::ldexp(1.0, std::max(e - 11, -24));
        const double expected = std::nearbyint(double(x) / quantum) * quantum;
        check(from_half(to_half(x)) == expected, "to_half rounds to nearest, ties to even: " + std::to_string(x));
    }
    check(to_half(-0.0f) == 0x8000, "to_half(-0)");
}

void test_too_coarse() {
    check(!too_coarse(0, 0) && !too_coarse(bits_of(1.0f), 0), "what has nothing inexact is known well enough");
    const uint32_t scale = bits_of(half_scale(bits_of(1.0f)).scale);  // of a segment whose largest number is 1
    for (float largest : {1.0f, 0.1f, 0x1p-9f}) {
        check(!too_coarse(bits_of(largest), scale), "what is lost is at most 2^-30 of the column's largest");
        check(0x1p-25f * from_bits(scale) <= 0x1p-30f * largest, "so it is");
    }
    check(too_coarse(bits_of(0x1p-10f), scale) && too_coarse(0, scale), "smaller columns are not known well enough");
}

void test_split_half() {
    std::mt19937 random(3);
    for (int i = 0; i < 400000; ++i) {
        const float largest = std::fabs(random_bits(random));
        if (!(largest < 0x1p75f)) {
            check(!half_range(bits_of(largest)), "Inf, NaN and huge numbers are out of range");
            continue;
        }
        check(half_range(bits_of(largest)), "numbers below 2^75 are in range");
        const Scale s = half_scale(bits_of(largest));
        check(double(s.scale) * s.inverse == 1, "a scale has an inverse");
        const double top = double(largest) / s.scale;
        check(top < 32768 && (top >= 16384 || s.scale == 0x1p-64f), "the largest lies in [2^14, 2^15)");
        check(s.scale >= 0x1p-64f && s.scale <= 0x1p60f, "products of two scales are exact");
        const float x = largest * std::ldexp(std::uniform_real_distribution<float>(-1, 1)(random), -int(random() % 30));
        const float scaled = x * s.inverse;
        if (std::fabs(scaled) >= 0x1p-126f) check(double(scaled) == double(x) / s.scale, "scaling is exact");
        const HalfSplit h = split_half(scaled);
        const double sum = double(from_half(h.hi)) + from_half(h.lo);
        check(sum + h.error == double(scaled), "the error of a split is known exactly");
        const double bound = std::max(std::ldexp(double(std::fabs(scaled)), -23), std::ldexp(1.0, -25));
        check(std::fabs(h.error) <= bound, "a split keeps 23 bits, or what is above 2^-25");
    }
    check(lost(1e-30f, 0.0f, split_half(0.0f)), "what scaling made zero is lost");
    check(!lost(0.0f, 0.0f, split_half(0.0f)) && !inexact(0.0f, split_half(0.0f)), "zero is not lost");
}

void test_split_bfloat() {
    std::mt19937 random(4);
    for (int i = 0; i < 400000; ++i) {
        const float x = random_bits(random);
        const BfloatSplit s = split_bfloat(x);
        if (!std::isfinite(x)) {
            const float a = from_bfloat(s.part[0]);
            check(std::isnan(x) ? std::isnan(a) : a == x, "Inf and NaN stay what they are");
            check(!s.part[1] && !s.part[2], "Inf and NaN have no rest");
            continue;
        }
        double sum = 0;
        for (uint16_t part : s.part) {
            check(std::isfinite(from_bfloat(part)), "parts are finite");
            sum += from_bfloat(part);
        }
        check(std::fabs(from_bfloat(s.part[0])) <= std::fabs(x), "the first part is no larger than the whole");
        if (std::fabs(x) >= 1e-33f) check(sum == double(x), "three parts are the whole");
        const float rounded = from_bfloat(to_bfloat(x));
        check(std::isfinite(rounded) && std::fabs(rounded - x) <= std::ldexp(std::fabs(x), -8) + 1e-40f, "to_bfloat");
        // A segment of tiny numbers is lifted.
        const float tiny = std::ldexp(x, -138);
        const Scale scale = bfloat_scale(magnitude_bits(tiny));
        const BfloatSplit t = split_bfloat(tiny * scale.inverse);
        double lifted = 0;
        for (uint16_t part : t.part) lifted += from_bfloat(part);
        check(lifted * scale.scale == double(tiny), "lifted parts are the whole");
        check(scale.scale >= 0x1p-70f && scale.scale <= 1 && std::fabs(tiny * scale.inverse) < 0x1p-10f,
              "lifted to 2^-10");
    }
    const float most = std::numeric_limits<float>::max();
    check(std::isfinite(from_bfloat(split_bfloat(most).part[0])), "the largest number is split into finite parts");
    check(std::isfinite(from_bfloat(to_bfloat(most))), "the largest number stays finite in bf16");
    check(std::isnan(from_bfloat(split_bfloat(from_bits(0x7F800001)).part[0])), "a NaN of low bits alone stays one");
    check(to_bfloat(1.00390625f) == 0x3F80 && to_bfloat(1.01171875f) == 0x3F82, "to_bfloat: ties to even");
}

// --- the error bound, on an emulation of the tensor cores ---

using Vector = std::vector<float>;

// acc + sum of products: aligned to the largest exponent, cut off below its 25 bits, the sum cut off to float32.
float tensor_core(float acc, const float* a, const float* b, int n) {
    double terms[17];
    int largest = -10000;
    for (int i = 0; i <= n; ++i) {
        terms[i] = i < n ? double(a[i]) * b[i] : double(acc);
        int e;
        std::frexp(terms[i], &e);
        if (terms[i] != 0 && e > largest) largest = e;
    }
    if (largest == -10000) return 0;
    double sum = 0;
    for (int i = 0; i <= n; ++i) sum += std::trunc(std::ldexp(terms[i], 25 - largest));
    sum = std::ldexp(sum, largest - 25);
    float f = float(sum);
    if (std::fabs(double(f)) > std::fabs(sum)) f = std::nextafter(f, 0.0f);
    return f;
}

// a . b as the kernels do it: planes by segment, small products first, promoted every `group` panels (0: never).
template <Format f>
float dot(const Vector& a, const Vector& b, int group) {
    using V = Variant<f>;
    const size_t K = a.size();
    std::vector<Vector> planes[2] = {std::vector<Vector>(V::kPlanes, Vector(K)),
                                     std::vector<Vector>(V::kPlanes, Vector(K))};
    std::vector<float> scales[2];
    for (int side = 0; side < 2; ++side)
        for (size_t k0 = 0; k0 < K; k0 += kSegment) {
            const Vector& x = side ? b : a;
            uint32_t largest = 0;
            for (size_t k = k0; k < k0 + kSegment; ++k) largest = std::max(largest, magnitude_bits(x[k]));
            const Scale s = V::kHalf ? half_scale(largest) : bfloat_scale(largest);
            scales[side].push_back(s.scale);
            for (size_t k = k0; k < k0 + kSegment; ++k) {
                if (V::kHalf) {
                    const HalfSplit h = split_half(x[k] * s.inverse);
                    planes[side][0][k] = from_half(h.hi);
                    planes[side][1][k] = from_half(h.lo);
                } else {
                    const BfloatSplit p = split_bfloat(x[k] * s.inverse);
                    for (int i = 0; i < V::kPlanes; ++i) planes[side][i][k] = from_bfloat(p.part[i]);
                }
            }
        }
    float sum = 0, d = 0;
    const size_t panels = K / kPanel;
    for (size_t panel = 0; panel < panels; ++panel) {
        const size_t k = panel * kPanel;
        for (int pa = V::kPlanes - 1; pa >= 0; --pa)
            for (int pb = V::kPlanes - 1 - pa; pb >= 0; --pb)
                for (int i = 0; i < kPanel; i += 16)
                    d = tensor_core(d, &planes[0][pa][k + i], &planes[1][pb][k + i], 16);
        if (group ? (panel + 1) % group : panel + 1 < panels) continue;
        sum = std::fma(d, scales[0][k / kSegment] * scales[1][k / kSegment], sum);
        d = 0;
    }
    return sum;
}

float sequential(const Vector& a, const Vector& b) {
    float sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum = sum + a[i] * b[i];
    return sum;
}

// RMS over many pairs of |error| / sum |a| |b|.
double rms(const std::function<float(std::mt19937&)>& draw, int K, int pairs,
           const std::function<float(const Vector&, const Vector&)>& product) {
    std::mt19937 random(5);
    double total = 0;
    for (int i = 0; i < pairs; ++i) {
        Vector a(K), b(K);
        for (float& x : a) x = draw(random);
        for (float& x : b) x = draw(random);
        long double exact = 0, size = 0;
        for (int k = 0; k < K; ++k) {
            exact += (long double)a[k] * b[k];
            size += std::fabs((long double)a[k] * b[k]);
        }
        const double error = double(((long double)product(a, b) - exact) / size);
        total += error * error;
    }
    return std::sqrt(total / pairs);
}

void test_error_bound() {
    const auto normal = [](std::mt19937& r) { return std::normal_distribution<float>()(r); };
    const auto positive = [&](std::mt19937& r) { return std::max(0.0f, normal(r)); };
    const auto tiny = [&](std::mt19937& r) { return 1e-21f * normal(r); };
    // As many tiny ones as pass for chance.
    const auto few_tiny = [&](std::mt19937& r) {
        const bool is_tiny = std::uniform_int_distribution<int>(0, 4095)(r) < kFewInexact;
        return is_tiny ? std::ldexp(normal(r), -std::uniform_int_distribution<int>(18, 34)(r)) : normal(r);
    };
    const auto wide = [&](std::mt19937& r) { return std::exp(6 * normal(r)); };
    const auto wide_signed = [&](std::mt19937& r) { return normal(r) < 0 ? -wide(r) : wide(r); };
    struct Kind {
        const char* name;
        std::function<float(std::mt19937&)> draw;
        bool fits;  // fp16x3
    };
    for (const Kind& kind :
         {Kind{"normal", normal, true}, Kind{"positive", positive, true}, Kind{"a few tiny", few_tiny, true},
          Kind{"tiny", tiny, false}, Kind{"wide", wide, false}, Kind{"wide, signed", wide_signed, false}})
        for (int K : {64, 512, 4096}) {
            const int pairs = K == 4096 ? 60 : 300;
            const double plain = rms(kind.draw, K, pairs, sequential);
            const double half = rms(kind.draw, K, pairs, [](auto& a, auto& b) { return dot<Format::fp16x3>(a, b, 1); });
            const double bfloat =
                rms(kind.draw, K, pairs, [](auto& a, auto& b) { return dot<Format::bf16x6>(a, b, 1); });
            std::printf("%-12s K %4d: sequential %.2e, fp16x3 %.2e%s, bf16x6 %.2e\n", kind.name, K, plain, half,
                        kind.fits ? "" : " (not used)", bfloat);
            // A sum of 64 has hardly rounded, while what the tensor cores cut off within a promotion is there at once.
            const double bound = K == 64 ? std::fmax(plain, 3e-7) : plain;
            check(!kind.fits || half <= bound,
                  std::string("fp16x3 within the bound: ") + kind.name + std::to_string(K));
            check(bfloat <= bound, std::string("bf16x6 within the bound: ") + kind.name + std::to_string(K));
        }
    // Uniform in [1, 2): every segment has one scale, so that sums can do without promotion.
    const auto flat = [](std::mt19937& r) { return std::uniform_real_distribution<float>(1, 2)(r); };
    const double plain = rms(flat, 4096, 60, sequential);
    const double promoted = rms(flat, 4096, 60, [](auto& a, auto& b) { return dot<Format::fp16x3>(a, b, 1); });
    const double never = rms(flat, 4096, 60, [](auto& a, auto& b) { return dot<Format::fp16x3>(a, b, 0); });
    std::printf("flat K 4096: sequential %.2e, promoted %.2e, never promoted %.2e\n", plain, promoted, never);
    check(promoted <= plain, "promoted sums are within the bound");
    check(never > 2 * plain, "this test can fail: sums that are never promoted are out of the bound");
}

// A block of the split pass, 64 segments, of normal variates fits fp16x3; one of lognormal ones (sigma 6) does not.
void test_range() {
    std::mt19937 random(6);
    std::normal_distribution<float> normal;
    int most = 0;
    for (int block = 0; block < 100; ++block) {
        int few[2] = {};
        bool gone = false;
        for (int segment = 0; segment < 64; ++segment) {
            float x[2][64];
            for (int k = 0; k < 64; ++k) x[0][k] = normal(random), x[1][k] = std::exp(6 * x[0][k]);
            for (int kind = 0; kind < 2; ++kind) {
                uint32_t largest = 0;
                for (float v : x[kind]) largest = std::max(largest, magnitude_bits(v));
                const Scale s = half_scale(largest);
                for (float v : x[kind]) {
                    const HalfSplit h = split_half(v * s.inverse);
                    few[kind] += inexact(v * s.inverse, h);
                    if (kind == 0) gone |= lost(v, v * s.inverse, h);
                }
            }
        }
        most = std::max(most, few[0]);
        check(!gone && few[0] <= kFewInexact, "normal variates fit");
        check(few[1] > kFewInexact, "a wide range is found out");
    }
    std::printf("inexact normal variates in a block: at most %d of 4096\n", most);
}

// Gradients of a layer below a single output: each a residual times a weight, half of them cut by dropout. 64 samples
// by 64 columns share a scale where they are summed over the samples. A batch of 65,536 by 512 has 8,192 such blocks.
void test_range_of_gradients() {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    int most = 0;
    for (int block = 0; block < 8192; ++block) {
        Vector residual(64), weight(64), x;
        for (float& r : residual) r = normal(random);
        for (float& w : weight) w = normal(random);
        uint32_t largest = 0;
        for (float r : residual)
            for (float w : weight) {
                x.push_back(random() % 2 ? r * w : 0.0f);
                largest = std::max(largest, magnitude_bits(x.back()));
            }
        const Scale s = half_scale(largest);
        int few = 0;
        for (float v : x) few += inexact(v * s.inverse, split_half(v * s.inverse));
        most = std::max(most, few);
    }
    std::printf("inexact gradients in a block: at most %d of 4096\n", most);
    check(most <= kFewInexact, "gradients of a regression fit");
}

}  // namespace

int main() {
    test_chunks();
    test_descriptor();
    test_ring<Format::fp16x3>();
    test_ring<Format::bf16x6>();
    test_ring<Format::bf16>();
    test_tile_as_wgmma_reads_it();
    test_plans();
    test_half();
    test_too_coarse();
    test_split_half();
    test_split_bfloat();
    test_range();
    test_range_of_gradients();
    test_error_bound();
    std::printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
