// GEMM: C = bias + A B for strided A (M, K), B (K, N), with something done to finished blocks of C while they are in
// cache. It must not know layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.
//
// The bits (tier T1): K is cut into the blocks of k_block(); c = sum over blocks, in order, of the FMA chain over
// increasing k. The first chain starts at the bias, the others at 0. Every tile shape, edge, packing and cut between
// threads keeps that order, so all give the same bits, as does every ISA. Blocking after Goto & van de Geijn 2008: a
// panel of B (block x NR) stays in L1, a block of A in L2, a block of B in L3; registers hold an MR x NR tile of C.
// Operands are packed only where they are reused often enough or their layout forces it.

constexpr int64_t kKC = 384;
constexpr int kMR = 6;
constexpr int64_t kMC = 20 * kMR;

// How many steps of k a block has: blocks of one size, at most kKC, whatever M and N.
FR_LOOP int64_t k_block(int64_t K) {
    const int64_t blocks = (K + kKC - 1) / kKC;
    return K <= kKC ? K : ((K + blocks - 1) / blocks + 7) / 8 * 8;
}

// Register tile: kMR rows of kNV vectors. 16 vector registers hold 6 x 2, 32 hold 6 x 4.
template <class V>
struct Tile {
    static constexpr int kNV = FASTREG_GEMM_VECTORS;
    static constexpr int kNR = kNV * V::L;
    static constexpr int64_t kNC = 8192 / int64_t(sizeof(typename V::T)) / kNR * kNR;  // B block: 3 MiB
};

// Loops over the registers of a tile must be unrolled before the compiler decides what lives in memory.
#if defined(__clang__)
#define FR_UNROLL _Pragma("unroll")
#else
#define FR_UNROLL _Pragma("GCC unroll 16")
#endif

// One tile of C from a (row i, step k at a[i * a_rs + k * a_cs]) and b (step k, column j at b[k * b_rs + j]).
// start: what the chains start at, one number a column, or null for 0. add: to what is in C.
// last: how many lanes of the last vector exist.
template <class V, int MR, int NV, bool Edge>
void micro_kernel(int64_t K, const typename V::T* a, int64_t a_rs, int64_t a_cs, const typename V::T* b, int64_t b_rs,
                  typename V::T* c, int64_t c_rs, const typename V::T* start, bool add, int last) {
    const auto load = [last](const typename V::T* p, int j) FR_LAMBDA {
        return Edge && j == NV - 1 ? V::load(p + j * V::L, last) : V::load(p + j * V::L);
    };
    V acc[MR][NV];
    const typename V::T* row[MR];
    FR_UNROLL for (int i = 0; i < MR; ++i) {
        row[i] = a + i * a_rs;
        __builtin_prefetch(c + i * c_rs, 1);
    }
    FR_UNROLL for (int j = 0; j < NV; ++j) {
        const V from = start ? load(start, j) : V::set(0);
        FR_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = from;
    }
    for (int64_t k = 0, ka = 0; k < K; ++k, ka += a_cs, b += b_rs) {
        V bv[NV];
        FR_UNROLL for (int j = 0; j < NV; ++j) bv[j] = load(b, j);
        FR_UNROLL for (int i = 0; i < MR; ++i) {
            const V av = V::set(row[i][ka]);
            FR_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
        }
    }
    FR_UNROLL for (int i = 0; i < MR; ++i) {
        typename V::T* p = c + i * c_rs;
        FR_UNROLL for (int j = 0; j < NV; ++j) {
            const V sum = add ? load(p, j) + acc[i][j] : acc[i][j];
            Edge&& j == NV - 1 ? sum.store(p + j * V::L, last) : sum.store(p + j * V::L);
        }
    }
}

template <class T>
using MicroKernel = void (*)(int64_t, const T*, int64_t, int64_t, const T*, int64_t, T*, int64_t, const T*, bool, int);

// [rows - 1][vectors - 1][edge]
template <class V>
struct MicroKernels {
    static constexpr int kNV = Tile<V>::kNV;
    MicroKernel<typename V::T> kernel[kMR][kNV][2];

    constexpr MicroKernels() : kernel{} { fill<1, 1>(); }

private:
    template <int MR, int NV>
    constexpr void fill() {
        kernel[MR - 1][NV - 1][0] = micro_kernel<V, MR, NV, false>;
        kernel[MR - 1][NV - 1][1] = micro_kernel<V, MR, NV, true>;
        if constexpr (NV < kNV)
            fill<MR, NV + 1>();
        else if constexpr (MR < kMR)
            fill<MR + 1, 1>();
    }
};

