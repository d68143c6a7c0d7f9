// Whether many numbers of A are 0, and which are not. It must not know how B and C are cut. Included by
// gemm_zeros.inl.

// The share of zeros from which on skipping them is faster, as measured. Over many rows it is `least`: what is skipped
// is whole vectors of B, but the longest wait for it, all wait where it is beyond the caches, and less than eight of
// them are too few chains to hide the latency of an FMA. Beside that it takes, in parts of the whole product's time: to
// see that B is finite and to pack all of it, as long as some rows; to turn A, as some columns; to turn C, as some
// steps.
template <class V>
double fewest_zeros(const GemmPlan<V>& g) {
    constexpr bool kLongest = sizeof(V) == 64;
    constexpr double kRows = kLongest ? 1.5 : 1, kColumns = kLongest ? 24 : 8, kSteps = kLongest ? 14 : 8;
    const int64_t kib = g.K * g.N * int64_t(sizeof(typename V::T)) >> 10;
    const double short_rows = kLongest ? (g.N < 8 * V::L ? 0.12 : 0) : g.N < 16 * V::L ? 0.05 : 0;
    const double least = (kLongest ? 0.48 : 0.42) + (kib > 1024 ? 0.04 : 0) + short_rows;
    const double rows = kRows * (kib <= 32 ? 2 : kib <= 512 ? 6 : 12);
    const double columns = g.A.cs == 1 ? 0 : kColumns, steps = g.c_cs == 1 ? 0 : kSteps;
    return least + (1 - least) * (rows / double(g.M) + columns / double(g.N) + steps / double(g.K));
}

// Whether to skip A's zeros: the product is large enough, its operands lie in rows, and in a sample of A they are many.
template <class V>
bool has_many_zeros(const GemmPlan<V>& g) {
    constexpr int64_t kRows = 4, kCols = 256;
    const auto lies = [](const auto& x) FR_LAMBDA { return x.cs == 1 || x.rs == 1; };
    constexpr bool kLongest = sizeof(V) == 64;
    if (!lies(g.A) || !lies(g.B) || g.M < 8 || g.K < 16 || g.N < (kLongest ? 4 : 8) * V::L) return false;
    const bool along_k = g.A.cs == 1;
    const int64_t rows = along_k ? g.M : g.K, cols = along_k ? g.K : g.M, stride = along_k ? g.A.rs : g.A.cs;
    const int64_t step = rows > kRows ? rows / kRows : 1, most = cols < kCols ? cols : kCols;
    int64_t seen = 0;
    V zeros = V::set(0);
    for (int64_t r = step / 2; r < rows; r += step)
        for (int64_t c = 0; c + V::L <= most; c += V::L, seen += V::L)
            zeros = zeros + V::select(V::load(g.A.p + r * stride + c) == V::set(0), V::set(1), V::set(0));
    typename V::T lanes[V::L], count = 0;
    zeros.store(lanes);
    for (int i = 0; i < V::L; ++i) count += lanes[i];
    return seen > 0 && double(count) >= fewest_zeros(g) * double(seen);
}

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
