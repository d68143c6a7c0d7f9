// Packing: blocks of A and B copied into panels that a tile of C reads from front to back; and arrays turned.
// It must not know tiles' arithmetic. Included by gemm.inl.

// to[c * to_rs + r] = from[r * from_rs + c], or that added to it.
template <class V>
void store_turned(const typename V::T* from, int64_t from_rs, int64_t rows, int64_t cols, typename V::T* to,
                  int64_t to_rs, bool add) {
    constexpr int64_t kTile = V::kTransposeTile;
    for (int64_t c = 0; c < cols; c += kTile) {
        for (int64_t r = 0; r < rows; r += kTile) {
            const int64_t n_rows = rows - r < kTile ? rows - r : kTile, n_cols = cols - c < kTile ? cols - c : kTile;
            const auto* source = from + r * from_rs + c;
            auto* target = to + c * to_rs + r;
            if (n_rows == kTile && n_cols == kTile && !add) {
                V::transpose(source, from_rs, target, to_rs);
                continue;
            }
            for (int64_t i = 0; i < n_cols; ++i)
                for (int64_t t = 0; t < n_rows; ++t)
                    target[i * to_rs + t] =
                        add ? target[i * to_rs + t] + source[t * from_rs + i] : source[t * from_rs + i];
        }
    }
}

// dst[k * width + j] = src[j * rs + k * cs] for j < n, k < K: n vectors of length K side by side, for A (width kMR) and
// B (kNR). `there` >= n vectors may be read. Columns from n on hold anything; up to kTile - 1 numbers behind the panel
// are overwritten. Where vectors lie in memory, those that the next panel will read are asked for on the way.
template <class V, int width>
void pack_panel(const typename V::T* src, int64_t rs, int64_t cs, int64_t n, int64_t there, int64_t K,
                typename V::T* dst) {
    using T = typename V::T;
    if (rs == 1 && n == width) {
        for (int64_t k = 0; k < K; ++k) __builtin_memcpy(dst + k * width, src + k * cs, size_t(width) * sizeof(T));
        return;
    }
    constexpr int64_t kTile = V::kTransposeTile;
    const int64_t tiles = cs == 1 ? (there < width ? there / kTile : (width + kTile - 1) / kTile) : 0;
    const int64_t by_tile = tiles * kTile <= there ? tiles : there / kTile, first_left = by_tile * kTile;
    constexpr int64_t kLine = 64 / int64_t(sizeof(T));
    int64_t k = 0;
    for (; by_tile > 0 && k + kTile <= K; k += kTile) {
        if (there > n && k % kLine == 0) {
            FR_UNROLL for (int j = 0; j < width; ++j) __builtin_prefetch(src + (n + j) * rs + k + kLine - 1);
        }
        // What a tile writes beyond the width falls on steps that a later tile, to its left or below, writes again.
        for (int64_t t = first_left; t < n; ++t)
            for (int64_t s = k; s < k + kTile; ++s) dst[s * width + t] = src[t * rs + s];
        for (int64_t j = first_left - kTile; j >= 0; j -= kTile)
            V::transpose(src + j * rs + k, rs, dst + k * width + j, width);
    }
    for (; k < K; ++k)
        for (int64_t t = 0; t < n; ++t) dst[k * width + t] = src[t * rs + k * cs];
}

// Rows [i0, i1) of A in the tiles of gemm_block: tile t at dst + t * kMR * K.
template <class V>
void pack_a(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t k0, int64_t k1, typename V::T* dst) {
    const RowTiles rows(i1 - i0);
    int64_t i = i0;
    for (int64_t t = 0; t < rows.tiles; ++t, dst += kMR * (k1 - k0)) {
        const int64_t m = rows.least + (t < rows.longer);
        pack_panel<V, kMR>(g.A.p + i * g.A.rs + k0 * g.A.cs, g.A.rs, g.A.cs, m, g.M - i, k1 - k0, dst);
        i += m;
    }
}

// The numbers of a packed panel of B. A cache line more than there are: panels whose distance is a power of two would
// get in each other's way where several are read side by side.
template <class V>
int64_t b_panel_size(int64_t K) {
    return Tile<V>::kNR * K + 64 / int64_t(sizeof(typename V::T));
}

// Columns [j0, j1) of B, panel after panel.
template <class V>
void pack_b(const GemmPlan<V>& g, int64_t j0, int64_t j1, int64_t k0, int64_t k1, typename V::T* dst) {
    constexpr int kNR = Tile<V>::kNR;
    for (int64_t j = j0; j < j1; j += kNR, dst += b_panel_size<V>(k1 - k0)) {
        // Skipping zeros looks at whole vectors of sums, also at those that nobody keeps.
        if (g.skips_zeros && j1 - j < kNR) __builtin_memset(dst, 0, size_t(kNR * (k1 - k0)) * sizeof(typename V::T));
        pack_panel<V, kNR>(g.B.p + k0 * g.B.rs + j * g.B.cs, g.B.cs, g.B.rs, j1 - j < kNR ? j1 - j : kNR, g.N - j,
                           k1 - k0, dst);
    }
}

// Where a part of C keeps its panels of B. The first rows that need a panel pack it; where there are no others, all
// panels take the same place (step 0), which stays in the first caches.
template <class T>
struct PanelRoom {
    T* first;
    int64_t step;
    bool packed;  // by rows before
};

// Room for n vectors in panels of `width`, panel_size numbers each; none where the operand is used in place.
template <class V>
class PackRoom {
public:
    using T = typename V::T;
    PackRoom(bool packed, int64_t n, int64_t width, int64_t panel_size)
        : scratch_(packed ? size_t((n + width - 1) / width * panel_size + 16) * sizeof(T) : 0) {}
    T* memory() const { return static_cast<T*>(scratch_.memory()); }

private:
    const cpu::Scratch scratch_;  // 16 more: pack_panel may write behind the last panel
};

// In place where an operand is small or hardly reused, if its layout allows.
template <class V>
void choose_packing(GemmPlan<V>* g) {
    constexpr int64_t kSmall = 32 * 1024 / int64_t(sizeof(typename V::T));
    // How many panels of B a block of A in place may serve: a number of A serves kNV vectors of each. Columns of A lie
    // far apart.
    const int64_t uses = g->A.cs == 1 ? Tile<V>::kNV * Tile<V>::kNV : 4;
    const bool large_a = g->M * g->K > kSmall, large_b = g->N * g->K > kSmall;
    g->pack_a = (g->A.cs != 1 && g->A.rs != 1) || (large_a && g->N > uses * Tile<V>::kNR);
    g->pack_b = g->B.cs != 1 || (large_b && g->M > 2 * kMR);
}
