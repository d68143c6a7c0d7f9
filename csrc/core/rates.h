// LearningRates: one for each of the coming steps, the last of which holds for all after it. It must not know
// optimizers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "core/validate.h"

namespace fastreg {

class LearningRates {
public:
    // `rate` from step 0 on.
    void reset(double rate) {
        rates_ = {rate};
        begin_ = 0;
    }
    // n rates from `step` on. Nothing changes unless all are learning rates.
    Status set(const double* values, int64_t n, uint64_t step) {
        if (n < 1) return invalid("learning_rates must not be empty");
        const std::string name = "learning_rate";
        for (int64_t i = 0; i < n; ++i)  // a name for each would take longer than the smallest steps' update
            if (!check_learning_rate(name, values[i]).ok())
                return check_learning_rate(n == 1 ? name : name + "s[" + std::to_string(i) + "]", values[i]);
        rates_.assign(values, values + n);
        begin_ = step;
        return {};
    }
    // What was to come at step `now` comes at step `then`.
    void move(uint64_t now, uint64_t then) {
        rates_.erase(rates_.begin(), rates_.begin() + int64_t(index(now)));
        begin_ = then;
    }

    double at(uint64_t step) const { return rates_[index(step)]; }
    // Those of `step` and after, and how many are listed.
    const double* from(uint64_t step) const { return rates_.data() + index(step); }
    int64_t left(uint64_t step) const { return int64_t(rates_.size() - index(step)); }

private:
    size_t index(uint64_t step) const {
        const uint64_t steps = step - begin_;
        return steps < rates_.size() ? size_t(steps) : rates_.size() - 1;
    }

    std::vector<double> rates_ = {0.0};
    uint64_t begin_ = 0;
};

}  // namespace fastreg
