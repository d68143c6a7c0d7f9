// CudaQueue: a stream of one device, its scratch memory, its clock and its recorded steps. See core/queue.h. The stream
// is the queue's own or a caller's (caller_arrays.cu), which records graphs by itself, if it does.
// It must not know what a kernel computes.
#pragma once
#include <cuda_runtime.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/queue.h"

namespace fastreg::cuda {

// StepClock on the device; operations of a step read it, so that a recorded step can be replayed as it is.
using DeviceClock = StepClock;

// Scratch memory by purpose: a purpose has one user at a time, and what it holds lives until its next use.
enum class Scratch { gemm, weight_gradient, fast, fast_partials, update, reduce, rows, call, count };

// While one lives, its thread is on a device, and may take and give back memory whatever graphs others record. Then the
// thread is where it was.
class OnDevice {
public:
    explicit OnDevice(int device);
    ~OnDevice();
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;
    cudaError_t error() const { return error_; }

private:
    const int device_;
    int before_;
    cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
    cudaError_t error_ = cudaSuccess;
};

class CudaQueue final : public Queue {
public:
    explicit CudaQueue(int device);
    // On a caller's stream; recorded: a graph is being recorded there, and the queue lives as long as that.
    CudaQueue(int device, cudaStream_t stream, bool recorded);
    ~CudaQueue() override;

    bool is_host() const override { return false; }
    void* allocate(size_t bytes) override;
    void release(void* memory) override;
    Status copy_in(void* to, const void* from, size_t bytes) override;
    Status copy_out(void* to, const void* from, size_t bytes) override;
    void enter() override;
    void leave() override;
    Status wait() override;
    Status told() override;
    // On a caller's stream: operations read this clock until it is set again; null: none.
    void use_clock(DeviceClock* clock);
    void run_step(uint64_t version, int64_t rows, const StepClock& clock, Body body, void* context) override;

    // Ends a group of steps. Waits for the last but one, so that at most two are on their way.
    void end_group();

    // The queue that the operations of this thread run on.
    static CudaQueue& current();

    cudaStream_t stream() const { return stream_; }
    int multiprocessors() const { return multiprocessors_; }
    // 90 for 9.0; less where the code that the device runs was compiled for an earlier one.
    int capability() const { return capability_; }
    // Null outside a step.
    const DeviceClock* clock() const { return in_step_ ? clock_ : nullptr; }
    DeviceClock* mutable_clock() const { return in_step_ ? clock_ : nullptr; }

    // Remembers the first error; nothing is launched after it until wait() has told of it.
    void note(cudaError_t error, const char* what);
    bool failed() const { return error_ != cudaSuccess; }

    // At least `bytes`, undefined; null after an error.
    void* scratch(Scratch purpose, size_t bytes);

private:
    struct Recorded {
        cudaGraphExec_t graph = nullptr;
        int runs = 0;
    };
    struct Block {
        void* memory = nullptr;
        size_t bytes = 0;
    };

    void ask_device();
    void* new_callers_block(Block* block, size_t bytes);
    void record(Recorded* step, Body body, void* context);
    void forget_steps();
    void set_clock(const StepClock& clock);

    // From enter() to leave(). A call may be made within another: Python's signal handlers run when a training asks
    // whether it is to stop. Of a caller's stream caller_arrays.cu has the visit.
    CudaQueue* before_ = nullptr;
    std::optional<OnDevice> visit_;
    int device_ = 0, multiprocessors_ = 1, capability_ = 0;
    int64_t process_ = 0;  // of the queue's birth: a fork has no device
    cudaStream_t stream_ = nullptr;
    cudaEvent_t events_[2] = {};
    int64_t enqueued_ = 0, groups_ = 0;  // steps, and groups of them, for throttling
    DeviceClock* clock_ = nullptr;
    StepClock expected_;  // what clock_ holds when all has run
    bool clock_known_ = false, in_step_ = false, capturing_ = false;
    uint64_t version_ = 0;
    std::map<int64_t, Recorded> steps_;  // by rows
    Block scratch_[int(Scratch::count)];
    const bool callers_ = false, recorded_ = false;  // see the constructors
    std::vector<void*> kept_;                        // what a caller's graph may still use
    cudaError_t error_ = cudaSuccess;
    std::string error_text_;
};

template <class T>
T* scratch(Scratch purpose, int64_t n) {
    return static_cast<T*>(CudaQueue::current().scratch(purpose, size_t(n) * sizeof(T)));
}

// kernel<<<grid, block, shared_bytes>>>(arguments...) on the current queue, its launch checked. Written as a function,
// so that any C++ compiler can read it (tests/emulator).
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Arguments&&... arguments) {
    CudaQueue& queue = CudaQueue::current();
    if (queue.failed() || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = queue.stream();
    queue.note(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "a launch");
}

constexpr unsigned blocks_for(int64_t n, int64_t per_block) { return unsigned((n + per_block - 1) / per_block); }

}  // namespace fastreg::cuda
