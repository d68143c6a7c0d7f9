// Vectors of 256 bits for x86-64 with AVX2 and FMA; vec_scalar.h defines what each operation means.
// It must not know operations or rules, and defines nothing outside the namespace of its instruction set.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "cpu/transpose_avx2.h"

#define FR_VEC __attribute__((always_inline)) inline

namespace fastreg::FASTREG_ISA_NAMESPACE {

// Eight lanes of float.
struct VF {
    using T = float;
    using Bits = uint32_t;
    struct M {
        __m256 v;  // per lane all ones or all zeros
    };
    static constexpr int L = 8;
    __m256 v;

    FR_VEC static VF load(const T* p) { return {_mm256_loadu_ps(p)}; }
    FR_VEC static VF load(const T* p, int n) { return {_mm256_maskload_ps(p, first(n))}; }
    FR_VEC static VF set(T x) { return {_mm256_set1_ps(x)}; }
    FR_VEC static VF set_bits(Bits b) { return real(_mm256_set1_epi32(int(b))); }
    FR_VEC void store(T* p) const { _mm256_storeu_ps(p, v); }
    FR_VEC void store(T* p, int n) const {  // by halves: a masked store is microcoded on some cores
        if (n >= L) return store(p);
        __m128 rest = _mm256_castps256_ps128(v);
        if (n & 4) {
            _mm_storeu_ps(p, rest);
            rest = _mm256_extractf128_ps(v, 1);
            p += 4;
        }
        if (n & 2) {
            _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
            rest = _mm_movehl_ps(rest, rest);
            p += 2;
        }
        if (n & 1) _mm_store_ss(p, rest);
    }
    FR_VEC void stream(T* p) const {
        _mm_stream_ps(p, _mm256_castps256_ps128(v));
        _mm_stream_ps(p + 4, _mm256_extractf128_ps(v, 1));
    }
    FR_VEC static void drain() { _mm_sfence(); }

