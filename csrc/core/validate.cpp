// The rules that specifications must fulfil. See validate.h.
// It must not know arrays or how anything is computed.
#include "core/validate.h"

#include <cmath>
#include <iomanip>
#include <locale>
#include <sstream>

namespace fastreg {

std::string number(double value) {
    std::stringstream text;
    text.imbue(std::locale::classic());
    double back = 0;
    for (int digits = 6; digits <= 17; ++digits) {
        text.clear();
        text.str("");
        text << std::setprecision(digits) << value;
        const std::string written = text.str();
        if (text >> back && back == value) return written;
    }
    return text.str();
}

namespace {

// The name of a field is put together only for a message: its owner ("layer 2" or nothing), then its own (" units").
Status out_of_range(std::string_view owner, const char* field, double value, const char* expected) {
    return invalid(std::string(owner) + field + " must be " + expected + ", got " + number(value));
}

inline Status check_range(std::string_view owner, const char* field, double value, bool fits, const char* expected) {
    return fits ? Status() : out_of_range(owner, field, value, expected);
}

// Settings are finite in float32, too, and so is twice a penalty's factor.
Status non_negative(std::string_view owner, const char* field, double v) {
    FR_RETURN_IF_ERROR(check_range(owner, field, v, std::isfinite(v) && v >= 0, "finite and >= 0"));
    return check_range(owner, field, v, v <= 1e38, "at most 1e38");
}

Status below_one(const char* name, double v) { return check_range("", name, v, v >= 0 && v < 1, "in [0, 1)"); }

Status check_constraint(std::string_view name, const ConstraintSpec& c) {
    if (c.kind == Constraint::max_norm) FR_RETURN_IF_ERROR(non_negative(name, " value", c.value));
    return check_range(name, " axis", c.axis, c.axis >= -1 && c.axis <= 1, "0, 1 or -1");
}

}  // namespace

Status check_penalty(std::string_view name, const PenaltySpec& p) {
    FR_RETURN_IF_ERROR(non_negative(name, " l1", p.l1));
    return non_negative(name, " l2", p.l2);
}

Status check_learning_rate(const std::string& name, double rate) { return non_negative("", name.c_str(), rate); }

Status check_activation(std::string_view name, const ActivationSpec& a) {
    if (a.kind == Activation::leaky_relu || a.kind == Activation::elu) return non_negative(name, " alpha", a.alpha);
    return {};
}

Status check_rate(double rate) { return check_range("", "rate", rate, rate >= 0 && rate <= 1, "in [0, 1]"); }

Status check_optimizer(const OptimizerSpec& o) {
    FR_RETURN_IF_ERROR(non_negative("", "learning_rate", o.learning_rate));
    FR_RETURN_IF_ERROR(below_one("momentum", o.momentum));
    FR_RETURN_IF_ERROR(below_one("beta_1", o.beta_1));
    FR_RETURN_IF_ERROR(below_one("beta_2", o.beta_2));
    FR_RETURN_IF_ERROR(below_one("rho", o.rho));
    FR_RETURN_IF_ERROR(non_negative("", "epsilon", o.epsilon));
    FR_RETURN_IF_ERROR(non_negative("", "initial_accumulator_value", o.initial_accumulator_value));
    FR_RETURN_IF_ERROR(non_negative("", "weight_decay", o.weight_decay));
    FR_RETURN_IF_ERROR(non_negative("", "clipnorm", o.clipnorm));
    FR_RETURN_IF_ERROR(non_negative("", "clipvalue", o.clipvalue));
    FR_RETURN_IF_ERROR(non_negative("", "global_clipnorm", o.global_clipnorm));
    if ((o.clipnorm > 0) + (o.clipvalue > 0) + (o.global_clipnorm > 0) > 1)
        return invalid("only one of clipnorm, clipvalue and global_clipnorm can be set");
    return {};
}

Status check_loss(const LossSpec& l) {
    FR_RETURN_IF_ERROR(check_range("", "label_smoothing", l.label_smoothing,
                                   l.label_smoothing >= 0 && l.label_smoothing <= 1, "in [0, 1]"));
    if (l.kind == Loss::sparse_categorical_crossentropy && l.label_smoothing != 0)
        return out_of_range("", "label_smoothing", l.label_smoothing, "0 for sparse_categorical_crossentropy");
    if (l.kind != Loss::huber) return {};
    FR_RETURN_IF_ERROR(check_range("", "delta", l.delta, std::isfinite(l.delta) && l.delta > 0, "finite and > 0"));
    return non_negative("", "delta", l.delta);
}

Status check_layer(const std::string& name, const LayerSpec& layer) {
    if (layer.kind == LayerKind::dropout) {
        Status s = check_rate(layer.rate);
        return s.ok() ? s : invalid(name + ": " + s.message);
    }
    FR_RETURN_IF_ERROR(check_activation(name, layer.activation));
    FR_RETURN_IF_ERROR(check_penalty(name + " activity_penalty", layer.activity_penalty));
    if (layer.kind == LayerKind::activation) return {};
    if (layer.units < 1 || layer.units > (int64_t(1) << 31))
        return invalid(name + " units must be from 1 to 2^31, got " + std::to_string(layer.units));
    FR_RETURN_IF_ERROR(check_penalty(name + " kernel_penalty", layer.kernel_penalty));
    FR_RETURN_IF_ERROR(check_penalty(name + " bias_penalty", layer.bias_penalty));
    FR_RETURN_IF_ERROR(check_constraint(name + " kernel_constraint", layer.kernel_constraint));
    return check_constraint(name + " bias_constraint", layer.bias_constraint);
}

Status check_targets(const LossSpec& l, int64_t y_cols, int64_t outputs) {
    if (l.kind == Loss::sparse_categorical_crossentropy) {
        if (y_cols == 1) return {};
        return invalid("y has " + std::to_string(y_cols) +
                       " columns; sparse_categorical_crossentropy expects 1 column of class indices");
    }
    if (y_cols != outputs)
        return invalid("y has " + std::to_string(y_cols) + " columns; the model has " + std::to_string(outputs) +
                       " outputs");
    return {};
}

bool takes_classes(const MetricSpec& m) {
    return m.kind == Metric::sparse_categorical_accuracy ||
           (m.kind == Metric::loss && m.loss.kind == Loss::sparse_categorical_crossentropy);
}

Status check_metric_targets(const MetricSpec& m, int64_t y_cols, int64_t outputs) {
    const int64_t expected = takes_classes(m) ? 1 : outputs;
    if (y_cols == expected) return {};
    return invalid("y has " + std::to_string(y_cols) + " columns; a metric of this model expects " +
                   std::to_string(expected) +
                   (takes_classes(m) ? " column of class indices" : ", one for each output"));
}

}  // namespace fastreg
