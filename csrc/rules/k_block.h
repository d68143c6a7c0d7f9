// How a sum over K steps is cut: blocks of one size, each a chain of its own, whose sums are added in order. Matrix
// products and column sums have these blocks on every device, so that all give the same bits.
// It must not know tiles, threads or what is summed.
#pragma once
#include <cstdint>

#include "rules/hd.h"

namespace fastreg::rules {

constexpr int64_t kKC = 384;

// How many steps of k a block has: blocks of one size, at most kKC, whatever M and N.
FR_RULE constexpr int64_t k_block(int64_t K) {
    const int64_t blocks = (K + kKC - 1) / kKC;
    return K <= kKC ? K : ((K + blocks - 1) / blocks + 7) / 8 * 8;
}

}  // namespace fastreg::rules
