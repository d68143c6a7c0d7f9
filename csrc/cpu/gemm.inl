// GEMM: C = A B for strided A (M, K), B (K, N), with something done to finished blocks of C while they are in cache.
// It must not know layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.
//
// The bits (tier T1): c = sum over k-blocks of kKC, in order, of the FMA chain over increasing k that starts at 0.
// Every tile shape, edge, packing and cut between threads below keeps that order, so all give the same bits, as does
// every ISA. Blocking after Goto & van de Geijn 2008: a panel of B (kKC x NR) stays in L1, a block of A or B in L2;
// registers hold an MR x NR tile of C. Operands are packed only where they are reused often enough or their layout
// forces it.

constexpr int64_t kKC = 256;
constexpr int kMR = 6;
constexpr int64_t kMC = 20 * kMR;

// Register tile: kMR rows of kNV vectors. 16 vector registers hold 6 x 2, 32 hold 6 x 4.
template <class V>
struct Tile {
    static constexpr int kNV = FASTREG_GEMM_VECTORS;
    static constexpr int kNR = kNV * V::L;
    static constexpr int64_t kNC = 2048 / int64_t(sizeof(typename V::T)) / kNR * kNR;  // B block: 512 KiB
};

// One tile of C from a (row i, step k at a[i * a_rs + k * a_cs]) and b (step k, column j at b[k * b_rs + j]).
// last: how many lanes of the last vector exist.
template <class V, int MR, int NV, bool Edge>
void micro_kernel(int64_t K, const typename V::T* a, int64_t a_rs, int64_t a_cs, const typename V::T* b, int64_t b_rs,
                  typename V::T* c, int64_t c_rs, bool first, int last) {
    V acc[MR][NV];
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) acc[i][j] = V::set(0);
    const typename V::T* row[MR];
    for (int i = 0; i < MR; ++i) row[i] = a + i * a_rs;
    for (int64_t k = 0, ka = 0; k < K; ++k, ka += a_cs, b += b_rs) {
        V bv[NV];
        for (int j = 0; j < NV; ++j) bv[j] = Edge && j == NV - 1 ? V::load(b + j * V::L, last) : V::load(b + j * V::L);
        for (int i = 0; i < MR; ++i) {
            const V av = V::set(row[i][ka]);
            for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
        }
    }
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) {
            typename V::T* p = c + i * c_rs + j * V::L;
            if (Edge && j == NV - 1)
                (first ? acc[i][j] : V::load(p, last) + acc[i][j]).store(p, last);
            else
                (first ? acc[i][j] : V::load(p) + acc[i][j]).store(p);
        }
}

template <class T>
using MicroKernel = void (*)(int64_t, const T*, int64_t, int64_t, const T*, int64_t, T*, int64_t, bool, int);

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

// dst[k * width + j] = src[j * rs + k * cs] for j < n, k < K: n vectors of length K side by side, for A (width kMR) and
// B (kNR).
template <class V, int width>
void pack_panel(const typename V::T* src, int64_t rs, int64_t cs, int64_t n, int64_t K, typename V::T* dst) {
    using T = typename V::T;
    if (rs == 1 && n == width) {
        for (int64_t k = 0; k < K; ++k) __builtin_memcpy(dst + k * width, src + k * cs, size_t(width) * sizeof(T));
        return;
    }
    constexpr int64_t kTile = V::kTransposeTile;
    int64_t j = 0;
    if (cs == 1)
        for (; j + kTile <= n; j += kTile) {
            int64_t k = 0;
            for (; k + kTile <= K; k += kTile) V::transpose(src + j * rs + k, rs, dst + k * width + j, width);
            for (; k < K; ++k)
                for (int64_t t = j; t < j + kTile; ++t) dst[k * width + t] = src[t * rs + k];
        }
    for (int64_t k = 0; k < K; ++k)
        for (int64_t t = j; t < n; ++t) dst[k * width + t] = src[t * rs + k * cs];
}

// What one thread needs to know to make its part of C.
template <class V>
struct GemmPlan {
    using T = typename V::T;
    int64_t K;
    Strided<const T> A, B;
    T* C;
    int64_t c_rs;
    bool pack_a, pack_b;

    static constexpr int64_t kPackA = kMC * kKC, kPackB = Tile<V>::kNC * kKC;
    static constexpr size_t kScratch = size_t(kPackA + kPackB) * sizeof(T);
};

// One or two rows of C against B in place: tiles of 8 / MR vectors, enough chains to hide the latency of an FMA, and
// whole cache lines of B side by side. Returns the first column it left over.
template <class V, int MR>
int64_t thin_columns(const GemmPlan<V>& g, int64_t i, int64_t j, int64_t j1, int64_t k0, int64_t k1) {
    constexpr int kWide = 8 / MR;
    for (; j + kWide * V::L <= j1; j += kWide * V::L)
        micro_kernel<V, MR, kWide, false>(k1 - k0, g.A.p + i * g.A.rs + k0 * g.A.cs, g.A.rs, g.A.cs,
                                          g.B.p + k0 * g.B.rs + j, g.B.rs, g.C + i * g.c_rs + j, g.c_rs, k0 == 0, 0);
    return j;
}

