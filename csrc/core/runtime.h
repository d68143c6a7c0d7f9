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
Status runtime_init() FR_PRIVATE(runtime_init);
BuildInfo build_info() FR_PRIVATE(build_info);
Status set_isa(const std::string& name) FR_PRIVATE(set_isa);
int get_num_threads() FR_PRIVATE(get_num_threads);
Status set_num_threads(int n) FR_PRIVATE(set_num_threads);  // 1 <= n <= 1024

const Backend& backend();  // the table in use

}  // namespace fastreg
