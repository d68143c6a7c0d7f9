// Calls on the arrays and the streams of a caller (core/cuda.h): a queue for each of his streams, and one for each
// graph that he records, whose scratch memory is the graph's alone and lives as long as it. The stream with the number
// kThreadStream is another in each thread, and so is its queue. It must not know kernels.
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>

#include "cuda/device_info.h"
#include "cuda/queue.cuh"

namespace fastreg::cuda {
namespace {

using Gone = std::atomic<bool>;

struct CallersQueue {
    std::unique_ptr<CudaQueue> queue;
    std::shared_ptr<Gone> gone;  // of a graph: set when no copy of it is left; of a thread: when it has ended
};

constexpr CudaStream kThreadStream = 2;  // cudaStreamPerThread

struct Thread {
    unsigned long long number;
    std::shared_ptr<Gone> gone = std::make_shared<Gone>(false);

    Thread() {
        static std::atomic<unsigned long long> threads{0};
        number = ++threads;
    }
    ~Thread() { gone->store(true); }
};

const Thread& this_thread() {
    thread_local const Thread one;
    return one;
}

// One call at a time: what a call enqueues takes less time than to share it out would.
struct Callers {
    std::mutex mutex;
    // By graph (0: none), stream, and the thread whose it is (0: everyone's).
    std::map<std::tuple<unsigned long long, CudaStream, unsigned long long>, CallersQueue> queues;
    CudaQueue* current = nullptr;
    std::optional<OnDevice> visit;  // from begin() to end(): also a kernel that is launched first has to be loaded
};

Callers& callers() {
    static Callers* one = new Callers;  // never deleted: the driver may be gone by then
    return *one;
}

Status failed(cudaError_t error, const char* what) {
    cudaGetLastError();  // what is remembered here is forgotten there
    return {Code::runtime, std::string("CUDA: ") + what + ": " + cudaGetErrorString(error)};
}

cudaStream_t handle(CudaStream stream) { return reinterpret_cast<cudaStream_t>(stream); }

// The graph that is being recorded on a stream, if one is, and its number.
cudaError_t recording(cudaStream_t stream, cudaGraph_t* graph, unsigned long long* id) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
#if CUDART_VERSION >= 13000
    const cudaError_t error = cudaStreamGetCaptureInfo(stream, &status, id, graph);
#else
    const cudaError_t error = cudaStreamGetCaptureInfo_v2(stream, &status, id, graph);
#endif
    if (status == cudaStreamCaptureStatusActive) return error;
    *id = 0;
    *graph = nullptr;
    return status == cudaStreamCaptureStatusInvalidated ? cudaErrorStreamCaptureInvalidated : error;
}

// A driver's thread calls this: nothing of CUDA may be called in it.
void CUDART_CB let_go(void* owner) {
    const std::unique_ptr<std::shared_ptr<Gone>> gone(static_cast<std::shared_ptr<Gone>*>(owner));
    (*gone)->store(true);
}

// *gone becomes true with the end of the last copy of the graph.
cudaError_t watch(cudaGraph_t graph, const std::shared_ptr<Gone>& gone) {
    auto owner = std::make_unique<std::shared_ptr<Gone>>(gone);
    cudaUserObject_t object = nullptr;
    cudaError_t error = cudaUserObjectCreate(&object, owner.get(), let_go, 1, cudaUserObjectNoDestructorSync);
    if (error != cudaSuccess) return error;
    owner.release();
    error = cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove);
    if (error != cudaSuccess) cudaUserObjectRelease(object, 1);
    return error;
}

// So the queues of ended threads are no more than those that ended since the last call. What they have enqueued may
// still run: cudaFree() waits for it.
void forget_gone(Callers& all) {
    for (auto at = all.queues.begin(); at != all.queues.end();)
        at = at->second.gone && at->second.gone->load() ? all.queues.erase(at) : std::next(at);
}

Status find_queue(Callers& all, CudaStream stream, CudaQueue** queue) {
    cudaGraph_t graph = nullptr;
    unsigned long long id = 0;
    cudaError_t error = recording(handle(stream), &graph, &id);
    if (error != cudaSuccess) return failed(error, "asking the stream whether it records a graph");
    if (!graph) forget_gone(all);
    const bool of_thread = stream == kThreadStream;
    CallersQueue& found = all.queues[{id, stream, of_thread ? this_thread().number : 0}];
    if (!found.queue) {
        auto made = std::make_unique<CudaQueue>(0, handle(stream), graph != nullptr);
        FR_RETURN_IF_ERROR(made->told());
        if (graph) {
            found.gone = std::make_shared<Gone>(false);
            error = watch(graph, found.gone);
            if (error != cudaSuccess) return failed(error, "keeping memory for a graph");
        } else if (of_thread) {
            found.gone = this_thread().gone;
        }
        found.queue = std::move(made);
    }
    *queue = found.queue.get();
    return {};
}

Status begin(CudaStream stream, void* clock) {
    Callers& all = callers();
    std::unique_lock<std::mutex> lock(all.mutex);
    all.visit.emplace(0);
    const Status found = find_queue(all, stream, &all.current);
    if (!found.ok()) {
        all.visit.reset();
        return found;
    }
    all.current->enter();
    all.current->use_clock(static_cast<DeviceClock*>(clock));
    lock.release();  // until end()
    return {};
}

void* memory(size_t bytes) { return callers().current->scratch(Scratch::call, bytes > 0 ? bytes : 1); }

Status fetch(void* to, const void* from, size_t bytes) { return callers().current->copy_out(to, from, bytes); }

Status end() {
    Callers& all = callers();
    const std::unique_lock<std::mutex> lock(all.mutex, std::adopt_lock);
    all.current->use_clock(nullptr);
    Status status = all.current->told();
    all.current->leave();
    all.visit.reset();
    return status;
}

int device_of(const void* array) {
    cudaPointerAttributes found{};
    const cudaError_t error = cudaPointerGetAttributes(&found, array);
    cudaGetLastError();
    const bool on_gpu = found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
    return error == cudaSuccess && on_gpu ? found.device : -1;
}

Status order(CudaStream first, CudaStream second) {
    const OnDevice on(0);
    cudaEvent_t event = nullptr;
    cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    if (error == cudaSuccess) error = cudaEventRecord(event, handle(first));
    if (error == cudaSuccess) error = cudaStreamWaitEvent(handle(second), event, 0);
    if (event) cudaEventDestroy(event);
    return error == cudaSuccess ? Status() : failed(error, "waiting for another stream");
}

}  // namespace

const CudaCallers kCallers{begin, memory, fetch, end, device_of, order};

}  // namespace fastreg::cuda
