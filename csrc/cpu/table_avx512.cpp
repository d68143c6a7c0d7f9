// The avx512 table: the names and sizes from which table.inl makes it. It must not know operations.
#define FASTREG_ISA_NAMESPACE avx512
#define FASTREG_GEMM_VECTORS 4
#define FASTREG_ZEROS_PANELS 3
#include "cpu/vec_avx512.h"

#include "cpu/table.inl"
