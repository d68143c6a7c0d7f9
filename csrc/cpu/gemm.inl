// GEMM: C = bias + A B for strided A (M, K), B (K, N), with something done to finished blocks of C while they are in
// cache. It must not know layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.
//
// The bits (tier T1): K is cut into the blocks of rules/k_block.h; c = sum over blocks, in order, of the FMA chain over
// increasing k. The first chain starts at the bias, the others at 0. Every tile shape, edge, packing and cut between
// threads keeps that order, so all give the same bits, as does every ISA. Blocking after Goto & van de Geijn 2008: a
// panel of B (block x NR) stays in L1, a block of A in L2, a block of B in L3; registers hold an MR x NR tile of C.
// Operands are packed only where they are reused often enough or their layout forces it. Where many numbers of A are 0,
// gemm_zeros.inl skips them; where only B's are, and nothing follows the product, C^T = B^T A^T is made instead.

using rules::k_block;

#include "cpu/gemm_tile.inl"

constexpr int64_t kMC = 20 * kMR;

// What one thread needs to know to make its part of C.
template <class V>
struct GemmPlan {
    using T = typename V::T;
    int64_t M, N, K;
    Strided<const T> A, B;
    const T* bias;  // N, or null
    T* C;
    int64_t c_rs, c_cs = 1;  // another c_cs: only where zeros are skipped
    bool pack_a = false, pack_b = false;
    bool skips_zeros = false;  // of A
};

// What is done to a finished block of C, rows [i0, i1) and columns [j0, j1), while it is in cache. One call a block, so
// that the loops below are compiled once for all that may be done.
struct Finish {
    const void* context = nullptr;
    void (*call)(const void* context, int64_t i0, int64_t i1, int64_t j0, int64_t j1) = nullptr;

    void operator()(int64_t i0, int64_t i1, int64_t j0, int64_t j1) const {
        if (call) call(context, i0, i1, j0, j1);
    }
};
template <class F>
Finish finish_by(const F& f) {  // f must outlive it
    return {&f, [](const void* context, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
                (*static_cast<const F*>(context))(i0, i1, j0, j1);
            }};
}

// Whether a product takes long enough to ask in between if it should stop: reading the clock takes as long as 1000
// multiply-adds.
FR_LOOP bool is_long(int64_t M, int64_t N, int64_t K) { return M * N * K > 1000000; }

#include "cpu/gemm_pack.inl"
#include "cpu/gemm_thin.inl"

// C[i0:i1, j0:j1] (+)= A[., k0:k1] B[k0:k1, .] with the operands at a_pack, b_pack or in place.
template <class V>
void gemm_block(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                const typename V::T* a_pack, const typename V::T* b_pack) {
    static constexpr PanelKernels<V> kKernels{};
    constexpr int kNR = Tile<V>::kNR;
    const int64_t K = k1 - k0;
    const bool along_k = !g.pack_a && g.A.cs == 1;
    const auto* a = g.pack_a ? a_pack : g.A.p + i0 * g.A.rs + k0 * g.A.cs;
    const RowTiles rows(i1 - i0);
    const auto a_step = [&](int64_t m) FR_LAMBDA { return g.pack_a ? kMR * K : m * g.A.rs; };
    Panel<typename V::T> p{
        K, g.pack_a ? kMR : along_k ? g.A.rs : g.A.cs, nullptr, g.pack_b ? kNR : g.B.rs, g.c_rs, nullptr, k0 > 0, 0};
    for (int64_t j = j0; j < j1; j += kNR) {
        const int n = int(j1 - j < kNR ? j1 - j : kNR), vectors = (n + V::L - 1) / V::L;
        p.last = n - (vectors - 1) * V::L;
        p.b = g.pack_b ? b_pack + (j - j0) / kNR * b_panel_size<V>(K) : g.B.p + k0 * g.B.rs + j;
        p.start = g.bias && k0 == 0 ? g.bias + j : nullptr;
        auto* c = g.C + i0 * g.c_rs + j;
        const auto kernel = [&](int64_t m)
                                FR_LAMBDA { return kKernels.kernel[m - 1][vectors - 1][p.last < V::L][along_k]; };
        const int64_t most = rows.least + 1, step = a_step(most);
        if (rows.longer) kernel(most)(rows.longer, p, a, step, c);
        if (rows.tiles > rows.longer)
            kernel(rows.least)(rows.tiles - rows.longer, p, a + rows.longer * step, a_step(rows.least),
                               c + rows.longer * most * g.c_rs);
    }
}

#include "cpu/gemm_zeros.inl"

