// Products with one row or one column, where every number of the matrix is used once: vectors run along the outputs.
// It must not know tiles or packing. Included by gemm.inl, whose order of sums it keeps.

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

template <class V>
void gemm_thin(Cancel& cancel, const Thin<V>& t, bool row, int64_t threads, const Finish& finish) {
    constexpr int kColumns = 8, kRows = 4;  // chains enough to hide the latency of an FMA
    const auto finished = [&](int64_t r0, int64_t r1) {
        row ? finish(int64_t(0), int64_t(1), r0, r1) : finish(r0, r1, int64_t(0), int64_t(1));
    };
    const int64_t whole = t.R / V::L * V::L;
    auto part = [&](int64_t p) {
        int64_t r0, r1;
        cpu::cut(whole, kColumns * V::L, threads, p, &r0, &r1);
        if (r0 == r1) return;
        t.r_stride == 1 ? thin_part<V, kColumns>(cancel, t, r0, r1) : thin_part<V, kRows>(cancel, t, r0, r1);
        finished(r0, r1);
    };
    cpu::run(threads, part);
    if (whole == t.R) return;
    thin_vectors<V, 1>(t, t.R - V::L);  // the last vector goes over some outputs twice, with the same result
    finished(t.R - V::L, t.R);
}
