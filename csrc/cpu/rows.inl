// Rows of a batch as rules/row.h walks them, how they are shared out, and softmax over them. It must not know losses.
// Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

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
    FR_LOOP int64_t label(const T* t) const { return int64_t(t[0]); }
    template <class F>
    FR_LOOP void only(int64_t c, F f) const {
        f(At<Part>{c, Part{1}});
    }
    FR_LOOP V element(const T* p, int64_t c) const { return V::set(p[c]); }
    FR_LOOP V max(const T* p) const {
        T best = p[0];
        int64_t j = 1;
        if (n >= 2 * V::L) {
            V most = V::load(p);
            for (j = V::L; j + V::L <= n; j += V::L) {
                const V v = V::load(p + j);
                most = V::select(most < v, v, most);
            }
            T lanes[V::L];
            most.store(lanes);
            best = lanes[0];
            for (const T lane : lanes) best = best < lane ? lane : best;
        }
        for (; j < n; ++j) best = best < p[j] ? p[j] : best;
        return V::set(best);
    }
};

// Short rows leave most of a vector empty and wait for one sum after the other. V::L of them side by side do not:
// element c of row r lies at c * V::L + r. Sums have the lanes and the tree of a Sum16, and so the bits of a Row's.
template <class Vector>
struct RowsAbreast {
    using V = Vector;
    using T = typename V::T;
    int64_t n;

    struct At {
        int64_t c;
        FR_LOOP V load(const T* p) const { return V::load(p + c * V::L); }
        FR_LOOP void store(T* p, V v) const { v.store(p + c * V::L); }
        FR_LOOP V mask(V v) const { return v; }
    };
    struct AtSome : At {  // of the rows
        typename V::M rows;
        FR_LOOP void store(T* p, V v) const { At::store(p, V::select(rows, v, At::load(p))); }
    };

    template <class F>
    FR_LOOP void each(F f) const {
        for (int64_t c = 0; c < n; ++c) f(At{c});
    }
    template <class F>
    FR_LOOP V sum(F f) const {
        V lanes[16];
        for (V& lane : lanes) lane = V::set(0);
        for (int64_t c = 0; c < n; ++c) lanes[c % 16] = f(At{c}, lanes[c % 16]);
        for (int64_t half = 8; half > 0; half /= 2)
            for (int64_t i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
        return lanes[0];
    }
    FR_LOOP V label(const T* t) const { return V::load(t); }
    template <class F>
    FR_LOOP void only(V label, F f) const {
        for (int64_t c = 0; c < n; ++c) f(AtSome{{c}, label == V::set(T(c))});
    }
    FR_LOOP V element(const T* p, V label) const {
        V found = V::load(p);
        for (int64_t c = 1; c < n; ++c) found = V::select(label == V::set(T(c)), At{c}.load(p), found);
        return found;
    }
    FR_LOOP V max(const T* p) const {
        V best = V::load(p);
        for (int64_t c = 1; c < n; ++c) {
            const V v = At{c}.load(p);
            best = V::select(best < v, v, best);
        }
        return best;
    }
};

// V::L rows side by side.
template <class V>
class TurnedRows {
public:
    using T = typename V::T;
    static constexpr int64_t kMostCols = 64;  // beyond, whole vectors of a row are as fast

    T* p() { return at_; }
    void fill(const T* x, int64_t rs, int64_t cols) { store_turned<V>(x, rs, V::L, cols, at_, V::L, false); }
    void copy_to(T* x, int64_t rs, int64_t cols) const { store_turned<V>(at_, V::L, cols, V::L, x, rs, false); }

private:
    alignas(64) T at_[kMostCols * V::L];
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

// Calls abreast(r) for V::L rows from r on, as long as they are short and so many are left, and row(r) for others.
template <class V, class One, class Some>
FR_LOOP void for_rows(int64_t rows, int64_t cols, One row, Some abreast) {
    for_row_blocks(rows, cols, [&](int64_t r0, int64_t r1) FR_LAMBDA {
        int64_t r = r0;
        if (V::L > 1 && cols <= TurnedRows<V>::kMostCols)
            for (; r + V::L <= r1; r += V::L) abreast(r);
        for (; r < r1; ++r) row(r);
    });
}

template <class V>
void softmax_forward(const Rows<typename V::T>& a) {
    if (a.cols == 0) return;
    const auto row = [&](int64_t r) { rules::softmax(Row<V>{a.cols}, a.x + r * a.x_rs, a.y + r * a.y_rs); };
    const auto abreast = [&](int64_t r) {
        TurnedRows<V> x;
        x.fill(a.x + r * a.x_rs, a.x_rs, a.cols);
        rules::softmax(RowsAbreast<V>{a.cols}, x.p(), x.p());
        x.copy_to(a.y + r * a.y_rs, a.y_rs, a.cols);
    };
    for_rows<V>(a.rows, a.cols, row, abreast);
}

template <class V>
void softmax_backward(const Rows<typename V::T>& a, const typename V::T* Y, int64_t y_rs) {
    if (a.cols == 0) return;
    const auto row = [&](int64_t r) {
        rules::softmax_backward(Row<V>{a.cols}, Y + r * y_rs, a.x + r * a.x_rs, a.y + r * a.y_rs);
    };
    const auto abreast = [&](int64_t r) {
        TurnedRows<V> y, dy;
        y.fill(Y + r * y_rs, y_rs, a.cols);
        dy.fill(a.x + r * a.x_rs, a.x_rs, a.cols);
        rules::softmax_backward(RowsAbreast<V>{a.cols}, y.p(), dy.p(), dy.p());
        dy.copy_to(a.y + r * a.y_rs, a.y_rs, a.cols);
    };
    for_rows<V>(a.rows, a.cols, row, abreast);
}
