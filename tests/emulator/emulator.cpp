// Runs the kernels of csrc/cuda on the host, and stands in for the CUDA runtime. See include/cuda_runtime.h.
//
// The threads of a block are fibers of one thread of the host: one runs until it waits for others. In which order they
// go on is drawn at random, and so is when an asynchronous copy happens, so that a kernel that lacks a barrier gives
// other numbers. Blocks are shared out to threads of the host; those of a cluster have one each.
// A kernel that waits for what cannot come, leaves copies behind or writes outside its memory ends the program with a
// message; a launch that no device would start is refused. It must not know kernels. It is over 250 lines because
// threads, memory and recorded graphs are few words each.
#include <cuda_runtime.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace emulator {
namespace {

[[noreturn]] void give_up(const char* what) {
    std::fprintf(stderr, "emulator: block (%u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y, threadIdx.x, what);
    std::abort();
}

// ---- threads of a block --------------------------------------------------------------------------------------------

constexpr size_t kStackBytes = 128 * 1024;
constexpr int kMostBarriers = 16, kWarp = 32;
constexpr unsigned kBlocksWorthThreads = 16;
constexpr int kMultiprocessors = 132, kMostShared = 227 * 1024;

// Blocks that run at once.
struct Cluster {
    std::mutex mutex;
    std::condition_variable changed;
    int arrived = 0, threads = 0;
    uint64_t phase = 0;
    std::vector<unsigned char*> markers;  // of each block, see in_block()
};

struct Barrier {
    int arrived = 0;
    uint64_t phase = 0;
};

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
};

// A thread of a kernel.
struct Thread {
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
    uint64_t cluster_phase = 0;
};

// What runs threads: one after the other, until one has to wait.
struct Fiber {
    jmp_buf at;
    ucontext_t start;
    void* stack = nullptr;
    int thread = 0;
    const uint64_t* gate = nullptr;  // it waits while *gate is `seen`
    uint64_t seen = 0;
    bool for_cluster = false, idle = true;

    Fiber() {
        stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) give_up("no memory for a thread's stack");
    }
    Fiber(const Fiber&) = delete;
    ~Fiber() { munmap(stack, kStackBytes); }
};

struct Warp {
    Barrier barrier;
    struct alignas(8) Given {
        unsigned char bytes[kMostExchanged];
    };
    // Of this exchange and the one before, which others may still read.
    Given given[2][kWarp];
    const void* pointers[2][kWarp];
};

// The block that a thread of the host runs.
struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    size_t used = 0;  // fibers
    jmp_buf scheduler;
    Fiber* now = nullptr;
    const std::function<void()>* kernel = nullptr;
    int n = 0, begun = 0, ended = 0;
    std::vector<int> order;  // in which threads begin
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Barrier barriers[kMostBarriers];
    bool any = false, any_of[2] = {};
    std::vector<float4> dynamic;
    Cluster* cluster = nullptr;
    std::minstd_rand random{1};
};
thread_local Block t_block;
thread_local unsigned char t_marker;

// What a kernel may have.
struct Allowed {
    size_t shared = 48 * 1024;
    int cluster = 8;
};
std::mutex g_allowed_mutex;
std::map<const void*, Allowed> g_allowed;

void run_threads() {
    while (t_block.begun < t_block.n) {
        Block& b = t_block;
        Fiber& mine = *b.now;
        mine.thread = b.order[size_t(b.begun++)];
        threadIdx = {unsigned(mine.thread), 0, 0};
        (*b.kernel)();
        const Thread& t = b.threads[size_t(mine.thread)];
        bool left = !t.open.empty();
        for (const auto& group : t.groups) left |= !group.empty();
        if (left) give_up("ends before its copies");
        ++b.ended;
    }
    t_block.now->idle = true;
    _longjmp(t_block.scheduler, 1);
}

// From the scheduler into a fiber, until it waits or has no threads left to begin.
void resume(Fiber* fiber) {
    Block& b = t_block;
    b.now = fiber;
    if (_setjmp(b.scheduler)) return;
    if (fiber->idle) {
        fiber->idle = false;
        getcontext(&fiber->start);
        fiber->start.uc_stack.ss_sp = fiber->stack;
        fiber->start.uc_stack.ss_size = kStackBytes;
        fiber->start.uc_link = nullptr;
        makecontext(&fiber->start, run_threads, 0);
        setcontext(&fiber->start);
    }
    threadIdx = {unsigned(fiber->thread), 0, 0};
    _longjmp(fiber->at, 1);
}

uint64_t read(const uint64_t* gate) { return __atomic_load_n(gate, __ATOMIC_ACQUIRE); }

