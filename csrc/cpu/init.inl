// What a training starts from: initial weights, the order of rows, the gather of a batch. Random numbers are
// Philox4x32-10. It must not know layers or epochs. Included inside namespace fastreg::FASTREG_ISA_NAMESPACE.

constexpr int64_t kNumbers = 256;   // that are made at a time
constexpr int64_t kAtOnce = 16384;  // numbers or rows between two polls

FR_LOOP void fill_bits(const PhiloxKey& key, uint64_t first, int64_t n, double* bits) {
    philox_fill<10>(key, first, n, reinterpret_cast<unsigned char*>(bits));
}

// n standard normal numbers, one of each block; bits and x are used up to the end of a vector.
FR_LOOP void standard_normals(const double* bits, int64_t n, double* x) {
    for (int64_t i = 0; i < n; i += VD::L) {
        double half1[VD::L], half2[VD::L];
        for (int k = 0; k < VD::L; ++k) {
            half1[k] = bits[2 * (i + k)];
            half2[k] = bits[2 * (i + k) + 1];
        }
        rules::standard_normal(VD::load(half1), VD::load(half2)).store(x + i);
    }
}

// The same from blocks `first` to first + n, n at most kNumbers. What is beyond the limit is drawn again; the step
// of the key counts the attempts.
void limited_normals(PhiloxKey key, uint64_t first, int64_t n, double limit, double* bits, double* x) {
    double drawn[kNumbers];
    int64_t at[kNumbers];
    for (int64_t i = 0; i < n; ++i) at[i] = i;
    fill_bits(key, first, n, bits);
    for (int64_t left = n; left > 0;) {
        standard_normals(bits, left, drawn);
        const int64_t n_drawn = left;
        left = 0;
        for (int64_t k = 0; k < n_drawn; ++k) {
            x[at[k]] = drawn[k];
            at[left] = at[k];
            left += __builtin_fabs(drawn[k]) > limit;
        }
        ++key.step;
        for (int64_t k = 0; k < left; ++k) fill_bits(key, first + uint64_t(at[k]), 1, bits + 2 * k);
    }
}

template <class V>
void initialize(Cancel& cancel, Initializer kind, double a, double b, uint64_t seed, uint32_t stream,
                typename V::T* out, int64_t n) {
    const bool uniform = kind == Initializer::uniform;
    const double scale = uniform ? b - a : b, limit = kind == Initializer::normal ? __builtin_inf() : 2.0;
    const PhiloxKey key{seed, stream, 0};
    auto part = [&](int64_t p) {
        if (cpu::poll(cancel)) return;
        const int64_t end = n < (p + 1) * kAtOnce ? n : (p + 1) * kAtOnce;
        for (int64_t i = p * kAtOnce; i < end; i += kNumbers) {
            double bits[2 * (kNumbers + U32::L)], x[kNumbers];
            const int64_t m = end - i < kNumbers ? end - i : kNumbers;
            if (uniform) {
                fill_bits(key, uint64_t(i) / 2, (m + 1) / 2, bits);  // two of each block
                for (int64_t k = 0; k < m; k += VD::L) rules::unit(VD::load(bits + k)).store(x + k);
            } else {
                limited_normals(key, uint64_t(i), m, limit, bits, x);
            }
            for (int64_t k = 0; k < m; ++k) out[i + k] = typename V::T(a + scale * x[k]);
        }
    };
    const int64_t parts = (n + kAtOnce - 1) / kAtOnce;
    if (cpu::threads_for(n, kAtOnce) > 1) return cpu::run(parts, part);
    for (int64_t p = 0; p < parts; ++p) part(p);
}

// f(i, end) for some rows at a time, until told to stop; whether it was not.
template <class F>
FR_LOOP bool until_stopped(Cancel& cancel, int64_t n, F f) {
    int64_t i = 0;
    for (; i < n && !cpu::poll(cancel); i += kAtOnce) f(i, n - i < kAtOnce ? n : i + kAtOnce);
    return i >= n;
}

// Where the next row with each digit of a key goes, in passes by 11, 11 and 10 bits; before, how many there are.
struct Places {
    static constexpr uint32_t kDigits = 2048;
    uint32_t next[3][kDigits] = {};

    FR_LOOP uint32_t& of(int pass, uint32_t key) { return next[pass][key >> 11 * pass & (kDigits - 1)]; }
    void end_counting() {
        for (auto& digits : next) {
            uint32_t before = 0;
            for (uint32_t& digit : digits) {
                const uint32_t count = digit;
                digit = before;
                before += count;
            }
        }
    }
};

// Rows sorted by a 32-bit key each, equal keys by row number: a radix sort. The key of row i is word i % 4 of Philox's
// block i / 4. A pass that was stopped leaves nothing that the next could go by.
void permutation(Cancel& cancel, int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch) {
    struct Numbered {
        uint32_t key, row;
    };
    uint32_t* const keys = order;  // until rows are written there
    Numbered *const first = reinterpret_cast<Numbered*>(scratch), *const second = first + n;
    Places places;
    const auto count = [&](int64_t i, int64_t end) FR_LAMBDA {
        for (; i < end; i += 4 * U32::L) {
            unsigned char group[16 * U32::L];
            philox_fill<10>({seed, rules::kShuffleStream, epoch}, uint64_t(i) / 4, U32::L, group);
            const int64_t rows = end - i < 4 * U32::L ? end - i : 4 * U32::L;
            __builtin_memcpy(keys + i, group, size_t(4 * rows));
            for (int64_t k = i; k < i + rows; ++k)
                for (int pass = 0; pass < 3; ++pass) ++places.of(pass, keys[k]);
        }
    };
    const auto by_low_bits = [&](int64_t i, int64_t end) FR_LAMBDA {
        for (; i < end; ++i) first[places.of(0, keys[i])++] = {keys[i], uint32_t(i)};
    };
    const auto by_middle_bits = [&](int64_t i, int64_t end) FR_LAMBDA {
        for (; i < end; ++i) second[places.of(1, first[i].key)++] = first[i];
    };
    const auto by_high_bits = [&](int64_t i, int64_t end) FR_LAMBDA {
        for (; i < end; ++i) order[places.of(2, second[i].key)++] = second[i].row;
    };
    if (!until_stopped(cancel, n, count)) return;
    places.end_counting();
    if (!until_stopped(cancel, n, by_low_bits) || !until_stopped(cancel, n, by_middle_bits)) return;
    until_stopped(cancel, n, by_high_bits);
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