    FR_VEC friend VF operator+(VF a, VF b) { return {_mm256_add_ps(a.v, b.v)}; }
    FR_VEC friend VF operator-(VF a, VF b) { return {_mm256_sub_ps(a.v, b.v)}; }
    FR_VEC friend VF operator*(VF a, VF b) { return {_mm256_mul_ps(a.v, b.v)}; }
    FR_VEC friend VF operator/(VF a, VF b) { return {_mm256_div_ps(a.v, b.v)}; }
    FR_VEC friend VF fma(VF a, VF b, VF c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    // c stays in its register: compilers choose forms of the instruction that need moves between registers.
    FR_VEC friend void accumulate(VF a, VF b, VF& c) { asm("vfmadd231ps %2, %1, %0" : "+x"(c.v) : "x"(a.v), "x"(b.v)); }
    FR_VEC static void accumulate(VF a, const T* b, VF& c) {
        asm("vfmadd231ps %2, %1, %0" : "+x"(c.v) : "x"(a.v), "m"(*reinterpret_cast<const T(*)[L]>(b)));
    }
    FR_VEC static void accumulate_number(const T* a, VF b, VF& c) {
        asm("vfmadd231ps %2, %1, %0" : "+x"(c.v) : "x"(set(*a).v), "x"(b.v));
    }
    FR_VEC friend VF fms(VF a, VF b, VF c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
    FR_VEC friend VF sqrt(VF a) { return {_mm256_sqrt_ps(a.v)}; }
    FR_VEC static VF min(VF a, VF b) { return {_mm256_min_ps(a.v, b.v)}; }
    FR_VEC static VF max(VF a, VF b) { return {_mm256_max_ps(a.v, b.v)}; }

    FR_VEC friend M operator<(VF a, VF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
    FR_VEC friend M operator<=(VF a, VF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
    FR_VEC friend M operator==(VF a, VF b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
    FR_VEC static M mask_and(M a, M b) { return {_mm256_and_ps(a.v, b.v)}; }
    FR_VEC static M mask_or(M a, M b) { return {_mm256_or_ps(a.v, b.v)}; }
    FR_VEC static M mask_not(M a) { return {_mm256_xor_ps(a.v, set_bits(~Bits(0)).v)}; }
    FR_VEC static uint32_t lanes(M a) { return uint32_t(_mm256_movemask_ps(a.v)); }
    FR_VEC static VF select(M m, VF yes, VF no) { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }

    FR_VEC friend VF bits_and(VF a, VF b) { return {_mm256_and_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_or(VF a, VF b) { return {_mm256_or_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_xor(VF a, VF b) { return {_mm256_xor_ps(a.v, b.v)}; }
    FR_VEC friend VF bits_add(VF a, VF b) { return real(_mm256_add_epi32(word(a), word(b))); }
    FR_VEC friend VF bits_sub(VF a, VF b) { return real(_mm256_sub_epi32(word(a), word(b))); }
    template <int n>
    FR_VEC static VF bits_shl(VF a) {
        return real(_mm256_slli_epi32(word(a), n));
    }
    template <int n>
    FR_VEC static VF bits_shr(VF a) {
        return real(_mm256_srli_epi32(word(a), n));
    }

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        const __m256i u = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(draws)));
        return {real(_mm256_cmpgt_epi32(_mm256_set1_epi32(int(keep)), u)).v};
    }

    static constexpr int kTransposeTile = 8;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        transpose_8x8(src, src_stride, dst, dst_stride);
    }

private:
    FR_VEC static __m256i word(VF a) { return _mm256_castps_si256(a.v); }
    FR_VEC static VF real(__m256i word) { return {_mm256_castsi256_ps(word)}; }
    FR_VEC static __m256i first(int n) {  // all ones in lanes < n
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
};

// Four lanes of double.
struct VD {
    using T = double;
    using Bits = uint64_t;
    struct M {
        __m256d v;  // per lane all ones or all zeros
    };
    static constexpr int L = 4;
    __m256d v;

    FR_VEC static VD load(const T* p) { return {_mm256_loadu_pd(p)}; }
    FR_VEC static VD load(const T* p, int n) { return {_mm256_maskload_pd(p, first(n))}; }
    FR_VEC static VD set(T x) { return {_mm256_set1_pd(x)}; }
    FR_VEC static VD set_bits(Bits b) { return real(_mm256_set1_epi64x(int64_t(b))); }
    FR_VEC void store(T* p) const { _mm256_storeu_pd(p, v); }
    FR_VEC void store(T* p, int n) const {  // as in VF
        if (n >= L) return store(p);
        __m128d rest = _mm256_castpd256_pd128(v);
        if (n & 2) {
            _mm_storeu_pd(p, rest);
            rest = _mm256_extractf128_pd(v, 1);
            p += 2;
        }
        if (n & 1) _mm_store_sd(p, rest);
    }
    FR_VEC void stream(T* p) const {
        _mm_stream_pd(p, _mm256_castpd256_pd128(v));
        _mm_stream_pd(p + 2, _mm256_extractf128_pd(v, 1));
    }
    FR_VEC static void drain() { _mm_sfence(); }

    FR_VEC friend VD operator+(VD a, VD b) { return {_mm256_add_pd(a.v, b.v)}; }
    FR_VEC friend VD operator-(VD a, VD b) { return {_mm256_sub_pd(a.v, b.v)}; }
    FR_VEC friend VD operator*(VD a, VD b) { return {_mm256_mul_pd(a.v, b.v)}; }
    FR_VEC friend VD operator/(VD a, VD b) { return {_mm256_div_pd(a.v, b.v)}; }
    FR_VEC friend VD fma(VD a, VD b, VD c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
    FR_VEC friend void accumulate(VD a, VD b, VD& c) { asm("vfmadd231pd %2, %1, %0" : "+x"(c.v) : "x"(a.v), "x"(b.v)); }
    FR_VEC static void accumulate(VD a, const T* b, VD& c) {
        asm("vfmadd231pd %2, %1, %0" : "+x"(c.v) : "x"(a.v), "m"(*reinterpret_cast<const T(*)[L]>(b)));
    }
    FR_VEC static void accumulate_number(const T* a, VD b, VD& c) {
        asm("vfmadd231pd %2, %1, %0" : "+x"(c.v) : "x"(set(*a).v), "x"(b.v));
    }
    FR_VEC friend VD fms(VD a, VD b, VD c) { return {_mm256_fmsub_pd(a.v, b.v, c.v)}; }
    FR_VEC friend VD sqrt(VD a) { return {_mm256_sqrt_pd(a.v)}; }
    FR_VEC static VD min(VD a, VD b) { return {_mm256_min_pd(a.v, b.v)}; }
    FR_VEC static VD max(VD a, VD b) { return {_mm256_max_pd(a.v, b.v)}; }

    FR_VEC friend M operator<(VD a, VD b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
    FR_VEC friend M operator<=(VD a, VD b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)}; }
    FR_VEC friend M operator==(VD a, VD b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
    FR_VEC static M mask_and(M a, M b) { return {_mm256_and_pd(a.v, b.v)}; }
    FR_VEC static M mask_or(M a, M b) { return {_mm256_or_pd(a.v, b.v)}; }
    FR_VEC static M mask_not(M a) { return {_mm256_xor_pd(a.v, set_bits(~Bits(0)).v)}; }
    FR_VEC static uint32_t lanes(M a) { return uint32_t(_mm256_movemask_pd(a.v)); }
    FR_VEC static VD select(M m, VD yes, VD no) { return {_mm256_blendv_pd(no.v, yes.v, m.v)}; }

    FR_VEC friend VD bits_and(VD a, VD b) { return {_mm256_and_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_or(VD a, VD b) { return {_mm256_or_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_xor(VD a, VD b) { return {_mm256_xor_pd(a.v, b.v)}; }
    FR_VEC friend VD bits_add(VD a, VD b) { return real(_mm256_add_epi64(word(a), word(b))); }
    FR_VEC friend VD bits_sub(VD a, VD b) { return real(_mm256_sub_epi64(word(a), word(b))); }
    template <int n>
    FR_VEC static VD bits_shl(VD a) {
        return real(_mm256_slli_epi64(word(a), n));
    }
    template <int n>
    FR_VEC static VD bits_shr(VD a) {
        return real(_mm256_srli_epi64(word(a), n));
    }

    FR_VEC static M below(const uint16_t* draws, uint32_t keep) {
        const __m256i u = _mm256_cvtepu16_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(draws)));
        return {real(_mm256_cmpgt_epi64(_mm256_set1_epi64x(keep), u)).v};
    }

    static constexpr int kTransposeTile = 4;
    FR_VEC static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
        transpose_4x4(src, src_stride, dst, dst_stride);
    }

private:
    FR_VEC static __m256i word(VD a) { return _mm256_castpd_si256(a.v); }
    FR_VEC static VD real(__m256i word) { return {_mm256_castsi256_pd(word)}; }
    FR_VEC static __m256i first(int n) {  // all ones in lanes < n
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    }
};

// Eight lanes of uint32_t for Philox: lanes 0, 2, 4, 6 in the low halves of the 64-bit lanes of one register, 1, 3, 5,
// 7 in another. That is where the multiplication reads, and it ignores the high halves, so they may hold anything.
struct U32 {
    static constexpr int L = 8;
    __m256i even, odd;

    FR_VEC static U32 set(uint32_t x) { return {_mm256_set1_epi32(int(x)), _mm256_set1_epi32(int(x))}; }
    FR_VEC static U32 iota(uint32_t first) {
        const __m256i from = _mm256_set1_epi32(int(first));
        return {_mm256_add_epi32(from, _mm256_setr_epi64x(0, 2, 4, 6)),
                _mm256_add_epi32(from, _mm256_setr_epi64x(1, 3, 5, 7))};
    }
    FR_VEC friend U32 operator^(U32 a, U32 b) {
        return {_mm256_xor_si256(a.even, b.even), _mm256_xor_si256(a.odd, b.odd)};
    }

    FR_VEC static void mul_wide(U32 a, uint32_t b, U32* hi, U32* lo) {
        const __m256i by = _mm256_set1_epi32(int(b));
        *lo = {_mm256_mul_epu32(a.even, by), _mm256_mul_epu32(a.odd, by)};
        *hi = {_mm256_srli_epi64(lo->even, 32), _mm256_srli_epi64(lo->odd, 32)};
    }

    FR_VEC static void store_interleaved(const U32 (&word)[4], unsigned char* out) {
        // Words 0 and 1, then 2 and 3, of a lane side by side: lanes 0 2 4 6 and 1 3 5 7.
        const __m256i even01 = pairs(word[0].even, word[1].even), even23 = pairs(word[2].even, word[3].even);
        const __m256i odd01 = pairs(word[0].odd, word[1].odd), odd23 = pairs(word[2].odd, word[3].odd);
        const __m256i l04 = _mm256_unpacklo_epi64(even01, even23), l26 = _mm256_unpackhi_epi64(even01, even23);
        const __m256i l15 = _mm256_unpacklo_epi64(odd01, odd23), l37 = _mm256_unpackhi_epi64(odd01, odd23);
        __m256i* quads = reinterpret_cast<__m256i*>(out);
        _mm256_storeu_si256(quads + 0, _mm256_permute2x128_si256(l04, l15, 0x20));
        _mm256_storeu_si256(quads + 1, _mm256_permute2x128_si256(l26, l37, 0x20));
        _mm256_storeu_si256(quads + 2, _mm256_permute2x128_si256(l04, l15, 0x31));
        _mm256_storeu_si256(quads + 3, _mm256_permute2x128_si256(l26, l37, 0x31));
    }

private:
    FR_VEC static __m256i pairs(__m256i low, __m256i high) {  // of the low halves of 64-bit lanes
        return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xAA);
    }
};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE

#undef FR_VEC
