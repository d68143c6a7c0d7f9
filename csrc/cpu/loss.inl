// Losses of a batch: per-row values, and the gradient of sum_i w_i loss_i / batch. It must not know layers, nor
// formulas: they are in rules/loss.h and rules/row.h. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

template <class V>
FR_LOOP rules::LossScalars<V> loss_scalars(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    rules::TargetMap map = rules::smoothing_of(a.spec, double(a.O));
    if (a.spec.kind == Loss::hinge) {  // Keras: a batch whose targets are all 0 or 1 is mapped to -1, 1
        bool binary = true;
        for (int64_t r = 0; r < a.B; ++r)
            for (int64_t j = 0; j < a.O; ++j) {
                const T t = a.target[r * a.target_rs + j];
                binary &= t == T(0) || t == T(1);
            }
        if (binary) map = {2.0, -1.0};
    }
    return {V::set(T(a.spec.delta)), V::set(T(map.keep)), V::set(T(map.add))};
}

// Stores what rule(row, y, t, probability, gradient, weight) returns for each row, the weights times `share`.
template <class V, class F>
FR_LOOP void loss_of_rows(const LossBatch<typename V::T>& a, typename V::T share, bool makes_probability,
                          int64_t target_cols, F rule) {
    using T = typename V::T;
    const auto at = [&](T* p, int64_t r) FR_LAMBDA { return p ? p + r * a.O : nullptr; };
    T* const probabilities = makes_probability ? a.probability : nullptr;
    const auto row = [&](int64_t r) {
        const V weight = V::set(a.weight ? a.weight[r] * share : share);
        rule(Row<V>{a.O}, a.prediction + r * a.prediction_rs, a.target + r * a.target_rs, at(probabilities, r),
             at(a.gradient, r), weight)
            .store(a.per_row + r, 1);
    };
    const auto abreast = [&](int64_t r) {
        TurnedRows<V> y, t, probability, gradient;
        y.fill(a.prediction + r * a.prediction_rs, a.prediction_rs, a.O);
        t.fill(a.target + r * a.target_rs, a.target_rs, target_cols);
        const V weight = a.weight ? V::load(a.weight + r) * V::set(share) : V::set(share);
        rule(RowsAbreast<V>{a.O}, y.p(), t.p(), probabilities ? probability.p() : nullptr,
             a.gradient ? gradient.p() : nullptr, weight)
            .store(a.per_row + r);
        if (probabilities && probabilities != a.gradient) probability.copy_to(at(probabilities, r), a.O, a.O);
        if (a.gradient) gradient.copy_to(at(a.gradient, r), a.O, a.O);
    };
    for_rows<V>(a.B, a.O, row, abreast);
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
    loss_of_rows<V>(a, share, Logits, a.O,
                    [&](auto row, const T* y, const T* t, T* probability, T* gradient, V weight) FR_LAMBDA {
                        return rules::mean_loss(row, Rule{}, T(a.O), y, t, probability, gradient, weight, s);
                    });
}

template <class V>
void categorical_loss(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const T share = T(1.0 / double(a.batch));
    const rules::LossScalars<V> s = loss_scalars<V>(a);
    const int64_t target_cols = a.spec.kind == Loss::sparse_categorical_crossentropy ? 1 : a.O;
    loss_of_rows<V>(a, share, a.spec.from_logits, target_cols,
                    [&](auto row, const T* y, const T* t, T* probability, T* gradient, V weight) FR_LAMBDA {
                        return rules::categorical_loss(row, a.spec, y, t, probability, gradient, weight, s);
                    });
}

template <class V>
void loss(const LossBatch<typename V::T>& a) {
    if (rules::is_categorical(a.spec.kind)) return categorical_loss<V>(a);
    rules::with_elementwise_loss(
        a.spec, [&](auto rule, auto logits) FR_LAMBDA { elementwise_loss<V, decltype(rule), logits.value>(a); });
}
