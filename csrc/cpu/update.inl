// The one update of a step: every parameter's penalty value, clipping, optimizer, proximal step and constraint.
// It must not know layers. The formulas are in rules/update.h. Included inside namespace
// fastreg::FASTREG_ISA_NAMESPACE.

FR_LOOP double penalty_value(double l1, double sum_abs, double l2, double sum_square) {
    return (l1 > 0 ? l1 * sum_abs : 0.0) + (l2 > 0 ? l2 * sum_square : 0.0);
}

// Steps elements [begin, end) of a segment and returns the penalty of the weights before. Optimizers load only their
// slots.
template <class V, class O, class Terms>
double update_chunk(const UpdateSegment<typename V::T>& s, const rules::StepScalars<typename V::T>& scalars, bool clip,
                    int64_t begin, int64_t end) {
    const rules::StepScalars<typename V::T> c = scalars;  // a copy no store can reach, so it may stay in registers
    Sum16<V> absolute, square;
    sweep16<V>(end - begin, [&](int64_t i, int j, auto at) FR_LAMBDA {
        i += begin;
        V w = at.template load<V>(s.w + i), slot[3] = {V::set(0), V::set(0), V::set(0)};
        for (int k = 0; k < O::kSlots; ++k) slot[k] = at.template load<V>(s.slot[k] + i);
        if (Terms::kL1 != rules::L1::none) absolute.lanes[j] = absolute.lanes[j] + rules::abs(w);
        if (Terms::kL2) square.lanes[j] = fma(w, w, square.lanes[j]);
        w = rules::update_weight<O, Terms>(w, at.template load<V>(s.g + i), slot[0], slot[1], slot[2], c, clip);
        for (int k = 0; k < O::kSlots; ++k) at.store(s.slot[k] + i, slot[k]);
        at.store(s.w + i, w);
    });
    return penalty_value(s.penalty.l1, double(absolute.total()), s.penalty.l2, double(square.total()));
}

template <class V, class O>
double update_segment(const UpdateSegment<typename V::T>& s, const UpdateBatch<typename V::T>& u,
                      const rules::StepScalars<typename V::T>& step, double clip_scale) {
    rules::StepScalars<typename V::T> c = step;
    rules::set_penalty(s.penalty, clip_scale, &c);
    const bool clip = clip_scale != 1.0 || u.spec.clipvalue > 0;
    const auto chunk =
        rules::with_terms(s.penalty, [](auto terms) FR_LAMBDA { return update_chunk<V, O, decltype(terms)>; });
    return sum_chunks(s.n, [&](int64_t begin, int64_t end) { return chunk(s, c, clip, begin, end); });
}

template <class V>
double update_segment_with(const UpdateSegment<typename V::T>& s, const UpdateBatch<typename V::T>& u,
                           const rules::StepScalars<typename V::T>& step, double clip_scale) {
    const OptimizerSpec& o = u.spec;
    const bool momentum = o.momentum > 0;
    switch (o.kind) {
        case Optimizer::sgd:
            if (!momentum) return update_segment<V, rules::Sgd<false, false>>(s, u, step, clip_scale);
            return o.nesterov ? update_segment<V, rules::Sgd<true, true>>(s, u, step, clip_scale)
                              : update_segment<V, rules::Sgd<true, false>>(s, u, step, clip_scale);
        case Optimizer::adam:
            return o.amsgrad ? update_segment<V, rules::Adam<true>>(s, u, step, clip_scale)
                             : update_segment<V, rules::Adam<false>>(s, u, step, clip_scale);
        case Optimizer::rmsprop:
            if (momentum)
                return o.centered ? update_segment<V, rules::RmsProp<true, true>>(s, u, step, clip_scale)
                                  : update_segment<V, rules::RmsProp<true, false>>(s, u, step, clip_scale);
            return o.centered ? update_segment<V, rules::RmsProp<false, true>>(s, u, step, clip_scale)
                              : update_segment<V, rules::RmsProp<false, false>>(s, u, step, clip_scale);
        case Optimizer::adagrad: return update_segment<V, rules::Adagrad>(s, u, step, clip_scale);
    }
    return 0.0;
}

