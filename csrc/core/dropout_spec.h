// dropout_spec: from a rate to a decision's threshold and scale, so that the expectation is exact.
// It must not know masks.
#pragma once
#include <cstdint>

#include "rules/spec.h"

namespace fastreg {

// keep = round((1 - rate) 65536), scale = 65536 / keep (0 where nothing is kept). rate in [0, 1].
inline DropoutSpec dropout_spec(double rate, uint64_t seed, uint32_t stream, uint32_t step) {
    const uint32_t keep = uint32_t((1.0 - rate) * 65536.0 + 0.5);
    return {keep, keep ? 65536.0 / keep : 0.0, seed, stream, step};
}

}  // namespace fastreg
