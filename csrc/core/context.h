// Cancel: how a long computation is asked to stop. The owner supplies poll(); loops call it between chunks of work.
// It must not know why somebody wants to stop.
#pragma once
#include <atomic>
#include <chrono>

namespace fastreg {

class Cancel {
public:
    using Poll = bool (*)(void*);  // true: stop
    Cancel() = default;
    // last: the time of the last poll, for an owner of many short computations, which are asked about together.
    Cancel(Poll poll, void* argument, std::chrono::steady_clock::time_point* last = nullptr)
        : poll_(poll), argument_(argument), last_(last ? last : &own_last_) {}

    bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

    // Called by the thread that owns the computation; asks the owner at most every 20 ms, not before 20 ms have passed
    // since the first call.
    bool check() {
        if (!poll_ || stopped()) return stopped();
        const auto now = std::chrono::steady_clock::now();
        if (*last_ == Time()) *last_ = now;
        if (now - *last_ < std::chrono::milliseconds(20)) return false;
        *last_ = now;
        if (poll_(argument_)) stopped_.store(true, std::memory_order_relaxed);
        return stopped();
    }

private:
    using Time = std::chrono::steady_clock::time_point;

    Poll poll_ = nullptr;
    void* argument_ = nullptr;
    std::atomic<bool> stopped_{false};
    Time own_last_;
    Time* last_ = &own_last_;  // of the last poll, or of the first check
};

}  // namespace fastreg