void wait_while(const uint64_t* gate, uint64_t seen, bool for_cluster) {
    Fiber* const mine = t_block.now;
    if (read(gate) != seen) return;
    mine->gate = gate;
    mine->seen = seen;
    mine->for_cluster = for_cluster;
    if (!_setjmp(mine->at)) _longjmp(t_block.scheduler, 1);
}

// Returns in which phase of the barrier the thread came.
uint64_t join(Barrier& barrier, int n) {
    const uint64_t phase = barrier.phase;
    if (++barrier.arrived == n) {
        barrier.arrived = 0;
        ++barrier.phase;
        return phase;
    }
    wait_while(&barrier.phase, phase, false);
    return phase;
}

int threads_of_warp(const Block& b, int warp) { return std::min(kWarp, b.n - warp * kWarp); }

void run_block(uint3 index, const std::function<void()>& kernel, size_t shared_bytes, Cluster* cluster) {
    Block& b = t_block;
    blockIdx = index;
    b.kernel = &kernel;
    b.cluster = cluster;
    b.n = int(blockDim.x);
    b.begun = b.ended = 0;
    b.used = 0;
    b.order.resize(size_t(b.n));
    std::iota(b.order.begin(), b.order.end(), 0);
    std::shuffle(b.order.begin(), b.order.end(), b.random);
    b.threads.assign(size_t(b.n), {});
    b.warps.assign(size_t(b.n + kWarp - 1) / kWarp, {});
    std::fill(std::begin(b.barriers), std::end(b.barriers), Barrier());
    b.any = b.any_of[0] = b.any_of[1] = false;
    b.dynamic.assign(shared_bytes / sizeof(float4) + 1, float4{NAN, NAN, NAN, NAN});
    while (b.ended < b.n) {
        bool went_on = false, for_cluster = false;
        uint64_t phase = cluster ? read(&cluster->phase) : 0;
        // Those that have begun, from a random one on in one direction or the other; then the others.
        const size_t count = b.used, first = count ? b.random() % count : 0;
        const bool back = b.random() % 2;
        for (size_t i = 0; i < count; ++i) {
            Fiber* const f = b.fibers[(back ? first + count - i : first + i) % count].get();
            if (f->idle) continue;
            if (read(f->gate) == f->seen) {
                for_cluster |= f->for_cluster;
                continue;
            }
            went_on = true;
            resume(f);
        }
        while (b.begun < b.n) {
            went_on = true;
            if (b.used == b.fibers.size()) b.fibers.push_back(std::make_unique<Fiber>());
            Fiber* const f = b.fibers[b.used++].get();
            f->idle = true;
            resume(f);
        }
        if (went_on) continue;
        if (!for_cluster) give_up("waits for threads that do not come");
        std::unique_lock<std::mutex> lock(cluster->mutex);
        while (read(&cluster->phase) == phase)
            if (cluster->changed.wait_for(lock, std::chrono::seconds(60)) == std::cv_status::timeout)
                give_up("waits for a block of its cluster that does not come");
    }
}

}  // namespace

void sync_block(int barrier, int n) { join(t_block.barriers[barrier], n); }

const void* const* exchange(const void* mine, size_t bytes) {
    const int thread = t_block.now->thread, warp = thread / kWarp;
    Warp& w = t_block.warps[size_t(warp)];
    const uint64_t turn = w.barrier.phase % 2;
    Warp::Given& given = w.given[turn][thread % kWarp];
    if (bytes) std::memcpy(given.bytes, mine, bytes);
    w.pointers[turn][thread % kWarp] = given.bytes;
    join(w.barrier, threads_of_warp(t_block, warp));
    return w.pointers[turn];
}

bool sync_any(bool mine) {
    Block& b = t_block;
    Barrier& barrier = b.barriers[0];
    b.any |= mine;
    if (barrier.arrived + 1 == b.n) {
        b.any_of[barrier.phase % 2] = b.any;
        b.any = false;
    }
    return b.any_of[join(barrier, b.n) % 2];
}

void arrive_in_cluster() {
    Cluster* const c = t_block.cluster;
    if (!c) give_up("is in no cluster");
    const std::lock_guard<std::mutex> lock(c->mutex);
    t_block.threads[size_t(t_block.now->thread)].cluster_phase = c->phase;
    if (++c->arrived < c->threads) return;
    c->arrived = 0;
    __atomic_store_n(&c->phase, c->phase + 1, __ATOMIC_RELEASE);
    c->changed.notify_all();
}

void wait_for_cluster() {
    wait_while(&t_block.cluster->phase, t_block.threads[size_t(t_block.now->thread)].cluster_phase, true);
}

