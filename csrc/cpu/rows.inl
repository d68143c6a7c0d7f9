// A row of a batch as rules/row.h walks it, how rows are shared out, and softmax over the rows of a batch. It must not
// know losses. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

template <class Vector>
struct Row {
    using V = Vector;
    using T = typename V::T;
    int64_t n;  // elements, at least 1

    template <class Reach>  // Full or Part
    struct At {
        int64_t i;
        Reach reach;
        FR_LOOP V load(const T* p) const { return reach.template load<V>(p + i); }
        FR_LOOP void store(T* p, V v) const { reach.store(p + i, v); }
        FR_LOOP V mask(V v) const { return reach.mask(v); }
    };

    template <class F>
    FR_LOOP void each(F f) const {
        sweep<V>(n, [&](int64_t i, auto reach) FR_LAMBDA { f(At<decltype(reach)>{i, reach}); });
    }
    template <class F>
    FR_LOOP V sum(F f) const {
        Sum16<V> sum;
        sweep16<V>(n, [&](int64_t i, int j, auto reach)
                          FR_LAMBDA { sum.lanes[j] = f(At<decltype(reach)>{i, reach}, sum.lanes[j]); });
        return V::set(sum.total());
    }
    template <class F>
    FR_LOOP void only(int64_t c, F f) const {
        f(At<Part>{c, Part{1}});
    }
    FR_LOOP V element(const T* p, int64_t c) const { return V::set(p[c]); }
    FR_LOOP V max(const T* p) const {
        T best = p[0];
        for (int64_t j = 1; j < n; ++j) best = best < p[j] ? p[j] : best;
        return V::set(best);
    }
};

// Calls block(r0, r1) for parts of the rows, shared out between threads.
template <class F>
FR_LOOP void for_row_blocks(int64_t rows, int64_t cols, F block) {
    const int64_t parts = cpu::threads_for(rows * cols, 32768);
    auto part = [&](int64_t p) {
        int64_t r0, r1;
        cpu::cut(rows, 1, parts, p, &r0, &r1);
        block(r0, r1);
    };
    cpu::run(parts, part);
}

// Calls row(r) for every row, likewise.
template <class F>
FR_LOOP void for_rows(int64_t rows, int64_t cols, F row) {
    for_row_blocks(rows, cols, [&](int64_t r0, int64_t r1) FR_LAMBDA {
        for (int64_t r = r0; r < r1; ++r) row(r);
    });
}

template <class V>
void softmax_forward(const Rows<typename V::T>& a) {
    if (a.cols == 0) return;
    for_rows(a.rows, a.cols, [&](int64_t r) { rules::softmax(Row<V>{a.cols}, a.x + r * a.x_rs, a.y + r * a.y_rs); });
}

template <class V>
void softmax_backward(const Rows<typename V::T>& a, const typename V::T* Y, int64_t y_rs) {
    if (a.cols == 0) return;
    for_rows(a.rows, a.cols, [&](int64_t r) {
        rules::softmax_backward(Row<V>{a.cols}, Y + r * y_rs, a.x + r * a.x_rs, a.y + r * a.y_rs);
    });
}
