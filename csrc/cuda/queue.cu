// The queue of a device: memory, copies, the clock of a step, and steps recorded as CUDA graphs. See queue.cuh.
// It must not know what a kernel computes. It is over 250 lines because queues of sessions and of callers share all but
// how they take scratch memory.
#include "cuda/queue.cuh"

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

#include "cuda/device_info.h"

namespace fastreg::cuda {
namespace {

thread_local CudaQueue* t_current = nullptr;

// The process that first used a device, or 0. A fork of it has none, whatever the CUDA runtime remembers.
std::atomic<pid_t> g_process{0};
bool is_fork() {
    const pid_t process = g_process.load();
    return process != 0 && process != getpid();
}
void remember_process() {
    pid_t nobody = 0;
    g_process.compare_exchange_strong(nobody, getpid());
}

// Steps in flight are at most two groups of so many, so that a training that is told to stop does so soon.
constexpr int64_t kStepsInGroup = 16;

// Steps of so many batch sizes are kept recorded; with one more, all are forgotten.
constexpr size_t kMostSteps = 16;

// What the code was compiled for is asked of a kernel.
__global__ void compiled_as_all() {}

__global__ void write_clock(StepClock* clock, StepClock value) { *clock = value; }

constexpr const char* kForked =
    "a forked process cannot use the GPU of its parent: start it with the method \"spawn\", and build the model there";

Status to_status(cudaError_t error, const std::string& text) {
    if (error == cudaErrorMemoryAllocation) return {Code::out_of_memory, "out of memory on the GPU: " + text};
    return {Code::runtime, "CUDA: " + text};
}

}  // namespace

int device_count(std::string* why) {
    if (is_fork()) {
        *why = kForked;
        return 0;
    }
    int n = 0;
    const cudaError_t error = cudaGetDeviceCount(&n);
    cudaGetLastError();
    if (error == cudaSuccess) remember_process();  // the driver is in use from here on
    if (error == cudaErrorInsufficientDriver)
        *why = "the NVIDIA driver is missing or older than CUDA " + std::to_string(CUDART_VERSION / 1000) + " needs";
    else if (error == cudaErrorNoDevice || (error == cudaSuccess && n == 0))
        *why = "no NVIDIA GPU was found";
    else if (error != cudaSuccess)
        *why = std::string("no GPU can be used: ") + cudaGetErrorString(error);
    return error == cudaSuccess ? n : 0;
}

std::string device_name(int device) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) return "";
    return properties.name;
}

Queue* new_cuda_queue() { return new CudaQueue(0); }

OnDevice::OnDevice(int device) : device_(device), before_(device) {
    error_ = cudaGetDevice(&before_);
    // Also where that is the device already: another library's own context on it may be the thread's, in which what the
    // runtime made is unknown.
    if (error_ == cudaSuccess) error_ = cudaSetDevice(device_);
    cudaThreadExchangeStreamCaptureMode(&mode_);
    cudaGetLastError();
}

// In a forked child there is no device.
OnDevice::~OnDevice() {
    if (is_fork()) return;
    cudaThreadExchangeStreamCaptureMode(&mode_);
    if (before_ != device_) cudaSetDevice(before_);
    cudaGetLastError();
}

void CudaQueue::ask_device() {
    remember_process();
    note(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device_), "asking the device");
    int major = 0, minor = 0;
    note(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_), "asking the device");
    note(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device_), "asking the device");
    cudaFuncAttributes code{};
    note(cudaFuncGetAttributes(&code, compiled_as_all), "asking the device");
    const int capability = 10 * major + minor;
    capability_ = code.ptxVersion < capability ? code.ptxVersion : capability;
}

CudaQueue::CudaQueue(int device) : device_(device), process_(getpid()) {
    const OnDevice on(device_);
    note(on.error(), "choosing the device");
    ask_device();
    note(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t& e : events_) note(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "making an event");
    note(cudaMalloc(&clock_, sizeof(DeviceClock)), "taking memory");
}

