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
        const V weight = V::set(a.weight ? a.weight[r] * share : share);
        T* const probability = Logits && a.probability ? a.probability + r * a.O : nullptr;
        T* const gradient = a.gradient ? a.gradient + r * a.O : nullptr;
        rules::mean_loss(Row<V>{a.O}, Rule{}, T(a.O), a.prediction + r * a.prediction_rs, a.target + r * a.target_rs,
                         probability, gradient, weight, s)
            .store(a.per_row + r, 1);
    });
}

template <class V>
void categorical_loss(const LossBatch<typename V::T>& a) {
    using T = typename V::T;
    const T share = T(1.0 / double(a.batch));
    const rules::LossScalars<V> s = loss_scalars<V>(a);
    for_rows(a.B, a.O, [&](int64_t r) {
        const V weight = V::set(a.weight ? a.weight[r] * share : share);
        T* const probability = a.probability ? a.probability + r * a.O : nullptr;
        T* const gradient = a.gradient ? a.gradient + r * a.O : nullptr;
        rules::categorical_loss(Row<V>{a.O}, a.spec, a.prediction + r * a.prediction_rs, a.target + r * a.target_rs,
                                probability, gradient, weight, s)
            .store(a.per_row + r, 1);
    });
}

template <class V>
void loss(const LossBatch<typename V::T>& a) {
    if (rules::is_categorical(a.spec.kind)) return categorical_loss<V>(a);
    rules::with_elementwise_loss(
        a.spec, [&](auto rule, auto logits) FR_LAMBDA { elementwise_loss<V, decltype(rule), logits.value>(a); });
}
