// Reductions over whole arrays: penalty values, zeros, finiteness. It must not know layers or optimizers.
// Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

// l1 sum|w| + l2 sum w^2
template <class V>
double penalty(const typename V::T* w, int64_t n, double l1, double l2) {
    return sum_chunks(n, [&](int64_t begin, int64_t end) {
        Sum16<V> absolute, square;
        sweep16<V>(end - begin, [&](int64_t i, int j, auto at) FR_LAMBDA {
            const V v = at.template load<V>(w + begin + i);
            absolute.lanes[j] = absolute.lanes[j] + rules::abs(v);
            square.lanes[j] = fma(v, v, square.lanes[j]);
        });
        return rules::penalty_value(l1, double(absolute.total()), l2, double(square.total()));
    });
}

template <class V>
void activity_penalty(const typename V::T* y, typename V::T* dy, int64_t B, int64_t O, const PenaltySpec& p,
                      double* value) {
    using T = typename V::T;
    const V l1 = V::set(T(p.l1 / double(B))), two_l2 = V::set(T(2.0 * p.l2 / double(B)));
    if (dy) {
        const int64_t n = B * O;
        sweep<V>(n, [&](int64_t i, auto at) FR_LAMBDA {
            const V g = rules::penalty_gradient(at.template load<V>(y + i), l1, two_l2);
            at.store(dy + i, at.template load<V>(dy + i) + g);
        });
    }
    if (value) *value += penalty<V>(y, B * O, p.l1, p.l2) / double(B);
}

template <class V>
int64_t count_zeros(const typename V::T* w, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) count += w[i] == typename V::T(0);
    return count;
}

// x - x is 0 for finite x, NaN otherwise; sums of zeros stay 0.
template <class V>
bool all_finite(const typename V::T* x, int64_t n) {
    const double sum = sum_chunks(n, [&](int64_t begin, int64_t end) {
        Sum16<V> zeros;
        sweep16<V>(end - begin, [&](int64_t i, int j, auto at) FR_LAMBDA {
            const V v = at.template load<V>(x + begin + i);
            zeros.lanes[j] = zeros.lanes[j] + (v - v);
        });
        return double(zeros.total());
    });
    return sum == 0.0;
}
