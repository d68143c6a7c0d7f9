// Pace: whether short steps run faster on one thread or shared among several. How long the cores of a machine take to
// hand memory to one another differs between machines by more than what a second thread saves, so steps are timed both
// ways. No choice changes a result. It must not know what a step does, nor which clock times it.
#pragma once
#include <algorithm>
#include <cstdint>

namespace fastreg {

class Pace {
public:
    static constexpr int kTimed = 16;    // steps of a trial; as many before it let caches and workers settle
    static constexpr int kEvery = 8192;  // steps from one trial to the next: a trial costs a few of the slower way
    static constexpr double kLongest = 200e-6;  // seconds: longer steps are always shared

    // Steps of one version and so many rows are alike. Returns whether took() must be told how long the next one took.
    bool wants_time(uint64_t version, int64_t rows) {
        if (version != version_ || rows_ < 0) {
            version_ = version;
            rows_ = rows;
            begin_trial();
        }
        if (rows != rows_) return false;
        if (rest_ == 0) return true;
        if (--rest_ == 0) begin_trial();
        return rest_ == 0;
    }

    // How the next step should run.
    bool alone() const { return alone_; }

    void took(double seconds) {
        seconds_[n_ % kTimed] = seconds;
        if (++n_ < 2 * kTimed) return;
        n_ = 0;
        std::nth_element(seconds_, seconds_ + kTimed / 2, seconds_ + kTimed);
        const double median = seconds_[kTimed / 2];
        if (alone_) return rest(median <= shared_);
        shared_ = median;
        if (shared_ > kLongest) return rest(false);
        alone_ = true;
    }

private:
    void begin_trial() {
        alone_ = false;
        n_ = rest_ = 0;
    }
    void rest(bool alone) {
        alone_ = alone;
        rest_ = kEvery;
    }

    uint64_t version_ = 0;
    int64_t rows_ = -1;
    bool alone_ = false;
    int n_ = 0, rest_ = 0;
    double seconds_[kTimed] = {}, shared_ = 0.0;
};

}  // namespace fastreg
