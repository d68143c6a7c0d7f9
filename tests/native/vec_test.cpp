// Compares every operation of one vec_<isa>.h, lane by lane, with plain C++ on ordinary, special and random values.
// It must not know kernels or rules. It is over 250 lines because each operation of the contract is named once.
//
// Built once per instruction set, with -I csrc and two definitions (avx2 here; also scalar, avx512, neon):
//   -DFASTREG_ISA_NAMESPACE=avx2 -DFASTREG_VEC_HEADER='"cpu/vec_avx2.h"'
#include FASTREG_VEC_HEADER

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace {

using fastreg::FASTREG_ISA_NAMESPACE::U32;
using fastreg::FASTREG_ISA_NAMESPACE::VD;
using fastreg::FASTREG_ISA_NAMESPACE::VF;

int n_passed = 0, n_failed = 0;

void check(bool ok, const char* type, const char* what) {
    ++(ok ? n_passed : n_failed);
    if (!ok) std::printf("FAIL %s %s\n", type, what);
}

// Register <-> memory by memcpy, so that no test of arithmetic rests on load and store.
template <class Lane, class V>
std::vector<Lane> lanes(const V& x) {
    static_assert(sizeof(V) == V::L * sizeof(Lane), "a vector is its lanes and nothing else");
    std::vector<Lane> out(V::L);
    std::memcpy(out.data(), &x, sizeof x);
    return out;
}

template <class V, class Lane>
V from_lanes(const Lane* p) {
    V x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

template <class To, class From>
To as(From x) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

template <class T>
void fill_random(T* p, int64_t n, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int64_t i = 0; i < n; ++i) {
        const uint64_t word = random();
        std::memcpy(p + i, &word, sizeof(T));
    }
}

// One page of memory between two that fault when touched.
class GuardedPage {
public:
    GuardedPage() : size_(size_t(sysconf(_SC_PAGESIZE))) {
        void* p = mmap(nullptr, 3 * size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(static_cast<char*>(p) + size_, size_, PROT_READ | PROT_WRITE) != 0) {
            std::perror("guarded page");
            std::exit(2);
        }
        begin_ = static_cast<unsigned char*>(p) + size_;
    }
    template <class T>
    T* first() {
        return reinterpret_cast<T*>(begin_);
    }
    template <class T>
    T* last(int64_t n) {  // n elements before the end
        return reinterpret_cast<T*>(begin_ + size_) - n;
    }
    void fill() { std::memset(begin_, 0xA5, size_); }
    std::vector<unsigned char> bytes() const { return {begin_, begin_ + size_}; }

private:
    size_t size_;
    unsigned char* begin_;
};

GuardedPage page;

void report_fault(int) {
    const char text[] = "FAIL touched memory outside the lanes asked for\n";
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) _exit(3);
    _exit(1);
}

// ---- VF and VD, arithmetic and bits: operands a, b and c, special values in all combinations, then random ones ----

template <class T>
struct Samples {
    std::vector<T> a, b, c;
};

template <class V>
Samples<typename V::T> make_samples() {
    using T = typename V::T;
    using limits = std::numeric_limits<T>;
    const T low = limits::denorm_min(), normal = limits::min();
    std::vector<T> special = {0, 1, 2, T(0.1), T(1.5), std::nextafter(T(1), T(2)), limits::epsilon()};
    special.insert(special.end(), {low, 3 * low, std::nextafter(normal, T(0)), normal, limits::max()});
    special.insert(special.end(), {limits::infinity(), limits::quiet_NaN(), limits::signaling_NaN()});
    for (size_t i = 0, n = special.size(); i < n; ++i) special.push_back(-special[i]);
    Samples<T> s;
    for (T a : special)
        for (T b : special)
            for (T c : special) s.a.push_back(a), s.b.push_back(b), s.c.push_back(c);
    std::mt19937_64 random(1);
    std::uniform_real_distribution<T> unit(-1, 1);
    const auto any = [&] { return as<T>(typename V::Bits(random())); };
    for (int i = 0; i < 1 << 15; ++i) s.a.push_back(any()), s.b.push_back(any()), s.c.push_back(any());
    for (int i = 0; i < 1 << 15; ++i) {  // cancellation, where a multiply-add that rounds twice shows
        const T a = unit(random), b = unit(random);
        s.a.push_back(a), s.b.push_back(b), s.c.push_back(-a * b);
    }
    while (s.a.size() % V::L != 0) s.a.push_back(1), s.b.push_back(2), s.c.push_back(3);
    return s;
}

