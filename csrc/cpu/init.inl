// What a training starts from: initial weights, the order of rows, the gather of a batch. Random numbers are
// Philox4x32-10. It must not know layers or epochs. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

FR_LOOP void block_of(uint64_t seed, uint32_t stream, uint32_t attempt, uint64_t block, uint32_t (&words)[4]) {
    unsigned char group[16 * U32::L];
    philox_fill<10>(PhiloxKey{seed, stream, attempt}, block, 1, group);
    __builtin_memcpy(words, group, sizeof words);
}

// From element i's own block.
FR_LOOP double standard_normal(uint64_t seed, uint32_t stream, uint32_t attempt, int64_t i) {
    uint32_t words[4];
    block_of(seed, stream, attempt, uint64_t(i), words);
    double lanes[VD::L];
    rules::standard_normal<VD>(words).store(lanes);
    return lanes[0];
}

// What is drawn again has attempt 1, 2, ...
template <class V>
void initialize(Initializer kind, double a, double b, uint64_t seed, uint32_t stream, typename V::T* out, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        double value;
        if (kind == Initializer::uniform) {
            uint32_t w[4];
            block_of(seed, stream, 0, uint64_t(i) / 2, w);
            value = a + (b - a) * rules::unit_double(w[2 * (i % 2)], w[2 * (i % 2) + 1]);
        } else {
            uint32_t attempt = 0;
            double x = standard_normal(seed, stream, attempt, i);
            while (kind == Initializer::truncated_normal && (x > 2.0 || x < -2.0))
                x = standard_normal(seed, stream, ++attempt, i);
            value = a + b * x;
        }
        out[i] = typename V::T(value);
    }
}

// Rows sorted by a 32-bit key each (word i % 4 of block i / 4), equal keys by row number: a radix sort of 11 bits a
// pass.
void permutation(int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch) {
    uint32_t *keys = scratch, *other_keys = scratch + n, *other_order = scratch + 2 * n;
    const PhiloxKey key{seed, rules::kShuffleStream, epoch};
    unsigned char group[16 * U32::L];
    for (int64_t i = 0; i < n; i += 4 * U32::L) {
        philox_fill<10>(key, uint64_t(i) / 4, U32::L, group);
        const int64_t count = n - i < 4 * U32::L ? n - i : 4 * U32::L;
        __builtin_memcpy(keys + i, group, size_t(4 * count));
    }
    for (int64_t i = 0; i < n; ++i) order[i] = uint32_t(i);
    uint32_t *from_keys = keys, *from = order, *to_keys = other_keys, *to = other_order;
    for (int shift = 0; shift < 33; shift += 11) {
        constexpr uint32_t kDigits = 2048;
        uint32_t starts[kDigits + 1] = {};
        for (int64_t i = 0; i < n; ++i) ++starts[(from_keys[i] >> shift & (kDigits - 1)) + 1];
        for (uint32_t d = 0; d < kDigits; ++d) starts[d + 1] += starts[d];
        for (int64_t i = 0; i < n; ++i) {
            const uint32_t place = starts[from_keys[i] >> shift & (kDigits - 1)]++;
            to_keys[place] = from_keys[i];
            to[place] = from[i];
        }
        uint32_t* swap = from_keys;
        from_keys = to_keys;
        to_keys = swap;
        swap = from;
        from = to;
        to = swap;
    }
    if (from != order) __builtin_memcpy(order, from, size_t(n) * sizeof *order);  // three passes end in the scratch
}

template <class V>
FR_LOOP void copy_row(const typename V::T* x, int64_t n, typename V::T* y) {
    if (n == 1) {
        *y = *x;
    } else if (n < V::L) {
        V::load(x, int(n)).store(y, int(n));
    } else {
        for (int64_t i = 0; i + V::L < n; i += V::L) V::load(x + i).store(y + i);
        V::load(x + n - V::L).store(y + n - V::L);  // over some numbers again rather than a part of a vector
    }
}

// Rows lie anywhere in what may be a large array, so each is fetched into the cache some rows before its turn.
template <class V>
void gather_array(const Gather<typename V::T>& a) {
    using T = typename V::T;
    constexpr int64_t kLine = 64 / int64_t(sizeof(T)), kAhead = 8, kGrain = 8192;
    const int64_t parts = cpu::threads_for(a.n * a.cols, kGrain);
    const auto row_at = [&](int64_t r) FR_LAMBDA { return a.index ? int64_t(a.index[r]) : r; };
    auto part = [&](int64_t p) {
        const int64_t end = a.n * (p + 1) / parts;
        for (int64_t r = a.n * p / parts; r < end; ++r) {
            if (r + kAhead < end) {
                const T* ahead = a.x + row_at(r + kAhead) * a.cols;
                for (int64_t i = 0; i < a.cols; i += kLine) __builtin_prefetch(ahead + i);
                __builtin_prefetch(ahead + a.cols - 1);
            }
            copy_row<V>(a.x + row_at(r) * a.cols, a.cols, a.out + r * a.cols);
        }
    };
    cpu::run(parts, part);
}

template <class V>
void gather(const Gather<typename V::T>* arrays, int64_t n_arrays) {
    for (int64_t i = 0; i < n_arrays; ++i) gather_array<V>(arrays[i]);
}
