// The thread pool: run(n, f) calls f(i) once for every i < n, on this thread and the workers, and returns when all are
// done. It must not know what the work is. Which thread runs which i is left open, so results must not depend on it.
//
// Included by sources compiled per instruction set: declarations and templates over local types only, never an inline
// function that two of them could share.
#pragma once
#include <cstdint>

namespace fastreg {

class Cancel;

namespace cpu {

using Task = void (*)(void* context, int64_t index);
void run_tasks(int64_t n, Task task, void* context);

// How many threads a loop over `work` units should use, `grain` units being worth a thread.
int64_t threads_for(int64_t work, int64_t grain);

// Multiply-adds of small layers worth a thread: about 1.5 us.
constexpr int64_t kSharedGrain = 75000;

// Backend::row_parts: networks that fit the inner caches; larger ones are shared out within each operation.
int64_t row_parts(int64_t rows, int64_t weights);

// True when the computation should stop. Any thread may ask; only the one that owns the computation asks the owner.
bool poll(Cancel& cancel);

template <class F>
void run(int64_t n, F& f) {
    if (n == 1) return f(int64_t(0));
    run_tasks(n, [](void* context, int64_t i) { (*static_cast<F*>(context))(i); }, &f);
}

// Cuts [0, n) into `parts` ranges at multiples of `unit`; part i is [*begin, *end).
inline __attribute__((always_inline)) void cut(int64_t n, int64_t unit, int64_t parts, int64_t i, int64_t* begin,
                                               int64_t* end) {
    const int64_t units = (n + unit - 1) / unit;
    *begin = units * i / parts * unit;
    const int64_t stop = units * (i + 1) / parts * unit;
    *end = stop < n ? stop : n;
    if (*begin > *end) *begin = *end;
}

}  // namespace cpu
}  // namespace fastreg
