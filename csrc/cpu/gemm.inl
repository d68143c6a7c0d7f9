// GEMM: C = bias + A B for strided A (M, K), B (K, N), with something done to finished blocks of C while they are in
// cache. It must not know layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.
//
// The bits (tier T1): K is cut into the blocks of rules/k_block.h; c = sum over blocks, in order, of the FMA chain over
// increasing k. The first chain starts at the bias, the others at 0. Every tile shape, edge, packing and cut between
// threads keeps that order, so all give the same bits, as does every ISA. Blocking after Goto & van de Geijn 2008: a
// panel of B (block x NR) stays in L1, a block of A in L2, a block of B in L3; registers hold an MR x NR tile of C.
// Operands are packed when they are needed, by the thread that needs them, and only where they are reused often enough
// or their layout forces it. Where many numbers of A are 0, gemm_zeros.inl skips them; where more of
// B's are, and nothing follows the product, C^T = B^T A^T is made instead. Over 40 lines: gemm_block, since packing,
// fetching and multiplying a panel share its dozen numbers.

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

// C[i0:i1, j0:j1] (+)= A[., k0:k1] B[k0:k1, .] with A at a_pack or in place, and B's panels in b or in place. Beside
// the tiles of a panel, the next one is fetched.
template <class V>
void gemm_block(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                const typename V::T* a_pack, const PanelRoom<typename V::T>& b) {
    using T = typename V::T;
    static constexpr PanelKernels<V> kKernels{};
    constexpr int kNR = Tile<V>::kNR;
    const int64_t K = k1 - k0;
    const bool along_k = !g.pack_a && g.A.cs == 1, packs_b = g.pack_b && !b.packed;
    const T* a = g.pack_a ? a_pack : g.A.p + i0 * g.A.rs + k0 * g.A.cs;
    const RowTiles rows(i1 - i0);
    const auto a_step = [&](int64_t m) FR_LAMBDA { return g.pack_a ? kMR * K : m * g.A.rs; };
    Panel<T> p{};
    p.K = K;
    p.a_stride = g.pack_a ? kMR : along_k ? g.A.rs : g.A.cs;
    p.b_rs = g.pack_b ? kNR : g.B.rs;
    p.c_rs = g.c_rs;
    p.add = k0 > 0;
    p.ahead_rs = packs_b ? g.B.rs : kNR;
    T* b_pack = b.first;
    for (int64_t j = j0; j < j1; j += kNR, b_pack += b.step) {
        const int n = int(j1 - j < kNR ? j1 - j : kNR), vectors = (n + V::L - 1) / V::L;
        const bool packed_by_tile = packs_b && g.B.cs == 1 && n == kNR;
        if (packs_b && !packed_by_tile) pack_b(g, j, j + n, k0, k1, b_pack);
        p.last = n - (vectors - 1) * V::L;
        p.b = g.pack_b ? b_pack : g.B.p + k0 * g.B.rs + j;
        p.start = g.bias && k0 == 0 ? g.bias + j : nullptr;
        p.ahead_steps = 0;
        if (g.pack_b && (!packs_b || g.B.cs == 1) && j + kNR < j1) {
            p.ahead = (packs_b ? g.B.p + k0 * g.B.rs + j + kNR : b_pack + b.step) + kNR - 1;
            p.ahead_steps = (K + rows.tiles - 1) / rows.tiles;
        }
        const T* at = a;
        T* c = g.C + i0 * g.c_rs + j;
        const auto kernel = [&](int64_t m)
                                FR_LAMBDA { return kKernels.kernel[m - 1][vectors - 1][p.last < V::L][along_k]; };
        const auto make = [&](int64_t tiles, int64_t m, PanelTiles<T> tiles_of) FR_LAMBDA {
            tiles_of(tiles, p, at, a_step(m), c);
            at += tiles * a_step(m);
            c += tiles * m * g.c_rs;
            p.ahead += tiles * p.ahead_steps * p.ahead_rs;
        };
        int64_t longer = rows.longer, others = rows.tiles - longer;
        if (packed_by_tile) {
            const int64_t m = longer ? rows.least + 1 : rows.least;
            p.b = g.B.p + k0 * g.B.rs + j;
            p.b_rs = g.B.rs;
            p.pack = b_pack;
            make(1, m, kKernels.packing[m - 1][along_k]);
            p.b = b_pack;
            p.b_rs = kNR;
            --(longer ? longer : others);
        }
        if (longer) make(longer, rows.least + 1, kernel(rows.least + 1));
        if (others) make(others, rows.least, kernel(rows.least));
    }
}