// Two NaN results are equal whatever their payload where arithmetic made them; all else must agree bit for bit.
enum class Nan { kAny, kExact };

template <class V>
class Comparison {
public:
    using T = typename V::T;
    using Bits = typename V::Bits;
    explicit Comparison(const char* type) : type_(type), samples_(make_samples<V>()) {}

    template <class Vector, class Reference>
    void operator()(const char* what, Nan nan, Vector vector, Reference reference) {
        int wrong = 0;
        for (size_t i = 0; i < samples_.a.size(); i += V::L) {
            const T *a = &samples_.a[i], *b = &samples_.b[i], *c = &samples_.c[i];
            const auto got = lanes<T>(vector(from_lanes<V>(a), from_lanes<V>(b), from_lanes<V>(c)));
            for (int k = 0; k < V::L; ++k) {
                const T want = reference(a[k], b[k], c[k]);
                if (as<Bits>(got[k]) == as<Bits>(want)) continue;
                if (nan == Nan::kAny && std::isnan(got[k]) && std::isnan(want)) continue;
                if (++wrong > 3) continue;
                std::printf("  %s %s lane %d: a %a b %a c %a: got %a, expected %a\n", type_, what, k, double(a[k]),
                            double(b[k]), double(c[k]), double(got[k]), double(want));
            }
        }
        check(wrong == 0, type_, what);
    }
    const char* type() const { return type_; }

private:
    const char* type_;
    Samples<T> samples_;
};

template <class V>
void test_arithmetic(Comparison<V>& compare) {
    using T = typename V::T;
    compare("+", Nan::kAny, [](V a, V b, V) { return a + b; }, [](T a, T b, T) { return a + b; });
    compare("-", Nan::kAny, [](V a, V b, V) { return a - b; }, [](T a, T b, T) { return a - b; });
    compare("*", Nan::kAny, [](V a, V b, V) { return a * b; }, [](T a, T b, T) { return a * b; });
    compare("/", Nan::kAny, [](V a, V b, V) { return a / b; }, [](T a, T b, T) { return a / b; });
    compare(
        "fma", Nan::kAny, [](V a, V b, V c) { return fma(a, b, c); }, [](T a, T b, T c) { return std::fma(a, b, c); });
    compare(
        "fms", Nan::kAny, [](V a, V b, V c) { return fms(a, b, c); }, [](T a, T b, T c) { return std::fma(a, b, -c); });
    compare("sqrt", Nan::kAny, [](V a, V, V) { return sqrt(a); }, [](T a, T, T) { return std::sqrt(a); });
    const auto e = Nan::kExact;
    compare("min", e, [](V a, V b, V) { return V::min(a, b); }, [](T a, T b, T) { return a < b ? a : b; });
    compare("max", e, [](V a, V b, V) { return V::max(a, b); }, [](T a, T b, T) { return a > b ? a : b; });
    const auto multiply_add = [](T a, T b, T c) { return std::fma(a, b, c); };
    compare(
        "accumulate", Nan::kAny,
        [](V a, V b, V c) {
            accumulate(a, b, c);
            return c;
        },
        multiply_add);
    compare(
        "accumulate from memory", Nan::kAny,
        [](V a, V b, V c) {
            T* p = page.last<T>(V::L);
            b.store(p);
            V::accumulate(a, p, c);
            return c;
        },
        multiply_add);
    compare(
        "accumulate a number", Nan::kAny,
        [](V a, V b, V c) {
            T numbers[V::L], sums[V::L];
            a.store(numbers);
            for (int i = 0; i < V::L; ++i) {  // each number times all of b
                V all = c;
                V::accumulate_number(numbers + i, b, all);
                T lanes[V::L];
                all.store(lanes);
                sums[i] = lanes[i];
            }
            return V::load(sums);
        },
        multiply_add);
}

