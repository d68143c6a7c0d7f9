// Queue: where a session's numbers live, and in what order its operations run. On the CPU: host memory, at once. A
// device runs what it is given later, in order, and reports what went wrong when it is waited for.
// It must not know what an operation computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/op_table.h"
#include "core/status.h"

namespace fastreg {

// What changes from step to step of a training. A queue that replays a recorded step reads these in place of what the
// operations were given: DropoutSpec::step, UpdateBatch::step, OptimizerSpec::learning_rate, and where rows begin.
struct StepClock {
    uint64_t step = 0;  // steps taken before this one
    int64_t row = 0;    // of the epoch, where the batch begins
    double learning_rate = 0.0;
};

class Queue {
public:
    virtual ~Queue() = default;

    // Whether the memory is the host's, so that pointers of the caller's arrays serve as they are.
    virtual bool is_host() const = 0;
    // Zeroed, at least 64-byte aligned. Throws OutOfMemory.
    virtual void* allocate(size_t bytes) = 0;
    virtual void release(void* memory) = 0;  // when what was enqueued has run; null is ignored
    // Copies are over when these return; the caller's memory is on the host.
    virtual Status copy_in(void* to, const void* from, size_t bytes) = 0;
    virtual Status copy_out(void* to, const void* from, size_t bytes) = 0;

    // The operations that follow on this thread run here, until leave(), which puts back what enter() changed for the
    // thread. See Entered.
    virtual void enter() = 0;
    virtual void leave() = 0;
    // Waits for all of them; the first error since the last wait.
    virtual Status wait() = 0;
    virtual Status told() = 0;  // the same without waiting: of what has been enqueued so far

    // Runs body, which enqueues the operations of one training step of `rows` rows. Steps with the same `version` and
    // rows are alike but for their clock: the queue may replay the last one instead of calling body.
    using Body = void (*)(void* context);
    virtual void run_step(uint64_t version, int64_t rows, const StepClock& clock, Body body, void* context) = 0;
};

// A thread's use of a queue.
class Entered {
public:
    explicit Entered(Queue& queue) : queue_(queue) { queue_.enter(); }
    ~Entered() { queue_.leave(); }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

private:
    Queue& queue_;
};

std::unique_ptr<Queue> new_host_queue();

// The queue of a backend's operations, made now.
inline std::unique_ptr<Queue> new_queue(const Backend& backend) {
    return backend.new_queue ? std::unique_ptr<Queue>(backend.new_queue()) : new_host_queue();
}

}  // namespace fastreg
