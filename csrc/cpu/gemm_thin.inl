// Products with one row or one column, where every number of the matrix is used once: vectors run along the outputs.
// It must not know tiles or packing. Included by gemm.inl, whose order of sums it keeps.

// Multiply-adds worth a thread: about 10 us, for it takes memory's time to fetch what is used once.
constexpr int64_t kThinGrain = 125000;

// out[r] = start[r] + sum over k of x[k] G(r, k), r < R, k < K. One stride of G is 1.
template <class V>
struct Thin {
    using T = typename V::T;
    int64_t R, K;
    const T* G;
    int64_t r_stride, k_stride;
    const T* x;
    int64_t x_stride;
    const T* start;        // null: 0
    int64_t start_stride;  // 1, or 0 for the same start everywhere
    T* out;
    int64_t out_stride;

    FR_LOOP V start_at(int64_t r) const {
        return !start ? V::set(0) : start_stride ? V::load(start + r) : V::set(*start);
    }
    FR_LOOP void store(int64_t r, V v) const {
        if (out_stride == 1) return v.store(out + r);
        T lanes[V::L];
        v.store(lanes);
        for (int i = 0; i < V::L; ++i) out[(r + i) * out_stride] = lanes[i];
    }
};

// The product as one of vectors, where it has one row or column and a vector's worth of outputs.
template <class V>
bool as_thin(const GemmPlan<V>& g, Thin<V>* t) {
    if (g.M == 1)
        *t = {g.N, g.K, g.B.p, g.B.cs, g.B.rs, g.A.p, g.A.cs, g.bias, 1, g.C, 1};
    else if (g.N == 1)
        *t = {g.M, g.K, g.A.p, g.A.rs, g.A.cs, g.B.p, g.B.rs, g.bias, 0, g.C, g.c_rs};
    else
        return false;
    return (t->r_stride == 1 || t->k_stride == 1) && t->R >= V::L;
}

// The chains of n vectors of outputs from r on, over steps [k0, k1): r_stride 1, so vectors lie in G.
template <class V, int n>
FR_LOOP void along_columns(const Thin<V>& t, int64_t r, int64_t k0, int64_t k1, V (&sum)[n]) {
    const auto* column = t.G + r + k0 * t.k_stride;
    for (int64_t k = k0; k < k1; ++k, column += t.k_stride) {
        const V x = V::set(t.x[k * t.x_stride]);
        FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = fma(V::load(column + v * V::L), x, sum[v]);
    }
}

// The same for k_stride 1: squares of G are turned into vectors. A cache line of each row is used up before the next
// row is touched, since rows whose lengths are powers of two share a few sets of the cache.
template <class V, int n>
FR_LOOP void along_rows(const Thin<V>& t, int64_t r, int64_t k0, int64_t k1, V (&sum)[n]) {
    using T = typename V::T;
    constexpr int kTile = V::kTransposeTile, kLine = 64 / int(sizeof(T));
    const T* row = t.G + r * t.r_stride;
    alignas(64) T columns[kLine * n * V::L];
    int64_t k = k0;
    for (; k + kLine <= k1; k += kLine) {
        for (int i = 0; i < n * V::L; i += kTile)
            for (int c = 0; c < kLine; c += kTile)
                V::transpose(row + i * t.r_stride + k + c, t.r_stride, columns + c * n * V::L + i, n * V::L);
        for (int c = 0; c < kLine; ++c) {
            const V x = V::set(t.x[(k + c) * t.x_stride]);
            FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = fma(V::load(columns + (c * n + v) * V::L), x, sum[v]);
        }
    }
    for (; k < k1; ++k) {
        for (int i = 0; i < n * V::L; ++i) columns[i] = row[i * t.r_stride + k];
        const V x = V::set(t.x[k * t.x_stride]);
        FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = fma(V::load(columns + v * V::L), x, sum[v]);
    }
}

template <class V, int n>
FR_LOOP void thin_chains(const Thin<V>& t, int64_t r, int64_t k0, int64_t k1, V (&sum)[n]) {
    t.r_stride == 1 ? along_columns<V, n>(t, r, k0, k1, sum) : along_rows<V, n>(t, r, k0, k1, sum);
}

template <class V, int n>
void thin_vectors(const Thin<V>& t, int64_t r) {
    const int64_t step = k_block(t.K);
    V total[n], sum[n];
    FR_UNROLL for (int v = 0; v < n; ++v) total[v] = t.start_at(r + v * V::L);
    thin_chains<V, n>(t, r, 0, step, total);
    for (int64_t k0 = step; k0 < t.K; k0 += step) {
        FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = V::set(0);
        thin_chains<V, n>(t, r, k0, k0 + step < t.K ? k0 + step : t.K, sum);
        FR_UNROLL for (int v = 0; v < n; ++v) total[v] = total[v] + sum[v];
    }
    FR_UNROLL for (int v = 0; v < n; ++v) t.store(r + v * V::L, total[v]);
}

