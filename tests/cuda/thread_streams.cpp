// The scratch memory of calls on a caller's streams (csrc/cuda/caller_arrays.cu), by the plugin's own functions:
// streams share none, and stream 2 is another one in each thread. See test_thread_streams.py, which passes the plugin's
// path. It must not know what a call computes.
#include <dlfcn.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "core/cuda.h"

namespace {

using namespace fastreg;

constexpr CudaStream kLegacy = 1, kOfThread = 2;
const CudaCallers* callers = nullptr;
int n_failed = 0;

void check(bool ok, const char* what) {
    n_failed += !ok;
    std::printf("%s %s\n", ok ? "ok  " : "FAIL", what);
}

void* memory_of_a_call(CudaStream stream) {
    const Status begun = callers->begin(stream, nullptr);
    if (!begun.ok()) {
        check(false, begun.message.c_str());
        return nullptr;
    }
    void* const memory = callers->memory(1000);
    const Status ended = callers->end();
    if (!ended.ok()) check(false, ended.message.c_str());
    return memory;
}

// A thread that lives until it is let go.
class Other {
public:
    Other()
        : thread_([this] {
              of_thread = memory_of_a_call(kOfThread);
              legacy = memory_of_a_call(kLegacy);
              std::unique_lock<std::mutex> lock(mutex_);
              called_ = true;
              changed_.notify_all();
              changed_.wait(lock, [this] { return may_end_; });
          }) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return called_; });
    }
    void end() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            may_end_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    void *of_thread = nullptr, *legacy = nullptr;

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool called_ = false, may_end_ = false;
    std::thread thread_;
};

bool is_memory(const void* p) { return callers->device_of(p) == 0; }

}  // namespace

int main(int argc, char** argv) {
    void* const library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    void* const entry = library ? dlsym(library, "fr_private_cuda_plugin") : nullptr;
    if (!entry) return std::printf("FAIL no plugin\n"), 1;
    callers = reinterpret_cast<const CudaPlugin* (*)()>(entry)()->callers;

    void* const mine = memory_of_a_call(kOfThread);
    void* const legacy = memory_of_a_call(kLegacy);
    check(is_memory(mine) && is_memory(legacy) && mine != legacy, "two streams share no memory");
    check(memory_of_a_call(kOfThread) == mine, "a stream keeps its memory");
    Other a, b;
    check(a.of_thread != mine && b.of_thread != mine && a.of_thread != b.of_thread, "nor do the streams of threads");
    check(a.legacy == legacy && b.legacy == legacy, "the legacy stream is everyone's");
    a.end();
    check(memory_of_a_call(kOfThread) == mine, "another thread's end changes nothing");
    check(!is_memory(a.of_thread), "the next call gives back the memory of a thread that has ended");
    check(is_memory(b.of_thread), "and not that of one that lives");
    b.end();
    check(memory_of_a_call(kLegacy) == legacy && is_memory(mine), "nor anyone else's");
    check(!is_memory(b.of_thread), "a call on any stream does so");
    return n_failed != 0;
}
