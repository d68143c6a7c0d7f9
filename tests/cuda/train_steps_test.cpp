// Host test of csrc/cuda/train_steps_plan.h: every row of a batch and every weight has exactly one owner, rounds bring
// the columns that their tiles need, and nothing in shared memory overlaps or exceeds the limit. It must not need a
// GPU:
//   g++ -std=c++17 -Icsrc tests/cuda/train_steps_test.cpp -o train_steps_test && ./train_steps_test
#include "cuda/train_steps_plan.h"

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

using namespace fastreg::cuda::steps;

namespace {

void check(bool ok, const char* what, int line) {
    if (ok) return;
    std::fprintf(stderr, "train_steps_test.cpp:%d: %s\n", line, what);
    std::exit(1);
}
#define CHECK(x) check(x, #x, __LINE__)

void test_rows() {
    for (int ranks = 1; ranks <= kMostRanks; ++ranks)
        for (int B = 1; B <= 1100; ++B) {
            int next = 0;
            const int most = rows_of(0, ranks, B).count();
            for (int rank = 0; rank < ranks; ++rank) {
                const Range r = rows_of(rank, ranks, B);
                CHECK(r.begin == next && r.end >= r.begin && r.count() <= most);
                CHECK(most <= 4 || r.begin == r.end || r.begin % 4 == 0);
                next = r.end;
            }
            CHECK(next == B);
            if (B > 1) CHECK(rows_of(0, ranks, B - 1).count() <= most);  // the last batch fits where others do
        }
}

void test_strides() {
    for (int n = 1; n <= kMostWidth; ++n) CHECK(odd_stride(n) >= (n + 3) / 4 * 4 && odd_stride(n) / 4 % 2 == 1);
}

// A dW whose owners are counted, and the columns each tile is shown.
void test_tiles(const Plan& p) {
    std::vector<std::vector<int>> owners;
    for (int l = 0; l < p.n_layers; ++l) owners.emplace_back(p.layer[l].in * p.layer[l].out, 0);
    std::vector<std::vector<int>> bias_owners;
    for (int l = 0; l < p.n_layers; ++l) bias_owners.emplace_back(p.layer[l].out, 0);
    for (int rank = 0; rank < p.ranks; ++rank)
        for (int n = 0; n < p.rounds; ++n) {
            Round r;
            make_round(p, rank, n, &r);
            CHECK(r.n_tiles <= kWarps && r.n_units <= kMostUnits);
            CHECK(2 * r.n_units * kUnit * staging_stride(p) <= 2 * p.staging_floats);
            for (int a = 0; a < r.n_units; ++a) {
                CHECK(r.unit[a] >= 0 && r.unit[a] + kUnit <= p.columns);
                for (int b = 0; b < a; ++b) CHECK(r.unit[a] != r.unit[b]);
            }
            for (int t = 0; t < r.n_tiles; ++t) {
                const LayerPlan& layer = p.layer[r.layer[t]];
                const int o0 = r.o0[t];
                if (r.i0[t] < 0) {
                    for (int o = o0; o < o0 + kTileBias && o < layer.out; ++o) {
                        const int within = o - o0;
                        CHECK(r.unit[r.g_place[t] + within / kUnit] + within % kUnit == layer.g_column + o);
                        ++bias_owners[r.layer[t]][o];
                    }
                    continue;
                }
                for (int i = r.i0[t]; i < r.i0[t] + kTileI && i < layer.in; ++i) {
                    const int within = i - r.i0[t];
                    CHECK(r.unit[r.x_place[t] + within / kUnit] + within % kUnit == layer.x_column + i);
                    for (int o = o0; o < o0 + kTileO && o < layer.out; ++o) {
                        CHECK(r.unit[r.g_place[t]] + o - o0 == layer.g_column + o);
                        ++owners[r.layer[t]][i * layer.out + o];
                    }
                }
            }
        }
    for (const auto& layer : owners)
        for (int n : layer) CHECK(n == 1);
    for (int l = 0; l < p.n_layers; ++l)
        for (int n : bias_owners[l]) CHECK(n == (p.layer[l].b >= 0));
}

// The pieces of shared memory that are alive at one time.
void test_memory(const Plan& p, const LayerShape* shapes, int limit) {
    std::vector<std::pair<int, int>> kept, rows;  // floats: begin, end
    int columns = 0;
    for (int l = 0; l < p.n_layers; ++l) {
        const LayerPlan& layer = p.layer[l];
        kept.emplace_back(layer.w, layer.w + layer.in * layer.w_rs);
        if (layer.b >= 0) kept.emplace_back(layer.b, layer.b + round_up(layer.out, 4));
        CHECK((layer.b >= 0) == shapes[l].has_bias && (layer.z >= 0) == shapes[l].keeps_z);
        rows.emplace_back(layer.y, layer.y + p.rows_at_once * layer.rs);
        rows.emplace_back(layer.g, layer.g + p.rows_at_once * layer.rs);
        if (layer.z >= 0) rows.emplace_back(layer.z, layer.z + p.rows_at_once * layer.rs);
        CHECK(layer.x_rs >= round_up(layer.in, 4) && layer.x == (l ? p.layer[l - 1].y : p.input));
        CHECK(layer.x_column == columns && layer.g_column >= layer.x_column + round_up(layer.in, kTileI));
        columns = layer.g_column + round_up(layer.out, kTileO);
    }
    CHECK(columns == p.columns && p.column_stride >= p.batch && p.column_stride % 8 == 0);
    int mask_bytes = 0;
    const int most = rows_of(0, p.ranks, p.batch).count();
    for (int l = 0; l < p.n_layers; ++l) {
        CHECK((p.layer[l].masks >= 0) == shapes[l].drops);
        if (!shapes[l].drops) continue;
        CHECK(p.layer[l].masks == mask_bytes);
        mask_bytes += mask_bytes_of(most, shapes[l].out);
        for (int rank = 0; rank < p.ranks; ++rank) {
            const Range r = rows_of(rank, p.ranks, p.batch);
            // Four decisions from the last number on, in two bytes.
            const int last = (r.end * shapes[l].out - 1) / 8 + 1;
            CHECK(r.begin == r.end || last - r.begin * shapes[l].out / 8 < mask_bytes_of(most, shapes[l].out));
        }
    }
    kept.emplace_back(p.masks, p.masks + ceil_div(mask_bytes, 4));
    kept.emplace_back(p.rounds_at, p.rounds_at + p.rounds * int(sizeof(Round)) / 4);
    kept.emplace_back(p.input, p.input + 2 * p.rows_at_once * p.input_rs);
    kept.emplace_back(p.target, p.target + 2 * p.rows_at_once * p.target_rs);
    kept.emplace_back(p.row_weight, p.row_weight + 2 * p.rows_at_once);
    const auto apart = [&](std::vector<std::pair<int, int>> pieces) {
        pieces.insert(pieces.end(), kept.begin(), kept.end());
        for (size_t a = 0; a < pieces.size(); ++a) {
            CHECK(pieces[a].first % 4 == 0 && 4 * pieces[a].second <= p.shared_bytes);
            for (size_t b = 0; b < a; ++b)
                CHECK(pieces[a].second <= pieces[b].first || pieces[b].second <= pieces[a].first);
        }
    };
    apart(rows);
    apart(
        {{p.staging, p.staging + p.staging_floats}, {p.staging + p.staging_floats, p.staging + 2 * p.staging_floats}});
    CHECK(p.shared_bytes <= limit);
    CHECK((p.steps_at_once & (p.steps_at_once - 1)) == 0 && p.steps_at_once >= 16 && p.rows_at_once <= kMostRows);
}

void test_plan(const std::vector<LayerShape>& shapes, int batch, int y_cols, int ranks, int limit, bool must_fit) {
    Plan p;
    const bool fits = make_plan(shapes.data(), int(shapes.size()), batch, y_cols, ranks, limit, &p);
    CHECK(fits || !must_fit);
    if (!fits) return;
    test_tiles(p);
    test_memory(p, shapes.data(), limit);
}

}  // namespace

