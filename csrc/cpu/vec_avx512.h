// Vectors of 512 bits for x86-64 with AVX-512 F, DQ, BW and VL; vec_scalar.h defines what each operation means.
// It must not know operations or rules, and defines nothing outside the namespace of its instruction set.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)  // GCC 12 warns of its own _mm512_undefined_epi32 (GCC bug 105593)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstdint>

#include "cpu/transpose_avx2.h"

#define FR_VEC __attribute__((always_inline)) inline

namespace fastreg::FASTREG_ISA_NAMESPACE {

// Sixteen lanes of float.
struct VF {
    using T = float;
    using Bits = uint32_t;
    using M = __mmask16;
    static constexpr int L = 16;
    __m512 v;

    FR_VEC static VF load(const T* p) { return {_mm512_loadu_ps(p)}; }
    FR_VEC static VF load(const T* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
    FR_VEC static VF set(T x) { return {_mm512_set1_ps(x)}; }
    FR_VEC static VF set_bits(Bits b) { return real(_mm512_set1_epi32(int(b))); }
    FR_VEC void store(T* p) const { _mm512_storeu_ps(p, v); }
    FR_VEC void store(T* p, int n) const { _mm512_mask_storeu_ps(p, first(n), v); }
    FR_VEC void stream(T* p) const {
        _mm_stream_ps(p, _mm512_castps512_ps128(v));
        _mm_stream_ps(p + 4, _mm512_extractf32x4_ps(v, 1));
        _mm_stream_ps(p + 8, _mm512_extractf32x4_ps(v, 2));
        _mm_stream_ps(p + 12, _mm512_extractf32x4_ps(v, 3));
    }
    FR_VEC static void drain() { _mm_sfence(); }

    FR_VEC friend VF operator+(VF a, VF b) { return {_mm512_add_ps(a.v, b.v)}; }
    FR_VEC friend VF operator-(VF a, VF b) { return {_mm512_sub_ps(a.v, b.v)}; }
    FR_VEC friend VF operator*(VF a, VF b) { return {_mm512_mul_ps(a.v, b.v)}; }
    FR_VEC friend VF operator/(VF a, VF b) { return {_mm512_div_ps(a.v, b.v)}; }
    FR_VEC friend VF fma(VF a, VF b, VF c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    FR_VEC friend void accumulate(VF a, VF b, VF& c) { asm("vfmadd231ps %2, %1, %0" : "+v"(c.v) : "v"(a.v), "v"(b.v)); }
    FR_VEC static void accumulate(VF a, const T* b, VF& c) {
        asm("vfmadd231ps %2, %1, %0" : "+v"(c.v) : "v"(a.v), "m"(*reinterpret_cast<const T(*)[L]>(b)));
    }
    FR_VEC static void accumulate_number(const T* a, VF b, VF& c) {
        asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c.v) : "v"(b.v), "m"(*a));
    }
    FR_VEC friend VF fms(VF a, VF b, VF c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }
    FR_VEC friend VF sqrt(VF a) { return {_mm512_sqrt_ps(a.v)}; }
    FR_VEC static VF min(VF a, VF b) { return {_mm512_min_ps(a.v, b.v)}; }
    FR_VEC static VF max(VF a, VF b) { return {_mm512_max_ps(a.v, b.v)}; }