#include "cpu/gemm_zeros.inl"

#include "cpu/gemm_skipping.inl"

// C[i0:i1, j0:j1] by one thread, which packs what it uses.
template <class V>
void gemm_part(Cancel& cancel, const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
               const Finish& finish) {
    constexpr int64_t kNR = Tile<V>::kNR, kNC = Tile<V>::kNC;
    const int64_t rows = i1 - i0, width = j1 - j0 < kNC ? j1 - j0 : kNC, step = k_block(g.K);
    if (rows == 0 || width == 0) return;
    const int64_t blocks = (rows + kMC - 1) / kMC, b_size = b_panel_size<V>(step);
    const int64_t b_step = g.pack_b && blocks > 1 ? b_size : 0;
    const PackRoom<V> a_room(g.pack_a, kMC < rows ? kMC : rows, kMR, kMR * step);
    const PackRoom<V> b_room(g.pack_b, blocks > 1 ? width : kNR, kNR, b_size);
    const bool polls = is_long(rows, j1 - j0, g.K);
    for (int64_t jc = j0; jc < j1; jc += kNC) {
        const int64_t jc1 = jc + kNC < j1 ? jc + kNC : j1;
        for (int64_t k0 = 0; k0 < g.K; k0 += step) {
            const int64_t k1 = k0 + step < g.K ? k0 + step : g.K;
            for (int64_t block = 0; block < blocks; ++block) {
                if (polls && cpu::poll(cancel)) return;
                int64_t from, to;
                cpu::cut(rows, kMR, blocks, block, &from, &to);
                from += i0;
                to += i0;
                if (g.pack_a) pack_a(g, from, to, k0, k1, a_room.memory());
                gemm_block<V>(g, from, to, jc, jc1, k0, k1, a_room.memory(), {b_room.memory(), b_step, block > 0});
                if (k1 == g.K) finish(from, to, jc, jc1);
            }
        }
    }
}

// Each thread makes parts of C by itself: of several blocks of rows, so that packed panels of B are used again, but
// more parts than threads, so that a thread that the system stops holds up little. Too few rows are made up for by
// cutting columns too, each cut packing A once more.
template <class V>
void gemm_parts(Cancel& cancel, const GemmPlan<V>& g, int64_t threads, const Finish& finish) {
    if (threads == 1) return gemm_part(cancel, g, 0, g.M, 0, g.N, finish);
    int64_t row_parts = (g.M + kMC - 1) / kMC, col_parts = 1;
    if (row_parts > 4 * threads) row_parts = 4 * threads;
    if (row_parts > threads) row_parts -= row_parts % threads;  // as many for each
    while (row_parts * col_parts < 2 * threads && g.N >= 2 * col_parts * Tile<V>::kNR) col_parts *= 2;
    auto part = [&](int64_t p) {
        int64_t i0, i1, j0, j1;
        cpu::cut(g.M, kMR, row_parts, p % row_parts, &i0, &i1);
        cpu::cut(g.N, Tile<V>::kNR, col_parts, p / row_parts, &j0, &j1);
        gemm_part(cancel, g, i0, i1, j0, j1, finish);
    };
    cpu::run(row_parts * col_parts, part);
}

