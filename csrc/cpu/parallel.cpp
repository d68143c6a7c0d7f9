// The thread pool's one object. Workers spin for a moment after each job, since a training step is a run of short ones,
// then sleep. It must not know what the work is. A forked child gets a fresh pool: its parent's workers do not exist
// there.
#include "cpu/parallel.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/context.h"
#include "core/tables.h"

namespace fastreg {
namespace cpu {
namespace {

constexpr int kSpins = 4000;  // about 50 us of pause instructions

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

thread_local bool t_is_worker = false;
thread_local bool t_in_task = false;  // a task that asks for threads gets none

// A job is published by storing its number; each worker takes part in every job and reports when it has no more to do.
class Pool {
public:
    explicit Pool(int threads) { start(threads); }
    ~Pool() { stop(); }

    int threads() const { return threads_.load(std::memory_order_relaxed); }

    void resize(int threads) {
        std::lock_guard<std::mutex> owner(run_mutex_);
        stop();
        start(threads);
    }

    void run(int64_t n, Task task, void* context) {
        std::unique_lock<std::mutex> owner(run_mutex_, std::try_to_lock);
        if (!owner.owns_lock() || workers_.empty() || n == 1) {  // a pool at work serves its owner; others go alone
            for (int64_t i = 0; i < n; ++i) task(context, i);
            return;
        }
        task_ = task;
        context_ = context;
        n_ = n;
        next_.store(0, std::memory_order_relaxed);
        failed_.store(false, std::memory_order_relaxed);
        pending_.store(int(workers_.size()), std::memory_order_relaxed);
        job_.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) {
            std::lock_guard<std::mutex> lock(sleep_mutex_);
            wake_.notify_all();
        }
        work();
        for (int spins = 0; pending_.load(std::memory_order_acquire) > 0; ++spins)
            spins < kSpins ? relax() : std::this_thread::yield();
        if (failed_.load(std::memory_order_relaxed)) throw std::bad_alloc();
    }

private:
    void work() {
        t_in_task = true;
        take_tasks();
        t_in_task = false;
    }

    void take_tasks() {
        try {
            for (;;) {
                const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
                if (i >= n_) return;
                task_(context_, i);
            }
        } catch (const std::bad_alloc&) {  // the only exception a task can raise: Scratch
            failed_.store(true, std::memory_order_relaxed);
        }
    }

    void worker(uint64_t seen) {
        t_is_worker = true;
        for (;;) {
            for (int spins = 0; job_.load(std::memory_order_acquire) == seen && spins < kSpins; ++spins) relax();
            if (job_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(sleep_mutex_);
                sleepers_.fetch_add(1, std::memory_order_seq_cst);
                wake_.wait(lock, [&] { return job_.load(std::memory_order_seq_cst) != seen; });
                sleepers_.fetch_sub(1, std::memory_order_relaxed);
            }
            ++seen;
            if (stopping_) return;
            work();
            pending_.fetch_sub(1, std::memory_order_release);
        }
    }

    void start(int threads) {
        stopping_ = false;
        const uint64_t now = job_.load();
        workers_.reserve(size_t(threads));
        try {
            for (int i = 1; i < threads; ++i) workers_.emplace_back([this, now] { worker(now); });
        } catch (const std::system_error&) {
            // The system gives no more threads: those there are do the work, with the same results.
        }
        threads_.store(int(workers_.size()) + 1, std::memory_order_relaxed);
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(sleep_mutex_);
            stopping_ = true;
            job_.fetch_add(1);
        }
        wake_.notify_all();
        threads_.store(1, std::memory_order_relaxed);
        for (std::thread& t : workers_) t.join();
        workers_.clear();
    }

    std::mutex run_mutex_, sleep_mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> workers_;
    Task task_ = nullptr;
    void* context_ = nullptr;
    int64_t n_ = 0;
    bool stopping_ = false;
    alignas(64) std::atomic<uint64_t> job_{0};
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<int> pending_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<int> threads_{1};
    std::atomic<bool> failed_{false};
};

std::mutex g_mutex;
std::atomic<Pool*> g_pool{nullptr};
int g_threads = 0;  // 0: not chosen yet

// The child abandons the parent's pool (its threads and the state of its locks stayed behind) and makes its own when
// needed.
void after_fork_in_child() {
    new (&g_mutex) std::mutex;
    g_pool.store(nullptr);
}

Pool& pool() {
    if (Pool* p = g_pool.load(std::memory_order_acquire)) return *p;
    static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
    (void)registered;
    std::lock_guard<std::mutex> lock(g_mutex);
    if (!g_pool.load()) {
        if (g_threads == 0) g_threads = pool_default_threads();
        g_pool.store(new Pool(g_threads));  // lives until the process ends: its workers may outlive static destructors
    }
    return *g_pool.load();
}

// The block a thread keeps between two users of Scratch.
struct Spare {
    void* memory = nullptr;
    size_t size_bytes = 0;
    ~Spare() { std::free(memory); }
};
thread_local Spare t_spare;

}  // namespace

void run_tasks(int64_t n, Task task, void* context) {
    if (n > 0) pool().run(n, task, context);
}

int64_t threads_for(int64_t work, int64_t grain) {
    const int64_t wanted = work / grain;
    if (wanted <= 1 || t_in_task) return 1;
    const int64_t have = pool().threads();
    return wanted < have ? wanted : have;
}

bool poll(Cancel& cancel) { return t_is_worker ? cancel.stopped() : cancel.check(); }

Scratch::Scratch(size_t size_bytes) {
    if (size_bytes == 0) return;
    memory_ = std::exchange(t_spare.memory, nullptr);
    size_bytes_ = std::exchange(t_spare.size_bytes, 0);
    if (size_bytes_ >= size_bytes) return;
    std::free(memory_);
    memory_ = std::aligned_alloc(64, (size_bytes + 63) / 64 * 64);
    if (!memory_) throw std::bad_alloc();
    size_bytes_ = size_bytes;
}

Scratch::~Scratch() {
    if (!memory_) return;
    std::free(t_spare.memory);
    t_spare.memory = memory_;
    t_spare.size_bytes = size_bytes_;
}

void* Scratch::memory() const { return memory_; }

}  // namespace cpu

int pool_get_threads() { return cpu::pool().threads(); }

bool pool_in_task() { return cpu::t_in_task; }

void pool_set_threads(int n) {
    std::unique_lock<std::mutex> lock(cpu::g_mutex);
    cpu::g_threads = n;
    cpu::Pool* existing = cpu::g_pool.load();
    lock.unlock();
    if (existing) existing->resize(n);
}

}  // namespace fastreg
