// The avx2 table: the names and sizes from which table.inl makes it. It must not know operations.
#define FASTREG_ISA_NAMESPACE avx2
#define FASTREG_GEMM_VECTORS 2
#define FASTREG_ZEROS_PANELS 6
#include "cpu/vec_avx2.h"

#include "cpu/table.inl"