// The same without the zeros of A: there is less to do for what is packed, so B is packed once, a block at a time by
// all threads, then used by tasks that make a piece of C each.
template <class V>
void gemm_parts_skipping(Cancel& cancel, const GemmPlan<V>& g, int64_t threads, const Finish& finish) {
    constexpr int64_t kNR = Tile<V>::kNR, kNC = Tile<V>::kNC;
    const int64_t width = g.N < kNC ? g.N : kNC;
    int64_t row_parts = (g.M + kMC - 1) / kMC, col_parts = 1;
    if (row_parts > threads) row_parts = (row_parts + threads - 1) / threads * threads;
    while (threads > 1 && row_parts * col_parts < 2 * threads && width >= 2 * col_parts * kNR) col_parts *= 2;
    const int64_t step = k_block(g.K), pieces = row_parts * col_parts;
    const PackRoom<V> room(g.pack_b, width, kNR, b_panel_size<V>(step));
    const bool polls = is_long(g.M, g.N, g.K);
    for (int64_t jc = 0; jc < g.N; jc += kNC) {
        const int64_t cols = g.N - jc < kNC ? g.N - jc : kNC;
        for (int64_t k0 = 0; k0 < g.K; k0 += step) {
            const int64_t k1 = k0 + step < g.K ? k0 + step : g.K, panel = b_panel_size<V>(k1 - k0);
            auto pack = [&](int64_t p) {
                int64_t j0, j1;
                cpu::cut(cols, kNR, threads, p, &j0, &j1);
                pack_b(g, jc + j0, jc + j1, k0, k1, room.memory() + j0 / kNR * panel);
            };
            if (g.pack_b) cpu::run(threads, pack);
            auto piece = [&](int64_t p) {
                if (polls && cpu::poll(cancel)) return;
                int64_t i0, i1, j0, j1;
                cpu::cut(g.M, V::kTransposeTile, row_parts, p % row_parts, &i0, &i1);
                cpu::cut(cols, kNR, col_parts, p / row_parts, &j0, &j1);
                if (i0 == i1 || j0 == j1) return;
                gemm_block_skipping<V>(g, i0, i1, jc + j0, jc + j1, k0, k1,
                                       g.pack_b ? room.memory() + j0 / kNR * panel : nullptr);
                if (k1 == g.K) finish(i0, i1, jc + j0, jc + j1);
            };
            if (threads > 1) cpu::run(pieces, piece);
            for (int64_t p = 0; threads == 1 && p < pieces; ++p) piece(p);
            if (polls && cpu::poll(cancel)) return;
        }
    }
}

// Whether C^T = B^T A^T is sooner made, and turned: a C of few columns, such as the gradient of a last layer's weights,
// leaves most of a vector empty. By what it saves of each row's K vectors, and takes for each number that is turned;
// vectors of four are full too soon.
template <class V>
bool is_better_turned(const GemmPlan<V>& g) {
    const bool is_narrow = V::L >= 8 && g.N < V::L && g.N <= 2 * kMR && g.M >= 4 * V::L && g.K >= 16;
    return is_narrow && g.A.rs == 1 && g.B.cs == 1 && 2 * g.K * (V::L - g.N) > 3 * g.N * V::L;
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
    if (!bias && !finish.call && is_better_turned(plan)) {
        const cpu::Scratch room(size_t(N * M) * sizeof(T));
        T* const turned = static_cast<T*>(room.memory());
        gemm<V>(cancel, N, M, K, {B.p, B.cs, B.rs}, {A.p, A.cs, A.rs}, nullptr, turned, M, finish);
        return store_turned<V>(turned, M, N, M, C, c_rs, false);
    }
    const int64_t threads = cpu::threads_for(M * N * K, kGemmGrain);
    choose_packing(&plan);
    choose_skipping(&plan, A.rs == 1 && !bias && !finish.call, threads);
    plan.skips_zeros ? gemm_parts_skipping(cancel, plan, threads, finish) : gemm_parts(cancel, plan, threads, finish);
}
