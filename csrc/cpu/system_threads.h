// What the thread pool asks of the system: cores and signals of threads. It must not know the pool. Included by
// parallel.cpp alone.
#pragma once
#include <pthread.h>
#include <sched.h>

#include <csignal>

namespace fastreg::cpu {

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Moves this thread off a core that another one keeps busy: the system may wake a thread on the core of who woke it,
// beside idle ones, and takes some 10 ms to see that.
inline void leave_core(int core) {
#if defined(__linux__)
    cpu_set_t before, others;
    if (core < 0 || sched_getcpu() != core || sched_getaffinity(0, sizeof before, &before) != 0) return;
    others = before;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) == 0) return;
    sched_setaffinity(0, sizeof others, &others);  // returns on one of these
    sched_setaffinity(0, sizeof before, &before);
#else
    (void)core;
#endif
}

// While it lives, threads start with signals blocked: those sent to the process are for its own threads. Not the
// signals of a fault, and not a profiler's.
class SignalsElsewhere {
public:
    SignalsElsewhere() {
        sigset_t blocked;
        sigfillset(&blocked);
        for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF}) sigdelset(&blocked, own);
        pthread_sigmask(SIG_BLOCK, &blocked, &before_);
    }
    ~SignalsElsewhere() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsElsewhere(const SignalsElsewhere&) = delete;
    SignalsElsewhere& operator=(const SignalsElsewhere&) = delete;

private:
    sigset_t before_;
};

inline int this_core() {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

}  // namespace fastreg::cpu
