// How long a call takes: batches of calls of a fixed length in time, after a warm-up. Best and median over the batches.
// It must not know what is timed.
#pragma once
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fastreg {

struct Effort {
    double batch_seconds;
    int repetitions;
    clockid_t clock;
};

// The clock for so many threads. One: the time that this thread had its core, so another program on it does not count.
inline clockid_t clock_for(int threads) { return threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC; }

inline double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

struct Timing {
    double best, median;  // seconds a call
    double share;         // median over the batches of floor / call
    int64_t calls;        // in a batch
};

template <class F>
double seconds_of(clockid_t clock, int64_t calls, F& f) {
    const double start = now(clock);
    for (int64_t i = 0; i < calls; ++i) f();
    return now(clock) - start;
}

inline double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

// floor(): the seconds that a call takes at least, measured anew before every batch, because the speed of a shared or
// throttled core is not the same from one moment to the next.
template <class F, class G>
Timing time_calls(const Effort& effort, F&& f, G&& floor) {
    int64_t calls = 1;
    double took = seconds_of(effort.clock, 1, f);
    while (took < effort.batch_seconds / 4) {  // these calls are the warm-up
        calls *= 2;
        took = seconds_of(effort.clock, calls, f);
    }
    calls = std::max<int64_t>(1, int64_t(double(calls) * effort.batch_seconds / took));
    std::vector<double> each, shares;
    for (int r = 0; r < effort.repetitions; ++r) {
        const double least = floor();
        each.push_back(seconds_of(effort.clock, calls, f) / double(calls));
        shares.push_back(least / each.back());
    }
    return {*std::min_element(each.begin(), each.end()), median(each), median(shares), calls};
}

// The best time alone.
template <class F>
double best_seconds(const Effort& effort, F&& f) {
    return time_calls(effort, f, [] { return 0.0; }).best;
}

}  // namespace fastreg
