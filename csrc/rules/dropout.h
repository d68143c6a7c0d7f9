// Dropout (Srivastava et al., JMLR 2014), inverted, with addressed decisions: element i of a flat C-order array is
// decided by 16 bits of Philox4x32-7. It must not know where draws are stored or how elements are walked.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::rules {

// Element i takes 16-bit half i % 8 (low half of word 0 first) of block i / 8.
constexpr int kDrawsPerBlock = 8;
constexpr int kMaskRounds = 7;

// y = x * scale where the draw is below keep, else +0 (also where x is NaN or infinite).
template <class V>
FR_RULE V drop(V x, V scale, const uint16_t* draws, uint32_t keep) {
    return V::select(V::below(draws, keep), x * scale, V::set(0));
}

}  // namespace fastreg::rules
