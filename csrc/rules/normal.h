// Uniform and normal numbers from random words. They must not know where the words come from.
#pragma once
#include <cstdint>

#include "rules/hd.h"
#include "rules/mathfn.h"

namespace fastreg::rules {

// 53 bits in [0, 1) from two words.
FR_RULE double unit_double(uint32_t lo, uint32_t hi) { return double((uint64_t(hi) << 32 | lo) >> 11) * 0x1p-53; }

// Box & Muller 1958: sqrt(-2 ln(1 - u1)) cos(2 pi u2), the same in every lane of V, a vector of double.
template <class V>
FR_RULE V standard_normal(const uint32_t (&words)[4]) {
    V sine, cosine;
    sincos_2pi(V::set(unit_double(words[2], words[3])), &sine, &cosine);
    return sqrt(V::set(-2.0) * log(V::set(1.0 - unit_double(words[0], words[1])))) * cosine;
}

}  // namespace fastreg::rules
