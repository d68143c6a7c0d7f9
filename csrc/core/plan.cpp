// How layers become nodes. See plan.h.
// It must not know memory, numbers or tables.
#include "core/plan.h"

#include "core/validate.h"

namespace fastreg {
namespace {

constexpr int64_t kMostWeights = int64_t(1) << 40;  // of a layer: more than any machine holds, so sizes cannot overflow

class Planner {
public:
    explicit Planner(Plan* plan) : plan_(*plan) {}

    int64_t width() const { return plan_.nodes.empty() ? plan_.inputs : plan_.nodes.back().out; }

    void add(const LayerSpec& layer, int64_t index) {
        switch (layer.kind) {
            case LayerKind::dense: return add_dense(layer, index);
            case LayerKind::activation: return add_activation(layer.activation, layer.activity_penalty);
            case LayerKind::dropout: return add_dropout(layer);
        }
    }

private:
    int64_t add_parameter(const char* name, int64_t rows, int64_t cols, int64_t layer, const PenaltySpec& p,
                          const ConstraintSpec& c) {
        plan_.parameters.push_back({name, rows, cols, layer});
        plan_.penalties.push_back(p);
        plan_.constraints.push_back(c);
        return int64_t(plan_.parameters.size()) - 1;
    }

    void add_dense(const LayerSpec& layer, int64_t index) {
        Node n;
        n.in = width();
        n.out = layer.units;
        n.kernel = add_parameter("kernel", n.in, n.out, index, layer.kernel_penalty, layer.kernel_constraint);
        if (layer.use_bias) n.bias = add_parameter("bias", n.out, 1, index, layer.bias_penalty, layer.bias_constraint);
        if (plan_.first_dense < 0) plan_.first_dense = int64_t(plan_.nodes.size());
        plan_.nodes.push_back(n);
        add_activation(layer.activation, layer.activity_penalty);
    }

    // Joins the dense node before it where that one is still bare.
    void add_activation(const ActivationSpec& activation, const PenaltySpec& activity_penalty) {
        Node* last = plan_.nodes.empty() ? nullptr : &plan_.nodes.back();
        const bool bare = last && last->kind == NodeKind::dense && !last->has_dropout &&
                          last->activation.kind == Activation::linear && !has_penalty(last->activity_penalty);
        if (bare && activation.kind != Activation::softmax) {
            last->activation = activation;
            last->activity_penalty = activity_penalty;
            return;
        }
        if (activation.kind == Activation::linear && !has_penalty(activity_penalty)) return;
        Node n;
        n.kind = NodeKind::activation;
        n.in = n.out = width();
        n.activation = activation;
        n.activity_penalty = activity_penalty;
        plan_.nodes.push_back(n);
    }

    void add_dropout(const LayerSpec& layer) {
        if (layer.rate == 0.0) return;
        Node* last = plan_.nodes.empty() ? nullptr : &plan_.nodes.back();
        const bool joins = last && last->kind == NodeKind::dense && !last->has_dropout &&
                           !has_penalty(last->activity_penalty) && !layer.scale_at_inference;
        if (!joins) {
            Node n;
            n.kind = NodeKind::dropout;
            n.in = n.out = width();
            plan_.nodes.push_back(n);
            last = &plan_.nodes.back();
        }
        last->has_dropout = true;
        last->dropout = layer;
    }

    Plan& plan_;
};

}  // namespace

Status make_plan(const ModelSpec& spec, Plan* plan) {
    if (spec.input_units < 1 || spec.input_units > (int64_t(1) << 31))
        return invalid("inputs must be from 1 to 2^31, got " + std::to_string(spec.input_units));
    plan->inputs = spec.input_units;
    Planner planner(plan);
    for (size_t i = 0; i < spec.layers.size(); ++i) {
        const std::string name = "layer " + std::to_string(i);
        FR_RETURN_IF_ERROR(check_layer(name, spec.layers[i]));
        if (spec.layers[i].kind == LayerKind::dense && planner.width() > kMostWeights / spec.layers[i].units)
            return {Code::out_of_memory, "out of memory: the kernel of " + name + " would have " +
                                             std::to_string(planner.width()) + " x " +
                                             std::to_string(spec.layers[i].units) + " weights"};
        planner.add(spec.layers[i], int64_t(i));
    }
    if (plan->first_dense < 0) return invalid("layers must hold at least one dense layer");
    plan->outputs = plan->nodes.back().out;
    for (const Node& n : plan->nodes) {
        const int64_t wider = n.in > n.out ? n.in : n.out;
        if (wider > plan->widest) plan->widest = wider;
    }
    return {};
}

}  // namespace fastreg
