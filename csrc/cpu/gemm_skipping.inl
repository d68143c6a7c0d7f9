// Whether to skip the zeros of a product's operands, and of which. It must not know how they are skipped. Included by
// gemm.inl.

// What skipping zeros costs, as measured. It pays from a share of `least` on over many rows: what is skipped is whole
// vectors of B, but the longest wait for it, all wait where it is beyond the caches, and few of them (`short_rows`
// more, below `few` vectors) are too few chains to hide the latency of an FMA. Beside that it takes, in parts of the
// whole product's time: to see that B is finite and to pack all of it, as long as some rows; to turn A, as some
// columns; to turn C, as some steps.
struct SkippingCosts {
    double least, short_rows;
    int few;
    double rows, columns, steps;
};
template <class V>
SkippingCosts skipping_costs() {
    if (sizeof(V) < 64) return {0.42, 0.05, 16, 1.0, 8.0, 8.0};
    if (cpu::loads_keep_up()) return {0.36, 0.0, 0, 0.6, 4.0, 10.0};
    return {0.48, 0.12, 8, 1.5, 24.0, 14.0};
}

// What part of the whole product's time is saved by skipping that share of zeros; below 0 it takes longer.
template <class V>
double saved_by_skipping(const GemmPlan<V>& g, double zeros) {
    constexpr int64_t kNR = Tile<V>::kNR;
    const SkippingCosts cost = skipping_costs<V>();
    const int64_t kib = g.K * g.N * int64_t(sizeof(typename V::T)) >> 10;
    const double least = cost.least + (kib > 1024 ? 0.04 : 0) + (g.N < cost.few * V::L ? cost.short_rows : 0);
    const double rows = cost.rows * (kib <= 32 ? 2 : kib <= 512 ? 6 : 12);
    const double columns = g.A.cs == 1 ? 0 : cost.columns, steps = g.c_cs == 1 ? 0 : cost.steps;
    const double whole_panels = double((g.N + kNR - 1) / kNR * kNR) / double((g.N + V::L - 1) / V::L * V::L);
    return 1 - (1 - zeros) / (1 - least) * whole_panels - rows / double(g.M) - columns / double(g.N) -
           steps / double(g.K);
}

// The same by a sample of A's zeros; 0 where the product is too small or its operands do not lie in rows.
template <class V>
double estimate_saved(const GemmPlan<V>& g) {
    constexpr int64_t kRows = 4, kCols = 256;
    const auto lies = [](const auto& x) FR_LAMBDA { return x.cs == 1 || x.rs == 1; };
    constexpr bool kLongest = sizeof(V) == 64;
    if (!lies(g.A) || !lies(g.B) || g.M < 8 || g.K < 16 || g.N < (kLongest ? 4 : 8) * V::L) return 0;
    const bool along_k = g.A.cs == 1;
    const int64_t rows = along_k ? g.M : g.K, cols = along_k ? g.K : g.M, stride = along_k ? g.A.rs : g.A.cs;
    const int64_t step = rows > kRows ? rows / kRows : 1, most = cols < kCols ? cols : kCols;
    int64_t seen = 0, zeros = 0;
    for (int64_t r = step / 2; r < rows; r += step)
        for (int64_t c = 0; c + V::L <= most; c += V::L, seen += V::L)
            zeros += __builtin_popcount(V::lanes(V::load(g.A.p + r * stride + c) == V::set(0)));
    const bool few = double(zeros) <= skipping_costs<V>().least * double(seen);
    return few ? 0 : saved_by_skipping(g, double(zeros) / double(seen));
}

// Whether all numbers of B are finite: then 0 times each adds up to 0.
template <class V>
bool is_finite(const GemmPlan<V>& g, int64_t threads) {
    constexpr int kAtOnce = 8;
    constexpr int64_t kMostParts = 64;
    const bool along_n = g.B.cs == 1;
    int64_t rows = along_n ? g.K : g.N, cols = along_n ? g.N : g.K, stride = along_n ? g.B.rs : g.B.cs;
    if (stride == cols && rows % kAtOnce == 0) {  // as fewer and longer ones, for rows below may be short
        rows /= kAtOnce;
        cols *= kAtOnce;
        stride *= kAtOnce;
    }
    const int64_t parts = threads < kMostParts ? threads : kMostParts;
    bool finite[kMostParts];
    auto part = [&](int64_t p) {
        const V zero = V::set(0);
        V sum[kAtOnce];
        FR_UNROLL for (int v = 0; v < kAtOnce; ++v) sum[v] = zero;
        for (int64_t r = rows * p / parts; r < rows * (p + 1) / parts; ++r) {
            const auto* row = g.B.p + r * stride;
            int64_t c = 0;
            for (; c + kAtOnce * V::L <= cols; c += kAtOnce * V::L) {
                FR_UNROLL for (int v = 0; v < kAtOnce; ++v) V::accumulate(zero, row + c + v * V::L, sum[v]);
            }
            for (; c < cols; c += V::L)
                sum[0] = fma(zero, V::load(row + c, int(cols - c < V::L ? cols - c : V::L)), sum[0]);
        }
        FR_UNROLL for (int v = 1; v < kAtOnce; ++v) sum[0] = sum[0] + sum[v];
        finite[p] = !V::lanes(V::mask_not(sum[0] == zero));
    };
    cpu::run(parts, part);
    for (int64_t p = 0; p < parts; ++p)
        if (!finite[p]) return false;
    return true;
}

// Skips A's zeros, if B allows it; whether it does.
template <class V>
bool skip_zeros(GemmPlan<V>* g, int64_t threads) {
    if (!is_finite(*g, threads)) return false;
    choose_packing(g);
    g->skips_zeros = true;
    g->pack_a = false;
    g->pack_b |= g->N % Tile<V>::kNR != 0;  // whole panels are read
    return true;
}

// Whether and how to skip zeros: those of A or, where C may be turned, those of B, whichever saves more.
template <class V>
void choose_skipping(GemmPlan<V>* g, bool may_turn, int64_t threads) {
    const double saved = estimate_saved(*g);
    if (may_turn) {
        GemmPlan<V> turned{g->N, g->M, g->K,   {g->B.p, g->B.cs, g->B.rs}, {g->A.p, g->A.cs, g->A.rs}, nullptr,
                           g->C, 1,    g->c_rs};
        const double saved_if_turned = estimate_saved(turned);
        if (saved_if_turned > 0 && saved_if_turned > saved && skip_zeros(&turned, threads)) {
            *g = turned;
            return;
        }
    }
    if (saved > 0) skip_zeros(g, threads);
}
