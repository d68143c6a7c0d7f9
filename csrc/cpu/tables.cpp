// Which tables this build holds, fastest first, and how to tell whether this CPU can run each.
// It must not know what is in a table, nor be compiled with flags that this CPU may lack.
#include "core/tables.h"

namespace fastreg {

#define FASTREG_TABLE(isa, condition)            \
    namespace isa {                              \
    extern const Backend kBackend;               \
    static bool runnable() { return condition; } \
    }

#if defined(FASTREG_HAVE_AVX512)
FASTREG_TABLE(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("fma"))
#endif
#if defined(FASTREG_HAVE_AVX2)
FASTREG_TABLE(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#endif
#if defined(FASTREG_HAVE_NEON)
FASTREG_TABLE(neon, true)
#endif
FASTREG_TABLE(scalar, true)

const CpuBackend kCpuBackends[] = {
#if defined(FASTREG_HAVE_AVX512)
    {&avx512::kBackend, avx512::runnable},
#endif
#if defined(FASTREG_HAVE_AVX2)
    {&avx2::kBackend, avx2::runnable},
#endif
#if defined(FASTREG_HAVE_NEON)
    {&neon::kBackend, neon::runnable},
#endif
    {&scalar::kBackend, scalar::runnable},
};
const int kNumCpuBackends = int(sizeof kCpuBackends / sizeof *kCpuBackends);

}  // namespace fastreg
