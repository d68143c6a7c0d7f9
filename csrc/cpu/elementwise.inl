// Elementwise operations over rows: standalone activations and dropout, penalty gradients, prox, scaling.
// It must not know layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

// y = f(x) over rows, f(V) -> V.
template <class V, class F>
FR_LOOP void map_rows(const Rows<typename V::T>& a, F f) {
    const bool flat = a.x_rs == a.cols && a.y_rs == a.cols;
    const int64_t rows = flat ? 1 : a.rows, cols = flat ? a.rows * a.cols : a.cols;
    const int64_t parts = cpu::threads_for(a.rows * a.cols, 65536);
    auto part = [&](int64_t p) {
        int64_t r0 = 0, r1 = rows, c0 = 0, c1 = cols;
        if (flat)
            cpu::cut(cols, 64, parts, p, &c0, &c1);
        else
            cpu::cut(rows, 1, parts, p, &r0, &r1);
        for (int64_t r = r0; r < r1; ++r) {
            const typename V::T* x = a.x + r * a.x_rs + c0;
            typename V::T* y = a.y + r * a.y_rs + c0;
            sweep<V>(c1 - c0, [&](int64_t i, auto at) FR_LAMBDA { at.store(y + i, f(at.template load<V>(x + i))); });
        }
    };
    cpu::run(parts, part);
}

template <class V>
void activation_forward(const Rows<typename V::T>& a, const ActivationSpec& spec) {
    if (spec.kind == Activation::softmax) return softmax_forward<V>(a);
    const V alpha = V::set(typename V::T(spec.alpha));
    rules::with_activation(
        spec.kind, [&](auto act) { map_rows<V>(a, [&](V x) FR_LAMBDA { return decltype(act)::forward(x, alpha); }); });
}

template <class V>
void layer_backward(const Rows<typename V::T>& a, const LayerGradient<typename V::T>& g) {
    if (g.activation.kind == Activation::softmax) return softmax_backward<V>(a, g.Y, g.y_rs);
    for_row_blocks(a.rows, a.cols, [&](int64_t r0, int64_t r1) {
        layer_backward_block<V>(r0, r1, 0, a.cols, a.cols, a.x, a.x_rs, a.y, a.y_rs, g);
    });
}

// y = dropout(x) over the elements of a walk. Stream: past the caches, in which x does not lie either: it is fetched
// some lines ahead, since the CPU's own fetching ends at each page.
template <class V, bool Stream, class Walk>
FR_LOOP void drop_run(Walk walk, const typename V::T* x, typename V::T* y, const DropoutSpec& d) {
    const V scale = V::set(typename V::T(d.scale));
    const uint32_t keep = d.keep;
    constexpr int64_t kAhead = 1024 / int64_t(sizeof *x);
    walk([&](int64_t i, auto at, const uint16_t* draws) FR_LAMBDA {
        if constexpr (Stream) __builtin_prefetch(x + i + kAhead);
        const V v = rules::drop(at.template load<V>(x + i), scale, draws, keep);
        if constexpr (Stream && __is_same(decltype(at), Full))
            v.stream(y + i);
        else
            at.store(y + i, v);
    });
    if (Stream) V::drain();
}

template <class V, bool Stream>
void dropout_flat(const typename V::T* x, typename V::T* y, int64_t n, const DropoutSpec& d) {
    const int64_t parts = cpu::threads_for(n, 8192);  // about 2 us
    auto part = [&](int64_t p) {
        int64_t begin, end;
        cpu::cut(n, 64, parts, p, &begin, &end);
        for_runs<V, true, true>(0, 1, begin, end, n, false, d, [&](int64_t, int64_t i, auto walk) FR_LAMBDA {
            drop_run<V, Stream>(walk, x + i, y + i, d);
        });
    };
    cpu::run(parts, part);
}

template <class V>
void dropout(const Rows<typename V::T>& a, const DropoutSpec& d) {
    if (a.rows == 1 || (a.x_rs == a.cols && a.y_rs == a.cols)) {
        // What the caches would not keep is written past them: its memory need not be read first. Vectors begin at
        // multiples of 16 bytes where y does and no run begins inside a block of draws.
        constexpr int64_t kPastCaches = int64_t(16) << 20;
        const int64_t n = a.rows * a.cols, bytes = n * int64_t(sizeof *a.y);
        const bool aligned = reinterpret_cast<uintptr_t>(a.y) % 16 == 0 && d.first % rules::kDrawsPerBlock == 0;
        const bool stream = bytes >= kPastCaches && a.x != a.y && aligned;
        return stream ? dropout_flat<V, true>(a.x, a.y, n, d) : dropout_flat<V, false>(a.x, a.y, n, d);
    }
    for_row_blocks(a.rows, a.cols, [&](int64_t r0, int64_t r1) {
        for_runs<V, true, true>(r0, r1, 0, a.cols, a.cols, false, d, [&](int64_t r, int64_t, auto walk) FR_LAMBDA {
            drop_run<V, false>(walk, a.x + r * a.x_rs, a.y + r * a.y_rs, d);
        });
    });
}

template <class V>
void scale(const Rows<typename V::T>& a, double factor) {
    const V by = V::set(typename V::T(factor));
    map_rows<V>(a, [&](V x) FR_LAMBDA { return x * by; });
}

template <class V>
void penalty_gradient(const Rows<typename V::T>& a, double l1, double l2) {
    const V l1_v = V::set(typename V::T(l1)), two_l2 = V::set(typename V::T(2 * l2));
    map_rows<V>(a, [&](V w) FR_LAMBDA { return rules::penalty_gradient(w, l1_v, two_l2); });
}

template <class V>
void prox(const Rows<typename V::T>& a, double l1, double l2, double step) {
    const V threshold = V::set(typename V::T(step * l1)), inv = V::set(typename V::T(1.0 / (1.0 + 2.0 * step * l2)));
    map_rows<V>(a, [&](V w) FR_LAMBDA { return rules::prox_elastic_net(w, threshold, inv); });
}

template <class V>
void math(MathFunction function, const typename V::T* x, typename V::T* y, int64_t n) {
    const auto map = [&](auto f) FR_LAMBDA {
        sweep<V>(n, [&](int64_t i, auto at) FR_LAMBDA { at.store(y + i, f(at.template load<V>(x + i))); });
    };
    switch (function) {
        case MathFunction::exp: return map([](V v) FR_LAMBDA { return rules::exp(v); });
        case MathFunction::expm1: return map([](V v) FR_LAMBDA { return rules::expm1(v); });
        case MathFunction::log: return map([](V v) FR_LAMBDA { return rules::log(v); });
        case MathFunction::log1p: return map([](V v) FR_LAMBDA { return rules::log1p(v); });
        case MathFunction::tanh: return map([](V v) FR_LAMBDA { return rules::tanh(v); });
        case MathFunction::sigmoid: return map([](V v) FR_LAMBDA { return rules::sigmoid(v); });
        case MathFunction::softplus: return map([](V v) FR_LAMBDA { return rules::softplus(v); });
        case MathFunction::norm_cdf: return map([](V v) FR_LAMBDA { return rules::norm_cdf(v); });
        case MathFunction::cos_2pi: return map([](V v) FR_LAMBDA { return rules::cos_2pi(v); });
    }
}
