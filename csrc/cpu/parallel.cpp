// The thread pool's one object. Workers spin for a moment after each job, since a training step is a run of short ones,
// then sleep. It must not know what the work is. A forked child gets a fresh pool: its parent's workers do not exist
// there.
#include "cpu/parallel.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "core/context.h"
#include "core/float_settings.h"
#include "core/tables.h"
#include "cpu/system_threads.h"

namespace fastreg {
namespace cpu {
namespace {

constexpr int kSpins = 4000;  // 50 to 100 us of pause instructions
// Of offering the core to others: a woken thread may start on a busy core.
constexpr std::chrono::milliseconds kYielding(4);

thread_local bool t_is_worker = false;
thread_local bool t_in_task = false;  // a task that asks for threads gets none

// A job is published by setting the range of its tasks that are left to claim. The owner claims from the front, workers
// from the back, so that in a run of like jobs each finds in its cache what it worked on before. The owner waits for
// claimed tasks only, so a worker that the system does not run holds up nobody.
class Pool {
public:
    explicit Pool(int threads) { start(threads); }  // never destroyed: see pool()

    int threads() const { return threads_.load(std::memory_order_relaxed); }

    void resize(int threads) {
        std::lock_guard<std::mutex> owner(run_mutex_);
        stop();
        start(threads);
    }

    void run(int64_t n, Task task, void* context) {
        std::unique_lock<std::mutex> owner(run_mutex_, std::try_to_lock);
        // A pool at work serves its owner; others go alone.
        if (!owner.owns_lock() || workers_.empty() || n == 1 || n > INT32_MAX) {
            if (owner.owns_lock()) owner.unlock();  // a task may ask the user, who may call set_num_threads()
            for (int64_t i = 0; i < n; ++i) task(context, i);
            return;
        }
        task_ = task;
        context_ = context;
        failed_.store(false, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        left_.store(range(0, uint64_t(n)), std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) {
            owners_core_.store(this_core(), std::memory_order_relaxed);
            {
                std::lock_guard<std::mutex> lock(sleep_mutex_);
                wake_.notify_all();
            }
            std::this_thread::yield();  // who woke up on this core leaves it
        }
        take_tasks(true);
        for (int spins = 0; done_.load(std::memory_order_acquire) < n; spins += spins < kSpins)
            spins < kSpins ? relax() : std::this_thread::yield();
        if (failed_.load(std::memory_order_relaxed)) throw std::bad_alloc();
    }

private:
    static uint64_t range(uint64_t begin, uint64_t end) { return begin << 32 | end; }
    static uint64_t begin_of(uint64_t range) { return range >> 32; }
    static uint64_t end_of(uint64_t range) { return range & UINT32_MAX; }
    static bool empty(uint64_t range) { return begin_of(range) >= end_of(range); }

    // Claims a task of the job at hand. Until it is done the job cannot end, so task_ and context_ stay.
    bool claim(bool front, int64_t* i) {
        uint64_t left = left_.load(std::memory_order_acquire);
        while (!empty(left)) {
            const uint64_t begin = begin_of(left), end = end_of(left);
            const uint64_t rest = front ? range(begin + 1, end) : range(begin, end - 1);
            *i = int64_t(front ? begin : end - 1);
            if (left_.compare_exchange_weak(left, rest, std::memory_order_acq_rel, std::memory_order_acquire))
                return true;
        }
        return false;
    }

    void take_tasks(bool front) {
        t_in_task = true;
        for (int64_t i; claim(front, &i); done_.fetch_add(1, std::memory_order_release)) {
            try {
                task_(context_, i);
            } catch (const std::bad_alloc&) {  // the only exception a task can raise: Scratch, scratch.h
                failed_.store(true, std::memory_order_relaxed);
            }
        }
        t_in_task = false;
    }

    void wait_awake() {
        const auto idle = [&] {
            return empty(left_.load(std::memory_order_relaxed)) && !stopping_.load(std::memory_order_relaxed);
        };
        for (int spins = 0; spins < kSpins && idle(); ++spins) relax();
        const auto end = std::chrono::steady_clock::now() + kYielding;
        while (idle() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }

    void worker() {
        const FloatSettings settings;
        t_is_worker = true;
        const auto called = [&] { return !empty(left_.load(std::memory_order_seq_cst)) || stopping_.load(); };
        while (!stopping_.load(std::memory_order_relaxed)) {
            wait_awake();
            if (!called()) {
                std::unique_lock<std::mutex> lock(sleep_mutex_);
                sleepers_.fetch_add(1, std::memory_order_seq_cst);
                wake_.wait(lock, called);
                sleepers_.fetch_sub(1, std::memory_order_relaxed);
                lock.unlock();
                leave_core(owners_core_.load(std::memory_order_relaxed));
            }
            take_tasks(false);
        }
    }

    void start(int threads) {
        stopping_ = false;
        workers_.reserve(size_t(threads));
        const SignalsElsewhere masked;
        try {
            for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker(); });
        } catch (const std::exception&) {
            // The system gives no more threads, or no memory for one: those there are do the work, with the same
            // results.
        }
        threads_.store(int(workers_.size()) + 1, std::memory_order_relaxed);
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(sleep_mutex_);
            stopping_ = true;
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
    alignas(64) std::atomic<uint64_t> left_{0};  // range() of the tasks nobody has claimed
    alignas(64) std::atomic<int64_t> done_{0};
    std::atomic<int> sleepers_{0}, owners_core_{-1};
    std::atomic<int> threads_{1};
    std::atomic<bool> failed_{false}, stopping_{false};
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

std::unique_lock<std::mutex> lock_settings() {
    static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
    (void)registered;
    return std::unique_lock<std::mutex>(g_mutex);
}

// How many threads there are to be, with g_mutex held.
int chosen_threads() {
    if (g_threads == 0) g_threads = pool_default_threads();
    return g_threads;
}

Pool& pool() {
    if (Pool* p = g_pool.load(std::memory_order_acquire)) return *p;
    const auto lock = lock_settings();
    if (!g_pool.load()) {
        // It lives until the process ends: its workers may outlive static destructors.
        g_pool.store(new Pool(chosen_threads()));
    }
    return *g_pool.load();
}

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

int64_t row_parts(int64_t rows, int64_t weights) {
    constexpr int64_t kMostWeights = 65536, kFewestRows = 8;
    if (weights > kMostWeights) return 1;
    const int64_t wanted = threads_for(rows * weights, kSharedGrain), most = rows / kFewestRows;
    return wanted < most ? wanted : most > 1 ? most : 1;
}

bool poll(Cancel& cancel) { return t_is_worker ? cancel.stopped() : cancel.check(); }

}  // namespace cpu

int pool_get_threads() {
    if (const cpu::Pool* p = cpu::g_pool.load(std::memory_order_acquire)) return p->threads();
    const auto lock = cpu::lock_settings();
    return cpu::chosen_threads();
}

bool pool_in_task() { return cpu::t_in_task; }

void pool_keep_alone(bool alone) { cpu::t_in_task = alone; }

void pool_set_threads(int n) {
    auto lock = cpu::lock_settings();
    cpu::g_threads = n;
    cpu::Pool* existing = cpu::g_pool.load();
    lock.unlock();
    if (existing) existing->resize(n);
}

}  // namespace fastreg
