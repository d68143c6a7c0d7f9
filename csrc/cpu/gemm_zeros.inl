// Products whose A holds many zeros, as the outputs and gradients of relu and dropout do: steps of k at which a row of
// A has a zero are skipped. It must not know who made the zeros. Included by gemm.inl, whose order of sums it keeps.
//
// The bits are those of every step: where B is finite, 0 b is a zero, and c + 0 is c but for c = -0. A chain that ends
// as -0 (only a start at -0 or an underflow gets there) is therefore made once more, with every step; one that ends as
// anything else has the bits of the whole chain.
//
// Over 40 lines: skip_rows, which keeps a row's sums in registers from load to store, and gemm_block_skipping, whose
// first half lays out the memory of its second.

#include "cpu/gemm_nonzeros.inl"

// Panels of B side by side whose part of a row of C fits the registers, beside a number of A.
constexpr int kPanelsAtOnce = FASTREG_ZEROS_PANELS;

// As many of them as the first cache holds a word of steps of.
template <class V>
int64_t panels_at_once() {
    const int64_t fit = cpu::first_cache() / (Tile<V>::kNR * Nonzeros<V>::kWord * int64_t(sizeof(typename V::T)));
    return fit < 1 ? 1 : fit < kPanelsAtOnce ? fit : kPanelsAtOnce;
}

// What the rows of a piece of C have in common over some panels of B, side by side, and some of the steps.
template <class T>
struct PanelGroup {
    const T* b;
    int64_t b_rs, panel_stride;
    const T* start;  // of the chains, one number a column; null: 0
    const T* from;   // what the chains have come to, row stride from_rs; null at their start
    int64_t from_rs;
    T* to;  // where they go
    int64_t to_rs;
    bool add;     // to what is there
    int vectors;  // columns, of which the last vector may be cut off after `last` lanes
    int last;
    bool complete;  // whether chains end here: rows with a -0 are then left to again(row)
};

template <class V, int n>
FR_LOOP bool has_minus_zero(const V (&x)[n]) {
    auto zero = x[0] == V::set(0);
    FR_UNROLL for (int v = 1; v < n; ++v) zero = V::mask_or(zero, x[v] == V::set(0));
    if (!V::lanes(zero)) return false;  // of either sign
    auto minus_zero = V::mask_and(zero, V::mask_not(zero));
    FR_UNROLL for (int v = 0; v < n; ++v) {
        const auto negative = bits_or(x[v], V::set(1)) < V::set(0);
        minus_zero = V::mask_or(minus_zero, V::mask_and(x[v] == V::set(0), negative));
    }
    return V::lanes(minus_zero) != 0;
}

// Chains of all rows of A over its words [first, end).
template <class V, int NP, class Again>
void skip_rows(const Nonzeros<V>& nonzeros, int64_t first, int64_t end, const PanelGroup<typename V::T>& group,
               Again again) {
    using T = typename V::T;
    constexpr int kNV = Tile<V>::kNV, kV = NP * kNV;
    const PanelGroup<T> g = group;  // copies that no store can reach
    const Nonzeros<V> a = nonzeros;
    const T* panel[NP];
    FR_UNROLL for (int p = 0; p < NP; ++p) panel[p] = g.b + p * g.panel_stride;
    const bool edge = g.vectors < kV || g.last < V::L;
    const auto load = [&](const T* p, int v) FR_LAMBDA {
        if (!edge || v < g.vectors - 1) return V::load(p + v * V::L);
        return v < g.vectors ? V::load(p + v * V::L, g.last) : V::set(0);
    };
    for (int64_t r = 0; r < a.rows; ++r) {
        V sum[kV];
        if (g.from) {
            FR_UNROLL for (int v = 0; v < kV; ++v) sum[v] = load(g.from + r * g.from_rs, v);
        } else if (g.start) {
            FR_UNROLL for (int v = 0; v < kV; ++v) sum[v] = load(g.start, v);
        } else {
            FR_UNROLL for (int v = 0; v < kV; ++v) sum[v] = V::set(0);
        }
        for (int64_t w = first; w < end; ++w) {
            const T* const row = a.a + r * a.a_rs + w * a.kWord;
            const int64_t word_at = w * a.kWord * g.b_rs;
            for (uint64_t bits = a.bits[w * a.rows + r]; bits; bits &= bits - 1) {
                const int64_t k = __builtin_ctzll(bits), at = word_at + k * g.b_rs;
                const V value = V::set(row[k]);
                FR_UNROLL for (int p = 0; p < NP; ++p) {
                    FR_UNROLL for (int v = 0; v < kNV; ++v)
                        V::accumulate(value, panel[p] + at + v * V::L, sum[p * kNV + v]);
                }
            }
        }
        if (g.complete && has_minus_zero(sum)) {
            again(r);
            continue;
        }
        T* const to = g.to + r * g.to_rs;
        if (g.add) {
            FR_UNROLL for (int v = 0; v < kV; ++v) sum[v] = load(to, v) + sum[v];
        }
        FR_UNROLL for (int v = 0; v < kV; ++v) {
            if (!edge || v < g.vectors - 1)
                sum[v].store(to + v * V::L);
            else if (v < g.vectors)
                sum[v].store(to + v * V::L, g.last);
        }
    }
}