template <class V>
void test_masks(Comparison<V>& compare) {
    using T = typename V::T;
    const auto e = Nan::kExact;
    compare("<", e, [](V a, V b, V c) { return V::select(a < b, a, c); }, [](T a, T b, T c) { return a < b ? a : c; });
    compare(
        "<=", e, [](V a, V b, V c) { return V::select(a <= b, b, c); }, [](T a, T b, T c) { return a <= b ? b : c; });
    compare(
        "==", e, [](V a, V b, V c) { return V::select(a == b, c, a); }, [](T a, T b, T c) { return a == b ? c : a; });
    compare(
        "mask_and", e, [](V a, V b, V c) { return V::select(V::mask_and(a < b, b <= c), a, c); },
        [](T a, T b, T c) { return a < b && b <= c ? a : c; });
    compare(
        "mask_or", e, [](V a, V b, V c) { return V::select(V::mask_or(a < b, b == c), a, c); },
        [](T a, T b, T c) { return a < b || b == c ? a : c; });
    compare(
        "mask_not", e, [](V a, V b, V c) { return V::select(V::mask_not(a < b), a, c); },
        [](T a, T b, T c) { return !(a < b) ? a : c; });
    compare(
        "mask_not of mask_not", e, [](V a, V b, V c) { return V::select(V::mask_not(V::mask_not(a < b)), a, c); },
        [](T a, T b, T c) { return a < b ? a : c; });
    bool ok = true;
    for (uint32_t set = 0; set < (1u << V::L); ++set) {
        T values[V::L];
        for (int k = 0; k < V::L; ++k) values[k] = T(set >> k & 1);
        ok = ok && V::lanes(V::set(0) < from_lanes<V>(values)) == set;
    }
    check(ok, compare.type(), "lanes");
}

template <int n, class V>
void test_shift(Comparison<V>& compare) {
    using T = typename V::T;
    using B = typename V::Bits;
    char what[32];
    std::snprintf(what, sizeof what, "bits_shl<%d>", n);
    compare(
        what, Nan::kExact, [](V a, V, V) { return V::template bits_shl<n>(a); },
        [](T a, T, T) { return as<T>(B(as<B>(a) << n)); });
    std::snprintf(what, sizeof what, "bits_shr<%d>", n);
    compare(
        what, Nan::kExact, [](V a, V, V) { return V::template bits_shr<n>(a); },
        [](T a, T, T) { return as<T>(B(as<B>(a) >> n)); });
}

template <class V>
void test_bits(Comparison<V>& compare) {
    using T = typename V::T;
    using B = typename V::Bits;
    const auto e = Nan::kExact;
    compare(
        "bits_and", e, [](V a, V b, V) { return bits_and(a, b); },
        [](T a, T b, T) { return as<T>(as<B>(a) & as<B>(b)); });
    compare(
        "bits_or", e, [](V a, V b, V) { return bits_or(a, b); },
        [](T a, T b, T) { return as<T>(as<B>(a) | as<B>(b)); });
    compare(
        "bits_xor", e, [](V a, V b, V) { return bits_xor(a, b); },
        [](T a, T b, T) { return as<T>(as<B>(a) ^ as<B>(b)); });
    compare(
        "bits_add", e, [](V a, V b, V) { return bits_add(a, b); },
        [](T a, T b, T) { return as<T>(as<B>(a) + as<B>(b)); });
    compare(
        "bits_sub", e, [](V a, V b, V) { return bits_sub(a, b); },
        [](T a, T b, T) { return as<T>(as<B>(a) - as<B>(b)); });
    test_shift<0>(compare), test_shift<1>(compare), test_shift<13>(compare), test_shift<23>(compare);
    test_shift<8 * sizeof(T) - 12>(compare), test_shift<8 * sizeof(T) - 1>(compare);
}

template <class V>
void test_set(const char* type) {
    using B = typename V::Bits;
    bool set = true, set_bits = true;
    for (auto x : make_samples<V>().c) {
        const std::vector<B> want(V::L, as<B>(x));
        set = set && lanes<B>(V::set(x)) == want;
        set_bits = set_bits && lanes<B>(V::set_bits(as<B>(x))) == want;
    }
    check(set, type, "set");
    check(set_bits, type, "set_bits");
}

