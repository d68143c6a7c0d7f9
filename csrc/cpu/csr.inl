// Sparse times dense: C = bias + A B for a CSR A (M, K) and contiguous rows of B (K, N), with something done to
// finished rows of C; and the transpose of a batch, for X^T dZ. It must not know layers. Included inside namespace
// fastreg::FASTREG_ISA_NAMESPACE.
//
// The bits (tier T1) are those of gemm(): the same blocks of k, each an FMA chain over increasing k, added in order,
// the first from the bias. Elements that A does not hold are skipped: a product 0 * b would change no sum but in the
// sign of a zero, or where b is not finite. Threads split the rows of C, so no two write the same element.

template <class T>
FR_LOOP int64_t csr_row_at(const Csr<T>& a, int64_t i) {
    return a.order ? a.order[i] : a.first + i;
}

// How many elements M rows hold.
template <class T>
FR_LOOP int64_t csr_elements(const Csr<T>& a, int64_t M) {
    int64_t n = 0;
    for (int64_t i = 0; i < M; ++i) {
        const int64_t row = csr_row_at(a, i);
        n += a.starts[row + 1] - a.starts[row];
    }
    return n;
}

// Which block of k a column is in, by a product instead of a division.
class BlockOf {
public:
    explicit BlockOf(int64_t block) : factor_(((uint64_t(1) << 40) + uint64_t(block) - 1) / uint64_t(block)) {}
    // Exact: columns are below 2^31, and blocks below 2^9, so that what factor_ is too large by adds less than 1 /
    // block; it overflows nowhere, since where there are two blocks each is longer than 2^7.
    FR_LOOP int64_t operator()(int32_t column) const { return int64_t(uint64_t(uint32_t(column)) * factor_ >> 40); }

private:
    uint64_t factor_;
};

// n vectors of columns of one row of C: bias + sum over the row's elements e of values[e] * B[columns[e], .].
template <class V, int n, class At>
FR_LOOP void csr_row(const Csr<typename V::T>& a, int64_t row, const BlockOf& block_of, const typename V::T* B,
                     int64_t b_rs, const typename V::T* bias, typename V::T* c, At at) {
    using T = typename V::T;
    const int64_t begin = a.starts[row], end = a.starts[row + 1];
    V total[n], sum[n];
    FR_UNROLL for (int v = 0; v < n; ++v) {
        sum[v] = bias ? at.template load<V>(bias + v * V::L) : V::set(0);
        total[v] = V::set(T(-0.0));  // to which any sum is added without a change, that of -0 as well
    }
    int64_t block = 0;
    for (int64_t e = begin; e < end; ++e) {
        const int64_t block_of_e = block_of(a.columns[e]);
        if (block_of_e != block) {
            FR_UNROLL for (int v = 0; v < n; ++v) {
                total[v] = total[v] + sum[v];
                sum[v] = V::set(0);
            }
            block = block_of_e;
        }
        const V x = V::set(a.values[e]);
        const T* b = B + a.columns[e] * b_rs;
        FR_UNROLL for (int v = 0; v < n; ++v) sum[v] = fma(at.template load<V>(b + v * V::L), x, sum[v]);
    }
    FR_UNROLL for (int v = 0; v < n; ++v) at.store(c + v * V::L, total[v] + sum[v]);
}