unsigned char* dynamic_shared() { return reinterpret_cast<unsigned char*>(t_block.dynamic.data()); }

// Static shared variables are thread-local ones, which lie alike in all threads, seen from one of them.
void* in_block(void* p, int rank) {
    return t_block.cluster->markers[size_t(rank)] + (static_cast<unsigned char*>(p) - &t_marker);
}

void copy_later(void* to, const void* from, size_t bytes) {
    Block& b = t_block;
    if (reinterpret_cast<uintptr_t>(from) % bytes || reinterpret_cast<uintptr_t>(to) % bytes)
        give_up("copies from or to where its bytes are not aligned");
    if (b.random() % 2)
        std::memcpy(to, from, bytes);
    else
        b.threads[size_t(b.now->thread)].open.push_back({to, from, bytes});
}

void end_group() {
    Thread& t = t_block.threads[size_t(t_block.now->thread)];
    t.groups.push_back(std::move(t.open));
    t.open.clear();
}

void wait_for_groups(int left) {
    Thread& t = t_block.threads[size_t(t_block.now->thread)];
    while (int(t.groups.size()) > left) {
        for (const Copy& c : t.groups.front()) std::memcpy(c.to, c.from, c.bytes);
        t.groups.erase(t.groups.begin());
    }
}

cudaError_t allow(const void* kernel, cudaFuncAttribute attribute, int value) {
    const std::lock_guard<std::mutex> lock(g_allowed_mutex);
    Allowed& allowed = g_allowed[kernel];
    if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed)
        allowed.cluster = value ? 16 : 8;
    else if (value < 0 || value > kMostShared)
        return cudaErrorInvalidValue;
    else
        allowed.shared = size_t(value);
    return cudaSuccess;
}

bool may_run(const void* kernel, const cudaLaunchConfig_t& config, int cluster) {
    const dim3 grid = config.gridDim, block = config.blockDim;
    const std::lock_guard<std::mutex> lock(g_allowed_mutex);
    const Allowed& allowed = g_allowed[kernel];
    return block.x >= 1 && block.x <= 1024 && block.y == 1 && block.z == 1 && grid.x >= 1 && grid.x <= 0x7fffffff &&
           grid.y >= 1 && grid.y <= 65535 && grid.z == 1 && config.dynamicSmemBytes <= allowed.shared &&
           cluster <= allowed.cluster && grid.x * grid.y % unsigned(cluster) == 0;
}

void run_grid(const cudaLaunchConfig_t& config, int cluster, const std::function<void()>& kernel) {
    const dim3 grid = config.gridDim, block = config.blockDim;
    const unsigned blocks = grid.x * grid.y * grid.z;
    // Neighbours in x, then in y, as those of a cluster are.
    const auto index = [&](unsigned i) { return uint3{i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y}; };
    if (cluster <= 1) {
        std::atomic<unsigned> next{0};
        const auto work = [&] {
            gridDim = grid, blockDim = block;
            for (unsigned i; (i = next++) < blocks;) run_block(index(i), kernel, config.dynamicSmemBytes, nullptr);
        };
        std::vector<std::thread> others(blocks >= kBlocksWorthThreads ? std::thread::hardware_concurrency() - 1 : 0);
        for (std::thread& t : others) t = std::thread(work);
        work();
        for (std::thread& t : others) t.join();
        return;
    }
    const bool in_x = grid.x % unsigned(cluster) == 0 && grid.y == 1;
    for (unsigned first = 0; first < blocks / unsigned(cluster); ++first) {
        Cluster together;
        together.threads = cluster * int(block.x);
        together.markers.resize(size_t(cluster));
        std::mutex mutex;
        std::condition_variable changed;
        int ready = 0, done = 0;
        const auto all_come = [&](int* count) {
            std::unique_lock<std::mutex> lock(mutex);
            ++*count;
            changed.notify_all();
            changed.wait(lock, [&] { return *count == cluster; });
        };
        std::vector<std::thread> threads;
        for (int rank = 0; rank < cluster; ++rank)
            threads.emplace_back([&, rank] {
                gridDim = grid, blockDim = block;
                t_block.random.seed(first * 64 + unsigned(rank) + 1);
                together.markers[size_t(rank)] = &t_marker;
                all_come(&ready);
                run_block(
                    in_x ? uint3{first * unsigned(cluster) + unsigned(rank), 0, 0} : uint3{first, unsigned(rank), 0},
                    kernel, config.dynamicSmemBytes, &together);
                all_come(&done);  // its shared memory may be read until then
            });
        for (std::thread& t : threads) t.join();
    }
}

}  // namespace emulator

// ---- streams, graphs and memory ------------------------------------------------------------------------------------

