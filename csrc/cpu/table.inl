// The generic CPU table: every operation, written once over the vector types VF and VD and compiled per instruction
// set, which it must not know. A table_<isa>.cpp defines FASTREG_ISA_NAMESPACE, FASTREG_GEMM_VECTORS (of a row of a
// tile, gemm_tile.inl) and FASTREG_ZEROS_PANELS (at once, gemm_zeros.inl), includes its vec_<isa>.h, then this.
//
// Everything lies in the namespace of the instruction set, and nothing from another header is called out of line: the
// linker would keep one copy of such a function, perhaps the one that only the newest CPU can run.
#include "core/op_table.h"
#include "cpu/detect.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"
#include "rules/activation.h"
#include "rules/dropout.h"
#include "rules/k_block.h"
#include "rules/lanes.h"
#include "rules/layer_gradient.h"
#include "rules/loss.h"
#include "rules/mathfn.h"
#include "rules/metric.h"
#include "rules/normal.h"
#include "rules/penalty.h"
#include "rules/philox.h"
#include "rules/row.h"
#include "rules/update.h"

#define FR_LOOP __attribute__((always_inline)) inline

// Loops over registers must be unrolled before the compiler decides what lives in memory.
#if defined(__clang__)
#define FR_UNROLL _Pragma("unroll")
#else
#define FR_UNROLL _Pragma("GCC unroll 16")
#endif

namespace fastreg::FASTREG_ISA_NAMESPACE {

// clang-format off: each builds on those before it
#include "cpu/sweep.inl"
#include "cpu/draws.inl"
#include "cpu/gemm.inl"
#include "cpu/csr.inl"
#include "cpu/dense.inl"
#include "cpu/rows.inl"
#include "cpu/elementwise.inl"
#include "cpu/update.inl"
#include "cpu/reduce.inl"
#include "cpu/loss.inl"
#include "cpu/metric.inl"
#include "cpu/init.inl"
// clang-format on

template <class V>
constexpr OpTable<typename V::T> make_table() {
    return {dense_forward<V>,
            dense_backward_x<V>,
            dense_backward_w<V>,
            activation_forward<V>,
            layer_backward<V>,
            dropout<V>,
            scale<V>,
            activity_penalty<V>,
            loss<V>,
            metric<V>,
            totals<typename V::T>,
            penalty<V>,
            penalty_gradient<V>,
            prox<V>,
            update<V>,
            gather<V>,
            count_zeros<V>,
            all_finite<V>,
            initialize<V>,
            math<V>};
}

#define FR_STRING2(x) #x
#define FR_STRING(x) FR_STRING2(x)
extern const Backend kBackend;
const Backend kBackend{FR_STRING(FASTREG_ISA_NAMESPACE),
                       make_table<VF>(),
                       make_table<VD>(),
                       dropout_mask,
                       philox,
                       permutation,
                       cpu::row_parts,
                       cpu::run_tasks};

}  // namespace fastreg::FASTREG_ISA_NAMESPACE
