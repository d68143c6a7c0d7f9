// The queue of the CPU: host memory, and operations that run when they are called. See queue.h.
// It must not know what an operation computes.
#include "core/queue.h"

#include <cstdlib>
#include <cstring>

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
    Status wait() override { return {}; }
    void run_step(uint64_t, int64_t, const StepClock&, Body body, void* context) override { body(context); }

private:
    static Status copy(void* to, const void* from, size_t bytes) {
        if (bytes) std::memcpy(to, from, bytes);
        return {};
    }
};

}  // namespace

std::unique_ptr<Queue> new_host_queue() { return std::make_unique<HostQueue>(); }

}  // namespace fastreg
