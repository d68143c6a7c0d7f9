// Which numbers of A are not 0. It must not know how B and C are cut. Included by gemm_zeros.inl.

// Some rows of A over one block of k, and at which steps each is not 0: bit b of the row's word w is step 64 w + b.
template <class V>
struct Nonzeros {
    using T = typename V::T;
    static constexpr int64_t kWord = 64;
    int64_t rows, K;
    const T* a;  // number (r, k) at a[r * a_rs + k]
    int64_t a_rs;
    uint64_t* bits;  // word w of row r at bits[w * rows + r]

    FR_LOOP static uint64_t word(const T* row, int64_t n) {
        uint64_t zeros = n < kWord ? ~uint64_t(0) << n : 0;
        int64_t k = 0;
        for (; k + V::L <= n; k += V::L) zeros |= uint64_t(V::lanes(V::load(row + k) == V::set(0))) << k;
        for (; k < n; ++k) zeros |= uint64_t(row[k] == 0) << k;
        return ~zeros;
    }
    void find() {
        for (int64_t w = 0; w * kWord < K; ++w) {
            const T* row = a + w * kWord;
            uint64_t* const words = bits + w * rows;
            const int64_t n = K - w * kWord;
            if (n >= kWord)  // most words: their loop is unrolled
                for (int64_t r = 0; r < rows; ++r) words[r] = word(row + r * a_rs, kWord);
            else
                for (int64_t r = 0; r < rows; ++r) words[r] = word(row + r * a_rs, n);
        }
    }
};

// Rows of A that do not lie in memory, K numbers each, copied to rows that do, `stride` apart.
template <class V>
void turn_rows(Strided<const typename V::T> first, int64_t rows, int64_t K, typename V::T* turned, int64_t stride) {
    constexpr int kTile = V::kTransposeTile;
    for (int64_t r = 0; r < rows; r += kTile) {
        const int64_t n = rows - r < kTile ? rows - r : kTile;
        typename V::T* const to = turned + r * stride;
        int64_t k = 0;
        for (; n == kTile && k + kTile <= K; k += kTile)
            V::transpose(first.p + r + k * first.cs, first.cs, to + k, stride);
        for (; k < K; ++k)
            for (int64_t t = 0; t < n; ++t) to[t * stride + k] = first.p[r + t + k * first.cs];
    }
}