// What one thread needs to know to make its part of C.
template <class V>
struct GemmPlan {
    using T = typename V::T;
    int64_t M, N, K;
    Strided<const T> A, B;
    const T* bias;  // N, or null
    T* C;
    int64_t c_rs;
    bool pack_a, pack_b;
};

// Rows of C go in tiles of nearly one height, since a tile of one or two rows has too few chains to hide the latency of
// an FMA. Calls f(t, i, m) for tile t, rows i .. i + m.
template <class F>
FR_LOOP void for_row_tiles(int64_t i0, int64_t i1, F f) {
    const int64_t tiles = (i1 - i0 + kMR - 1) / kMR, least = (i1 - i0) / tiles, longer = (i1 - i0) % tiles;
    int64_t i = i0;
    for (int64_t t = 0; t < tiles; ++t) {
        const int64_t m = least + (t < longer);
        f(t, i, m);
        i += m;
    }
}

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
    static constexpr MicroKernels<V> kKernels{};
    constexpr int kNR = Tile<V>::kNR;
    const int64_t K = k1 - k0, a_rs = g.pack_a ? 1 : g.A.rs, a_cs = g.pack_a ? kMR : g.A.cs;
    for (int64_t j = j0; j < j1; j += kNR) {
        const int n = int(j1 - j < kNR ? j1 - j : kNR), vectors = (n + V::L - 1) / V::L,
                  last = n - (vectors - 1) * V::L;
        const auto* b = g.pack_b ? b_pack + (j - j0) * K : g.B.p + k0 * g.B.rs + j;
        const int64_t b_rs = g.pack_b ? kNR : g.B.rs;
        const auto* start = g.bias && k0 == 0 ? g.bias + j : nullptr;
        for_row_tiles(i0, i1, [&](int64_t t, int64_t i, int64_t m) FR_LAMBDA {
            const auto* a = g.pack_a ? a_pack + t * kMR * K : g.A.p + i * g.A.rs + k0 * g.A.cs;
            kKernels.kernel[m - 1][vectors - 1][last < V::L](K, a, a_rs, a_cs, b, b_rs, g.C + i * g.c_rs + j, g.c_rs,
                                                             start, k0 > 0, last);
        });
    }
}

// C[i0:i1, j0:j1] (+)= A[., k0:k1] B[k0:k1, .], at most kMC rows, with A packed here and B's panels at b_pack.
template <class V>
void gemm_piece(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                const typename V::T* b_pack, const Finish& finish) {
    if (i0 == i1 || j0 == j1) return;
    const PackRoom<V> room(g.pack_a, i1 - i0, kMR, k1 - k0);
    if (g.pack_a) pack_a(g, i0, i1, k0, k1, room.memory());
    gemm_block<V>(g, i0, i1, j0, j1, k0, k1, room.memory(), b_pack);
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
    const PackRoom<V> room(g.pack_b, width, kNR, step);
    const bool polls = is_long(g.M, g.N, g.K);
    for (int64_t jc = 0; jc < g.N; jc += Tile<V>::kNC) {
        const int64_t cols = g.N - jc < Tile<V>::kNC ? g.N - jc : Tile<V>::kNC;
        for (int64_t k0 = 0; k0 < g.K; k0 += step) {
            const int64_t k1 = k0 + step < g.K ? k0 + step : g.K;
            auto pack = [&](int64_t p) {
                int64_t j0, j1;
                cpu::cut(cols, kNR, threads, p, &j0, &j1);
                pack_b(g, jc + j0, jc + j1, k0, k1, room.memory() + j0 * (k1 - k0));
            };
            if (g.pack_b) cpu::run(threads, pack);
            auto piece = [&](int64_t p) {
                if (polls && cpu::poll(cancel)) return;
                int64_t i0, i1, j0, j1;
                cpu::cut(g.M, kMR, row_parts, p % row_parts, &i0, &i1);
                cpu::cut(cols, kNR, col_parts, p / row_parts, &j0, &j1);
                const auto* b_pack = g.pack_b ? room.memory() + j0 * (k1 - k0) : nullptr;
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
    GemmPlan<V> plan{M, N, K, A, B, bias, C, c_rs, false, false};
    const int64_t threads = cpu::threads_for(M * N * K, kGemmGrain);
    Thin<V> thin;
    if (as_thin(plan, &thin)) return gemm_thin(cancel, thin, M == 1, threads, finish);
    choose_packing(&plan);
    gemm_blocks(cancel, plan, threads, finish);
}
