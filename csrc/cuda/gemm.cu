// Launches of exact products: which kernels, how many CTAs, what goes through the workspace. It must not know layers.
// Over 250 lines, so that all shapes find their kernel in one file. Over 40: gemm_group, which fills launches from two
// lists.
#include <vector>

#include "cuda/gemm_few.cuh"
#include "cuda/gemm_large.cuh"
#include "cuda/gemm_narrow.cuh"
#include "cuda/gemm_small.cuh"

namespace fastreg::cuda {
namespace {

// kernel<<<(x, y), threads>>> with the CTAs of one x as a cluster.
template <class Kernel, class... Arguments>
void launch_clusters(Kernel kernel, int64_t x, int ranks, int threads, const Arguments&... arguments) {
    CudaQueue& queue = CudaQueue::current();
    if (ranks == 1) return launch(kernel, dim3(unsigned(x)), dim3(threads), 0, arguments...);
    if (queue.failed() || x == 0) return;
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = 1;
    cluster.val.clusterDim.y = unsigned(ranks);
    cluster.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(unsigned(x), unsigned(ranks));
    config.blockDim = dim3(threads);
    config.stream = queue.stream();
    config.attrs = &cluster;
    config.numAttrs = 1;
    queue.note(cudaLaunchKernelEx(&config, kernel, arguments...), "a launch");
}

Device device() {
    const CudaQueue& queue = CudaQueue::current();
    return {queue.multiprocessors(), queue.capability() >= 90};
}

template <class T>
bool can_store_wide(const T* C, int64_t c_rs) {
    return reinterpret_cast<uintptr_t>(C) % 16 == 0 && c_rs % kWide<T> == 0;
}

template <class T>
GemmArgs<T> arguments(const Product<T>& p, const T* bias) {
    GemmArgs<T> g{};
    g.M = p.M;
    g.N = p.N;
    g.K = p.K;
    g.A = Operand<T>(p.A.p, p.A.rs, p.A.cs, p.M, p.K);
    g.B = Operand<T>(p.B.p, p.B.cs, p.B.rs, p.N, p.K);
    g.bias = bias;
    g.C = p.C;
    g.c_rs = p.c_rs;
    g.c_wide = can_store_wide(p.C, p.c_rs);
    g.blocks = KBlocks(p.K);
    return g;
}

// Orders the tiles of a product; how many there are.
template <class T>
int64_t order_tiles(GemmArgs<T>& g, int tile) {
    const int64_t rows = tiles_along(g.M, tile), cols = tiles_along(g.N, tile);
    g.tiles = TileOrder(rows, cols);
    return rows * cols;
}

// The tiles of a product, for `wave` blocks of k, or all of them.
template <class T>
void launch_tiles(const GemmPlan& plan, GemmArgs<T> g, int wave, const Epilogue<T>& epilogue) {
    if constexpr (sizeof(T) == 4) {
        if (plan.narrow) {
            const dim3 ctas(unsigned(tiles_along(g.M + g.ones, kNarrowThreads)), unsigned(wave));
            const bool few = g.N <= 4;
            const auto kernel = g.A16 ? few ? narrow_block<4, true> : narrow_block<kNarrowCols, true>
                                : few ? narrow_block<4, false>
                                      : narrow_block<kNarrowCols, false>;
            return launch(kernel, ctas, dim3(kNarrowThreads), 0, g);
        }
        if (plan.large) {
            const int64_t tiles = order_tiles(g, kLargeTile);
            return launch(large_tiles, dim3(unsigned(tiles), unsigned(wave)), dim3(LargeShape::kThreads), 0, g,
                          epilogue);
        }
    }
    const int threads = SmallShape<T>::kThreads;
    const int64_t tiles = order_tiles(g, kSmallTile);
    if (g.partial)
        launch(small_tiles<T>, dim3(unsigned(tiles), unsigned(wave)), dim3(threads), 0, g, epilogue);
    else
        launch_clusters(small_tiles<T>, tiles, plan.ranks, threads, g, epilogue);
}

// Wave after wave of blocks of k into the workspace, and from there onto C. column_sums: null, or with a narrow plan N
// numbers, which become the sums of B's columns.
template <class T>
void gemm_by_workspace(const GemmPlan& plan, const GemmArgs<T>& whole, const Epilogue<T>& epilogue, T* column_sums) {
    const int blocks = whole.blocks.count;
    const bool ones = column_sums != nullptr;
    const int64_t partial_rs = padded4(whole.N), partial = (whole.M + ones) * partial_rs;
    T* workspace = scratch<T>(Scratch::gemm, partial * plan.wave);
    if (!workspace) return;
    for (int first = 0; first < blocks; first += plan.wave) {
        const int wave = blocks - first < plan.wave ? blocks - first : plan.wave;
        GemmArgs<T> g = whole;
        g.C = workspace;
        g.c_rs = partial_rs;
        g.partial = partial;
        g.first_block = first;
        g.c_wide = true;
        g.ones = ones;
        launch_tiles(plan, g, wave, Epilogue<T>());
        const bool last = first + wave == blocks;
        const WorkspaceSum<T> sum{whole.M,   whole.N, workspace,    partial, partial_rs, wave,
                                  first > 0, last,    whole.c_wide, whole.C, whole.c_rs, column_sums};
        launch(sum_workspace<T>, dim3(blocks_for(partial / 4, kSumThreads)), dim3(kSumThreads), 0, sum, epilogue);
    }
}

template <class T>
GemmPlan plan_for(const Product<T>& p) {
    if (sizeof(T) == 4 && has_narrow_blocks(p.M, p.N, p.K) && p.A.rs == 1)
        return {false, 1, wave_of(KBlocks(p.K).count, p.M * padded4(p.N) * int64_t(sizeof(T))), true};
    return plan_gemm(p.M, p.N, p.K, sizeof(T), sizeof(T) == 4, device());
}

template <class T>
void gemm_by(const GemmPlan& plan, const Product<T>& p, const T* bias, const Epilogue<T>& epilogue,
             T* column_sums = nullptr) {
    const GemmArgs<T> g = arguments(p, bias);
    if (plan.wave)
        gemm_by_workspace(plan, g, epilogue, column_sums);
    else
        launch_tiles(plan, g, 1, epilogue);
}

template <bool kBf16>
void launch_few_steps(const GemmArgs<float>& g, const Epilogue<float>& epilogue) {
    const int64_t tiles = tiles_along(g.M, kFewRows) * tiles_along(g.N, kFewCols);
    launch(few_steps<kBf16>, dim3(unsigned(tiles)), dim3(kFewThreads), 0, g, epilogue);
}
void launch_narrow_rows(const GemmArgs<float>& g, const Epilogue<float>& epilogue) {
    const bool few = g.N <= 4;
    launch(g.A16 ? few ? narrow_rows<4, true> : narrow_rows<kNarrowCols, true>
           : few ? narrow_rows<4, false>
                 : narrow_rows<kNarrowCols, false>,
           dim3(unsigned(tiles_along(g.M, kNarrowRows))), dim3(kNarrowRows), 0, g, epilogue);
}

// Fills in the sums from `next` on, as many as fit in a launch of CTAs of so many columns and have as many rows; the
// number of CTAs.
template <class T>
int take_sums(ColumnSums<T>& to, const ColumnSum<T>* sums, int64_t n, int64_t* next, int columns) {
    int64_t ctas = 0;
    to.n = 0;
    to.blocks = KBlocks(*next < n ? sums[*next].rows : 0);
    for (; *next < n && to.n < kMostTogether && sums[*next].rows == to.blocks.K; ++*next) {
        to.sums[to.n] = sums[*next];
        to.first[to.n++] = int(ctas);
        ctas += tiles_along(sums[*next].cols, columns);
    }
    return int(ctas);
}

template <class T>
void column_sums(const ColumnSum<T>* sums, int64_t n) {
    ColumnSums<T> together{};
    for (int64_t next = 0; next < n;) {
        const int ctas = take_sums(together, sums, n, &next, kSumColumns);
        launch(sum_columns<T>, dim3(unsigned(ctas)), dim3(kSumColumns * kSumChains), 0, together);
    }
}

}  // namespace

template <class T>
void gemm(int64_t M, int64_t N, int64_t K, Strided<const T> A, Strided<const T> B, const T* bias, T* C, int64_t c_rs,
          const Epilogue<T>& epilogue) {
    if (M == 0 || N == 0) return;
    const Product<T> p{M, N, K, A, B, C, c_rs};
    if constexpr (sizeof(T) == 4) {
        const GemmArgs<T> g = arguments(p, bias);
        if (has_few_steps(M, N, K)) return launch_few_steps<false>(g, epilogue);
        if (has_narrow_rows(M, N, K) && g.A.along_k && g.A.whole) return launch_narrow_rows(g, epilogue);
    }
    gemm_by(plan_for(p), p, bias, epilogue);
}

bool gemm_of_bf16(const Product<float>& p, const Bfloat* A16, const float* bias, const Epilogue<float>& epilogue,
                  float* sums) {
    GemmArgs<float> g = arguments(p, bias);
    g.A16 = A16;
    if (!A16 && has_few_steps(p.M, p.N, p.K)) {
        launch_few_steps<true>(g, epilogue);
    } else if (A16 && !sums && has_narrow_rows(p.M, p.N, p.K) && p.A.cs == 1 && p.A.rs % 8 == 0 && p.K % 8 == 0 &&
               reinterpret_cast<uintptr_t>(A16) % 16 == 0) {
        launch_narrow_rows(g, epilogue);
    } else if (A16 && plan_for(p).narrow) {
        gemm_by_workspace(plan_for(p), g, epilogue, sums);
    } else {
        return false;
    }
    return true;
}

template <class T>
void gemm_group(const Product<T>* products, int64_t n_products, const ColumnSum<T>* all_sums, int64_t n_all_sums) {
    constexpr int64_t kRowsBeside = 2 * rules::kKC;  // that one thread a column sums while others make tiles
    // Sums of what a narrow product takes are made with it.
    std::vector<T*> sums_of(size_t(n_products), nullptr);
    std::vector<ColumnSum<T>> others;
    for (int64_t i = 0; i < n_all_sums; ++i) {
        const ColumnSum<T>& s = all_sums[i];
        int64_t j = 0;
        while (j < n_products && !(products[j].B.p == s.x && products[j].N == s.cols && plan_for(products[j]).narrow))
            ++j;
        if (j < n_products)
            sums_of[size_t(j)] = s.out;
        else
            others.push_back(s);
    }
    const ColumnSum<T>* const sums = others.data();
    const int64_t n_sums = int64_t(others.size());
    int64_t next_sum = 0, next = 0;
    if (n_sums > 0 && sums->rows > kRowsBeside) {
        column_sums(sums, n_sums);
        next_sum = n_sums;
    }
    GemmGroup<T> group{};
    while (next < n_products || next_sum < n_sums) {
        group.sum_ctas = take_sums(group.sums, sums, n_sums, &next_sum, SmallShape<T>::kThreads);
        int64_t ctas = group.sum_ctas;
        int ranks = 1;
        group.n = 0;
        for (; next < n_products && group.n < kMostTogether; ++next) {
            const Product<T>& p = products[next];
            if (p.M == 0 || p.N == 0) continue;
            const GemmPlan plan = plan_for(p);
            if (plan.large || plan.wave) {
                gemm_by(plan, p, static_cast<const T*>(nullptr), Epilogue<T>(), sums_of[size_t(next)]);
                continue;
            }
            group.products[group.n] = arguments(p, static_cast<const T*>(nullptr));
            group.first[group.n++] = int(ctas);
            ctas += order_tiles(group.products[group.n - 1], kSmallTile);
            if (plan.ranks > ranks) ranks = plan.ranks;
        }
        if (ctas > device().multiprocessors * 4) ranks = 1;  // enough CTAs without clusters
        launch_clusters(small_group<T>, ctas, ranks, SmallShape<T>::kThreads, group);
    }
}

#define FASTREG_INSTANTIATE(T)                                                                                  \
    template void gemm<T>(int64_t, int64_t, int64_t, Strided<const T>, Strided<const T>, const T*, T*, int64_t, \
                          const Epilogue<T>&);                                                                  \
    template void gemm_group<T>(const Product<T>*, int64_t, const ColumnSum<T>*, int64_t);
FASTREG_INSTANTIATE(float)
FASTREG_INSTANTIATE(double)
#undef FASTREG_INSTANTIATE

}  // namespace fastreg::cuda