    FR_VEC friend M operator<(VF a, VF b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
    FR_VEC friend M operator<=(VF a, VF b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ); }
    FR_VEC friend M operator==(VF a, VF b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
    FR_VEC static M mask_and(M a, M b) { return M(a & b); }
    FR_VEC static M mask_or(M a, M b) { return M(a | b); }
    FR_VEC static M mask_not(M a) { return M(~a); }
    FR_VEC static uint32_t lanes(M a) { return a; }
    FR_VEC static VF select(M m, VF yes, VF no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }

    FR_VEC friend VF bits_and(VF a, VF b) { return {_mm512_and_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_or(VF a, VF b) { return {_mm512_or_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_xor(VF a, VF b) { return {_mm512_xor_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_add(VF a, VF b) { return real(_mm512_add_epi32(word(a), word(b))); }
    FR_VEC friend VF bits_sub(VF a, VF b) { return real(_mm512_sub_epi32(word(a), word(b))); }
    template <int n>
    FR_VEC static VF bits_shl(VF a) {
        return real(_mm512_slli_epi32(word(a), n));
    }
    template <int n>
    FR_VEC static VF bits_shr(VF a) {
        return real(_mm512_srli_epi32(word(a), n));
    }

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        const __m512i u = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(draws)));
        return _mm512_cmplt_epu32_mask(u, _mm512_set1_epi32(int(keep)));
    }

    static constexpr int kTransposeTile = 8;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        transpose_8x8(src, src_stride, dst, dst_stride);
    }

private:
    FR_VEC static __m512i word(VF a) { return _mm512_castps_si512(a.v); }
    FR_VEC static VF real(__m512i word) { return {_mm512_castsi512_ps(word)}; }
    FR_VEC static M first(int n) {  // true in lanes < n
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return _mm512_cmpgt_epi32_mask(_mm512_set1_epi32(n), lane);
    }
};

// Eight lanes of double.
struct VD {
    using T = double;
    using Bits = uint64_t;
    using M = __mmask8;
    static constexpr int L = 8;
    __m512d v;

    FR_VEC static VD load(const T* p) { return {_mm512_loadu_pd(p)}; }
    FR_VEC static VD load(const T* p, int n) { return {_mm512_maskz_loadu_pd(first(n), p)}; }
    FR_VEC static VD set(T x) { return {_mm512_set1_pd(x)}; }
    FR_VEC static VD set_bits(Bits b) { return real(_mm512_set1_epi64(int64_t(b))); }
    FR_VEC void store(T* p) const { _mm512_storeu_pd(p, v); }
    FR_VEC void store(T* p, int n) const { _mm512_mask_storeu_pd(p, first(n), v); }
    FR_VEC void stream(T* p) const {
        _mm_stream_pd(p, _mm512_castpd512_pd128(v));
        _mm_stream_pd(p + 2, _mm512_extractf64x2_pd(v, 1));
        _mm_stream_pd(p + 4, _mm512_extractf64x2_pd(v, 2));
        _mm_stream_pd(p + 6, _mm512_extractf64x2_pd(v, 3));
    }
    FR_VEC static void drain() { _mm_sfence(); }

    FR_VEC friend VD operator+(VD a, VD b) { return {_mm512_add_pd(a.v, b.v)}; }
    FR_VEC friend VD operator-(VD a, VD b) { return {_mm512_sub_pd(a.v, b.v)}; }
    FR_VEC friend VD operator*(VD a, VD b) { return {_mm512_mul_pd(a.v, b.v)}; }
    FR_VEC friend VD operator/(VD a, VD b) { return {_mm512_div_pd(a.v, b.v)}; }
    FR_VEC friend VD fma(VD a, VD b, VD c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
    FR_VEC friend void accumulate(VD a, VD b, VD& c) { asm("vfmadd231pd %2, %1, %0" : "+v"(c.v) : "v"(a.v), "v"(b.v)); }
    FR_VEC static void accumulate(VD a, const T* b, VD& c) {
        asm("vfmadd231pd %2, %1, %0" : "+v"(c.v) : "v"(a.v), "m"(*reinterpret_cast<const T(*)[L]>(b)));
    }
    FR_VEC static void accumulate_number(const T* a, VD b, VD& c) {
        asm("vfmadd231pd %2%{1to8%}, %1, %0" : "+v"(c.v) : "v"(b.v), "m"(*a));
    }
    FR_VEC friend VD fms(VD a, VD b, VD c) { return {_mm512_fmsub_pd(a.v, b.v, c.v)}; }
    FR_VEC friend VD sqrt(VD a) { return {_mm512_sqrt_pd(a.v)}; }
    FR_VEC static VD min(VD a, VD b) { return {_mm512_min_pd(a.v, b.v)}; }
    FR_VEC static VD max(VD a, VD b) { return {_mm512_max_pd(a.v, b.v)}; }

    FR_VEC friend M operator<(VD a, VD b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
    FR_VEC friend M operator<=(VD a, VD b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ); }
    FR_VEC friend M operator==(VD a, VD b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
    FR_VEC static M mask_and(M a, M b) { return M(a & b); }
    FR_VEC static M mask_or(M a, M b) { return M(a | b); }
    FR_VEC static M mask_not(M a) { return M(~a); }
    FR_VEC static uint32_t lanes(M a) { return a; }
    FR_VEC static VD select(M m, VD yes, VD no) { return {_mm512_mask_blend_pd(m, no.v, yes.v)}; }

    FR_VEC friend VD bits_and(VD a, VD b) { return {_mm512_and_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_or(VD a, VD b) { return {_mm512_or_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_xor(VD a, VD b) { return {_mm512_xor_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_add(VD a, VD b) { return real(_mm512_add_epi64(word(a), word(b))); }
    FR_VEC friend VD bits_sub(VD a, VD b) { return real(_mm512_sub_epi64(word(a), word(b))); }
    template <int n>
    FR_VEC static VD bits_shl(VD a) {
        return real(_mm512_slli_epi64(word(a), n));
    }
    template <int n>
    FR_VEC static VD bits_shr(VD a) {
        return real(_mm512_srli_epi64(word(a), n));
    }

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        const __m512i u = _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(draws)));
        return _mm512_cmplt_epu64_mask(u, _mm512_set1_epi64(keep));
    }

    static constexpr int kTransposeTile = 4;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        transpose_4x4(src, src_stride, dst, dst_stride);
    }

private:
    FR_VEC static __m512i word(VD a) { return _mm512_castpd_si512(a.v); }
    FR_VEC static VD real(__m512i word) { return {_mm512_castsi512_pd(word)}; }
    FR_VEC static M first(int n) {  // true in lanes < n
        return _mm256_cmpgt_epi32_mask(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
};

// Sixteen lanes of uint32_t.
struct U32 {
    static constexpr int L = 16;
    __m512i v;

    FR_VEC static U32 set(uint32_t x) { return {_mm512_set1_epi32(int(x))}; }
    FR_VEC static U32 iota(uint32_t first) {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return {_mm512_add_epi32(set(first).v, lane)};
    }
    FR_VEC friend U32 operator^(U32 a, U32 b) { return {_mm512_xor_si512(a.v, b.v)}; }

    // The multiply reads the low word of each 64-bit pair: once for the even lanes, once for the odd ones.
    FR_VEC static void mul_wide(U32 a, uint32_t b, U32* hi, U32* lo) {
        const __m512i even = _mm512_mul_epu32(a.v, set(b).v);
        const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), set(b).v);
        hi->v = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
        lo->v = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
    }

    // A 4 x 4 transpose inside each 128-bit quarter, then one of the quarters themselves.
    FR_VEC static void store_interleaved(const U32 (&word)[4], unsigned char* out) {
        const __m512i t0 = _mm512_unpacklo_epi32(word[0].v, word[1].v);
        const __m512i t1 = _mm512_unpackhi_epi32(word[0].v, word[1].v);
        const __m512i t2 = _mm512_unpacklo_epi32(word[2].v, word[3].v);
        const __m512i t3 = _mm512_unpackhi_epi32(word[2].v, word[3].v);
        const __m512i r0 = _mm512_unpacklo_epi64(t0, t2);  // all four words of lanes 0, 4, 8, 12
        const __m512i r1 = _mm512_unpackhi_epi64(t0, t2);
        const __m512i r2 = _mm512_unpacklo_epi64(t1, t3);
        const __m512i r3 = _mm512_unpackhi_epi64(t1, t3);
        const __m512i q0 = _mm512_shuffle_i32x4(r0, r1, 0x44);  // lanes 0, 4, 1, 5
        const __m512i q1 = _mm512_shuffle_i32x4(r2, r3, 0x44);
        const __m512i q2 = _mm512_shuffle_i32x4(r0, r1, 0xEE);
        const __m512i q3 = _mm512_shuffle_i32x4(r2, r3, 0xEE);
        _mm512_storeu_si512(out + 0, _mm512_shuffle_i32x4(q0, q1, 0x88));
        _mm512_storeu_si512(out + 64, _mm512_shuffle_i32x4(q0, q1, 0xDD));
        _mm512_storeu_si512(out + 128, _mm512_shuffle_i32x4(q2, q3, 0x88));
        _mm512_storeu_si512(out + 192, _mm512_shuffle_i32x4(q2, q3, 0xDD));
    }
};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE

#undef FR_VEC
