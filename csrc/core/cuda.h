// The CUDA plugin: libfastreg_cuda.so, beside this library, opened when somebody first asks for it. Importing fastreg
// needs neither a GPU nor a driver. It must not know CUDA: no header of it, no call.
#pragma once
#include <string>

#include "core/op_table.h"
#include "core/session.h"
#include "core/status.h"

namespace fastreg {

// What the plugin's one exported function, fr_private_cuda_plugin, answers.
struct CudaPlugin {
    const char* version;          // of fastreg: must be this library's
    const Backend* precision[3];  // by Precision: on a queue's memory
    const Backend* host_arrays;   // exact, on the host's memory: each operation copies in and out
    // How many devices can be used. Where none can, *why says so.
    int (*device_count)(std::string* why);
    std::string (*device_name)(int device);
};

// The plugin, or why there is none.
Status cuda_plugin(const CudaPlugin** plugin);
Status cuda_device_count(int* n) FR_PRIVATE(cuda_device_count);  // an error says what is missing
Status cuda_device_name(int device, std::string* name) FR_PRIVATE(cuda_device_name);
// The tables of a usable device.
Status cuda_backend(Precision precision, const Backend** backend);
Status cuda_host_arrays(const Backend** backend);
std::string cuda_summary();  // for build_info

}  // namespace fastreg
