// specs: the tables behind specs.h. A key or a name is added here in one line.
// It must not know sessions or arrays, nor which values make sense: ranges are the core's to check.
#include "python/specs.h"

#include <functional>
#include <utility>

#include "python/errors.h"
#include "python/names.h"

namespace fastreg::python {
namespace {

// read: one overload per type that a spec's field may have; names.h has those of the enums.
using python::read;
void read(py::handle v, const Name& name, bool* out) { *out = to_bool(v, name); }
void read(py::handle v, const Name& name, double* out) { *out = to_double(v, name); }
void read(py::handle v, const Name& name, int32_t* out) { *out = to_int32(v, name); }
void read(py::handle v, const Name& name, int64_t* out) { *out = to_size(v, name); }
void read(py::handle v, const Name& name, uint32_t* out) { *out = to_uint32(v, name); }
void read(py::handle v, const Name& name, uint64_t* out) { *out = to_uint64(v, name); }
void read(py::handle v, const Name& name, PenaltySpec* out);
void read(py::handle v, const Name& name, ConstraintSpec* out);
void read(py::handle v, const Name& name, LossSpec* out);
void read(py::handle v, const Name& name, std::vector<float>* out);

// One key of a dict: where its value goes, and whether the dict must have it.
template <class Spec>
struct Key {
    using Read = std::function<void(py::handle, const Name&, Spec*)>;

    template <class Base, class Field>
    Key(const char* key, Field Base::* field, bool is_required = false)  // the field's type says what the value must be
        : name(key), required(is_required) {
        read_into = [field](py::handle v, const Name& n, Spec* spec) { read(v, n, &(spec->*field)); };
    }
    Key(const char* key, Read read_value, bool is_required = false)
        : name(key), required(is_required), read_into(std::move(read_value)) {}

