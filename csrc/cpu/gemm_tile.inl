// Register tiles: the innermost loops of GEMM. They must not know blocks, packing or threads. Included by gemm.inl,
// whose order of sums they keep. Over 40 lines: panel_tiles, one loop whose parts share all registers there are.

constexpr int kMR = 6;

// Register tile: kMR rows of kNV vectors. 16 vector registers hold 6 x 2, 32 hold 6 x 4.
template <class V>
struct Tile {
    static constexpr int kNV = FASTREG_GEMM_VECTORS;
    static constexpr int kNR = kNV * V::L;
    static constexpr int64_t kNC = 8192 / int64_t(sizeof(typename V::T)) / kNR * kNR;  // B block: 3 MiB
};

// What all tiles of a panel of C, kNR columns or less, have in common.
template <class T>
struct Panel {
    int64_t K;
    int64_t a_stride;  // between rows of A whose steps are neighbours (along_k), or between steps of neighbouring rows
    const T* b;        // step k, column j at b[k * b_rs + j]
    int64_t b_rs, c_rs;
    const T* start;                 // what the chains start at, one number a column, or null for 0
    bool add;                       // to what is in C
    int last;                       // how many lanes of the last vector exist
    T* pack;                        // where a tile that packs puts the panel of B
    const T* ahead;                 // the end of the first of the rows of B that are wanted next,
    int64_t ahead_rs, ahead_steps;  // and how many of them each tile asks for
};

// Vector j of NV from p on, of which the last may be cut off (Edge) after `last` lanes.
template <class V, int NV, bool Edge>
FR_LOOP V load_vector(const typename V::T* p, int j, int last) {
    return Edge && j == NV - 1 ? V::load(p + j * V::L, last) : V::load(p + j * V::L);
}

// One step of k of a tile: acc[i][j] += a[i] b[j]; a(i) points to a[i].
template <class V, int MR, int NV, bool Edge, bool Packs, class A>
FR_LOOP void tile_step(V (&acc)[MR][NV], A a, const typename V::T* b, int last, typename V::T* pack) {
    V bv[NV];
    FR_UNROLL for (int j = 0; j < NV; ++j) {
        bv[j] = load_vector<V, NV, Edge>(b, j, last);
        if constexpr (Packs) bv[j].store(pack + j * V::L);
    }
    FR_UNROLL for (int i = 0; i < MR; ++i) {
        if constexpr (NV == 1) {
            V::accumulate_number(a(i), bv[0], acc[i][0]);
        } else {
            const V av = V::set(*a(i));
            FR_UNROLL for (int j = 0; j < NV; ++j) accumulate(av, bv[j], acc[i][j]);
        }
    }
}

