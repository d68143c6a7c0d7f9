// What a kernel may ask about the CPU that it runs on, beside its instruction set. No answer changes a result. It must
// not know kernels.
//
// Included by sources compiled per instruction set: declarations only.
#pragma once
#include <cstdint>

namespace fastreg::cpu {

// Whether a multiply-add of 512 bits that loads one operand takes no longer than one from registers: on AMD's CPUs; on
// Intel's it takes half as long again.
bool loads_keep_up();

// Whether loops that read several arrays front to back are faster if they ask for memory ahead of time. Not on AMD's
// CPUs with 512 bits (Zen 4), whose own fetching that only disturbs.
bool wants_fetching();

// Bytes of a core's first data cache.
int64_t first_cache();

}  // namespace fastreg::cpu