CudaQueue::CudaQueue(int device, cudaStream_t stream, bool recorded)
    : device_(device), process_(getpid()), stream_(stream), callers_(true), recorded_(recorded) {
    ask_device();
}

// In a forked child there is no device: nothing can be given back, and nothing needs to be.
CudaQueue::~CudaQueue() {
    if (t_current == this) t_current = nullptr;
    if (process_ != getpid()) return;
    const OnDevice on(device_);
    if (!callers_) cudaStreamSynchronize(stream_);  // a caller's may be gone
    forget_steps();
    for (Block& b : scratch_) cudaFree(b.memory);
    for (void* memory : kept_) cudaFree(memory);
    if (callers_) return;
    cudaFree(clock_);
    for (cudaEvent_t e : events_) cudaEventDestroy(e);
    cudaStreamDestroy(stream_);
}

CudaQueue& CudaQueue::current() { return *t_current; }

void CudaQueue::note(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // what is remembered here is forgotten there
    if (failed()) return;
    error_ = error;
    error_text_ = std::string(what) + ": " + cudaGetErrorString(error);
}

void CudaQueue::enter() {
    before_ = t_current;
    t_current = this;
    if (process_ != getpid()) {
        error_ = cudaErrorInitializationError;
        error_text_ = kForked;
        return;
    }
    if (callers_) return;
    visit_.emplace(device_);
    note(visit_->error(), "choosing the device");
}

void CudaQueue::leave() {
    visit_.reset();
    t_current = before_;
}

void* CudaQueue::allocate(size_t bytes) {
    if (failed()) {
        const Status before = told();
        if (before.code == Code::out_of_memory) throw OutOfMemory(bytes, " of GPU memory");
        throw std::runtime_error(before.message);
    }
    const OnDevice on(device_);
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw OutOfMemory(bytes, " of GPU memory");
    }
    note(error, "taking memory");
    if (memory) note(cudaMemsetAsync(memory, 0, bytes, stream_), "clearing memory");
    if (failed()) {
        cudaFree(memory);
        throw std::runtime_error(wait().message);
    }
    return memory;
}

void CudaQueue::release(void* memory) {
    if (!memory || process_ != getpid()) return;
    const OnDevice on(device_);
    cudaStreamSynchronize(stream_);
    cudaFree(memory);
}

Status CudaQueue::copy_in(void* to, const void* from, size_t bytes) {
    if (bytes && !failed()) {
        note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
        note(cudaStreamSynchronize(stream_), "copying to the device");
    }
    return failed() ? wait() : Status();
}

Status CudaQueue::copy_out(void* to, const void* from, size_t bytes) {
    if (recorded_)
        return {Code::runtime, "a CUDA graph is being recorded on this stream, so no number can come back from it"};
    if (bytes && !failed()) {
        note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
        note(cudaStreamSynchronize(stream_), "copying from the device");
    }
    return failed() ? wait() : Status();
}

Status CudaQueue::wait() {
    if (process_ == getpid() && !failed()) note(cudaStreamSynchronize(stream_), "running on the device");
    return told();
}

Status CudaQueue::told() {
    if (!failed()) return {};
    Status status = to_status(error_, error_text_);
    if (process_ == getpid()) {
        error_ = cudaSuccess;  // an error that the device does not get over comes again
        forget_steps();        // one that failed may not have taken all the memory that it would be recorded with
    }
    clock_known_ = false;
    return status;
}

void CudaQueue::use_clock(DeviceClock* clock) {
    clock_ = clock;
    in_step_ = clock != nullptr;
}