struct CUgraph_st {
    std::vector<std::function<void()>> work;
    std::vector<std::shared_ptr<CUuserObject_st>> kept;
};
struct CUstream_st {
    CUgraph_st* recording = nullptr;
    unsigned long long id = 0;
};
struct CUgraphExec_st : CUgraph_st {};
struct CUevent_st {};
struct CUuserObject_st {
    void* owned;
    void (*let_go)(void*);
    ~CUuserObject_st() { let_go(owned); }
};

namespace {

using namespace emulator;

constexpr size_t kGuard = 256;

// FASTREG_EMULATED_MB makes a smaller GPU, whose memory a test can fill.
size_t device_bytes() {
    const char* const megabytes = std::getenv("FASTREG_EMULATED_MB");
    return megabytes ? size_t(std::atoll(megabytes)) << 20 : size_t(4) << 30;
}
constexpr unsigned char kFence = 0xFB;

std::mutex g_memory_mutex;
std::map<const unsigned char*, size_t> g_memory;
size_t g_bytes = 0;

}  // namespace

namespace emulator {
// CUDA's own streams, which have small numbers, record nothing here.
static CUgraph_st* recording_of(cudaStream_t stream) {
    return reinterpret_cast<uintptr_t>(stream) <= 2 ? nullptr : stream->recording;
}
cudaError_t enqueue(cudaStream_t stream, std::function<void()> what) {
    if (CUgraph_st* graph = recording_of(stream))
        graph->work.push_back(std::move(what));
    else
        what();
    return cudaSuccess;
}
}  // namespace emulator

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess: return "no error";
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInvalidValue: return "invalid argument";
        default: return "an error";
    }
}

cudaError_t cudaGetDeviceCount(int* n) {
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    *n = visible && !*visible ? 0 : 1;
    return *n ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    std::strcpy(properties->name, "an emulated GPU");
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; break;
        case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
        case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kMostShared; break;
    }
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    const std::lock_guard<std::mutex> lock(g_memory_mutex);
    const auto* const byte = static_cast<const unsigned char*>(p);
    auto after = g_memory.upper_bound(byte);
    const bool found = after != g_memory.begin() && (--after, byte < after->first + after->second);
    *attributes = {found ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered, 0};
    return cudaSuccess;
}

// New memory holds NaN everywhere; behind it lies a fence, that is looked at when the memory is given back.
cudaError_t cuda_malloc(void** p, size_t bytes) {
    const std::lock_guard<std::mutex> lock(g_memory_mutex);
    *p = nullptr;
    if (g_bytes + bytes > device_bytes()) return cudaErrorMemoryAllocation;
    auto* const memory = static_cast<unsigned char*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256 + kGuard));
    if (!memory) return cudaErrorMemoryAllocation;
    std::memset(memory, 0xFF, bytes);
    std::memset(memory + bytes, kFence, kGuard);
    g_memory[memory] = bytes;
    g_bytes += bytes;
    *p = memory;
    return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
    if (!p) return cudaSuccess;
    const std::lock_guard<std::mutex> lock(g_memory_mutex);
    auto* const memory = static_cast<unsigned char*>(p);
    const auto found = g_memory.find(memory);
    if (found == g_memory.end()) return cudaErrorInvalidValue;
    for (size_t i = 0; i < kGuard; ++i)
        if (memory[found->second + i] != kFence) give_up("memory was written behind its end");
    g_bytes -= found->second;
    g_memory.erase(found);
    std::free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    return enqueue(stream, [=] { std::memmove(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
    return enqueue(stream, [=] { std::memset(p, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = new CUstream_st, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (stream->recording) give_up("a stream was destroyed that still recorded");
    return delete stream, cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return recording_of(stream) ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = new CUevent_st, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    static unsigned long long graphs = 0;
    if (stream->recording) return cudaErrorStreamCaptureInvalidated;
    stream->recording = new CUgraph_st;
    stream->id = __atomic_add_fetch(&graphs, 1, __ATOMIC_RELAXED);
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = stream->recording;
    stream->recording = nullptr;
    return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph) {
    const bool records = recording_of(stream) != nullptr;
    *status = records ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    if (records) *id = stream->id, *graph = stream->recording;
    return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
    return *exec = new CUgraphExec_st{*graph}, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
    for (const auto& work : exec->work) work();
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* owned, void (*let_go)(void*), unsigned, unsigned) {
    return *object = new CUuserObject_st{owned, let_go}, cudaSuccess;
}
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned) { return delete object, cudaSuccess; }
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned, unsigned) {
    graph->kept.emplace_back(object);
    return cudaSuccess;
}
