// The neon table: the names and sizes from which table.inl makes it. It must not know operations.
#define FASTREG_ISA_NAMESPACE neon
#define FASTREG_GEMM_VECTORS 4
#define FASTREG_ZEROS_PANELS 4
#include "cpu/vec_neon.h"

#include "cpu/table.inl"
