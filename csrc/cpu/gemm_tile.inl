// Register tiles: the innermost loops of GEMM. They must not know blocks, packing or threads. Included by gemm.inl,
// whose order of sums they keep.

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
    const T* ahead;                 // the end of the first of the rows of B that are wanted next,
    int64_t ahead_rs, ahead_steps;  // and how many of them each tile asks for
};

// Vector j of NV from p on, of which the last may be cut off (Edge) after `last` lanes.
template <class V, int NV, bool Edge>
FR_LOOP V load_vector(const typename V::T* p, int j, int last) {
    return Edge && j == NV - 1 ? V::load(p + j * V::L, last) : V::load(p + j * V::L);
}

// One step of k of a tile: acc[i][j] += a[i] b[j].
template <class V, int MR, int NV, bool Edge, class A>
FR_LOOP void tile_step(V (&acc)[MR][NV], A a, const typename V::T* b, int last) {
    V bv[NV];
    FR_UNROLL for (int j = 0; j < NV; ++j) bv[j] = load_vector<V, NV, Edge>(b, j, last);
    FR_UNROLL for (int i = 0; i < MR; ++i) {
        const V av = V::set(a(i));
        FR_UNROLL for (int j = 0; j < NV; ++j) accumulate(av, bv[j], acc[i][j]);
    }
}

// `tiles` tiles below one another, MR rows each. The first begins at row a of A, and the others a_step further each.
// Steps of k go four at a time: what counts them would be a seventh of all instructions.
template <class V, int MR, int NV, bool Edge, bool AlongK>
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
        // The ends of the lines of C's rows: where rows begin within a line, the panel before has used their first.
        FR_UNROLL for (int i = 0; i < MR; ++i) {
            const T* const end = c + i * p.c_rs + NV * V::L - 1;
            FR_UNROLL for (int l = 0; l < kLines; ++l) __builtin_prefetch(end - l * kLine, 1);
        }
        for (int64_t s = 0; s < p.ahead_steps; ++s, ahead += p.ahead_rs) {
            FR_UNROLL for (int l = 0; l < kLines; ++l) __builtin_prefetch(ahead - l * kLine, 0, 2);
        }
        const T *row[MR], *column = a, *b = p.b;  // of A
        FR_UNROLL for (int i = 0; i < MR; ++i) row[i] = a + i * p.a_stride;
        const auto step = [&](int64_t k) FR_LAMBDA {
            if constexpr (AlongK) {
                tile_step<V, MR, NV, Edge>(acc, [&](int i) FR_LAMBDA { return row[i][k]; }, b, p.last);
            } else {
                tile_step<V, MR, NV, Edge>(acc, [&](int i) FR_LAMBDA { return column[i]; }, b, p.last);
                column += p.a_stride;
            }
            b += p.b_rs;
        };
        constexpr int64_t kAtOnce = 4;
        int64_t k = 0;
        for (; k + kAtOnce <= p.K; k += kAtOnce) {
            FR_UNROLL for (int64_t u = 0; u < kAtOnce; ++u) step(k + u);
        }
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

// [rows of a tile - 1][vectors - 1][edge][along_k]
template <class V>
struct PanelKernels {
    static constexpr int kNV = Tile<V>::kNV;
    PanelTiles<typename V::T> kernel[kMR][kNV][2][2];

    constexpr PanelKernels() : kernel{} { fill<1, 1>(); }

private:
    template <int MR, int NV>
    constexpr void fill() {
        auto& k = kernel[MR - 1][NV - 1];
        k[0][0] = panel_tiles<V, MR, NV, false, false>;
        k[0][1] = panel_tiles<V, MR, NV, false, true>;
        k[1][0] = panel_tiles<V, MR, NV, true, false>;
        k[1][1] = panel_tiles<V, MR, NV, true, true>;
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
