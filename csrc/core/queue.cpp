// The queue of the CPU: host memory, and operations that run when they are called. See queue.h.
// It must not know what an operation computes.
#include "core/queue.h"

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/pace.h"
#include "core/tables.h"

namespace fastreg {
namespace {

class HostQueue final : public Queue {
public:
    bool is_host() const override { return true; }
    void* allocate(size_t bytes) override {
        const size_t padded = (bytes + 63) / 64 * 64;
        void* memory = padded < bytes ? nullptr : std::aligned_alloc(64, padded);
        if (!memory) throw OutOfMemory(bytes);
        return std::memset(memory, 0, padded);
    }
    void release(void* memory) override { std::free(memory); }
    Status copy_in(void* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
    Status copy_out(void* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
    void enter() override {}
    void leave() override {}
    Status wait() override { return {}; }
    Status told() override { return {}; }
    void run_step(uint64_t version, int64_t rows, const StepClock&, Body body, void* context) override {
        if (pool_get_threads() == 1 || pool_in_task()) return body(context);
        const bool timed = pace_.wants_time(version, rows);
        const Alone alone(pace_.alone());
        if (!timed) return body(context);
        const auto begin = std::chrono::steady_clock::now();
        body(context);
        pace_.took(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }

private:
    // While it lives, and if asked to, what this thread computes takes no other threads.
    class Alone {
    public:
        explicit Alone(bool yes) : yes_(yes) {
            if (yes_) pool_keep_alone(true);
        }
        ~Alone() {
            if (yes_) pool_keep_alone(false);
        }

    private:
        const bool yes_;
    };

    static Status copy(void* to, const void* from, size_t bytes) {
        if (bytes) std::memcpy(to, from, bytes);
        return {};
    }

    Pace pace_;
};

}  // namespace

std::unique_ptr<Queue> new_host_queue() { return std::make_unique<HostQueue>(); }

}  // namespace fastreg