// ---- memory: partial loads and stores, dropout decisions, transposes ----

template <class V>
void test_load_store(const char* type) {
    using T = typename V::T;
    using B = typename V::Bits;
    char what[48];
    for (int n = 0; n <= V::L + 1; ++n) {
        const int count = std::min(n, V::L);
        for (const bool at_end : {false, true}) {
            T* p = at_end ? page.last<T>(count) : page.first<T>();
            page.fill();
            fill_random(p, count, uint64_t(n));
            std::vector<B> want(V::L, 0);
            std::memcpy(want.data(), p, count * sizeof(T));
            std::snprintf(what, sizeof what, "load(p, %d) at the page's %s", n, at_end ? "end" : "start");
            check(lanes<B>(V::load(p, n)) == want, type, what);

            std::vector<B> source(V::L);
            fill_random(source.data(), V::L, uint64_t(n) + 100);
            page.fill();
            std::memcpy(p, source.data(), count * sizeof(T));
            const auto wanted_bytes = page.bytes();
            page.fill();
            from_lanes<V>(source.data()).store(p, n);
            std::snprintf(what, sizeof what, "store(p, %d) at the page's %s", n, at_end ? "end" : "start");
            check(page.bytes() == wanted_bytes, type, what);
            if (n != V::L) continue;
            check(lanes<B>(V::load(p)) == source, type, "load(p)");
            page.fill();
            from_lanes<V>(source.data()).store(p);
            check(page.bytes() == wanted_bytes, type, "store(p)");
            page.fill();
            from_lanes<V>(source.data()).stream(p);
            V::drain();
            check(page.bytes() == wanted_bytes, type, "stream(p)");
        }
    }
}

template <class V>
void test_below(const char* type) {
    using T = typename V::T;
    const uint16_t edges[] = {0, 1, 2, 32767, 32768, 32769, 65534, 65535};
    uint16_t* draws = page.last<uint16_t>(V::L);
    char what[32];
    for (const uint32_t keep : {0u, 1u, 2u, 32767u, 32768u, 32769u, 52429u, 65535u, 65536u}) {
        bool ok = true;
        for (uint64_t round = 0; round < 200; ++round) {
            fill_random(draws, V::L, round);
            if (round % 2 == 0) draws[round / 2 % V::L] = edges[round % 8], draws[round % V::L] = edges[round / 2 % 8];
            const auto got = lanes<T>(V::select(V::below(draws, keep), V::set(1), V::set(0)));
            for (int k = 0; k < V::L; ++k) ok = ok && got[k] == T(draws[k] < keep);
        }
        std::snprintf(what, sizeof what, "below keep %u", keep);
        check(ok, type, what);
    }
}

template <class V>
void test_transpose(const char* type) {
    using T = typename V::T;
    constexpr int K = V::kTransposeTile;
    char what[48];
    for (const int64_t src_stride : {K, K + 1, K + 5})
        for (const int64_t dst_stride : {K, K + 1, K + 7}) {
            std::vector<T> src((K - 1) * src_stride + K);
            fill_random(src.data(), int64_t(src.size()), 7);
            T* dst = page.last<T>((K - 1) * dst_stride + K);
            page.fill();
            for (int r = 0; r < K; ++r)
                for (int c = 0; c < K; ++c) std::memcpy(dst + c * dst_stride + r, &src[r * src_stride + c], sizeof(T));
            const auto want = page.bytes();
            page.fill();
            V::transpose(src.data(), src_stride, dst, dst_stride);
            bool ok = page.bytes() == want;

            T* guarded = page.last<T>(int64_t(src.size()));  // the same, reading up to the page's end
            std::memcpy(guarded, src.data(), src.size() * sizeof(T));
            std::vector<T> out((K - 1) * dst_stride + K);
            V::transpose(guarded, src_stride, out.data(), dst_stride);
            for (int r = 0; r < K; ++r)
                for (int c = 0; c < K; ++c)
                    ok = ok && std::memcmp(&out[c * dst_stride + r], &src[r * src_stride + c], sizeof(T)) == 0;
            std::snprintf(what, sizeof what, "transpose strides +%d, +%d", int(src_stride) - K, int(dst_stride) - K);
            check(ok, type, what);
        }
}

