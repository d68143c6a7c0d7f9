// validate: what a specification must fulfil, each rule once. Messages name the field, what is expected and what came.
// It must not know arrays or how anything is computed.
#pragma once
#include <cmath>
#include <string>
#include <string_view>

#include "core/status.h"
#include "rules/spec.h"

namespace fastreg {

Status check_penalty(std::string_view name, const PenaltySpec& p);
Status check_activation(std::string_view name, const ActivationSpec& a);
Status check_learning_rate(const std::string& name, double rate);
Status check_optimizer(const OptimizerSpec& o);
Status check_loss(const LossSpec& l);
Status check_rate(double rate);
// A layer on its own; `name` starts its messages ("layer 2").
Status check_layer(const std::string& name, const LayerSpec& layer);
// Whether targets of y_cols columns fit a model of `outputs` outputs under this loss.
Status check_targets(const LossSpec& l, int64_t y_cols, int64_t outputs);
// The same for a metric, and whether it reads class indices.
Status check_metric_targets(const MetricSpec& m, int64_t y_cols, int64_t outputs);
bool takes_classes(const MetricSpec& m);

std::string number(double value);  // 6 digits, or the fewest that tell it; in no locale

// Class indices address memory: y[i * stride] for i < rows must be whole numbers from 0 to outputs - 1.
template <class T>
Status check_classes(const char* name, const T* y, int64_t rows, int64_t stride, int64_t outputs) {
    for (int64_t i = 0; i < rows; ++i) {
        const T c = y[i * stride];
        if (c >= T(0) && c < T(outputs) && c == std::floor(c)) continue;
        return invalid(std::string(name) + " must hold class indices from 0 to " + std::to_string(outputs - 1) +
                       ", got " + number(double(c)) + " in row " + std::to_string(i));
    }
    return {};
}

}  // namespace fastreg