FR_LOOP float fma_of(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FR_LOOP double fma_of(double a, double b, double c) { return __builtin_fma(a, b, c); }

template <class T>
struct WordOf {
    using type = uint32_t;
};
template <>
struct WordOf<double> {
    using type = uint64_t;
};

// `a` where the mask's bits are 1, `b` where they are 0: no branch, which a compiler may make of the operator ?:.
template <class T>
FR_LOOP T choose(typename WordOf<T>::type mask, T a, T b) {
    typename WordOf<T>::type x, y;
    __builtin_memcpy(&x, &a, sizeof(T)), __builtin_memcpy(&y, &b, sizeof(T));
    x = (x & mask) | (y & ~mask);
    __builtin_memcpy(&a, &x, sizeof(T));
    return a;
}

// The same for one column, where a vector would lie across two lines of the cache, and where few elements of a row
// are of one block, so that a branch at a block's end could not be foreseen.
template <class T>
FR_LOOP T csr_number(const Csr<T>& a, int64_t row, const BlockOf& block_of, const T* B, int64_t b_rs, T bias) {
    using Mask = typename WordOf<T>::type;
    T sum = bias, total = T(-0.0);
    int64_t block = 0;
    for (int64_t e = a.starts[row]; e < a.starts[row + 1]; ++e) {
        const int64_t block_of_e = block_of(a.columns[e]);
        const Mask ended = Mask(0) - Mask(block_of_e != block);
        total = total + choose(ended, sum, T(-0.0));
        sum = fma_of(B[a.columns[e] * b_rs], a.values[e], choose(ended, T(0), sum));
        block = block_of_e;
    }
    return total + sum;
}

template <class V>
void csr_product(Cancel& cancel, const Csr<typename V::T>& a, int64_t M, int64_t N, int64_t K, const typename V::T* B,
                 int64_t b_rs, const typename V::T* bias, typename V::T* C, int64_t c_rs, const Finish& finish) {
    constexpr int kAtOnce = 4;
    const BlockOf block_of(rules::k_block(K));
    const int64_t work = (csr_elements(a, M) + M) * N;
    const int64_t threads = cpu::threads_for(work, 100000), parts = threads > 1 ? 4 * threads : 1;
    const bool polls = work > 1000000;
    auto part = [&](int64_t p) {
        if (polls && cpu::poll(cancel)) return;
        int64_t i0, i1;
        cpu::cut(M, 1, parts, p, &i0, &i1);
        for (int64_t i = i0; i < i1; ++i) {
            const int64_t row = csr_row_at(a, i);
            typename V::T* c = C + i * c_rs;
            int64_t j = 0;
            for (; j + kAtOnce * V::L <= N; j += kAtOnce * V::L)
                csr_row<V, kAtOnce>(a, row, block_of, B + j, b_rs, bias ? bias + j : nullptr, c + j, Full{});
            if (N - j == 1) {
                c[j] = csr_number(a, row, block_of, B + j, b_rs, bias ? bias[j] : typename V::T(0));
                continue;
            }
            sweep<V>(N - j, [&](int64_t at_j, auto at) FR_LAMBDA {
                const int64_t jj = j + at_j;
                csr_row<V, 1>(a, row, block_of, B + jj, b_rs, bias ? bias + jj : nullptr, c + jj, at);
            });
        }
        if (i0 < i1) finish(i0, i1, int64_t(0), N);
    };
    cpu::run(parts, part);
}

// The transpose (I, B) of B rows: the elements of a column by increasing row of the batch.
template <class T>
class CsrTranspose {
public:
    CsrTranspose(const Csr<T>& x, int64_t B, int64_t I)
        : n_(csr_elements(x, B)), scratch_(size_t(I + 2 + n_) * sizeof(int64_t) + size_t(n_) * sizeof(int32_t)) {
        auto* starts = static_cast<int64_t*>(scratch_.memory());
        auto* values = reinterpret_cast<T*>(starts + I + 2);
        auto* rows = reinterpret_cast<int32_t*>(starts + I + 2 + n_);
        for (int64_t i = 0; i < I + 2; ++i) starts[i] = 0;
        const auto for_elements = [&](auto f) FR_LAMBDA {
            for (int64_t b = 0; b < B; ++b) {
                const int64_t row = csr_row_at(x, b);
                for (int64_t e = x.starts[row]; e < x.starts[row + 1]; ++e) f(b, e);
            }
        };
        for_elements([&](int64_t, int64_t e) FR_LAMBDA { ++starts[x.columns[e] + 2]; });
        for (int64_t i = 2; i < I + 2; ++i) starts[i] += starts[i - 1];  // starts[i + 1]: where column i begins
        for_elements([&](int64_t b, int64_t e) FR_LAMBDA {
            const int64_t to = starts[x.columns[e] + 1]++;  // in the end: where column i ends, and i + 1 begins
            values[to] = x.values[e];
            rows[to] = int32_t(b);
        });
        csr_.starts = starts;
        csr_.columns = rows;
        csr_.values = values;
    }

    const Csr<T>& csr() const { return csr_; }

private:
    const int64_t n_;
    const cpu::Scratch scratch_;
    Csr<T> csr_;
};
