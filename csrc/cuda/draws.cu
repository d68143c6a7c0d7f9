// Dropout decisions as masks, and raw Philox words. It must not know who uses them.
#include "cuda/ops.h"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

constexpr int kDraws = rules::kDrawsPerBlock;

// Element i takes the draw of first + i, so eight elements may take theirs from two blocks.
__global__ void __launch_bounds__(kBlock) dropout_mask_kernel(int64_t n, Dropper d, bool packed, uint8_t* mask) {
    for (int64_t i = kDraws * global_thread(); i < n; i += kDraws * global_threads()) {
        const uint64_t flat = uint64_t(d.first + i);
        const int shift = int(flat % kDraws), count = n - i < kDraws ? int(n - i) : kDraws;
        uint32_t kept = 0;
        const auto take = [&](uint64_t block, int at) {
            const DrawBlock draws = d.draw(block);
#pragma unroll
            for (int e = 0; e < kDraws; ++e) kept |= uint32_t(draws.at(e) < d.keep) << (e + at);
        };
        take(flat / kDraws, 0);
        if (shift > 0) take(flat / kDraws + 1, kDraws);
        kept >>= shift;
        if (packed) {
            mask[i / kDraws] = uint8_t(kept & ((1u << count) - 1));
        } else {
#pragma unroll
            for (int e = 0; e < kDraws; ++e)
                if (e < count) mask[i + e] = uint8_t(kept >> e & 1);
        }
    }
}

__global__ void __launch_bounds__(kBlock)
    philox_kernel(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first, int64_t n, int rounds, uint32_t* out) {
    for (int64_t i = global_thread(); i < n; i += global_threads()) {
        const uint64_t block = first + uint64_t(i);
        U32 counter[4] = {{uint32_t(block)}, {uint32_t(block >> 32)}, {stream}, {step}};
        if (rounds == 7)
            rules::philox4x32<7>(counter, uint32_t(seed), uint32_t(seed >> 32));
        else
            rules::philox4x32<10>(counter, uint32_t(seed), uint32_t(seed >> 32));
#pragma unroll
        for (int k = 0; k < 4; ++k) out[4 * i + k] = counter[k].v;
    }
}

}  // namespace

void dropout_mask(int64_t n, const DropoutSpec& d, bool packed, uint8_t* mask) {
    launch(dropout_mask_kernel, grid_for((n + kDraws - 1) / kDraws), kBlock, 0, n, Dropper(d), packed, mask);
}

void philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
            uint32_t* out) {
    launch(philox_kernel, grid_for(n_blocks), kBlock, 0, seed, stream, step, first_block, n_blocks, rounds, out);
}

}  // namespace fastreg::cuda
