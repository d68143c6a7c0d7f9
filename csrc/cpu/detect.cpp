// The machine: how many processors this process may use (the affinity mask and the cgroup's quota), and of what make
// they are. It must not know the pool that uses them.
#include "cpu/detect.h"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "core/tables.h"

namespace fastreg {
namespace {

// cgroup v2, then v1: CPU time quota over period, rounded up; 0 when there is none.
int cgroup_cpus() {
    long long quota = 0, period = 0;
    if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
        if (std::fscanf(f, "%lld %lld", &quota, &period) != 2) quota = 0;
        std::fclose(f);
    } else {
        std::FILE* q = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r");
        std::FILE* p = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
        if (!q || !p || std::fscanf(q, "%lld", &quota) != 1 || std::fscanf(p, "%lld", &period) != 1) quota = 0;
        if (q) std::fclose(q);
        if (p) std::fclose(p);
    }
    return quota > 0 && period > 0 ? int((quota + period - 1) / period) : 0;
}

}  // namespace

bool cpu::loads_keep_up() {
#if defined(__x86_64__)
    return __builtin_cpu_is("amd");
#else
    return true;
#endif
}

bool cpu::wants_fetching() {
#if defined(__x86_64__)
    return !(__builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f"));
#else
    return true;
#endif
}

int64_t cpu::first_cache() {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const long size = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    if (size > 0) return size;
#endif
    return 32 * 1024;
}

int pool_default_threads() {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
    const int quota = cgroup_cpus();
    if (quota > 0 && quota < n) n = quota;
    return n > 0 ? n : 1;
}

}  // namespace fastreg
