// The process-wide settings, read once from the environment and checked.
// It must not know models or arrays.
#include "core/runtime.h"

#include <atomic>
#include <cstdlib>

#include "core/cuda.h"
#include "core/tables.h"

namespace fastreg {
namespace {

std::atomic<const Backend*> g_backend{nullptr};

const Backend* fastest() {
    for (int i = 0; i < kNumCpuBackends; ++i)
        if (kCpuBackends[i].runnable()) return kCpuBackends[i].backend;
    return kCpuBackends[kNumCpuBackends - 1].backend;  // scalar: always runnable
}

std::string known_isas() {
    std::string names;
    for (int i = 0; i < kNumCpuBackends; ++i) names += (i ? ", " : "") + std::string(kCpuBackends[i].backend->name);
    return names;
}

// The number in an environment variable, 0 when it is unset or empty.
Status threads_from(const char* variable, int* n) {
    *n = 0;
    const char* text = std::getenv(variable);
    if (!text || !*text) return {};
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end || value < 1 || value > 1024)
        return invalid(std::string(variable) + " must be a whole number from 1 to 1024, got \"" + text + "\"");
    *n = int(value);
    return {};
}

}  // namespace

const Backend& backend() {
    const Backend* b = g_backend.load(std::memory_order_acquire);
    if (!b) {
        b = fastest();
        g_backend.store(b, std::memory_order_release);
    }
    return *b;
}

Status set_isa(const std::string& name) {
    for (int i = 0; i < kNumCpuBackends; ++i) {
        if (name != kCpuBackends[i].backend->name) continue;
        if (!kCpuBackends[i].runnable())
            return invalid("isa \"" + name + "\" is compiled in, but this CPU cannot run it");
        g_backend.store(kCpuBackends[i].backend, std::memory_order_release);
        return {};
    }
    if (name == "cuda") {
        const Backend* cuda = nullptr;
        FR_RETURN_IF_ERROR(cuda_host_arrays(&cuda));
        g_backend.store(cuda, std::memory_order_release);
        return {};
    }
    return invalid("isa must be one of " + known_isas() + "; got \"" + name + "\"");
}

Status runtime_init() {
    static std::atomic<bool> done{false};  // what was chosen by a call since then stays
    if (done.load()) return {};
    const char* isa = std::getenv("FASTREG_ISA");
    if (isa && *isa) {
        Status s = set_isa(isa);
        if (!s.ok()) return {s.code, "FASTREG_ISA: " + s.message};
    }
    int n = 0;
    FR_RETURN_IF_ERROR(threads_from("FASTREG_NUM_THREADS", &n));
    const bool ours = n > 0;
    // OMP_NUM_THREADS belongs to others too ("4,2" is legal there): what is no plain number is not for us.
    if (!ours && !threads_from("OMP_NUM_THREADS", &n).ok()) n = 0;
    if (n) pool_set_threads(n);
    done.store(true);
    return {};
}

BuildInfo build_info() {
    BuildInfo info;
    info.version = FASTREG_VERSION;
#if defined(__clang__)
    info.compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
    info.compiler = "gcc " __VERSION__;
#endif
    info.isa = backend().name;
    info.cuda = cuda_summary();
    for (int i = 0; i < kNumCpuBackends; ++i) {
        info.isas_compiled.push_back(kCpuBackends[i].backend->name);
        if (kCpuBackends[i].runnable()) info.isas_runnable.push_back(kCpuBackends[i].backend->name);
    }
    info.num_threads = pool_get_threads();
    return info;
}

int get_num_threads() { return pool_get_threads(); }

Status set_num_threads(int n) {
    if (n < 1 || n > 1024) return invalid("n must be from 1 to 1024 threads, got " + std::to_string(n));
    if (pool_in_task()) return {Code::runtime, "the number of threads cannot change while this thread computes"};
    pool_set_threads(n);
    return {};
}

}  // namespace fastreg