// Outputs [r0, r1), a multiple of V::L of them, n vectors at a time.
template <class V, int n>
void thin_part(Cancel& cancel, const Thin<V>& t, int64_t r0, int64_t r1) {
    const bool polls = is_long(t.R, 1, t.K);
    int64_t r = r0;
    for (; r + n * V::L <= r1; r += n * V::L) {
        if (polls && cpu::poll(cancel)) return;
        thin_vectors<V, n>(t, r);
    }
    for (; r < r1; r += V::L) thin_vectors<V, 1>(t, r);
}

// n vectors of chains over n_steps rows of G.
template <class V, int n, int n_steps>
FR_LOOP void strip_vectors(const typename V::T* row, int64_t stride, const V (&x)[n_steps], typename V::T* chain) {
    V sum[n];
    FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = V::load(chain + v * V::L);
    FR_UNROLL for (int s = 0; s < n_steps; ++s) {
        FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = fma(V::load(row + s * stride + v * V::L), x[s], sum[v]);
    }
    FR_UNROLL for (int v = 0; v < n; ++v) sum[v].store(chain + v * V::L);
}

// chain[0:n] over n_steps steps from k on; n is a multiple of V::L. As in along_rows(), a cache line of each row is
// used up at once.
template <class V, int n_steps>
void along_strip(const Thin<V>& t, int64_t r, int64_t k, int64_t n, typename V::T* chain) {
    constexpr int kLine = 64 / int(sizeof(typename V::T)) / V::L;
    const auto* row = t.G + r + k * t.k_stride;
    const int64_t stride = t.k_stride;  // a copy that no store can reach
    V x[n_steps];
    FR_UNROLL for (int s = 0; s < n_steps; ++s) x[s] = V::set(t.x[(k + s) * t.x_stride]);
    int64_t i = 0;
    for (; i + kLine * V::L <= n; i += kLine * V::L) strip_vectors<V, kLine>(row + i, stride, x, chain + i);
    for (; i < n; i += V::L) strip_vectors<V, 1>(row + i, stride, x, chain + i);
}

// thin_part() for a G whose rows of outputs are long and many: a strip of them at a time, some steps together, so that
// memory is read in long runs and not a few lines of each row. Chains wait in the first cache.
template <class V>
void thin_strips(Cancel& cancel, const Thin<V>& t, int64_t r0, int64_t r1) {
    using T = typename V::T;
    constexpr int64_t kStrip = 8192 / int64_t(sizeof(T));
    constexpr int kSteps = 8;
    const bool polls = is_long(t.R, 1, t.K);
    const int64_t step = k_block(t.K);
    alignas(64) T total[kStrip], sum[kStrip];
    for (int64_t r = r0; r < r1; r += kStrip) {
        const int64_t n = r1 - r < kStrip ? r1 - r : kStrip;
        for (int64_t k0 = 0; k0 < t.K; k0 += step) {
            if (polls && cpu::poll(cancel)) return;
            T* const chain = k0 == 0 ? total : sum;
            for (int64_t i = 0; i < n; i += V::L) (k0 == 0 ? t.start_at(r + i) : V::set(0)).store(chain + i);
            const int64_t k1 = k0 + step < t.K ? k0 + step : t.K;
            int64_t k = k0;
            for (; k + kSteps <= k1; k += kSteps) along_strip<V, kSteps>(t, r, k, n, chain);
            for (; k < k1; ++k) along_strip<V, 1>(t, r, k, n, chain);
            for (int64_t i = 0; k0 > 0 && i < n; i += V::L) (V::load(total + i) + V::load(sum + i)).store(total + i);
        }
        for (int64_t i = 0; i < n; i += V::L) t.store(r + i, V::load(total + i));
    }
}

template <class V>
void gemm_thin(Cancel& cancel, const Thin<V>& t, bool row, int64_t threads, const Finish& finish) {
    constexpr int kColumns = 8, kRows = 4;  // chains enough to hide the latency of an FMA
    const auto finished = [&](int64_t r0, int64_t r1) {
        row ? finish(int64_t(0), int64_t(1), r0, r1) : finish(r0, r1, int64_t(0), int64_t(1));
    };
    const int64_t whole = t.R / V::L * V::L;
    const bool strips = t.r_stride == 1 && t.R >= 128 && t.K >= 64;
    auto part = [&](int64_t p) {
        int64_t r0, r1;
        cpu::cut(whole, kColumns * V::L, threads, p, &r0, &r1);
        if (r0 == r1) return;
        strips            ? thin_strips<V>(cancel, t, r0, r1)
        : t.r_stride == 1 ? thin_part<V, kColumns>(cancel, t, r0, r1)
                          : thin_part<V, kRows>(cancel, t, r0, r1);
        finished(r0, r1);
    };
    cpu::run(threads, part);
    if (whole == t.R) return;
    thin_vectors<V, 1>(t, t.R - V::L);  // the last vector goes over some outputs twice, with the same result
    finished(t.R - V::L, t.R);
}
