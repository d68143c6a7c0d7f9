// The CUDA plugin: libfastreg_cuda.so, beside this library, opened when somebody first asks for it. Importing fastreg
// needs neither a GPU nor a driver. It must not know CUDA: no header of it, no call.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/op_table.h"
#include "core/status.h"

namespace fastreg {

// Streams of others, as DLPack numbers them: 1 is the legacy default stream, 2 that of the thread, else a cudaStream_t.
using CudaStream = uintptr_t;

// How operations run on the arrays and the stream of a caller; CudaCall is how to use it. All but fetch enqueue only.
struct CudaCallers {
    Status (*begin)(CudaStream stream, void* clock);
    void* (*memory)(size_t bytes);
    Status (*fetch)(void* to, const void* from, size_t bytes);
    Status (*end)();
    int (*device_of)(const void* memory);                  // -1: not of a GPU
    Status (*order)(CudaStream first, CudaStream second);  // what comes on second waits for what is on first
};

// What the plugin's one exported function, fr_private_cuda_plugin, answers.
struct CudaPlugin {
    const char* version;          // of fastreg: must be this library's
    const Backend* precision[3];  // by Precision: on a queue's memory
    const Backend* host_arrays;   // exact, on the host's memory: each operation copies in and out
    // How many devices can be used. Where none can, *why says so.
    int (*device_count)(std::string* why);
    std::string (*device_name)(int device);
    const CudaCallers* callers;
};

// The plugin, or why there is none.
Status cuda_plugin(const CudaPlugin** plugin);
Status cuda_device_count(int* n) FR_PRIVATE(cuda_device_count);  // an error says what is missing
Status cuda_device_name(int device, std::string* name) FR_PRIVATE(cuda_device_name);
// The tables of a usable device.
Status cuda_backend(Precision precision, const Backend** backend);
Status cuda_host_arrays(const Backend** backend);
std::string cuda_summary();                                                         // for build_info
Status cuda_device_of(const void* memory, int* device) FR_PRIVATE(cuda_device_of);  // -1: not of a GPU
Status cuda_order(CudaStream first, CudaStream second) FR_PRIVATE(cuda_order);

// The operations of one call on arrays in the memory of the first GPU. They are enqueued on the caller's stream, which
// may be recording a graph; nothing waits for them but fetch(). Between begin() and end() no other call goes on.
class CudaCall {
public:
    CudaCall() = default;
    ~CudaCall();
    CudaCall(const CudaCall&) = delete;
    CudaCall& operator=(const CudaCall&) = delete;

    // clock: a StepClock (core/queue.h) in GPU memory that an update reads instead of its step and learning rate, or
    // null.
    Status begin(CudaStream stream, void* clock);
    const Backend& exact() const { return *plugin_->precision[int(Precision::exact)]; }
    // Undefined numbers that are there until the call's operations have run; one block a call. Null after an error.
    void* memory(size_t bytes) { return plugin_->callers->memory(bytes); }
    Status fetch(void* to, const void* from, size_t bytes) { return plugin_->callers->fetch(to, from, bytes); }
    Status end();  // the first error of what was enqueued

private:
    const CudaPlugin* plugin_ = nullptr;
    bool open_ = false;
};

}  // namespace fastreg
