// Square transposes in 256-bit registers, shared by the AVX2 and AVX-512 vectors.
// It must not know vector types, operations or rules. Source and destination must not overlap.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace fastreg::FASTREG_ISA_NAMESPACE {

// Two rows in one register, so that only shuffles within 128 bits remain: the load ports do the crossing.
__attribute__((always_inline)) inline __m256 load_two_rows(const float* low, const float* high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

__attribute__((always_inline)) inline __m256d load_two_rows(const double* low, const double* high) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high), 1);
}

// dst[c * dst_stride + r] = src[r * src_stride + c] for r, c < 8; strides in elements.
__attribute__((always_inline)) inline void transpose_8x8(const float* src, int64_t src_stride, float* dst,
                                                         int64_t dst_stride) {
    const float* lower = src + 4 * src_stride;
    for (int c = 0; c < 8; c += 4) {
        const __m256 row04 = load_two_rows(src + c, lower + c);
        const __m256 row15 = load_two_rows(src + src_stride + c, lower + src_stride + c);
        const __m256 row26 = load_two_rows(src + 2 * src_stride + c, lower + 2 * src_stride + c);
        const __m256 row37 = load_two_rows(src + 3 * src_stride + c, lower + 3 * src_stride + c);
        const __m256 t0 = _mm256_unpacklo_ps(row04, row15);  // columns c and c + 1, alternating rows
        const __m256 t1 = _mm256_unpackhi_ps(row04, row15);  // columns c + 2 and c + 3
        const __m256 t2 = _mm256_unpacklo_ps(row26, row37);
        const __m256 t3 = _mm256_unpackhi_ps(row26, row37);
        _mm256_storeu_ps(dst + (c + 0) * dst_stride, _mm256_shuffle_ps(t0, t2, 0x44));
        _mm256_storeu_ps(dst + (c + 1) * dst_stride, _mm256_shuffle_ps(t0, t2, 0xEE));
        _mm256_storeu_ps(dst + (c + 2) * dst_stride, _mm256_shuffle_ps(t1, t3, 0x44));
        _mm256_storeu_ps(dst + (c + 3) * dst_stride, _mm256_shuffle_ps(t1, t3, 0xEE));
    }
}

// The same for r, c < 4 in double.
__attribute__((always_inline)) inline void transpose_4x4(const double* src, int64_t src_stride, double* dst,
                                                         int64_t dst_stride) {
    for (int c = 0; c < 4; c += 2) {
        const __m256d row02 = load_two_rows(src + c, src + 2 * src_stride + c);
        const __m256d row13 = load_two_rows(src + src_stride + c, src + 3 * src_stride + c);
        _mm256_storeu_pd(dst + (c + 0) * dst_stride, _mm256_unpacklo_pd(row02, row13));
        _mm256_storeu_pd(dst + (c + 1) * dst_stride, _mm256_unpackhi_pd(row02, row13));
    }
}

}  // namespace fastreg::FASTREG_ISA_NAMESPACE
