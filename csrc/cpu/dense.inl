// Dense layers: three GEMMs, and what is done to their finished blocks: bias, activation, dropout; gradient of the
// producer. It must not know sessions or losses. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

// Activations so brief that they and their dropout fit between the rounds that make its draws.
template <class Act>
constexpr bool kBrief = __is_same(Act, rules::Linear) || __is_same(Act, rules::Relu);

// y = dropout(f(y)), z = y if z is given.
template <class V, class Act, bool Drop, class Walk>
FR_LOOP void finish_forward(Walk walk, typename V::T* y, typename V::T* z, V alpha, const DropoutSpec& d) {
    const V scale = V::set(typename V::T(d.scale));
    const uint32_t keep = d.keep;
    walk([&](int64_t k, auto at, const uint16_t* draws) FR_LAMBDA {
        V v = at.template load<V>(y + k);
        if (z) at.store(z + k, v);
        v = Act::forward(v, alpha);
        if (Drop) v = rules::drop(v, scale, draws, keep);
        at.store(y + k, v);
    });
}

// dz = dy * mask * scale * f'.
template <class V, class Act, bool Drop, class Walk>
FR_LOOP void finish_backward(Walk walk, const typename V::T* dy, typename V::T* dz, const typename V::T* y,
                             const typename V::T* z, V alpha, const DropoutSpec& d) {
    const V scale = V::set(typename V::T(d.scale));
    const uint32_t keep = d.keep;
    walk([&](int64_t k, auto at, const uint16_t* draws) FR_LAMBDA {
        const auto load = [&](const typename V::T* p) FR_LAMBDA { return at.template load<V>(p + k); };
        at.store(dz + k, rules::layer_gradient<Act>(
                             load(dy), alpha, scale, Drop, z != nullptr, [&]() FR_LAMBDA { return load(y); },
                             [&]() FR_LAMBDA { return load(z); },
                             [&](V g) FR_LAMBDA { return rules::drop(g, scale, draws, keep); }));
    });
}

// Calls body(i, j, walk) for runs of elements of rows i0..i1, columns j0..j1 of a (., width) array, each from (i, j)
// on; walk(f) calls f(k, at, draws) for the elements k of the run, as sweep() does. Whole rows that lie behind one
// another (`contiguous`) are one run in row 0. Drop: with draws; Interleave: as in Draws.
template <class V, bool Drop, bool Interleave, class Body>
FR_LOOP void for_runs(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t width, bool contiguous,
                      const DropoutSpec& d, Body body) {
    Draws draws(d);
    const bool whole_rows = j0 == 0 && j1 == width;
    const int64_t last = i1 * width;
    if (contiguous && whole_rows) {
        j0 = i0 * width;
        j1 = i1 * width;
        i0 = 0;
        i1 = 1;
    }
    const int64_t n = j1 - j0;
    for (int64_t i = i0; i < i1; ++i) {
        const int64_t flat = i * width + j0, expect = whole_rows ? last : flat + n;
        body(i, j0, [&](auto f) FR_LAMBDA {
            if constexpr (Drop)
                draws.sweep_with<V, Interleave>(d.first + flat, n, d.first + expect, f);
            else
                sweep<V>(n, [&](int64_t k, auto at) FR_LAMBDA { f(k, at, nullptr); });
        });
    }
}

template <class V, class Act, bool Drop>
void dense_forward_with(Cancel& cancel, const DenseForward<typename V::T>& a) {
    const V alpha = V::set(typename V::T(a.activation.alpha));
    const bool contiguous = a.y_rs == a.O && (!a.Z || a.z_rs == a.O);
    const auto finish = [&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
        for_runs<V, Drop, kBrief<Act>>(
            i0, i1, j0, j1, a.O, contiguous, a.dropout, [&](int64_t i, int64_t j, auto walk) FR_LAMBDA {
                finish_forward<V, Act, Drop>(walk, a.Y + i * a.y_rs + j, a.Z ? a.Z + i * a.z_rs + j : nullptr, alpha,
                                             a.dropout);
            });
    };
    const bool bare = __is_same(Act, rules::Linear) && !Drop && !a.Z;
    const Finish done = bare ? Finish{} : finish_by(finish);
    if (a.sparse_X) return csr_product<V>(cancel, *a.sparse_X, a.B, a.O, a.I, a.W.p, a.W.rs, a.b, a.Y, a.y_rs, done);
    gemm<V>(cancel, a.B, a.O, a.I, a.X, a.W, a.b, a.Y, a.y_rs, done);
}

template <class V>
void dense_forward(Cancel& cancel, const DenseForward<typename V::T>& a) {
    rules::with_activation(a.activation.kind, [&](auto act) {
        using Act = decltype(act);
        drops(a.dropout) ? dense_forward_with<V, Act, true>(cancel, a) : dense_forward_with<V, Act, false>(cancel, a);
    });
}

template <class V, class Act, bool Drop>
void layer_backward_with(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t width, const typename V::T* dy,
                         int64_t dy_rs, typename V::T* dz, int64_t dz_rs, const LayerGradient<typename V::T>& g) {
    const V alpha = V::set(typename V::T(g.activation.alpha));
    constexpr bool kDraws = Drop && !__is_same(Act, rules::Relu);
    const bool contiguous = dy_rs == width && dz_rs == width && (!g.Y || g.y_rs == width) && (!g.Z || g.z_rs == width);
    for_runs<V, kDraws, kBrief<Act>>(
        i0, i1, j0, j1, width, contiguous, g.dropout, [&](int64_t i, int64_t j, auto walk) FR_LAMBDA {
            finish_backward<V, Act, Drop>(walk, dy + i * dy_rs + j, dz + i * dz_rs + j,
                                          g.Y ? g.Y + i * g.y_rs + j : nullptr, g.Z ? g.Z + i * g.z_rs + j : nullptr,
                                          alpha, g.dropout);
        });
}

// dz = dy through the layer g, over a block of a (., width) array. dy may be dz.
template <class V>
void layer_backward_block(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t width, const typename V::T* dy,
                          int64_t dy_rs, typename V::T* dz, int64_t dz_rs, const LayerGradient<typename V::T>& g) {
    rules::with_activation(g.activation.kind, [&](auto act) {
        using Act = decltype(act);
        drops(g.dropout) ? layer_backward_with<V, Act, true>(i0, i1, j0, j1, width, dy, dy_rs, dz, dz_rs, g)
                         : layer_backward_with<V, Act, false>(i0, i1, j0, j1, width, dy, dy_rs, dz, dz_rs, g);
    });
}

template <class V>
void dense_backward_x(Cancel& cancel, const DenseBackwardX<typename V::T>& a) {
    const Strided<const typename V::T> Wt{a.W.p, a.W.cs, a.W.rs};
    const auto through = [&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
        layer_backward_block<V>(i0, i1, j0, j1, a.I, a.dX, a.dx_rs, a.dX, a.dx_rs, *a.producer);
    };
    gemm<V>(cancel, a.B, a.I, a.O, a.dZ, Wt, nullptr, a.dX, a.dx_rs, a.producer ? finish_by(through) : Finish{});
}

// sum[0:cols] += n rows from x on, one after the other. Whole vectors of sum are written.
template <class V, int n>
FR_LOOP void add_rows(const typename V::T* x, int64_t rs, int64_t cols, typename V::T* sum) {
    sweep<V>(cols, [&](int64_t j, auto at) FR_LAMBDA {
        V s = V::load(sum + j);
        FR_UNROLL for (int r = 0; r < n; ++r) s = s + at.template load<V>(x + r * rs + j);
        s.store(sum + j);
    });
}

