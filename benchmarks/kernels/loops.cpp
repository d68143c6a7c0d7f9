// The loops of loops.h over the vector types of one instruction set; compiled once for each, with its flags.
// It must not know kernels, threads or time.
#include "loops.h"

#include FASTREG_VEC_HEADER

namespace fastreg::FASTREG_ISA_NAMESPACE {
namespace {

// Independent chains enough to hide the latency of every unit, few enough to stay in registers (16 with AVX2).
template <class V>
constexpr int kChains = sizeof(V) == 32 ? 12 : 16;

template <class V, class Step>
inline __attribute__((always_inline)) double chains(int64_t iterations, double a, Step step) {
    constexpr int n = kChains<V>;
    V x[n];
    for (int j = 0; j < n; ++j) x[j] = V::set(typename V::T(a + 0.01 * j));
    for (int64_t i = 0; i < iterations; ++i)
        for (int j = 0; j < n; ++j) x[j] = step(x[j]);
    V sum = x[0];
    for (int j = 1; j < n; ++j) sum = sum + x[j];
    typename V::T lanes[V::L];
    sum.store(lanes);
    return double(lanes[0]);
}

template <class V>
double fma_loop(int64_t iterations, double a) {
    const V by = V::set(typename V::T(1 / a)), add = V::set(typename V::T(a));
    return chains<V>(iterations, a, [&](V x) { return fma(x, by, add); });
}
template <class V>
double divide_loop(int64_t iterations, double a) {
    const V over = V::set(typename V::T(a));
    return chains<V>(iterations, a, [&](V x) { return over / x; });
}
template <class V>
double root_loop(int64_t iterations, double a) {
    const V by = V::set(typename V::T(a));
    return chains<V>(iterations, a, [&](V x) { return sqrt(x * by); });
}

constexpr int kWideChains = 8;
double wide_multiply_loop(int64_t iterations, double a) {
    U32 x[kWideChains];
    for (int j = 0; j < kWideChains; ++j) x[j] = U32::iota(uint32_t(a) + uint32_t(j) * 77u);
    for (int64_t i = 0; i < iterations; ++i)
        for (int j = 0; j < kWideChains; ++j) {
            U32 hi, lo;
            U32::mul_wide(x[j], 0xD2511F53u, &hi, &lo);
            x[j] = hi ^ lo;
        }
    U32 word[4] = {x[0] ^ x[4], x[1] ^ x[5], x[2] ^ x[6], x[3] ^ x[7]};
    unsigned char bytes[16 * U32::L];
    U32::store_interleaved(word, bytes);
    return bytes[0] + bytes[4] + bytes[8] + bytes[12];
}

void copy(float* to, const float* from, int64_t n) {
    int64_t i = 0;
    for (; i + 4 * VF::L <= n; i += 4 * VF::L)
        for (int j = 0; j < 4; ++j) VF::load(from + i + j * VF::L).store(to + i + j * VF::L);
    for (; i < n; ++i) to[i] = from[i];
}

void copy_past_cache(float* to, const float* from, int64_t n) {
#if defined(__AVX__)
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j += 8) _mm256_stream_ps(to + i + j, _mm256_loadu_ps(from + i + j));
    _mm_sfence();
    for (; i < n; ++i) to[i] = from[i];
#else
    copy(to, from, n);
#endif
}

template <class V>
constexpr double lanes() {
    return double(kChains<V> * V::L);
}

}  // namespace

#define FASTREG_STRING2(x) #x
#define FASTREG_STRING(x) FASTREG_STRING2(x)
extern const IsaLoops kLoops;
const IsaLoops kLoops{FASTREG_STRING(FASTREG_ISA_NAMESPACE),
                      {{fma_loop<VF>, lanes<VF>()}, {fma_loop<VD>, lanes<VD>()}},
                      {{divide_loop<VF>, lanes<VF>()}, {divide_loop<VD>, lanes<VD>()}},
                      {{root_loop<VF>, lanes<VF>()}, {root_loop<VD>, lanes<VD>()}},
                      {wide_multiply_loop, double(kWideChains * U32::L)},
                      copy,
                      copy_past_cache};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE
