// Ceilings measured on the library's own threads. See ceilings.h.
// It must not know kernels.
#include "ceilings.h"

#include <cstring>

#include "cpu/parallel.h"

namespace fastreg {

#define X(table)                  \
    namespace table {             \
    extern const IsaLoops kLoops; \
    }
FASTREG_EACH_ISA
#undef X

namespace {

const IsaLoops& loops_of(const std::string& name) {
#define X(table) \
    if (name == table::kLoops.isa) return table::kLoops;
    FASTREG_EACH_ISA
#undef X
    std::abort();  // a table without loops: CMakeLists.txt pairs them
}

void copy_by_memcpy(float* to, const float* from, int64_t n) { std::memcpy(to, from, size_t(n) * sizeof(float)); }

volatile double g_sink;

}  // namespace

Ceilings::Ceilings(const std::string& isa, int threads, const Effort& effort)
    : loops_(loops_of(isa)), threads_(threads), effort_(effort) {}

double Ceilings::per_second(const Loop& loop, const Effort& effort) const {
    constexpr int64_t kIterations = 20000;  // long beside the fork and join
    auto task = [&](int64_t) { g_sink = loop.run(kIterations, 1.7); };
    return loop.per_iteration * double(kIterations) * threads_ /
           best_seconds(effort, [&] { cpu::run(threads_, task); });
}

double Ceilings::rate_of(const Copy& c, Form form, const Effort& effort) const {
    auto task = [&](int64_t p) {
        for (int64_t i = 0; i < c.passes; ++i) form(c.to.get() + p * c.n, c.from.get() + p * c.n, c.n);
    };
    return 8.0 * double(c.n * threads_ * c.passes) / best_seconds(effort, [&] { cpu::run(threads_, task); });
}

Ceilings::Copy& Ceilings::copy_of(double footprint) {
    constexpr int kLeast = 13, kMost = 28;  // 8 KiB; 256 MiB, beyond any cache
    const int log2 = std::min(std::max(int(std::lround(std::log2(footprint))), kLeast), kMost);
    const auto known = copies_.find(log2);
    if (known != copies_.end()) return known->second;
    const int64_t bytes = int64_t(1) << log2, n = bytes / 8 / threads_ / 16 * 16;
    const int64_t passes = std::max<int64_t>(1, (4 << 20) / bytes);
    Copy c{Buffer<float>(n * threads_), Buffer<float>(n * threads_), n, passes, nullptr, 0};
    for (const Form form : {copy_by_memcpy, loops_.copy, loops_.copy_past_cache}) {
        const double rate = rate_of(c, form, effort_);
        if (rate <= c.bytes_per_second) continue;
        c.form = form;
        c.bytes_per_second = rate;
    }
    return copies_.emplace(log2, c).first->second;
}

double Ceilings::copy_bytes_per_second(double footprint) { return copy_of(footprint).bytes_per_second; }

Bound Ceilings::bound(const Work& w, bool f64) {
    const Effort brief{effort_.batch_seconds / 4, 1, effort_.clock};
    const Copy& c = copy_of(w.footprint);
    const auto loop_seconds = [=](double operations, const Loop& loop) {
        return operations > 0 ? operations / per_second(loop, brief) : 0.0;
    };
    const Bound bounds[] = {
        {"copy", [=] { return w.bytes / rate_of(c, c.form, brief); }},
        {"fma", [=] { return loop_seconds(w.fma, loops_.fma[f64]); }},
        {"divider",
         [=] { return loop_seconds(w.divide, loops_.divide[f64]) + loop_seconds(w.root, loops_.root[f64]); }},
        {"multiplier", [=] { return loop_seconds(w.wide_multiply, loops_.wide_multiply); }},
    };
    const Bound* longest = bounds;
    double most = 0;
    for (const Bound& b : bounds) {
        const double seconds = b.seconds();
        if (seconds > most) {
            most = seconds;
            longest = &b;
        }
    }
    return *longest;
}

}  // namespace fastreg
