// Plan: from the layers a user wrote to the nodes a step runs: dense layers with the activation and dropout that follow
// them. It must not know memory, numbers or tables.
#pragma once
#include <vector>

#include "core/session.h"
#include "core/status.h"

namespace fastreg {

enum class NodeKind { dense, activation, dropout };

struct Node {
    NodeKind kind = NodeKind::dense;
    int64_t in = 0, out = 0;
    ActivationSpec activation;       // dense: elementwise, softmax gets a node of its own
    bool has_dropout = false;        // dense, dropout
    LayerSpec dropout;               // its rate, seed, stream, scale_at_inference
    PenaltySpec activity_penalty;    // of the node's output; such a node has no fused dropout
    int64_t kernel = -1, bias = -1;  // dense: parameter indices
};

struct Plan {
    std::vector<Node> nodes;
    std::vector<ParameterInfo> parameters;
    std::vector<PenaltySpec> penalties;  // per parameter
    std::vector<ConstraintSpec> constraints;
    int64_t inputs = 0, outputs = 0;
    int64_t first_dense = -1;  // no gradients are needed before it
    int64_t widest = 0;        // over inputs of dense nodes and all outputs
};

// Checks the specification and makes its plan.
Status make_plan(const ModelSpec& spec, Plan* plan);

inline bool has_penalty(const PenaltySpec& p) { return p.l1 > 0 || p.l2 > 0; }

}  // namespace fastreg
