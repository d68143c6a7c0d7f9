// Losses of a batch: per-row values, and the gradient of sum_i w_i loss_i / batch. It must not know
// layers. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

template <class V>
FR_LOOP rules::LossScalars<V> loss_scalars(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    double keep = 1.0, add = 0.0;
    if (a.spec.kind == Loss::binary_crossentropy) {
        keep = 1.0 - a.spec.label_smoothing;
        add = 0.5 * a.spec.label_smoothing;
    }
    if (a.spec.kind == Loss::hinge) {  // Keras: a batch whose targets are all 0 or 1 is mapped to -1, 1
        bool binary = true;
        for (int64_t r = 0; r < a.B; ++r)
            for (int64_t j = 0; j < a.O; ++j) {
                const T t = a.target[r * a.target_rs + j];
                binary &= t == T(0) || t == T(1);
            }
        if (binary) {
            keep = 2.0;
            add = -1.0;
        }
    }
    return {V::set(T(a.spec.delta)), V::set(T(keep)), V::set(T(add))};
}

// Elementwise losses: a row's loss is the mean over its outputs. One output: vectors run down the batch.
template <class V, class Rule, bool Logits>
void elementwise_loss(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const rules::LossScalars<V> s = loss_scalars<V>(a);
    const T share = T(1.0 / (double(a.batch) * double(a.O)));
    if (a.O == 1 && a.prediction_rs == 1 && a.target_rs == 1) {
        sweep<V>(a.B, [&](int64_t i, auto at) FR_LAMBDA {
            const V y = at.template load<V>(a.prediction + i), t = at.template load<V>(a.target + i);
            at.store(a.per_row + i, Rule::value(y, t, s));
            if (Logits && a.probability) at.store(a.probability + i, rules::sigmoid(y));
            const V weight = a.weight ? at.template load<V>(a.weight + i) * V::set(share) : V::set(share);
            if (a.gradient) at.store(a.gradient + i, Rule::gradient(y, t, s) * weight);
        });
        return;
    }
    for_rows(a.B, a.O, [&](int64_t r) {
        const T *y = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        const V weight = V::set(a.weight ? a.weight[r] * share : share);
        Sum16<V> sum;
        sweep16<V>(a.O, [&](int64_t i, int j, auto at) FR_LAMBDA {
            const V yv = at.template load<V>(y + i), tv = at.template load<V>(t + i);
            sum.lanes[j] = sum.lanes[j] + at.template mask<V>(Rule::value(yv, tv, s));
            if (Logits && a.probability) at.store(a.probability + r * a.O + i, rules::sigmoid(yv));
            if (a.gradient) at.store(a.gradient + r * a.O + i, Rule::gradient(yv, tv, s) * weight);
        });
        a.per_row[r] = sum.total() / T(a.O);
    });
}

template <class V>
FR_LOOP typename V::T log_of(typename V::T x) {
    typename V::T lanes[V::L];
    rules::log(V::set(x)).store(lanes);
    return lanes[0];
}

// Cross-entropy of softmax(z) with targets t (smoothed) or a class: sum_j t_j (log sum e^z - z_j), gradient p sum(t) -
// t.
template <class V, bool Sparse>
void categorical_from_logits(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const T share = T(1.0 / double(a.batch));
    const V keep = V::set(T(1.0 - a.spec.label_smoothing)), add = V::set(T(a.spec.label_smoothing / double(a.O)));
    for_rows(a.B, a.O, [&](int64_t r) {
        const T *z = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        T *p = a.probability + r * a.O, *g = a.gradient ? a.gradient + r * a.O : nullptr;
        T top;
        const T log_sum = log_of<V>(softmax_row<V>(a.O, z, p, &top));
        const T weight = a.weight ? a.weight[r] * share : share;
        if constexpr (Sparse) {
            const int64_t c = int64_t(t[0]);
            a.per_row[r] = (top - z[c]) + log_sum;
            if (!g) return;
            sweep<V>(a.O, [&](int64_t i, auto at)
                              FR_LAMBDA { at.store(g + i, at.template load<V>(p + i) * V::set(weight)); });
            g[c] = (p[c] - T(1)) * weight;
        } else {
            Sum16<V> loss, targets;
            sweep16<V>(a.O, [&](int64_t i, int j, auto at) FR_LAMBDA {
                const V tv = at.template mask<V>(fma(at.template load<V>(t + i), keep, add));
                targets.lanes[j] = targets.lanes[j] + tv;
                const V minus_log_p = (V::set(top) - at.template load<V>(z + i)) + V::set(log_sum);
                loss.lanes[j] = loss.lanes[j] + at.template mask<V>(tv * minus_log_p);
            });
            a.per_row[r] = loss.total();
            if (!g) return;
            const V mass = V::set(targets.total());
            sweep<V>(a.O, [&](int64_t i, auto at) FR_LAMBDA {
                const V tv = fma(at.template load<V>(t + i), keep, add);
                at.store(g + i, (at.template load<V>(p + i) * mass - tv) * V::set(weight));
            });
        }
    });
}

