// The neon table. See table.inl.
#define FASTREG_ISA_NAMESPACE neon
#define FASTREG_GEMM_VECTORS 4
#define FASTREG_ZEROS_PANELS 4
#include "cpu/vec_neon.h"

#include "cpu/table.inl"
