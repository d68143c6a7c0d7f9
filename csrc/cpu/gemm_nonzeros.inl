// Whether many numbers of A are 0, and lists of those that are not. It must not know how B and C are cut. Included by
// gemm_zeros.inl.

// Whether to skip A's zeros: the product is large enough, its operands lie in rows, and in a sample of A they are many.
template <class V>
bool has_many_zeros(const GemmPlan<V>& g) {
    constexpr int64_t kRows = 4, kCols = 256;
    const auto lies = [](const auto& x) FR_LAMBDA { return x.cs == 1 || x.rs == 1; };
    if (!lies(g.A) || !lies(g.B) || g.M < 8 || g.K < 16 || g.N < 8 * V::L) return false;
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
    // Listing what is not 0 costs as much as some columns.
    const double fewest = g.N < 16 * V::L ? 0.6 : 0.4;
    return seen > 0 && double(count) >= fewest * double(seen);
}

// The numbers of some rows of A over one block of k that are not 0, and where in B their steps begin. Steps are cut
// into `cuts` of `step`, so few that B's part of them stays in the first cache; of each cut, rows lie behind one
// another.
template <class V>
struct Nonzeros {
    using T = typename V::T;
    int64_t rows, K, step, cuts, capacity;  // of a cut
    T* values;                              // cuts * capacity
    uint32_t* offsets;                      // the same
    int32_t* starts;                        // cuts * (rows + 1): of each row within its cut, and the end

    Nonzeros(int64_t rows_, int64_t K_, int64_t most_steps) : rows(rows_), K(K_) {
        const int64_t wanted = (K + most_steps - 1) / most_steps;
        step = ((K + wanted - 1) / wanted + V::L - 1) / V::L * V::L;
        cuts = (K + step - 1) / step;
        capacity = rows * step + V::L;
    }
    size_t numbers() const { return size_t(cuts * capacity); }
    size_t words() const { return size_t(cuts * (capacity + rows + 1)); }
    void take(T* numbers, uint32_t* words) {
        values = numbers;
        offsets = words;
        starts = reinterpret_cast<int32_t*>(words + cuts * capacity);
    }

    // Row r: K numbers. Rows come in order. offset_of: of each step.
    FR_LOOP void add(int64_t r, const T* row, const uint32_t* offset_of) {
        for (int64_t s = 0; s < cuts; ++s) {
            int32_t* start = starts + s * (rows + 1) + r;
            if (r == 0) *start = 0;
            int32_t n = *start;
            T* to = values + s * capacity;
            uint32_t* tags = offsets + s * capacity;
            const int64_t end = (s + 1) * step < K ? (s + 1) * step : K;
            int64_t k = s * step;
            if constexpr (V::kKeepsNonzero)
                for (; k + V::L <= end; k += V::L)
                    n += V::keep_nonzero(V::load(row + k), offset_of + k, to + n, tags + n);
            for (; k < end; ++k) {
                to[n] = row[k];
                tags[n] = offset_of[k];
                n += !(row[k] == 0);
            }
            start[1] = n;
        }
    }
};

// All rows of A, from `first` on, in `a`. turned: room for kTransposeTile rows of K + kTransposeTile numbers, where
// rows do not lie in memory.
template <class V>
void list_nonzeros(Strided<const typename V::T> first, const uint32_t* offset_of, typename V::T* turned,
                   Nonzeros<V>* a) {
    constexpr int kTile = V::kTransposeTile;
    if (first.cs == 1) {
        for (int64_t r = 0; r < a->rows; ++r) a->add(r, first.p + r * first.rs, offset_of);
        return;
    }
    const int64_t K = a->K, stride = K + kTile;
    for (int64_t r = 0; r < a->rows; r += kTile) {
        const int64_t n = a->rows - r < kTile ? a->rows - r : kTile;
        int64_t k = 0;
        for (; n == kTile && k + kTile <= K; k += kTile)
            V::transpose(first.p + r + k * first.cs, first.cs, turned + k, stride);
        for (; k < K; ++k)
            for (int64_t t = 0; t < n; ++t) turned[t * stride + k] = first.p[r + t + k * first.cs];
        for (int64_t t = 0; t < n; ++t) a->add(r + t, turned + t * stride, offset_of);
    }
}