// C[i0:i1, j0:j1] (+)= A[., k0:k1] B[k0:k1, .], at most kMC rows, with A packed here and B's panels at b_pack.
template <class V>
void gemm_piece(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                const typename V::T* b_pack, const Finish& finish) {
    if (i0 == i1 || j0 == j1) return;
    if (g.skips_zeros) {
        gemm_block_skipping<V>(g, i0, i1, j0, j1, k0, k1, b_pack);
    } else {
        const PackRoom<V> room(g.pack_a, i1 - i0, kMR, kMR * (k1 - k0));
        if (g.pack_a) pack_a(g, i0, i1, k0, k1, room.memory());
        gemm_block<V>(g, i0, i1, j0, j1, k0, k1, room.memory(), b_pack);
    }
    if (k1 == g.K) finish(i0, i1, j0, j1);
}

// Block after block of B: packed once, by all threads, then used by tasks that make a piece of C each. There are more
// tasks than threads, so that a thread that the system stops holds up little, and as many for each where rows allow.
// Too few rows are made up for by cutting columns too, each cut packing A once more.
template <class V>
void gemm_blocks(Cancel& cancel, const GemmPlan<V>& g, int64_t threads, const Finish& finish) {
    constexpr int kNR = Tile<V>::kNR;
    const int64_t width = g.N < Tile<V>::kNC ? g.N : Tile<V>::kNC;
    int64_t row_parts = (g.M + kMC - 1) / kMC, col_parts = 1;
    if (row_parts > threads) row_parts = (row_parts + threads - 1) / threads * threads;
    while (threads > 1 && row_parts * col_parts < 2 * threads && width >= 2 * col_parts * kNR) col_parts *= 2;
    const int64_t step = k_block(g.K), pieces = row_parts * col_parts;
    const PackRoom<V> room(g.pack_b, width, kNR, b_panel_size<V>(step));
    const bool polls = is_long(g.M, g.N, g.K);
    for (int64_t jc = 0; jc < g.N; jc += Tile<V>::kNC) {
        const int64_t cols = g.N - jc < Tile<V>::kNC ? g.N - jc : Tile<V>::kNC;
        for (int64_t k0 = 0; k0 < g.K; k0 += step) {
            const int64_t k1 = k0 + step < g.K ? k0 + step : g.K;
            auto pack = [&](int64_t p) {
                int64_t j0, j1;
                cpu::cut(cols, kNR, threads, p, &j0, &j1);
                pack_b(g, jc + j0, jc + j1, k0, k1, room.memory() + j0 / kNR * b_panel_size<V>(k1 - k0));
            };
            if (g.pack_b) cpu::run(threads, pack);
            auto piece = [&](int64_t p) {
                if (polls && cpu::poll(cancel)) return;
                int64_t i0, i1, j0, j1;
                cpu::cut(g.M, g.skips_zeros ? V::kTransposeTile : kMR, row_parts, p % row_parts, &i0, &i1);
                cpu::cut(cols, kNR, col_parts, p / row_parts, &j0, &j1);
                const auto* b_pack = g.pack_b ? room.memory() + j0 / kNR * b_panel_size<V>(k1 - k0) : nullptr;
                gemm_piece(g, i0, i1, jc + j0, jc + j1, k0, k1, b_pack, finish);
            };
            if (threads > 1) cpu::run(pieces, piece);
            for (int64_t p = 0; threads == 1 && p < pieces; ++p) piece(p);
            if (polls && cpu::poll(cancel)) return;
        }
    }
}

constexpr int64_t kGemmGrain = 500000;  // multiply-adds worth a thread: about 10 us

template <class V>
void gemm(Cancel& cancel, int64_t M, int64_t N, int64_t K, Strided<const typename V::T> A,
          Strided<const typename V::T> B, const typename V::T* bias, typename V::T* C, int64_t c_rs,
          const Finish& finish) {
    using T = typename V::T;
    if (M == 0 || N == 0) return;
    if (K == 0) {
        for (int64_t i = 0; i < M; ++i)
            for (int64_t j = 0; j < N; ++j) C[i * c_rs + j] = bias ? bias[j] : T(0);
        return finish(int64_t(0), M, int64_t(0), N);
    }
    GemmPlan<V> plan{M, N, K, A, B, bias, C, c_rs};
    Thin<V> thin;
    if (as_thin(plan, &thin)) return gemm_thin(cancel, thin, M == 1, cpu::threads_for(M * N * K, kThinGrain), finish);
    const int64_t threads = cpu::threads_for(M * N * K, kGemmGrain);
    choose_packing(&plan);
    if (!choose_skipping(&plan, threads) && A.rs == 1 && !bias && !finish.call) {
        GemmPlan<V> turned{N, M, K, {B.p, B.cs, B.rs}, {A.p, A.cs, A.rs}, nullptr, C, 1, c_rs};
        if (choose_skipping(&turned, threads)) plan = turned;
    }
    gemm_blocks(cancel, plan, threads, finish);
}
