// The index arithmetic of CUDA's exact products (csrc/cuda/gemm_plan.h), on the host: every output and every block of k
// is made exactly once, whatever the shape and the device. It must not know CUDA.
//   g++ -std=c++17 -Icsrc -Wall -Wextra -Werror tests/cuda/gemm_order_test.cpp -o gemm_order_test && ./gemm_order_test
#include "cuda/gemm_plan.h"

#include <cstdio>
#include <vector>

namespace {

using namespace fastreg::cuda;

int n_passed = 0, n_failed = 0;

void check(bool ok, const char* what, long long a = 0, long long b = 0, long long c = 0) {
    ++(ok ? n_passed : n_failed);
    if (!ok) std::printf("FAIL %s (%lld, %lld, %lld)\n", what, a, b, c);
}

bool each_once(const std::vector<int>& visits) {
    for (int v : visits)
        if (v != 1) return false;
    return true;
}

void test_blocks() {
    for (int64_t K = 0; K < 5000; ++K) {
        const KBlocks blocks(K);
        bool ok = blocks.count >= 1 && blocks.begin(0) == 0 && blocks.end(blocks.count - 1) == K;
        for (int i = 0; i < blocks.count; ++i) {
            const int64_t steps = blocks.end(i) - blocks.begin(i);
            ok = ok && steps <= fastreg::rules::kKC && (steps > 0 || K == 0);
            if (i + 1 < blocks.count) ok = ok && blocks.end(i) == blocks.begin(i + 1) && steps % 8 == 0;
        }
        check(ok, "the blocks of k follow one another", K);
    }
}

bool all_tiles_once(int rows, int cols) {
    std::vector<int> visits(size_t(rows) * size_t(cols));
    const TileOrder order(rows, cols);
    for (int i = 0; i < rows * cols; ++i) {
        const TileAt at = order.at(i);
        if (at.row < 0 || at.row >= rows || at.col < 0 || at.col >= cols) return false;
        ++visits[size_t(at.row) * size_t(cols) + size_t(at.col)];
    }
    return each_once(visits);
}

void test_tiles() {
    for (int rows = 1; rows < 30; ++rows)
        for (int cols = 1; cols < 30; ++cols) check(all_tiles_once(rows, cols), "tiles", rows, cols);
    const int large[][2] = {{1, 70001}, {70001, 1}, {2047, 1025}, {5, 999983}, {4100, 4099}};  // the last divides
    for (const auto& n : large) check(all_tiles_once(n[0], n[1]), "tiles", n[0], n[1]);
    check(TileOrder(2047, 1025).band != 0 && TileOrder(4100, 4099).band == 0, "reciprocals where they are exact");
}

void test_quotients() {
    for (int64_t d = 1; d < 3000; ++d)
        for (const int64_t most : {int64_t(1), d, int64_t(1) << 20, (int64_t(1) << 24) - 1}) {
            const uint64_t reciprocal = reciprocal_of(d, most);
            bool ok = reciprocal != 0 || most >= (int64_t(1) << kReciprocalBits) / d;
            for (int64_t n = most; n >= 0 && n > most - 3 * d && ok; --n)
                ok = quotient_by(int(n), int(d), reciprocal) == int(n / d);
            check(ok, "quotient", d, most);
        }
    for (int64_t d = 1000000; d < 1000100; ++d) {  // too many for one multiplication: wrong just below a multiple of d
        const int64_t most = (int64_t(1) << 24) - 1;
        const uint64_t reciprocal = reciprocal_of(d, most);
        bool ok = true;
        for (int64_t n = d - 1; n <= most; n += d) ok &= quotient_by(int(n), int(d), reciprocal) == int(n / d);
        check(ok, "quotient by many", d);
    }
}

template <int kM, int kN, int kK, int kT, int kWide>
void test_tile() {
    using Outputs = TileOutputs<kM, kN, kT, kWide>;
    std::vector<int> visits(kM * kN);
    for (int t = 0; t < Outputs::kThreads; ++t)
        for (int i = 0; i < kT; ++i)
            for (int j = 0; j < kT; ++j)
                ++visits[size_t(Outputs::row(Outputs::thread_row(t), i) * kN +
                                Outputs::col(Outputs::thread_col(t), j))];
    check(each_once(visits), "outputs of a tile", kM, kN, kWide);

    for (int along_k = 0; along_k < 2; ++along_k) {
        constexpr int kVectors = kM * kK / (kWide * Outputs::kThreads);
        static_assert(kVectors * 2 * kWide == kK && Outputs::kThreads == 2 * kM);
        std::vector<int> brought(kM * kK);
        for (int t = 0; t < Outputs::kThreads; ++t)
            for (int i = 0; i < kVectors; ++i)
                for (int e = 0; e < kWide; ++e) {
                    const BroughtAt at = brought_at<kM, kWide>(along_k, t);
                    const int row = at.row + (along_k ? 0 : e), k = at.k + i * 2 * kWide + (along_k ? e : 0);
                    if (row < kM && k < kK) ++brought[size_t(k * kM + row)];
                }
        check(each_once(brought), "elements brought to a tile", kM, kK, along_k);
    }
}

void test_finished_groups() {
    const int threads = 64, groups = kSmallTile * kSmallTile / 4;
    for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
        std::vector<int> visits(groups);
        for (int rank = 0; rank < ranks; ++rank)
            for (int thread = 0; thread < threads; ++thread)
                for (int mine = 0; mine < groups / threads; ++mine) {
                    const int group = finished_group(mine, rank, ranks, thread, threads);
                    if (group < groups) ++visits[size_t(group)];
                }
        check(each_once(visits), "groups finished by a cluster", ranks);
    }
}

