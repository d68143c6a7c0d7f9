// The process-wide settings: which CPU table is in use, how many threads, what this build is.
// It must not know models or arrays.
#pragma once
#include <string>
#include <vector>

#include "core/status.h"

namespace fastreg {

struct Backend;

struct BuildInfo {
    std::string version, compiler, isa, cuda;
    std::vector<std::string> isas_compiled, isas_runnable;  // fastest first
    int num_threads = 1;
};

// Reads FASTREG_ISA, FASTREG_NUM_THREADS and OMP_NUM_THREADS once; an unusable value is an error naming it.
FASTREG_API Status runtime_init();
FASTREG_API BuildInfo build_info();
FASTREG_API Status set_isa(const std::string& name);
FASTREG_API int get_num_threads();
FASTREG_API Status set_num_threads(int n);  // 1 <= n <= 1024

const Backend& backend();  // the table in use

}  // namespace fastreg