// C[i0:i1, j0:j1] (+)= A[., k0:k1] B[k0:k1, .] with B's panels at b_pack or in place.
template <class V>
void gemm_block(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                const typename V::T* a_pack, const typename V::T* b_pack) {
    static constexpr MicroKernels<V> kKernels{};
    constexpr int kNR = Tile<V>::kNR;
    const int64_t K = k1 - k0;
    if (!g.pack_a && !g.pack_b && i1 - i0 == 1) j0 = thin_columns<V, 1>(g, i0, j0, j1, k0, k1);
    if (!g.pack_a && !g.pack_b && i1 - i0 == 2) j0 = thin_columns<V, 2>(g, i0, j0, j1, k0, k1);
    for (int64_t j = j0; j < j1; j += kNR) {
        const int n = int(j1 - j < kNR ? j1 - j : kNR), vectors = (n + V::L - 1) / V::L,
                  last = n - (vectors - 1) * V::L;
        const auto* b = g.pack_b ? b_pack + (j - j0) * K : g.B.p + k0 * g.B.rs + j;
        const int64_t b_rs = g.pack_b ? kNR : g.B.rs;
        for (int64_t i = i0; i < i1; i += kMR) {
            const int m = int(i1 - i < kMR ? i1 - i : kMR);
            const auto* a = g.pack_a ? a_pack + (i - i0) * K : g.A.p + i * g.A.rs + k0 * g.A.cs;
            kKernels.kernel[m - 1][vectors - 1][last < V::L](K, a, g.pack_a ? 1 : g.A.rs, g.pack_a ? kMR : g.A.cs, b,
                                                             b_rs, g.C + i * g.c_rs + j, g.c_rs, k0 == 0, last);
        }
    }
}

// One thread's part: rows [i0, i1) and columns [j0, j1) of C, all of K. finish(i0, i1, j0, j1) sees each finished
// block.
template <class V, class Finish>
void gemm_part(Cancel& cancel, const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, Finish& finish) {
    using T = typename V::T;
    constexpr int kNR = Tile<V>::kNR;
    const cpu::Scratch scratch(g.pack_a || g.pack_b ? GemmPlan<V>::kScratch : 0);
    T* a_pack = static_cast<T*>(scratch.memory());
    T* b_pack = a_pack ? a_pack + GemmPlan<V>::kPackA : nullptr;
    for (int64_t jc = j0; jc < j1; jc += Tile<V>::kNC) {
        const int64_t je = jc + Tile<V>::kNC < j1 ? jc + Tile<V>::kNC : j1;
        for (int64_t k0 = 0; k0 < g.K; k0 += kKC) {
            const int64_t k1 = k0 + kKC < g.K ? k0 + kKC : g.K, K = k1 - k0;
            if (g.pack_b)
                for (int64_t j = jc; j < je; j += kNR)
                    pack_panel<V, kNR>(g.B.p + k0 * g.B.rs + j * g.B.cs, g.B.cs, g.B.rs, je - j < kNR ? je - j : kNR, K,
                                       b_pack + (j - jc) * K);
            for (int64_t ic = i0; ic < i1; ic += kMC) {
                if (cpu::poll(cancel)) return;
                const int64_t ie = ic + kMC < i1 ? ic + kMC : i1;
                if (g.pack_a)
                    for (int64_t i = ic; i < ie; i += kMR)
                        pack_panel<V, kMR>(g.A.p + i * g.A.rs + k0 * g.A.cs, g.A.rs, g.A.cs,
                                           ie - i < kMR ? ie - i : kMR, K, a_pack + (i - ic) * K);
                gemm_block<V>(g, ic, ie, jc, je, k0, k1, a_pack, b_pack);
                if (k1 == g.K) finish(ic, ie, jc, je);
            }
        }
    }
}

// How many row and column parts give `threads` parts with the least operand traffic (parts share no packing).
FR_LOOP void gemm_grid(int64_t M, int64_t N, int64_t threads, int64_t* row_parts, int64_t* col_parts) {
    int64_t best = -1;
    for (int64_t r = 1; r <= threads; ++r) {
        if (threads % r) continue;
        const int64_t c = threads / r, traffic = (M + r - 1) / r + (N + c - 1) / c;
        if (best < 0 || traffic < best) {
            best = traffic;
            *row_parts = r;
            *col_parts = c;
        }
    }
}

constexpr int64_t kGemmGrain = 500000;  // multiply-adds worth a thread: about 10 us

template <class V, class Finish>
void gemm(Cancel& cancel, int64_t M, int64_t N, int64_t K, Strided<const typename V::T> A,
          Strided<const typename V::T> B, typename V::T* C, int64_t c_rs, Finish finish) {
    using T = typename V::T;
    if (M == 0 || N == 0) return;
    if (K == 0) {
        for (int64_t i = 0; i < M; ++i)
            for (int64_t j = 0; j < N; ++j) C[i * c_rs + j] = T(0);
        return finish(int64_t(0), M, int64_t(0), N);
    }
    constexpr int64_t kSmall = 32 * 1024 / int64_t(sizeof(T));  // an operand of this size is used where it lies
    const bool pack_a = A.cs != 1 && (A.rs != 1 || (M * K > kSmall && N > 2 * Tile<V>::kNR));
    const bool pack_b = B.cs != 1 || (N * K > kSmall && M > 2 * kMR);
    const GemmPlan<V> plan{K, A, B, C, c_rs, pack_a, pack_b};
    const int64_t threads = cpu::threads_for(M * N * K, kGemmGrain);
    int64_t row_parts = 1, col_parts = 1;
    gemm_grid(M, N, threads, &row_parts, &col_parts);
    auto part = [&](int64_t p) {
        int64_t i0, i1, j0, j1;
        cpu::cut(M, kMR, row_parts, p % row_parts, &i0, &i1);
        cpu::cut(N, Tile<V>::kNR, col_parts, p / row_parts, &j0, &j1);
        gemm_part<V>(cancel, plan, i0, i1, j0, j1, finish);
    };
    cpu::run(row_parts * col_parts, part);
}
