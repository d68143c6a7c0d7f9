// What this machine can do at most, measured: arithmetic of one instruction set and copies, on so many threads.
// It must not know kernels.
#pragma once
#include <functional>
#include <map>
#include <string>

#include "case.h"
#include "loops.h"
#include "timing.h"

namespace fastreg {

// What binds a kernel, and seconds(): how long its work takes at least, measured now.
struct Bound {
    const char* name = "none";  // fma, divider, multiplier or copy
    std::function<double()> seconds = [] { return 0.0; };
};

// Uses the pool of the library, so its number of threads must be set before and stay.
class Ceilings {
public:
    Ceilings(const std::string& isa, int threads, const Effort& effort);

    Bound bound(const Work& work, bool f64);
    // Best of the repetitions of `effort`; operations of one lane a second.
    double per_second(const Loop& loop) const { return per_second(loop, effort_); }
    const IsaLoops& loops() const { return loops_; }
    // Bytes read plus bytes written, copying between arrays of `footprint` bytes together; the best of several forms.
    double copy_bytes_per_second(double footprint);

private:
    using Form = void (*)(float* to, const float* from, int64_t n);
    struct Copy {
        Buffer<float> from, to;
        int64_t n, passes;  // floats a thread copies, times in a call
        Form form;
        double bytes_per_second;
    };

    double per_second(const Loop& loop, const Effort& effort) const;
    Copy& copy_of(double footprint);
    double rate_of(const Copy& copy, Form form, const Effort& effort) const;

    const IsaLoops& loops_;
    int threads_;
    Effort effort_;
    std::map<int, Copy> copies_;  // by log2 of the footprint
};

}  // namespace fastreg
