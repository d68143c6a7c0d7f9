// The scalar table. See table.inl.
#define FASTREG_ISA_NAMESPACE scalar
#define FASTREG_GEMM_VECTORS 4
#include "cpu/vec_scalar.h"

#include "cpu/table.inl"