    const char* name;
    bool required;
    Read read_into;
};
template <class Spec>
using Keys = std::vector<Key<Spec>>;

template <class Spec>
[[noreturn]] void unknown_key(const Keys<Spec>& keys, std::string_view given, const Name& name) {
    std::string known;
    for (const Key<Spec>& key : keys) known += (known.empty() ? "" : ", ") + std::string(key.name);
    raise(PyExc_TypeError, name + " has an unknown key '" + std::string(given) + "'; known are " + known);
}

// The dict's value for each of the keys, in their order; null where it has none.
template <class Spec>
std::vector<py::handle> by_key(const Keys<Spec>& keys, const py::dict& dict, const Name& name) {
    std::vector<py::handle> values(keys.size());
    for (const auto& item : dict) {
        if (!PyUnicode_Check(item.first.ptr()))
            raise(PyExc_TypeError, "a key of " + name + " must be a str, got " + type_name(item.first));
        const std::string_view given = to_string(item.first, name);
        size_t i = 0;
        while (i < keys.size() && given != keys[i].name) ++i;
        if (i == keys.size()) unknown_key(keys, given, name);
        values[i] = item.second;
    }
    return values;
}

py::dict to_dict(py::handle value, const Name& name) {
    if (!PyDict_Check(value.ptr())) raise(PyExc_TypeError, name + " must be a dict, got " + type_name(value));
    return py::reinterpret_steal<py::dict>(PyDict_Copy(value.ptr()));  // what reading a value runs cannot change it
}

template <class Spec>
void read_keys(const Keys<Spec>& keys, py::handle value, const Name& name, Spec* out) {
    const py::dict dict = to_dict(value, name);
    const std::vector<py::handle> values = by_key(keys, dict, name);
    for (size_t i = 0; i < keys.size(); ++i) {
        const Key<Spec>& key = keys[i];
        if (values[i]) {
            key.read_into(values[i], Name(name, key.name), out);
        } else if (key.required) {
            raise(PyExc_TypeError, name + " lacks the key '" + key.name + "'");
        }
    }
}

constexpr bool kRequired = true;

const Keys<PenaltySpec> kPenaltyKeys = {
    {"l1", &PenaltySpec::l1}, {"l2", &PenaltySpec::l2}, {"proximal", &PenaltySpec::proximal}};

const Keys<ConstraintSpec> kConstraintKeys = {
    {"kind", &ConstraintSpec::kind, kRequired}, {"value", &ConstraintSpec::value}, {"axis", &ConstraintSpec::axis}};

const Keys<LossSpec> kLossKeys = {{"kind", &LossSpec::kind, kRequired},
                                  {"from_logits", &LossSpec::from_logits},
                                  {"label_smoothing", &LossSpec::label_smoothing},
                                  {"delta", &LossSpec::delta}};

const Keys<OptimizerSpec> kOptimizerKeys = {
    {"kind", &OptimizerSpec::kind, kRequired},
    {"learning_rate", &OptimizerSpec::learning_rate},
    {"momentum", &OptimizerSpec::momentum},
    {"nesterov", &OptimizerSpec::nesterov},
    {"beta_1", &OptimizerSpec::beta_1},
    {"beta_2", &OptimizerSpec::beta_2},
    {"epsilon", &OptimizerSpec::epsilon},
    {"amsgrad", &OptimizerSpec::amsgrad},
    {"rho", &OptimizerSpec::rho},
    {"centered", &OptimizerSpec::centered},
    {"initial_accumulator_value", &OptimizerSpec::initial_accumulator_value},
    {"weight_decay", &OptimizerSpec::weight_decay},
    {"clipnorm", &OptimizerSpec::clipnorm},
    {"clipvalue", &OptimizerSpec::clipvalue},
    {"global_clipnorm", &OptimizerSpec::global_clipnorm},
};

struct MetricFields : MetricSpec {
    std::vector<float> values;
};
const Keys<MetricFields> kMetricKeys = {
    {"kind", &MetricFields::kind, kRequired}, {"loss", &MetricFields::loss},
    {"threshold", &MetricFields::threshold},  {"largest", &MetricFields::largest},
    {"thresholds", &MetricFields::values},    {"weighted", &MetricFields::weighted}};

// LayerSpec nests what the dicts keep flat.
void read_activation(py::handle v, const Name& name, LayerSpec* out) { read(v, name, &out->activation.kind); }
void read_alpha(py::handle v, const Name& name, LayerSpec* out) { read(v, name, &out->activation.alpha); }

const Keys<LayerSpec>& layer_keys(LayerKind kind) {
    static const Keys<LayerSpec> dense = {{"kind", &LayerSpec::kind, kRequired},
                                          {"units", &LayerSpec::units, kRequired},
                                          {"activation", &read_activation},
                                          {"alpha", &read_alpha},
                                          {"use_bias", &LayerSpec::use_bias},
                                          {"kernel_penalty", &LayerSpec::kernel_penalty},
                                          {"bias_penalty", &LayerSpec::bias_penalty},
                                          {"activity_penalty", &LayerSpec::activity_penalty},
                                          {"kernel_constraint", &LayerSpec::kernel_constraint},
                                          {"bias_constraint", &LayerSpec::bias_constraint}};
    static const Keys<LayerSpec> activation = {{"kind", &LayerSpec::kind, kRequired},
                                               {"activation", &read_activation, kRequired},
                                               {"alpha", &read_alpha},
                                               {"activity_penalty", &LayerSpec::activity_penalty}};
    static const Keys<LayerSpec> dropout = {{"kind", &LayerSpec::kind, kRequired},
                                            {"rate", &LayerSpec::rate, kRequired},
                                            {"seed", &LayerSpec::seed, kRequired},
                                            {"stream", &LayerSpec::stream, kRequired},
                                            {"scale_at_inference", &LayerSpec::scale_at_inference}};
    if (kind == LayerKind::dense) return dense;
    return kind == LayerKind::activation ? activation : dropout;
}

void read(py::handle v, const Name& name, PenaltySpec* out) { read_keys(kPenaltyKeys, v, name, out); }
void read(py::handle v, const Name& name, ConstraintSpec* out) { read_keys(kConstraintKeys, v, name, out); }
void read(py::handle v, const Name& name, LossSpec* out) { read_keys(kLossKeys, v, name, out); }
void read(py::handle v, const Name& name, std::vector<float>* out) {
    out->clear();
    for (const py::handle item : to_sequence(v, name)) {
        out->push_back(static_cast<float>(to_double(item, Name(name, out->size()))));
    }
}

LayerSpec to_layer(py::handle value, const Name& name) {
    LayerSpec spec;
    const py::dict dict = to_dict(value, name);
    if (!dict.contains("kind")) raise(PyExc_TypeError, name + " lacks the key 'kind'");
    read(dict["kind"], Name(name, "kind"), &spec.kind);
    read_keys(layer_keys(spec.kind), dict, name, &spec);
    return spec;
}

}  // namespace

ActivationSpec to_activation(py::handle kind, py::handle alpha) {
    ActivationSpec spec;
    read(kind, "activation", &spec.kind);
    read(alpha, "alpha", &spec.alpha);
    return spec;
}

LossSpec to_loss(py::handle value, const Name& name) {
    LossSpec spec;
    read(value, name, &spec);
    return spec;
}

OptimizerSpec to_optimizer(py::handle value, const Name& name) {
    OptimizerSpec spec;
    read_keys(kOptimizerKeys, value, name, &spec);
    return spec;
}

std::vector<LayerSpec> to_layers(py::handle value, const Name& name) {
    std::vector<LayerSpec> layers;
    for (const py::handle item : to_sequence(value, name)) layers.push_back(to_layer(item, Name(name, layers.size())));
    return layers;
}

Metrics to_metrics(py::handle value, const Name& name) {
    Metrics metrics;
    for (const py::handle item : to_sequence(value, name)) {
        MetricFields fields;
        read_keys(kMetricKeys, item, Name(name, metrics.specs.size()), &fields);
        metrics.thresholds.push_back(std::move(fields.values));
        MetricSpec& spec = metrics.specs.emplace_back(fields);
        spec.thresholds = metrics.thresholds.back().data();  // a vector's numbers stay where they are when it moves
        spec.n_thresholds = static_cast<int32_t>(metrics.thresholds.back().size());
    }
    return metrics;
}

}  // namespace fastreg::python
