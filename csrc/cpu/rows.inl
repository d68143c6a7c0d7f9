// Softmax over the rows of a batch, forward and backward. It must not know losses.
// Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

// y = exp(x - max x) / sum; returns the sum and, in *top, the maximum (-inf for NaN only). y may be x. cols > 0.
template <class V>
typename V::T softmax_row(int64_t n, const typename V::T* x, typename V::T* y, typename V::T* top) {
    using T = typename V::T;
    T best = x[0];
    for (int64_t j = 1; j < n; ++j) best = best < x[j] ? x[j] : best;
    Sum16<V> sum;
    sweep16<V>(n, [&](int64_t i, int j, auto at) FR_LAMBDA {
        const V e = rules::exp(at.template load<V>(x + i) - V::set(best));
        at.store(y + i, e);
        sum.lanes[j] = sum.lanes[j] + at.template mask<V>(e);
    });
    const T total = sum.total();
    sweep<V>(n, [&](int64_t i, auto at) FR_LAMBDA { at.store(y + i, at.template load<V>(y + i) / V::set(total)); });
    *top = best;
    return total;
}

// Calls row(r) for every row, shared out between threads.
template <class F>
FR_LOOP void for_rows(int64_t rows, int64_t cols, F row) {
    const int64_t parts = cpu::threads_for(rows * cols, 32768);
    auto part = [&](int64_t p) {
        for (int64_t r = rows * p / parts; r < rows * (p + 1) / parts; ++r) row(r);
    };
    cpu::run(parts, part);
}

template <class V>
void softmax_forward(const Rows<typename V::T>& a) {
    for_rows(a.rows, a.cols, [&](int64_t r) {
        typename V::T top;
        if (a.cols > 0) softmax_row<V>(a.cols, a.x + r * a.x_rs, a.y + r * a.y_rs, &top);
    });
}

// dz = y (dy - sum_j dy_j y_j)
template <class V>
void softmax_backward(const Rows<typename V::T>& a, const typename V::T* Y, int64_t y_rs) {
    for_rows(a.rows, a.cols, [&](int64_t r) {
        const typename V::T *dy = a.x + r * a.x_rs, *y = Y + r * y_rs;
        typename V::T* dz = a.y + r * a.y_rs;
        Sum16<V> dot;
        sweep16<V>(a.cols, [&](int64_t i, int j, auto at) FR_LAMBDA {
            dot.lanes[j] = fma(at.template load<V>(dy + i), at.template load<V>(y + i), dot.lanes[j]);
        });
        const V sum = V::set(dot.total());
        sweep<V>(a.cols, [&](int64_t i, auto at) FR_LAMBDA {
            at.store(dz + i, at.template load<V>(y + i) * (at.template load<V>(dy + i) - sum));
        });
    });
}