// Of probabilities y: p = y / sum y, clipped; -sum_j t_j log p_j. No gradient through what is clipped.
template <class V>
void categorical_from_probabilities(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const T share = T(1.0 / double(a.batch));
    const V keep = V::set(T(1.0 - a.spec.label_smoothing)), add = V::set(T(a.spec.label_smoothing / double(a.O)));
    for_rows(a.B, a.O, [&](int64_t r) {
        const T *y = a.prediction + r * a.prediction_rs, *t = a.target + r * a.target_rs;
        Sum16<V> sum, loss, inner;
        sweep16<V>(a.O, [&](int64_t i, int j, auto at)
                            FR_LAMBDA { sum.lanes[j] = sum.lanes[j] + at.template load<V>(y + i); });
        const V total = V::set(sum.total());
        sweep16<V>(a.O, [&](int64_t i, int j, auto at) FR_LAMBDA {
            const V tv = at.template mask<V>(fma(at.template load<V>(t + i), keep, add));
            const V raw = at.template load<V>(y + i) / total, p = rules::clip_probability(raw);
            loss.lanes[j] = loss.lanes[j] - at.template mask<V>(tv * rules::log(p));
            inner.lanes[j] = inner.lanes[j] + at.template mask<V>(V::select(p == raw, tv, V::set(0)));
        });
        a.per_row[r] = loss.total();
        if (!a.gradient) return;
        const V weight = V::set(a.weight ? a.weight[r] * share : share), through = V::set(inner.total());
        sweep<V>(a.O, [&](int64_t i, auto at) FR_LAMBDA {
            const V tv = fma(at.template load<V>(t + i), keep, add);
            const V raw = at.template load<V>(y + i) / total, p = rules::clip_probability(raw);
            const V own = V::select(p == raw, tv / p, V::set(0));
            at.store(a.gradient + r * a.O + i, (through - own) / total * weight);
        });
    });
}

// Keras on TensorFlow: clip, take logarithms as logits: log sum_j q_j - log q_c with q the clipped probabilities.
template <class V>
void sparse_from_probabilities(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const T share = T(1.0 / double(a.batch));
    for_rows(a.B, a.O, [&](int64_t r) {
        const T* y = a.prediction + r * a.prediction_rs;
        const int64_t c = int64_t(a.target[r * a.target_rs]);
        Sum16<V> sum;
        sweep16<V>(a.O, [&](int64_t i, int j, auto at) FR_LAMBDA {
            sum.lanes[j] = sum.lanes[j] + at.template mask<V>(rules::clip_probability(at.template load<V>(y + i)));
        });
        const T total = sum.total();
        T q[V::L];
        rules::clip_probability(V::set(y[c])).store(q);
        a.per_row[r] = log_of<V>(total) - log_of<V>(q[0]);
        if (!a.gradient) return;
        const T weight = a.weight ? a.weight[r] * share : share;
        T* g = a.gradient + r * a.O;
        sweep<V>(a.O, [&](int64_t i, auto at) FR_LAMBDA {
            const V raw = at.template load<V>(y + i);
            at.store(g + i, V::select(rules::clip_probability(raw) == raw, V::set(weight) / V::set(total), V::set(0)));
        });
        if (q[0] == y[c]) g[c] -= weight / q[0];
    });
}

template <class V>
void loss(const LossBatch<typename V::T>& a) {
    const bool logits = a.spec.from_logits;
    switch (a.spec.kind) {
        case Loss::mean_squared_error: elementwise_loss<V, rules::SquaredError, false>(a); break;
        case Loss::mean_absolute_error: elementwise_loss<V, rules::AbsoluteError, false>(a); break;
        case Loss::huber: elementwise_loss<V, rules::Huber, false>(a); break;
        case Loss::hinge: elementwise_loss<V, rules::Hinge, false>(a); break;
        case Loss::poisson: elementwise_loss<V, rules::Poisson, false>(a); break;
        case Loss::binary_crossentropy:
            logits ? elementwise_loss<V, rules::BinaryCrossentropyLogits, true>(a)
                   : elementwise_loss<V, rules::BinaryCrossentropy, false>(a);
            break;
        case Loss::categorical_crossentropy:
            logits ? categorical_from_logits<V, false>(a) : categorical_from_probabilities<V>(a);
            break;
        case Loss::sparse_categorical_crossentropy:
            logits ? categorical_from_logits<V, true>(a) : sparse_from_probabilities<V>(a);
            break;
    }
}