int main() {
    constexpr int kHopper = 227 * 1024 - 512, kTuring = 64 * 1024 - 512;
    test_rows();
    test_strides();
    const std::vector<LayerShape> seed{
        {30, 64, true, false, true}, {64, 64, true, false, true}, {64, 1, true, false, false}};
    for (int ranks : {1, 2, 8, 16})
        for (int batch : {1, 7, 32, 100, 256, 385, 1024, 4096}) {
            test_plan(seed, batch, 1, ranks, kHopper, true);
            test_plan(seed, batch, 1, ranks, kTuring, ranks >= 8);
        }
    std::srand(1);
    for (int round = 0; round < 400; ++round) {
        std::vector<LayerShape> shapes(size_t(1 + std::rand() % kMostLayers));
        int in = 1 + std::rand() % 80;
        for (LayerShape& s : shapes) {
            const int out = 1 + std::rand() % 80;
            s = {in, out, std::rand() % 4 != 0, std::rand() % 2 != 0, std::rand() % 2 != 0};
            in = out;
        }
        test_plan(shapes, 1 + std::rand() % 600, in, 1 + std::rand() % kMostRanks, kHopper, false);
    }
    Plan p;
    const LayerShape wide{kMostWidth + 1, 1, true, false, false};
    CHECK(!make_plan(&wide, 1, 32, 1, 8, kHopper, &p));
    CHECK(!make_plan(seed.data(), 3, 256, 1, 16, 32 * 1024, &p));
    CHECK(!make_plan(seed.data(), 3, kMostBatch + 1, 1, 16, kHopper, &p));
    CHECK(worth_it(256, 6209, 16) && worth_it(1024, 6209, 16) && !worth_it(4096, 6209, 16));
    CHECK(make_plan(seed.data(), 3, 256, 1, 16, kHopper, &p));
    std::printf("train_steps_test: ok (seed network, batch 256: %d bytes of shared memory, %d tiles)\n", p.shared_bytes,
                p.tiles);
}