// out[j] = sum over rows of a (B, O) matrix: blocks of k_block(B) rows, chains over increasing rows within, as in
// gemm(). A strip of columns at a time, so that memory is read in long runs while the sums stay in the first cache.
template <class V>
void column_sums(Strided<const typename V::T> x, int64_t B, int64_t O, typename V::T* out) {
    using T = typename V::T;
    const int64_t parts = cpu::threads_for(B * O, 200000), step = k_block(B);
    auto part = [&](int64_t p) {
        constexpr int64_t kStrip = 4096 / int64_t(sizeof(T));
        constexpr int kRows = 4;  // rows may be 4 KiB apart, so that their columns share a set of the cache
        alignas(64) T total[kStrip], sum[kStrip];
        int64_t j0, j1;
        cpu::cut(O, V::L, parts, p, &j0, &j1);
        for (int64_t j = j0; j < j1; j += kStrip) {
            const int64_t cols = j1 - j < kStrip ? j1 - j : kStrip;
            sweep<V>(cols, [&](int64_t i, auto) FR_LAMBDA { V::set(0).store(total + i); });
            for (int64_t b0 = 0; b0 < B; b0 += step) {
                const int64_t b1 = b0 + step < B ? b0 + step : B;
                T* const chain = b0 == 0 ? total : sum;
                if (b0 > 0) sweep<V>(cols, [&](int64_t i, auto) FR_LAMBDA { V::set(0).store(sum + i); });
                int64_t b = b0;
                for (; b + kRows <= b1; b += kRows) add_rows<V, kRows>(x.p + b * x.rs + j, x.rs, cols, chain);
                for (; b < b1; ++b) add_rows<V, 1>(x.p + b * x.rs + j, x.rs, cols, chain);
                if (b0 > 0) add_rows<V, 1>(sum, kStrip, cols, total);
            }
            sweep<V>(cols, [&](int64_t i, auto at) FR_LAMBDA { at.store(out + j + i, V::load(total + i)); });
        }
    };
    cpu::run(parts, part);
}

// Rows [i0, i1) of dW, and db with the first of them.
template <class V>
void weight_gradient(Cancel& cancel, const DenseBackwardW<typename V::T>& a, int64_t i0, int64_t i1) {
    const Strided<const typename V::T> Xt{a.X.p + i0 * a.X.cs, a.X.cs, a.X.rs};
    const int64_t I = i1 - i0;
    typename V::T* dW = a.dW + i0 * a.dw_rs;
    gemm<V>(cancel, I, a.O, a.B, Xt, a.dZ, nullptr, dW, a.dw_rs, Finish{});
    if (a.db && i0 == 0) column_sums<V>(a.dZ, a.B, a.O, a.db);
}

// The same for all rows of a sparse X: each thread makes rows of dW from columns of X.
template <class V>
void sparse_weight_gradient(Cancel& cancel, const DenseBackwardW<typename V::T>& a) {
    const CsrTranspose<typename V::T> Xt(*a.sparse_X, a.B, a.I);
    csr_product<V>(cancel, Xt.csr(), a.I, a.O, a.B, a.dZ.p, a.dZ.rs, nullptr, a.dW, a.dw_rs, Finish{});
    if (a.db) column_sums<V>(a.dZ, a.B, a.O, a.db);
}

// Large layers one after the other, each with all threads; small ones together, their rows shared out by cost.
template <class V>
void dense_backward_w(Cancel& cancel, const DenseBackwardW<typename V::T>* layers, int64_t n_layers) {
    if (n_layers > 0 && layers->sparse_X) {
        sparse_weight_gradient<V>(cancel, *layers);
        ++layers;
        --n_layers;
    }
    int64_t most = 0, total = 0;
    for (int64_t l = 0; l < n_layers; ++l) {
        const int64_t weights = layers[l].I * layers[l].O;
        total += weights;
        if (weights > most) most = weights;
    }
    const int64_t B = n_layers ? layers[0].B : 0, threads = cpu::threads_for(B * total, cpu::kSharedGrain);
    if (threads == 1 || B * most >= 2 * kGemmGrain) {
        for (int64_t l = 0; l < n_layers; ++l) weight_gradient<V>(cancel, layers[l], 0, layers[l].I);
        return;
    }
    const int64_t parts = 2 * threads;  // who is done first takes more
    auto part = [&](int64_t p) {
        int64_t start = 0;  // cost of the layers before
        for (int64_t l = 0; l < n_layers; ++l) {
            const int64_t I = layers[l].I, O = layers[l].O;
            const auto row_at = [&](int64_t cost) {
                const int64_t row = (cost - start) / O / kMR * kMR;
                return cost >= start + I * O ? I : cost <= start ? 0 : row;
            };
            const int64_t i0 = row_at(total * p / parts), i1 = row_at(total * (p + 1) / parts);
            if (i0 < i1) weight_gradient<V>(cancel, layers[l], i0, i1);
            start += I * O;
        }
    };
    cpu::run(parts, part);
}
