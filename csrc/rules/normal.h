// Uniform and normal numbers from random bits. They must not know where the bits come from.
#pragma once
#include "rules/hd.h"
#include "rules/mathfn.h"

namespace fastreg::rules {

// The upper 53 of 64 random bits as a number in [0, 1). V: a vector of double. Every step is exact: the upper 21 bits
// become the last of 2^31, the lower 32 those of 1/2.
template <class V>
FR_RULE V unit(V bits) {
    const V upper = bits_or(V::template bits_shr<43>(bits), V::set(0x1p31));
    const V lower = bits_or(bits_and(V::template bits_shr<11>(bits), V::set_bits(0xFFFFFFFF)), V::set(0.5));
    return (upper - V::set(0x1p31 + 0.5)) + lower;
}

// Box & Muller 1958: sqrt(-2 ln(1 - u1)) cos(2 pi u2), u1 and u2 from the two halves of a block.
template <class V>
FR_RULE V standard_normal(V bits1, V bits2) {
    V sine, cosine;
    sincos_2pi(unit(bits2), &sine, &cosine);
    return sqrt(V::set(-2.0) * log(V::set(1.0) - unit(bits1))) * cosine;
}

}  // namespace fastreg::rules
