// The one update of a step: every parameter's penalty value, clipping, optimizer, proximal step and constraint.
// It must not know layers. The formulas are in rules/update.h. Included inside namespace
// fastreg::FASTREG_ISA_NAMESPACE.

constexpr int64_t kUpdateGrain = 2048;       // weights worth a thread: about 1 us
constexpr int64_t kFewFromMemory = 1 << 20;  // more weights than caches hold, with gradients and slots

// Asks for the lines of a stretch that will be stepped soon. Apart from the arithmetic: a loop that fetches, or asks
// whether to, takes a tenth longer. A few lines at a time: more of them hold up what follows.
constexpr int64_t kStretch = 32;
template <class T>
FR_LOOP void fetch_ahead(const T* w, const T* g, T* const (&slots)[3], int64_t first, int n_slots) {
    constexpr int64_t kLine = 64 / int64_t(sizeof(T)), kAhead = 32 * kLine;
    for (int64_t i = kAhead; i < kAhead + kStretch; i += kLine) {
        __builtin_prefetch(w + i, 1);
        __builtin_prefetch(g + i);
        for (int k = 0; k < n_slots; ++k) __builtin_prefetch(slots[k] + first + i, 1);
    }
}

// Steps elements [begin, end) of a segment and returns the penalty of the weights before. Optimizers load only their
// slots. fetch: ask for memory ahead of time.
template <class V, class O, class Terms, bool Clip>
double update_chunk(const UpdateSegment<typename V::T>& s, const rules::StepScalars<typename V::T>& scalars,
                    int64_t begin, int64_t end, bool fetch) {
    using T = typename V::T;
    // Copies that no store can reach, so they may stay in registers.
    const rules::StepScalars<T> c = scalars;
    const int64_t n = end - begin;
    T* const weights = s.w + begin;
    const T* const gradients = s.g + begin;
    T* slots[3] = {};
    for (int k = 0; k < O::kSlots; ++k) slots[k] = s.slot[k] + begin;
    Sum16<V> absolute, square;
    const int64_t most = fetch ? kStretch : n;
    for (int64_t first = 0; first < n; first += most) {
        if (fetch) fetch_ahead(weights + first, gradients + first, slots, first, O::kSlots);
        const int64_t stretch = n - first < most ? n - first : most;
        sweep16<V>(stretch, [&](int64_t k, int j, auto at) FR_LAMBDA {
            const int64_t i = first + k;
            V w = at.template load<V>(weights + i), slot[3] = {V::set(0), V::set(0), V::set(0)};
            for (int q = 0; q < O::kSlots; ++q) slot[q] = at.template load<V>(slots[q] + i);
            if (Terms::kL1 != rules::L1::none) absolute.lanes[j] = absolute.lanes[j] + rules::abs(w);
            if (Terms::kL2) square.lanes[j] = fma(w, w, square.lanes[j]);
            w = rules::update_weight<O, Terms, Clip>(w, at.template load<V>(gradients + i), slot[0], slot[1], slot[2],
                                                     c);
            for (int q = 0; q < O::kSlots; ++q) at.store(slots[q] + i, slot[q]);
            at.store(weights + i, w);
        });
    }
    return rules::penalty_value(s.penalty.l1, double(absolute.total()), s.penalty.l2, double(square.total()));
}

template <class V>
void flush_slots(const OptimizerSpec& o, const UpdateSegment<typename V::T>& s, int64_t begin, int64_t end) {
    for (int q = 0; q < 3; ++q) {
        typename V::T* const slot = s.slot[q];
        const auto least = rules::least_slot<typename V::T>(o, q);
        if (slot)
            sweep<V>(end - begin, [&](int64_t i, auto at) FR_LAMBDA {
                at.store(slot + begin + i, rules::flush(at.template load<V>(slot + begin + i), least));
            });
    }
}

template <class V>
using ChunkStep = double (*)(const UpdateSegment<typename V::T>&, const rules::StepScalars<typename V::T>&,
                             int64_t begin, int64_t end, bool fetch);

template <class V, bool Clip, class O>
ChunkStep<V> chunk_step_of(const PenaltySpec& p, O) {
    return rules::with_terms(
        p, [](auto terms) FR_LAMBDA -> ChunkStep<V> { return update_chunk<V, O, decltype(terms), Clip>; });
}

