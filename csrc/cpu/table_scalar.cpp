// The scalar table. See table.inl.
#define FASTREG_ISA_NAMESPACE scalar
#define FASTREG_GEMM_VECTORS 4
#define FASTREG_ZEROS_PANELS 2
#include "cpu/vec_scalar.h"

#include "cpu/table.inl"
