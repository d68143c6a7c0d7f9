// The list of backends this build holds. Core reads it; csrc/cpu defines it.
// It must not know what is in a table.
#pragma once
#include "core/op_table.h"

namespace fastreg {

struct CpuBackend {
    const Backend* backend;
    bool (*runnable)();  // can this CPU run it?
};

// Fastest first; ends with the scalar table.
extern const CpuBackend kCpuBackends[];
extern const int kNumCpuBackends;

// The pool behind the CPU tables.
int pool_get_threads();
void pool_set_threads(int n);
bool pool_in_task();         // is this thread inside a computation (a signal handler may be)?
void pool_keep_alone(bool);  // whether what this thread computes from now on takes no other threads
int pool_default_threads();  // what the affinity mask and the cgroup allow

}  // namespace fastreg
