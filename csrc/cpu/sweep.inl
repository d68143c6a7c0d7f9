// Walking contiguous elements V::L at a time, and sums over 16 virtual lanes that no vector width can change.
// It must not know operations. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

// How the body of a sweep touches memory: a full vector, or the first n lanes of one (the rest read as 0, unwritten).
struct Full {
    template <class V>
    FR_LOOP static V load(const typename V::T* p) {
        return V::load(p);
    }
    template <class V>
    FR_LOOP static void store(typename V::T* p, V v) {
        v.store(p);
    }
    template <class V>
    FR_LOOP static V mask(V v) {
        return v;
    }  // lanes beyond the end become 0
};
struct Part {
    int n;
    template <class V>
    FR_LOOP V load(const typename V::T* p) const {
        return V::load(p, n);
    }
    template <class V>
    FR_LOOP void store(typename V::T* p, V v) const {
        v.store(p, n);
    }
    template <class V>
    FR_LOOP V mask(V v) const {
        typename V::T lanes[V::L];
        v.store(lanes);
        return V::load(lanes, n);
    }
};

// f(i, at): elements i .. i + V::L of n, to be touched through `at`.
template <class V, class F>
FR_LOOP void sweep(int64_t n, F f) {
    int64_t i = 0;
    for (; i + V::L <= n; i += V::L) f(i, Full{});
    if (i < n) f(i, Part{int(n - i)});
}

// Element i belongs to virtual lane i % 16; each lane adds in increasing i; a fixed tree adds the lanes.
template <class V>
struct Sum16 {
    static constexpr int kVectors = 16 / V::L;
    V lanes[kVectors];

    FR_LOOP Sum16() {
        for (int j = 0; j < kVectors; ++j) lanes[j] = V::set(0);
    }
    FR_LOOP typename V::T total() const {
        V sum[kVectors];
        for (int j = 0; j < kVectors; ++j) sum[j] = lanes[j];
        for (int half = kVectors / 2; half > 0; half /= 2)
            for (int j = 0; j < half; ++j) sum[j] = sum[j] + sum[j + half];
        typename V::T a[V::L];
        sum[0].store(a);
        for (int half = V::L / 2; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) a[i] += a[i + half];
        return a[0];
    }
};

// f(i, j, at): as sweep; what it sums goes to lanes[j] of a Sum16, as zeros where `at` is beyond the end.
template <class V, class F>
FR_LOOP void sweep16(int64_t n, F f) {
    constexpr int kVectors = Sum16<V>::kVectors;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < kVectors; ++j) f(i + j * V::L, j, Full{});
    for (int j = 0; j < kVectors && i < n; ++j, i += V::L) {
        if (i + V::L <= n)
            f(i, j, Full{});
        else
            f(i, j, Part{int(n - i)});
    }
}

// Adds what f(begin, end) returns over the fixed chunks of [0, n), in double, as a LaneSum. Chunks may run in parallel.
constexpr int64_t kChunk = 1024;
constexpr int64_t kChunksAtOnce = 2048;
template <class F>
double sum_chunks(int64_t n, F f) {
    double sums[kChunksAtOnce];
    rules::LaneSum total;
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    for (int64_t first = 0; first < chunks; first += kChunksAtOnce) {
        const int64_t count = chunks - first < kChunksAtOnce ? chunks - first : kChunksAtOnce;
        const int64_t parts = cpu::threads_for(count, 32);
        auto part = [&](int64_t p) {
            for (int64_t c = count * p / parts; c < count * (p + 1) / parts; ++c) {
                const int64_t begin = (first + c) * kChunk, end = begin + kChunk < n ? begin + kChunk : n;
                sums[c] = f(begin, end);
            }
        };
        cpu::run(parts, part);
        for (int64_t c = 0; c < count; ++c) total.add(first + c, sums[c]);
    }
    return total.total(chunks);
}