template <class V, class Again, int NP = kPanelsAtOnce>
FR_LOOP void skip_group(int panels, const Nonzeros<V>& a, int64_t first, int64_t end,
                        const PanelGroup<typename V::T>& group, Again again) {
    if (panels == NP) return skip_rows<V, NP>(a, first, end, group, again);
    if constexpr (NP > 1) skip_group<V, Again, NP - 1>(panels, a, first, end, group, again);
}

// One row of a group by every step, K of them.
template <class V>
void whole_row(const PanelGroup<typename V::T>& g, int64_t row, int64_t K, const typename V::T* a) {
    constexpr int kNV = Tile<V>::kNV;
    for (int v = 0; v < g.vectors; ++v) {
        const int lanes = v == g.vectors - 1 ? g.last : V::L;
        const auto* b = g.b + v / kNV * g.panel_stride + v % kNV * V::L;
        auto* to = g.to + row * g.to_rs + v * V::L;
        V sum = g.start ? V::load(g.start + v * V::L, lanes) : V::set(0);
        for (int64_t k = 0; k < K; ++k) sum = fma(V::set(a[k]), V::load(b + k * g.b_rs, lanes), sum);
        if (g.add) sum = V::load(to, lanes) + sum;
        sum.store(to, lanes);
    }
}

// gemm_block() without the zeros of A.
template <class V>
void gemm_block_skipping(const GemmPlan<V>& g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t k0, int64_t k1,
                         const typename V::T* b_pack) {
    using T = typename V::T;
    constexpr int kNR = Tile<V>::kNR;
    constexpr int64_t kFirstCache = 24 * 1024 / int64_t(sizeof(T));
    const int64_t rows = i1 - i0, K = k1 - k0, panels = (j1 - j0 + kNR - 1) / kNR;
    const int64_t at_once = panels_at_once<V>();
    const int64_t groups = (panels + at_once - 1) / at_once, widest = (panels + groups - 1) / groups * kNR;
    // In cuts of as many words of steps as keep B's part of them in the first cache.
    const int64_t words = (K + Nonzeros<V>::kWord - 1) / Nonzeros<V>::kWord;
    const int64_t fit = kFirstCache / (widest * Nonzeros<V>::kWord), cut = fit > 1 ? fit : 1;
    const bool turned_c = g.c_cs != 1, apart = words > cut || turned_c;  // chains are not made in C
    const int64_t turned_rs = g.A.cs == 1 ? 0 : K + V::kTransposeTile;
    const size_t words_size = (size_t(words * rows) * sizeof(uint64_t) + 63) / 64 * 64;  // chains begin at a cache line
    const size_t chains_size = apart ? size_t(rows * widest) : 0;
    const cpu::Scratch scratch(words_size + (chains_size + size_t(rows * turned_rs)) * sizeof(T));
    T* const chains = reinterpret_cast<T*>(static_cast<char*>(scratch.memory()) + words_size);
    const Strided<const T> first{g.A.p + i0 * g.A.rs + k0 * g.A.cs, g.A.rs, g.A.cs};
    Nonzeros<V> a{rows, K, first.p, first.rs, static_cast<uint64_t*>(scratch.memory())};
    if (turned_rs) {
        turn_rows<V>(first, rows, K, chains + chains_size, turned_rs);
        a.a = chains + chains_size;
        a.a_rs = turned_rs;
    }
    a.find();

    for (int64_t q = 0; q < groups; ++q) {
        const int64_t p0 = panels * q / groups, p1 = panels * (q + 1) / groups, j = j0 + p0 * kNR;
        const int64_t n = (j1 < j0 + p1 * kNR ? j1 : j0 + p1 * kNR) - j;
        PanelGroup<T> group{};
        group.b = g.pack_b ? b_pack + p0 * b_panel_size<V>(K) : g.B.p + k0 * g.B.rs + j;
        group.b_rs = g.pack_b ? kNR : g.B.rs;
        group.panel_stride = g.pack_b ? b_panel_size<V>(K) : kNR;
        group.vectors = int((n + V::L - 1) / V::L);
        group.last = int(n - (group.vectors - 1) * V::L);
        group.start = g.bias && k0 == 0 ? g.bias + j : nullptr;
        group.to = chains;
        group.to_rs = group.from_rs = widest;
        T* const c = g.C + i0 * g.c_rs + j * g.c_cs;
        const auto again = [&](int64_t r) { whole_row<V>(group, r, K, a.a + r * a.a_rs); };
        for (int64_t w = 0; w < words; w += cut) {
            group.from = w == 0 ? nullptr : chains;
            group.complete = w + cut >= words;
            if (group.complete && !turned_c) {
                group.to = c;
                group.to_rs = g.c_rs;
                group.add = k0 > 0;
            }
            skip_group<V>(int(p1 - p0), a, w, group.complete ? words : w + cut, group, again);
        }
        if (turned_c) store_turned<V>(chains, widest, rows, n, c, g.c_cs, k0 > 0);
    }
}
