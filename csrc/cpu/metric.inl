// Metrics and losses of a batch, added to running totals in double. What totals hold is written at Metric in
// rules/spec.h. It must not know losses' gradients or epochs. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

template <class T>
FR_LOOP int64_t argmax(const T* p, int64_t n) {  // the first of equals
    int64_t best = 0;
    for (int64_t j = 1; j < n; ++j)
        if (p[j] > p[best]) best = j;
    return best;
}

// The metric of row r for those that are a mean over rows.
template <class T>
FR_LOOP double row_metric(const MetricBatch<T>& a, int64_t r) {
    const T *y = a.prediction + r * a.O, *t = a.target + r * a.target_cols;
    switch (a.spec.kind) {
        case Metric::binary_accuracy: {
            int64_t hits = 0;
            for (int64_t j = 0; j < a.O; ++j) hits += t[j] == T(double(y[j]) > a.spec.threshold);
            return double(hits) / double(a.O);
        }
        case Metric::categorical_accuracy: return argmax(t, a.target_cols) == argmax(y, a.O);
        case Metric::sparse_categorical_accuracy: return int64_t(t[0]) == argmax(y, a.O);
        default: return double(a.scratch[r]);  // Metric::loss: done before
    }
}

template <class T>
FR_LOOP void threshold_row(const MetricBatch<T>& a, int64_t r, double weight) {
    const int64_t n = a.spec.n_thresholds;
    for (int64_t j = 0; j < a.O; ++j) {
        int64_t low = 0, high = n;  // the number of thresholds below y
        while (low < high) {
            const int64_t mid = (low + high) / 2;
            if (double(a.prediction[r * a.O + j]) > double(a.spec.thresholds[mid]))
                low = mid + 1;
            else
                high = mid;
        }
        const bool positive = a.target[r * a.target_cols + j] > T(0.5);
        a.totals[positive ? low : n + 1 + low] += weight;
    }
}

template <class T>
FR_LOOP void r2_row(const MetricBatch<T>& a, int64_t r, double weight) {
    for (int64_t j = 0; j < a.O; ++j) {
        const double t = double(a.target[r * a.target_cols + j]), e = t - double(a.prediction[r * a.O + j]);
        double* sums = a.totals + 4 * j;
        sums[0] += weight;
        sums[1] += weight * t;
        sums[2] += weight * t * t;
        sums[3] += weight * e * e;
    }
}

template <class T>
FR_LOOP void class_counts_row(const MetricBatch<T>& a, int64_t r, double weight) {
    const T* y = a.prediction + r * a.O;
    const double top = a.spec.largest ? double(y[argmax(y, a.O)]) : 0.0;
    for (int64_t j = 0; j < a.O; ++j) {
        const double actual = weight * double(a.target[r * a.target_cols + j]);
        const bool chosen = rules::is_chosen(a.spec, double(y[j]), top);
        double* sums = a.totals + 3 * j;
        sums[0] += chosen ? actual : 0.0;
        sums[1] += chosen ? weight : 0.0;
        sums[2] += actual;
    }
}

// Adds row r, if the metric is no mean over rows; whether it did.
template <class T>
FR_LOOP bool count_row(const MetricBatch<T>& a, int64_t r, double weight) {
    switch (a.spec.kind) {
        case Metric::thresholds: threshold_row(a, r, weight); return true;
        case Metric::r2: r2_row(a, r, weight); return true;
        case Metric::class_counts: class_counts_row(a, r, weight); return true;
        default: return false;
    }
}

template <class V>
void metric(const MetricBatch<typename V::T>& a) {
    using T = typename V::T;
    if (a.spec.kind == Metric::loss) {
        const LossBatch<T> batch{a.spec.loss, a.B,           a.O,     a.B,       a.prediction, a.O,
                                 a.target,    a.target_cols, nullptr, a.scratch, nullptr,      a.scratch + a.B};
        loss<V>(batch);
    }
    for (int64_t begin = 0; begin < a.B; begin += a.unit) {
        const int64_t n = a.B - begin < a.unit ? a.B - begin : a.unit;
        rules::LaneSum values, weights;
        bool is_mean = true;
        for (int64_t i = 0; i < n; ++i) {
            const int64_t r = begin + i;
            const double weight = a.weight ? double(a.weight[r]) : 1.0;
            is_mean = !count_row(a, r, weight);
            if (!is_mean) continue;
            values.add(i, weight * row_metric(a, r));
            weights.add(i, weight);
        }
        if (!is_mean) continue;
        a.totals[0] += values.total(n);
        a.totals[1] += weights.total(n);
    }
}

// See BatchTotals in core/op_table.h.
template <class T>
void totals(const BatchTotals<T>& a) {
    const double known = rules::lane_sum(a.n_penalties, [&](int64_t i) FR_LAMBDA { return a.penalties[i]; });
    const double penalty = a.penalty + known + (a.activity ? *a.activity : 0.0);
    if (a.activity) *a.activity = 0.0;
    for (int64_t begin = 0; begin < a.B; begin += a.unit) {
        const int64_t n = a.B - begin < a.unit ? a.B - begin : a.unit;
        const double sum = rules::lane_sum(n, [&](int64_t i) FR_LAMBDA {
            return double(a.per_row[begin + i]) * (a.weight ? double(a.weight[begin + i]) : 1.0);
        });
        const double data_loss = sum / double(n), loss = data_loss + penalty;
        a.totals[kTotalLoss] += double(n) * loss;
        a.totals[kTotalDataLoss] += double(n) * data_loss;
        a.totals[kTotalPenalty] += double(n) * penalty;
        if (!(loss - loss == 0.0)) a.totals[kTotalNonfinite] = 1.0;  // NaN or infinite
    }
}
