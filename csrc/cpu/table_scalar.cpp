// The scalar table: the names and sizes from which table.inl makes it. It must not know operations.
#define FASTREG_ISA_NAMESPACE scalar
#define FASTREG_GEMM_VECTORS 4
#define FASTREG_ZEROS_PANELS 2
#include "cpu/vec_scalar.h"

#include "cpu/table.inl"