template <class V, bool Clip>
ChunkStep<V> chunk_step(const OptimizerSpec& o, const PenaltySpec& p) {
    return rules::with_optimizer(o, [&](auto optimizer) FR_LAMBDA { return chunk_step_of<V, Clip>(p, optimizer); });
}

FR_LOOP int64_t chunks_in(int64_t n) { return (n + kChunk - 1) / kChunk; }

// Steps segments [first, last), all gradients scaled by `by` where it is not 1: one round of threads for all of them.
// values: room for the penalty of each chunk.
template <class V>
void update_segments(const UpdateBatch<typename V::T>& u, const rules::StepScalars<typename V::T>& step, double by,
                     int64_t first, int64_t last, double* values) {
    const auto chunks_of = [&](int64_t s) { return chunks_in(u.segments[s].n); };
    const bool flushes = rules::flushes(u.spec, u.step);
    const bool clip = by != 1.0 || u.spec.clipvalue > 0;
    int64_t n = 0, weights = 0;
    for (int64_t s = first; s < last; ++s) {
        n += chunks_of(s);
        weights += u.segments[s].n;
    }
    // Divisions and roots keep the CPU from looking ahead as far as memory is away, and its own prefetching ends at
    // pages.
    const bool fetch = weights > kFewFromMemory && cpu::wants_fetching();
    // Chunks are not alike: more parts than threads, so that who is done first takes more.
    const int64_t threads = cpu::threads_for(weights, kUpdateGrain), most = 4 * threads;
    const int64_t parts = threads == 1 ? 1 : n < most ? n : most;
    auto part = [&](int64_t p) {
        int64_t before = 0;  // chunks of the segments before
        for (int64_t s = first; s < last; before += chunks_of(s), ++s) {
            const UpdateSegment<typename V::T>& segment = u.segments[s];
            const int64_t begin = n * p / parts - before, end = n * (p + 1) / parts - before, count = chunks_of(s);
            if (begin >= count || end <= 0) continue;
            rules::StepScalars<typename V::T> scalars = step;
            rules::set_penalty(segment.penalty, by, &scalars);
            const ChunkStep<V> run =
                clip ? chunk_step<V, true>(u.spec, segment.penalty) : chunk_step<V, false>(u.spec, segment.penalty);
            for (int64_t c = begin > 0 ? begin : 0; c < end && c < count; ++c) {
                const int64_t stop = (c + 1) * kChunk < segment.n ? (c + 1) * kChunk : segment.n;
                values[before + c] = run(segment, scalars, c * kChunk, stop, fetch);
                if (flushes) flush_slots<V>(u.spec, segment, c * kChunk, stop);
            }
        }
    };
    cpu::run(parts, part);
    for (int64_t s = first; s < last; ++s)
        u.penalties[s] = rules::lane_sum(chunks_of(s), [&](int64_t) FR_LAMBDA { return *values++; });
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

// w * norm_factor for norms along axis 0 (columns), axis 1 (rows) or both (-1). Norms are sums in order, in T. A plain
// loop: constraints touch a parameter once a step.
template <class T>
FR_LOOP void normalise(T* w, int64_t n, int64_t stride, T max_norm, bool unit) {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += w[i * stride] * w[i * stride];
    const T factor = rules::norm_factor(sum, max_norm, unit);
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
    int64_t chunks = 0;
    for (int64_t i = 0; i < u.n_segments; ++i) chunks += chunks_in(u.segments[i].n);
    const cpu::Scratch scratch(size_t(chunks) * sizeof(double));  // all there is to take, before any weight changes
    double* const values = static_cast<double*>(scratch.memory());
    if (u.spec.clipnorm > 0) {
        for (int64_t i = 0; i < u.n_segments; ++i)
            update_segments<V>(u, step, rules::clip_scale(gradient_norm2<V>(u.segments[i]), u.spec.clipnorm), i, i + 1,
                               values);
    } else {
        double norm2 = 0.0;
        if (u.spec.global_clipnorm > 0)
            for (int64_t i = 0; i < u.n_segments; ++i) norm2 += gradient_norm2<V>(u.segments[i]);
        update_segments<V>(u, step, rules::clip_scale(norm2, u.spec.global_clipnorm), 0, u.n_segments, values);
    }
    for (int64_t i = 0; i < u.n_segments; ++i) constrain<V>(u.segments[i]);
}