void test_ranges() {  // some of them empty
    const int first[] = {3, 3, 7, 7, 8}, end = 12, owner[] = {1, 1, 1, 1, 3, 4, 4, 4, 4};
    for (int i = 3; i < end; ++i) check(range_of(i, first, 5) == owner[i - 3], "range", i);
}

void test_plan(int64_t M, int64_t N, int64_t K, int64_t bytes, Device device) {
    const GemmPlan plan = plan_gemm(M, N, K, bytes, bytes == 4, device);
    const KBlocks blocks(K);
    check(!plan.large || bytes == 4, "doubles have small tiles only", M, N, K);
    check(plan.ranks >= 1 && plan.ranks <= kMostRanks && (plan.ranks == 1 || device.clusters), "ranks", M, N, K);
    check(plan.ranks == 1 || (!plan.large && plan.wave == 0), "clusters make small tiles, without workspace", M, N, K);
    check(plan.wave == 0 || plan.wave * M * padded4(N) * bytes <= kWorkspaceBytes, "workspace", M, N, K);
    check(plan.wave >= 0 && plan.wave <= 65535 && plan.wave <= blocks.count, "grid", M, N, K);

    std::vector<int> visits(size_t(blocks.count));
    if (plan.wave) {
        for (int first = 0; first < blocks.count; first += plan.wave)
            for (int y = 0; y < plan.wave && first + y < blocks.count; ++y) ++visits[size_t(first + y)];
    } else {
        for (int rank = 0; rank < plan.ranks; ++rank)
            for (int i = rank; i < blocks.count; i += plan.ranks) ++visits[size_t(i)];
    }
    check(each_once(visits), "blocks of k of a plan", M, N, K);
}

void test_plans() {
    const int64_t sizes[] = {1, 3, 10, 32, 128, 500, 784, 4096, 65536};
    for (int64_t M : sizes)
        for (int64_t N : sizes)
            for (int64_t K : {int64_t(0), int64_t(1), int64_t(64), int64_t(784), int64_t(4096), int64_t(1000000)})
                for (int multiprocessors : {1, 16, 132})
                    for (bool clusters : {false, true})
                        for (int64_t bytes : {4, 8}) test_plan(M, N, K, bytes, {multiprocessors, clusters});
    // What the choice is for.
    const Device h100{132, true};
    check(plan_gemm(4096, 4096, 4096, 4, true, h100).large, "a large product has large tiles");
    check(plan_gemm(128, 512, 784, 4, true, h100).ranks == 3, "a small batch shares its blocks of k out in a cluster");
    check(plan_gemm(784, 512, 128, 4, true, h100).wave == 0, "one block of k needs no workspace");
    check(plan_gemm(64, 64, 65536, 4, true, h100).wave > 8, "a long sum goes through the workspace");
}

}  // namespace

int main() {
    test_blocks();
    test_tiles();
    test_quotients();
    test_tile<kLargeTile, kLargeTile, 8, 8, 4>();
    test_tile<kSmallTile, kSmallTile, 32, 4, 4>();
    test_tile<kSmallTile, kSmallTile, 8, 4, 2>();
    test_finished_groups();
    test_ranges();
    test_plans();
    std::printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