template <class V>
void test_real(const char* type) {
    Comparison<V> compare(type);
    test_arithmetic(compare);
    test_masks(compare);
    test_bits(compare);
    test_set<V>(type);
    test_load_store<V>(type);
    test_below<V>(type);
    test_transpose<V>(type);
}

// ---- U32 ----

// A U32 may keep even lanes before odd ones, each in 64 bits of which the upper half may hold anything (vec_avx2.h).
constexpr int kWords = sizeof(U32) / sizeof(uint32_t);
int word_of(int lane) { return kWords == U32::L ? lane : lane % 2 * U32::L + lane / 2 * 2; }

std::vector<uint32_t> u32_lanes(const U32& x) {
    uint32_t words[kWords];
    std::memcpy(words, &x, sizeof x);
    std::vector<uint32_t> out;
    for (int i = 0; i < U32::L; ++i) out.push_back(words[word_of(i)]);
    return out;
}

U32 u32_from(const uint32_t* lanes) {
    uint32_t words[kWords];
    fill_random(words, kWords, 99);
    for (int i = 0; i < U32::L; ++i) words[word_of(i)] = lanes[i];
    U32 x;
    std::memcpy(&x, words, sizeof x);
    return x;
}

void test_u32() {
    using Lanes = std::vector<uint32_t>;
    constexpr int L = U32::L;
    const uint32_t edges[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0xD2511F53, 0xCD9E8D57};
    bool set = true, iota = true, exclusive_or = true, wide = true;
    for (uint64_t round = 0; round < 4096; ++round) {
        Lanes a(L), b(L), want(L), want_lo(L);
        fill_random(a.data(), L, 2 * round);
        fill_random(b.data(), L, 2 * round + 1);
        a[round % L] = edges[round % 8];
        const uint32_t x = round % 2 == 0 ? b[0] : edges[round / 2 % 8];
        const U32 va = u32_from(a.data()), vb = u32_from(b.data());

        set = set && u32_lanes(U32::set(x)) == Lanes(L, x);
        for (int k = 0; k < L; ++k) want[k] = x + uint32_t(k);
        iota = iota && u32_lanes(U32::iota(x)) == want;
        for (int k = 0; k < L; ++k) want[k] = a[k] ^ b[k];
        exclusive_or = exclusive_or && u32_lanes(va ^ vb) == want;

        for (int k = 0; k < L; ++k) {
            const uint64_t product = uint64_t(a[k]) * x;
            want[k] = uint32_t(product >> 32), want_lo[k] = uint32_t(product);
        }
        U32 hi, lo;
        U32::mul_wide(va, x, &hi, &lo);
        wide = wide && u32_lanes(hi) == want && u32_lanes(lo) == want_lo;
    }
    check(set, "U32", "set");
    check(iota, "U32", "iota");
    check(exclusive_or, "U32", "^");
    check(wide, "U32", "mul_wide");
}

void test_store_interleaved() {
    constexpr int L = U32::L;
    uint32_t source[4 * L];
    fill_random(source, 4 * L, 1);
    const U32 word[4] = {u32_from(source), u32_from(source + L), u32_from(source + 2 * L), u32_from(source + 3 * L)};
    uint32_t* out = page.last<uint32_t>(4 * L);
    page.fill();
    for (int k = 0; k < 4; ++k)
        for (int i = 0; i < L; ++i) out[4 * i + k] = source[k * L + i];
    const auto want = page.bytes();
    page.fill();
    U32::store_interleaved(word, reinterpret_cast<unsigned char*>(out));
    check(page.bytes() == want, "U32", "store_interleaved");
}

}  // namespace

int main() {
    static_assert(std::is_same<VF::T, float>::value && std::is_same<VF::Bits, uint32_t>::value, "VF is over float");
    static_assert(std::is_same<VD::T, double>::value && std::is_same<VD::Bits, uint64_t>::value, "VD is over double");
    signal(SIGSEGV, report_fault);
    test_real<VF>("VF");
    test_real<VD>("VD");
    test_u32();
    test_store_interleaved();
    std::printf("VF::L %d: %d passed, %d failed\n", VF::L, n_passed, n_failed);
    return n_failed == 0 ? 0 : 1;
}
