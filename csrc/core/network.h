// Network<T>: one batch forward and backward through the nodes of a plan, in memory taken once.
// It must not know optimizers, epochs or data sets.
#pragma once
#include <vector>

#include "core/arena.h"
#include "core/op_table.h"
#include "core/parameters.h"
#include "core/plan.h"

namespace fastreg {

// The targets and loss of a batch; what a fused last activation changes is worked out by Network.
template <class T>
struct Targets {
    const T* y;  // (B, y_cols)
    int64_t y_cols;
    const T* weight;  // B, or null
};

template <class T>
class Network {
public:
    void init(const Plan& plan, const Parameters<T>* parameters) {
        plan_ = &plan;
        parameters_ = parameters;
        buffers_.assign(plan.nodes.size(), {});
    }

    // Decides whether the last activation and the loss are one: sigmoid or softmax with its cross-entropy, from the
    // logits.
    void set_loss(const LossSpec& loss);

    // Room for batches of `rows`; training needs gradients and kept pre-activations too.
    void reserve(int64_t rows, bool training);

    // Outputs of the last node for B rows of x (logits where fused). The penalty of activities, summed over nodes, is
    // added to *activity. `step` addresses dropout when training.
    const T* forward(const OpTable<T>& ops, Cancel& cancel, const T* x, int64_t B, bool training, uint64_t step,
                     double* activity);
    // After forward: per-row losses, probabilities where fused, and, when training, the first gradient. Sum of w_i
    // loss_i.
    double loss(const OpTable<T>& ops, const Targets<T>& targets, int64_t B, bool training);
    // After loss: gradients of all parameters.
    void backward(const OpTable<T>& ops, Cancel& cancel, const T* x, int64_t B, uint64_t step);

    // Outputs as the user knows them (probabilities where fused): valid after loss(), or after forward() + finish().
    const T* prediction() const { return prediction_; }
    void finish_prediction(const OpTable<T>& ops, int64_t B, T* out) const;
    T* scratch() const { return scratch_; }  // capacity * (1 + outputs), for metrics

private:
    struct Buffers {
        T* Y = nullptr;
        T* Z = nullptr;  // where f' needs it
    };

    DropoutSpec dropout_of(const Node& n, bool training, uint64_t step) const;
    // How gradients pass node i: activation and dropout.
    LayerGradient<T> gradient_of(size_t i, const T* x, uint64_t step) const;
    // Whether gradient_of(i) can run in the epilogue of the GEMM that makes dL/dY of node i.
    bool joins_epilogue(size_t i) const;
    const T* input_of(size_t i, const T* x) const { return i == 0 ? x : buffers_[i - 1].Y; }

    const Plan* plan_ = nullptr;
    const Parameters<T>* parameters_ = nullptr;
    LossSpec loss_;
    bool fused_ = false;
    Activation fused_activation_ = Activation::linear;
    Arena arena_;
    int64_t capacity_ = 0;
    bool training_room_ = false;
    std::vector<Buffers> buffers_;
    T* gradient_[2] = {nullptr, nullptr};
    T* probability_ = nullptr;
    T* scratch_ = nullptr;
    const T* prediction_ = nullptr;
};

}  // namespace fastreg
