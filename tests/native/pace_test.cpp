// Pace against invented times: which way it takes, when it tries again, and which steps it leaves out. The last line is
// a count. It must not look at a clock.
#include "core/pace.h"

#include <cstdio>
#include <string>

namespace {

using fastreg::Pace;

int g_passed = 0, g_failed = 0;

void check(bool ok, const std::string& what) {
    ok ? ++g_passed : ++g_failed;
    if (!ok) std::printf("FAILED %s\n", what.c_str());
}

constexpr int kTrial = 4 * Pace::kTimed;  // steps: half of them shared, half alone

struct Steps {
    double shared, alone;  // seconds
    int n_alone, n_timed;
};

// Takes n steps that last so long.
void take(Pace* pace, Steps* steps, int n, uint64_t version = 1, int64_t rows = 32) {
    steps->n_alone = steps->n_timed = 0;
    for (int i = 0; i < n; ++i) {
        const bool timed = pace->wants_time(version, rows);
        steps->n_alone += pace->alone();
        steps->n_timed += timed;
        // The first steps of either way are slow: workers wake, caches fill.
        const bool cold = steps->n_timed % (2 * Pace::kTimed) <= Pace::kTimed / 2;
        if (timed) pace->took((pace->alone() ? steps->alone : steps->shared) * (cold ? 50.0 : 1.0));
    }
}

void test_choice(double shared, double alone, bool wanted) {
    const std::string what = std::to_string(1e6 * shared) + " us shared, " + std::to_string(1e6 * alone) + " alone";
    Pace pace;
    Steps steps{shared, alone, 0, 0};
    take(&pace, &steps, kTrial);
    check(steps.n_timed == kTrial, what + ": all of a trial is timed");
    check(steps.n_alone == kTrial / 2, what + ": half of a trial is alone");
    take(&pace, &steps, Pace::kEvery - 1);
    check(steps.n_timed == 0, what + ": nothing is timed between trials");
    check(steps.n_alone == (wanted ? Pace::kEvery - 1 : 0), what + ": the choice");
    steps = {alone, shared, 0, 0};  // the machine has changed
    take(&pace, &steps, kTrial);
    check(steps.n_timed == kTrial && steps.n_alone == kTrial / 2, what + ": the next trial");
    take(&pace, &steps, 100);
    check(steps.n_alone == (wanted ? 0 : 100), what + ": the choice after it");
}

void test_long_steps() {
    Pace pace;
    Steps steps{2 * Pace::kLongest, Pace::kLongest, 0, 0};
    take(&pace, &steps, 1000);
    check(steps.n_alone == 0 && steps.n_timed == kTrial / 2, "long steps are never tried alone");
}

void test_what_is_alike() {
    Pace pace;
    Steps steps{20e-6, 10e-6, 0, 0};
    take(&pace, &steps, kTrial - 1);
    take(&pace, &steps, 3, 1, 7);
    check(steps.n_timed == 0, "a batch of other rows is not timed");
    take(&pace, &steps, 1);
    check(steps.n_timed == 1, "the trial goes on after it");
    take(&pace, &steps, 3, 1, 7);
    check(steps.n_timed == 0 && steps.n_alone == 3, "a batch of other rows runs as the rest do");
    take(&pace, &steps, 1, 2);
    check(steps.n_timed == 1 && steps.n_alone == 0, "a new version is tried anew");
    take(&pace, &steps, kTrial - 1, 2);
    take(&pace, &steps, 10, 2);
    check(steps.n_timed == 0 && steps.n_alone == 10, "and ends in a choice of its own");
}

}  // namespace

int main() {
    test_choice(20e-6, 10e-6, true);
    test_choice(10e-6, 20e-6, false);
    test_long_steps();
    test_what_is_alike();
    std::printf("%d passed, %d failed\n", g_passed, g_failed);
    return g_failed != 0;
}
