// Dropout of arrays of bfloat16: decided as for float32, multiplied in float32, rounded to nearest. It must not know
// layers.
#include "cuda/fast_numbers.h"
#include "cuda/ops.h"
#include "cuda/walk.cuh"

namespace fastreg::cuda {
namespace {

constexpr int kGroup = Pack<Bfloat>::N;
static_assert(kGroup == rules::kDrawsPerBlock, "16 bytes are decided by one block of draws");

__global__ void __launch_bounds__(kBlock) dropout_bf16_kernel(Rows<Bfloat> a, Dropper d, Groups<kGroup> groups) {
    const float scale = float(d.scale);
    const uint32_t step = d.now();
    groups.each([&](int64_t r, int64_t c, int lo, int hi, int64_t group) {
        Bfloat v[kGroup];
        load_group(a.x + r * a.x_rs + c, lo, hi, groups.wide, v);
        const DrawBlock draws = d.draw(uint64_t(group), step);
#pragma unroll
        for (int e = 0; e < kGroup; ++e)
            v[e] = fast::to_bfloat(drop_by(draws.at(e), d.keep, fast::from_bfloat(v[e]), scale));
        store_group(a.y + r * a.y_rs + c, lo, hi, groups.wide, v);
    });
}

}  // namespace

void dropout_bf16(const Rows<Bfloat>& a, const DropoutSpec& d) {
    const auto groups = Groups<kGroup>::of<Bfloat>(a.rows, a.cols, d.first, {{a.x, a.x_rs}, {a.y, a.y_rs}});
    launch(dropout_bf16_kernel, grid_for(groups.count()), kBlock, 0, a, Dropper(d), groups);
}

}  // namespace fastreg::cuda