// `tiles` tiles below one another, MR rows each. The first begins at row a of A, and the others a_step further each.
// One that packs copies the panel of B that it reads.
// Steps of k go four at a time: what counts them would be a seventh of all instructions.
template <class V, int MR, int NV, bool Edge, bool AlongK, bool Packs = false>
void panel_tiles(int64_t tiles, const Panel<typename V::T>& panel, const typename V::T* a, int64_t a_step,
                 typename V::T* c) {
    using T = typename V::T;
    constexpr int kLine = 64 / int(sizeof(T)), kLines = NV * V::L > kLine ? NV * V::L / kLine : 1;
    const Panel<T> p = panel;  // a copy that no store can reach
    const T* ahead = p.ahead;
    for (; tiles > 0; --tiles, a += a_step, c += MR * p.c_rs) {
        V acc[MR][NV];
        FR_UNROLL for (int j = 0; j < NV; ++j) {
            const V from = p.start ? load_vector<V, NV, Edge>(p.start, j, p.last) : V::set(0);
            FR_UNROLL for (int i = 0; i < MR; ++i) acc[i][j] = from;
        }
        // The rows of C, then those ahead, are asked for one at a time between steps: a CPU can wait for some ten
        // lines, and stops at the next. By their ends: where C's rows begin within a line, the panel before has used
        // their first.
        const T* c_end = c + NV * V::L - 1;
        int64_t to_fetch = MR + p.ahead_steps;
        const auto fetch = [&]() FR_LAMBDA {
            if (to_fetch > p.ahead_steps) {
                FR_UNROLL for (int l = 0; l < kLines; ++l) __builtin_prefetch(c_end - l * kLine, 1);
                c_end += p.c_rs;
            } else {
                FR_UNROLL for (int l = 0; l < kLines; ++l) __builtin_prefetch(ahead - l * kLine, 0, 2);
                ahead += p.ahead_rs;
            }
            --to_fetch;
        };
        constexpr int64_t kAtOnce = 4;
        if (p.K < 4 * kAtOnce * MR)  // C is wanted before its turn
            while (to_fetch > p.ahead_steps) fetch();
        const T *row[MR], *column = a, *b = p.b;  // of A
        [[maybe_unused]] T* pack = p.pack;
        FR_UNROLL for (int i = 0; i < MR; ++i) row[i] = a + i * p.a_stride;
        const auto step = [&](int64_t k) FR_LAMBDA {
            if constexpr (AlongK) {
                tile_step<V, MR, NV, Edge, Packs>(acc, [&](int i) FR_LAMBDA { return row[i] + k; }, b, p.last, pack);
            } else {
                tile_step<V, MR, NV, Edge, Packs>(acc, [&](int i) FR_LAMBDA { return column + i; }, b, p.last, pack);
                column += p.a_stride;
            }
            b += p.b_rs;
            if constexpr (Packs) pack += NV * V::L;
        };
        int64_t k = 0;
        for (; k + kAtOnce <= p.K; k += kAtOnce) {
            if (to_fetch) fetch();
            FR_UNROLL for (int64_t u = 0; u < kAtOnce; ++u) step(k + u);
        }
        while (to_fetch) fetch();
        for (; k < p.K; ++k) step(k);
        FR_UNROLL for (int i = 0; i < MR; ++i) {
            T* out = c + i * p.c_rs;
            FR_UNROLL for (int j = 0; j < NV; ++j) {
                const V sum = p.add ? load_vector<V, NV, Edge>(out, j, p.last) + acc[i][j] : acc[i][j];
                Edge&& j == NV - 1 ? sum.store(out + j * V::L, p.last) : sum.store(out + j * V::L);
            }
        }
    }
}

template <class T>
using PanelTiles = void (*)(int64_t, const Panel<T>&, const T*, int64_t, T*);

// [rows of a tile - 1][vectors - 1][edge][along_k]; those that pack have all vectors and no edge.
template <class V>
struct PanelKernels {
    static constexpr int kNV = Tile<V>::kNV;
    PanelTiles<typename V::T> kernel[kMR][kNV][2][2], packing[kMR][2];

    constexpr PanelKernels() : kernel{}, packing{} { fill<1, 1>(); }

private:
    template <int MR, int NV>
    constexpr void fill() {
        auto& k = kernel[MR - 1][NV - 1];
        k[0][0] = panel_tiles<V, MR, NV, false, false>;
        k[0][1] = panel_tiles<V, MR, NV, false, true>;
        k[1][0] = panel_tiles<V, MR, NV, true, false>;
        k[1][1] = panel_tiles<V, MR, NV, true, true>;
        if constexpr (NV == kNV) {
            packing[MR - 1][0] = panel_tiles<V, MR, NV, false, false, true>;
            packing[MR - 1][1] = panel_tiles<V, MR, NV, false, true, true>;
        }
        if constexpr (NV < kNV)
            fill<MR, NV + 1>();
        else if constexpr (MR < kMR)
            fill<MR + 1, 1>();
    }
};

// Rows of C go in tiles of nearly one height, since a tile of one or two rows has too few chains to hide the latency of
// an FMA: first `longer` tiles of `least` + 1 rows, then those of `least`.
struct RowTiles {
    int64_t tiles, least, longer;

    FR_LOOP explicit RowTiles(int64_t rows)
        : tiles((rows + kMR - 1) / kMR), least(rows / tiles), longer(rows % tiles) {}
};
