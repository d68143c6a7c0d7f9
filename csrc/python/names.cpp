// names: the tables behind names.h. A new name is one line here.
// It must not know the dicts in which the words stand.
#include "python/names.h"

#include <utility>
#include <vector>

#include "python/errors.h"

namespace fastreg::python {
namespace {

template <class Enum>
using Names = std::vector<std::pair<std::string_view, Enum>>;

const Names<Activation> kActivations = {
    {"linear", Activation::linear},
    {"relu", Activation::relu},
    {"leaky_relu", Activation::leaky_relu},
    {"elu", Activation::elu},
    {"selu", Activation::selu},
    {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh},
    {"silu", Activation::silu},
    {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid},
    {"softplus", Activation::softplus},
    {"softmax", Activation::softmax},
};
const Names<Device> kDevices = {
    {"cpu", Device::cpu},
    {"cuda", Device::cuda},
};
const Names<Precision> kPrecisions = {
    {"exact", Precision::exact},
    {"fast", Precision::fast},
    {"bf16", Precision::bf16},
};
const Names<Dtype> kDtypes = {
    {"float32", Dtype::f32},
    {"float64", Dtype::f64},
};
const Names<Initializer> kInitializers = {
    {"uniform", Initializer::uniform},
    {"normal", Initializer::normal},
    {"truncated_normal", Initializer::truncated_normal},
};
const Names<Constraint> kConstraints = {
    {"none", Constraint::none},
    {"max_norm", Constraint::max_norm},
    {"non_neg", Constraint::non_neg},
    {"unit_norm", Constraint::unit_norm},
};
const Names<Loss> kLosses = {
    {"mean_squared_error", Loss::mean_squared_error},
    {"mean_absolute_error", Loss::mean_absolute_error},
    {"huber", Loss::huber},
    {"binary_crossentropy", Loss::binary_crossentropy},
    {"categorical_crossentropy", Loss::categorical_crossentropy},
    {"sparse_categorical_crossentropy", Loss::sparse_categorical_crossentropy},
    {"hinge", Loss::hinge},
    {"poisson", Loss::poisson},
    {"mean_absolute_percentage_error", Loss::mean_absolute_percentage_error},
    {"mean_squared_logarithmic_error", Loss::mean_squared_logarithmic_error},
    {"log_cosh", Loss::log_cosh},
};
const Names<Optimizer> kOptimizers = {
    {"sgd", Optimizer::sgd},
    {"adam", Optimizer::adam},
    {"rmsprop", Optimizer::rmsprop},
    {"adagrad", Optimizer::adagrad},
};
const Names<Metric> kMetrics = {
    {"binary_accuracy", Metric::binary_accuracy},
    {"categorical_accuracy", Metric::categorical_accuracy},
    {"sparse_categorical_accuracy", Metric::sparse_categorical_accuracy},
    {"loss", Metric::loss},
    {"thresholds", Metric::thresholds},
    {"r2", Metric::r2},
    {"class_counts", Metric::class_counts},
};
const Names<LayerKind> kLayerKinds = {
    {"dense", LayerKind::dense},
    {"activation", LayerKind::activation},
    {"dropout", LayerKind::dropout},
};

template <class Enum>
void read_name(const Names<Enum>& names, py::handle value, const Name& name, Enum* out) {
    const std::string_view text = to_string(value, name);
    for (const auto& [word, meaning] : names) {
        if (text == word) {
            *out = meaning;
            return;
        }
    }
    std::string known;
    for (const auto& entry : names) known += (known.empty() ? "" : ", ") + std::string(entry.first);
    raise(PyExc_ValueError, name + " must be one of " + known + "; got '" + std::string(text) + "'");
}

}  // namespace

void read(py::handle value, const Name& name, Activation* out) { read_name(kActivations, value, name, out); }
void read(py::handle value, const Name& name, Constraint* out) { read_name(kConstraints, value, name, out); }
void read(py::handle value, const Name& name, Device* out) { read_name(kDevices, value, name, out); }
void read(py::handle value, const Name& name, Dtype* out) { read_name(kDtypes, value, name, out); }
void read(py::handle value, const Name& name, Initializer* out) { read_name(kInitializers, value, name, out); }
void read(py::handle value, const Name& name, LayerKind* out) { read_name(kLayerKinds, value, name, out); }
void read(py::handle value, const Name& name, Loss* out) { read_name(kLosses, value, name, out); }
void read(py::handle value, const Name& name, Metric* out) { read_name(kMetrics, value, name, out); }
void read(py::handle value, const Name& name, Optimizer* out) { read_name(kOptimizers, value, name, out); }
void read(py::handle value, const Name& name, Precision* out) { read_name(kPrecisions, value, name, out); }

}  // namespace fastreg::python