void* CudaQueue::scratch(Scratch purpose, size_t bytes) {
    Block& block = scratch_[int(purpose)];
    if (failed()) return nullptr;
    if (bytes <= block.bytes) return block.memory;
    if (callers_) return new_callers_block(&block, bytes);
    if (capturing_) {  // never: steps are recorded only after one like them has run
        note(cudaErrorMemoryAllocation, "scratch memory while a step is recorded");
        return nullptr;
    }
    note(cudaStreamSynchronize(stream_), "running on the device");
    forget_steps();
    cudaFree(block.memory);
    block = {};
    const cudaError_t error = cudaMalloc(&block.memory, bytes);
    note(error, "scratch memory");
    if (error != cudaSuccess) return block.memory = nullptr;
    note(cudaMemsetAsync(block.memory, 0, bytes, stream_), "clearing memory");
    block.bytes = bytes;
    return failed() ? nullptr : block.memory;
}

// Graphs may be recorded, here or elsewhere, and what they use stays. So the memory is cleared beside all streams.
// caller_arrays.cu has allowed this thread to do such things meanwhile.
void* CudaQueue::new_callers_block(Block* block, size_t bytes) {
    if (recorded_) {
        if (block->memory) kept_.push_back(block->memory);
    } else if (block->memory) {
        note(cudaStreamSynchronize(stream_), "running on the device");
        cudaFree(block->memory);
    }
    *block = {};
    cudaStream_t beside = nullptr;
    note(cudaMalloc(&block->memory, bytes), "scratch memory");
    note(cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking), "making a stream");
    if (!failed()) note(cudaMemsetAsync(block->memory, 0, bytes, beside), "clearing memory");
    if (!failed()) note(cudaStreamSynchronize(beside), "clearing memory");
    if (beside) cudaStreamDestroy(beside);
    if (failed()) return nullptr;  // the memory, if any, is freed with the queue
    block->bytes = bytes;
    return block->memory;
}

void CudaQueue::forget_steps() {
    for (auto& step : steps_)
        if (step.second.graph) cudaGraphExecDestroy(step.second.graph);
    steps_.clear();
}

// The operations of a step advance the clock themselves, so it is written only when it does not go on from there.
void CudaQueue::set_clock(const StepClock& clock) {
    const bool as_expected = clock_known_ && clock.step == expected_.step && clock.row == expected_.row &&
                             clock.learning_rate == expected_.learning_rate;
    if (!as_expected) launch(write_clock, 1, 1, 0, clock_, clock);
}

void CudaQueue::record(Recorded* step, Body body, void* context) {
    note(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording a step");
    if (failed()) return;
    capturing_ = true;
    body(context);
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    note(cudaStreamEndCapture(stream_, &graph), "recording a step");
    if (!failed()) note(cudaGraphInstantiate(&step->graph, graph, 0), "recording a step");
    if (graph) cudaGraphDestroy(graph);
}

void CudaQueue::run_step(uint64_t version, int64_t rows, const StepClock& clock, Body body, void* context) {
    if (failed()) return;  // a stream on which recording began here would never end it
    const bool is_new = steps_.count(rows) == 0;
    if (version != version_ || (is_new && steps_.size() >= kMostSteps)) {
        note(cudaStreamSynchronize(stream_), "running on the device");
        forget_steps();
        version_ = version;
    }
    set_clock(clock);
    in_step_ = true;
    // The first step of a kind takes what scratch memory it needs; the second is recorded; those after it are replayed.
    if (steps_[rows].runs++ == 0) {
        body(context);
    } else {
        Recorded* step = &steps_[rows];
        if (!step->graph) record(step, body, context);
        if (!failed()) note(cudaGraphLaunch(step->graph, stream_), "launching a step");
    }
    in_step_ = false;
    expected_ = {clock.step + 1, clock.row + rows, clock.learning_rate};
    clock_known_ = !failed();
    if (++enqueued_ % kStepsInGroup == 0) end_group();
}

void CudaQueue::end_group() {
    if (failed()) return;
    const cudaEvent_t before = events_[++groups_ % 2];
    if (groups_ > 2) note(cudaEventSynchronize(before), "running on the device");
    note(cudaEventRecord(before, stream_), "marking a step");
}

}  // namespace fastreg::cuda