// The squared norm of the gradient that clipping sees.
template <class V>
double gradient_norm2(const UpdateSegment<typename V::T>& s) {
    rules::StepScalars<typename V::T> c{};
    rules::set_penalty(s.penalty, 1.0, &c);
    return rules::with_terms(s.penalty, [&](auto terms) FR_LAMBDA {
        return sum_chunks(s.n, [&](int64_t begin, int64_t end) {
            Sum16<V> square;
            sweep16<V>(end - begin, [&](int64_t i, int j, auto at) FR_LAMBDA {
                const V w = at.template load<V>(s.w + begin + i), g = at.template load<V>(s.g + begin + i);
                const V full = rules::full_gradient<decltype(terms)>(w, g, c);
                square.lanes[j] = fma(full, full, square.lanes[j]);
            });
            return double(square.total());
        });
    });
}

// g * limit / max(norm, limit): Keras's clip_by_norm. A limit of 0 clips nothing.
FR_LOOP double clip_scale(double norm2, double limit) {
    const double norm = __builtin_sqrt(norm2);
    return limit > 0 && norm > limit ? limit / norm : 1.0;
}

// w * wanted / (1e-7 + norm) for norms along axis 0 (columns), axis 1 (rows) or both (-1); wanted = clip(norm, 0, max)
// or 1. Norms are sums in order, in T. A plain loop: constraints touch a parameter once a step.
template <class T>
FR_LOOP void normalise(T* w, int64_t n, int64_t stride, T max_norm, bool unit) {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += w[i * stride] * w[i * stride];
    const T norm = T(__builtin_sqrt(double(sum)));
    const T wanted = unit ? T(1) : (norm > max_norm ? max_norm : norm);
    const T factor = wanted / (T(1e-7) + norm);
    for (int64_t i = 0; i < n; ++i) w[i * stride] *= factor;
}

template <class V>
void constrain(const UpdateSegment<typename V::T>& s) {
    using T = typename V::T;
    const ConstraintSpec& c = s.constraint;
    if (c.kind == Constraint::none) return;
    if (c.kind == Constraint::non_neg) {
        sweep<V>(s.n, [&](int64_t i, auto at) FR_LAMBDA {
            const V w = at.template load<V>(s.w + i);
            at.store(s.w + i, V::select(w <= V::set(0), V::set(0), w));
        });
        return;
    }
    const bool unit = c.kind == Constraint::unit_norm;
    if (c.axis < 0) return normalise(s.w, s.n, int64_t(1), T(c.value), unit);
    if (c.axis == 0)
        for (int64_t j = 0; j < s.cols; ++j) normalise(s.w + j, s.rows, s.cols, T(c.value), unit);
    else
        for (int64_t i = 0; i < s.rows; ++i) normalise(s.w + i * s.cols, s.cols, int64_t(1), T(c.value), unit);
}

template <class V>
void update(const UpdateBatch<typename V::T>& u) {
    rules::StepScalars<typename V::T> step{};
    rules::set_step(u.spec, u.step, &step);
    double global_norm2 = 0.0;
    if (u.spec.global_clipnorm > 0)
        for (int64_t i = 0; i < u.n_segments; ++i) global_norm2 += gradient_norm2<V>(u.segments[i]);
    for (int64_t i = 0; i < u.n_segments; ++i) {
        const UpdateSegment<typename V::T>& s = u.segments[i];
        double by = 1.0;
        if (u.spec.clipnorm > 0) by = clip_scale(gradient_norm2<V>(s), u.spec.clipnorm);
        if (u.spec.global_clipnorm > 0) by = clip_scale(global_norm2, u.spec.global_clipnorm);
        u.penalties[i] = update_segment_with<V>(s, u, step, by);
        constrain<V>(s);
    }
}
