// Philox4x32 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random numbers
// addressed by a counter. A template on U (lanes of uint32_t, see cpu/vec_scalar.h); it must not know what the words
// are used for.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::rules {

// Streams above every layer index; initial weights of biases use layer index + 2^31 (python/fastreg/layers.py).
constexpr uint32_t kShuffleStream = 0xFFFFFFFFu;

// ctr: (block index lo, block index hi, stream, step); key: the 64-bit seed (lo, hi). ctr becomes four random words.
// 7 rounds are Crush-resistant (table 2 of the paper) and serve masks; 10 serve shuffles and initial weights.
// A round waits for the one before: between(round), called after each, may give the processor something else to do.
FR_RULE_OF_CALLER
template <int Rounds, class U, class Between>
FR_RULE void philox4x32(U (&ctr)[4], uint32_t key_lo, uint32_t key_hi, Between between) {
    for (int round = 0; round < Rounds; ++round) {
        U hi0, lo0, hi1, lo1;
        U::mul_wide(ctr[0], 0xD2511F53u, &hi0, &lo0);
        U::mul_wide(ctr[2], 0xCD9E8D57u, &hi1, &lo1);
        ctr[0] = hi1 ^ ctr[1] ^ U::set(key_lo);
        ctr[1] = lo1;
        ctr[2] = hi0 ^ ctr[3] ^ U::set(key_hi);
        ctr[3] = lo0;
        key_lo += 0x9E3779B9u;
        key_hi += 0xBB67AE85u;
        between(round);
    }
}

struct Nothing {
    FR_RULE void operator()(int) const {}
};

template <int Rounds, class U>
FR_RULE void philox4x32(U (&ctr)[4], uint32_t key_lo, uint32_t key_hi) {
    philox4x32<Rounds>(ctr, key_lo, key_hi, Nothing());
}

}  // namespace fastreg::rules
