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

// The inputs of a batch: dense and contiguous, or sparse. Only a dense first node takes sparse ones.
template <class T>
struct Inputs {
    const T* dense = nullptr;
    Csr<T> sparse;
    bool is_sparse() const { return sparse.starts != nullptr; }
};

// Rows [first, first + count) of a batch.
struct RowRange {
    int64_t first, count;
};

template <class T>
class Network {
public:
    void init(const Plan& plan, const Parameters<T>* parameters, Queue* queue) {
        queue_ = queue;
        plan_ = &plan;
        parameters_ = parameters;
        buffers_.assign(plan.nodes.size(), {});
        for (const Node& n : plan.nodes)
            if (n.kind == NodeKind::dense) weights_ += n.in * n.out;
    }

    // Decides whether the last activation and the loss are one: sigmoid or softmax with its cross-entropy, from the
    // logits.
    void set_loss(const LossSpec& loss);

    // Room for batches of `rows`; training needs gradients and kept pre-activations too, and sparse inputs a wide
    // output of their layer. Returns whether the memory is now another.
    bool reserve(const OpTable<T>& ops, int64_t rows, bool training, bool sparse);

    // How many parts of a batch of `rows` are worth computing side by side.
    int64_t row_parts(const Backend& backend, int64_t rows) const;

    // The next three compute some rows of a batch, x and targets being those of the whole batch of B rows; parts may
    // run side by side.
    // Outputs of the last node (logits where fused). The penalty of activities, summed over nodes, is added to
    // *activity. `step` addresses dropout when training.
    void forward(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, RowRange rows, bool training, uint64_t step,
                 double* activity);
    // After forward: per-row losses, probabilities where fused, with their penalty, and, when training, the first
    // gradient.
    void loss(const OpTable<T>& ops, const Targets<T>& targets, RowRange rows, int64_t B, bool training,
              double* activity);
    // After loss: the gradient of the output of every node from the first that is trained on.
    void backward(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, RowRange rows, uint64_t step);

    // After these for all rows: their unweighted losses, and the gradients of all parameters of nodes that are trained.
    const T* per_row_losses() const { return scratch_; }
    void parameter_gradients(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, int64_t B);

    // The nodes as one TrainSteps takes them; false where they are more than dense layers whose rows stand alone. Room
    // for the batches must be there. What is left to the caller: data, optimizer, segments, totals.
    bool describe(std::vector<TrainLayer<T>>* layers, TrainSteps<T>* steps) const;

    // Outputs as the user knows them (probabilities where fused): after loss(), or, into out, after forward().
    const T* prediction() const { return fused_ ? probability_ : buffers_.back().Y; }
    void finish_prediction(const OpTable<T>& ops, RowRange rows, T* out) const;
    // What a metric is made of after loss(): the prediction, or as the loss is, the logits that a crossentropy wants.
    struct Counted {
        MetricSpec metric;
        const T* outputs;
    };
    Counted counted(const MetricSpec& metric) const;
    T* scratch() const { return scratch_; }  // capacity * (1 + outputs), for metrics

private:
    bool is_trained(const Node& n) const {
        return parameters_->is_trained(n.kernel) || parameters_->is_trained(n.bias);
    }
    size_t first_trained() const;  // which nodes; as many as there are where none is

    struct Buffers {
        T* Y = nullptr;
        T* Z = nullptr;                 // where f' needs it
        T* G = nullptr;                 // the gradient of the loss: with respect to Y, then, for a dense node, to Z
        int64_t bf16_from = INT64_MAX;  // in batches of so many rows and more, Y and Z hold bfloat16
    };
    // A node's output, and its Z where it is kept, from row `first` of a batch on: as T or as bfloat16.
    struct Kept {
        T *Y = nullptr, *Z = nullptr;
        Bfloat *Y16 = nullptr, *Z16 = nullptr;
    };
    Kept kept(size_t i, bool sparse, RowRange rows) const;

    // The penalty of fused outputs, which are known after the loss, and its gradient, added to that of the logits.
    void penalise_prediction(const OpTable<T>& ops, RowRange rows, T* gradient, double* activity) const;

    DropoutSpec dropout_of(const Node& n, bool training, uint64_t step, int64_t first_row) const;
    // How gradients pass node i: activation and dropout.
    LayerGradient<T> gradient_of(size_t i, const Inputs<T>& x, uint64_t step, RowRange rows) const;
    // Where dL/dY of node i goes; if it has been taken through the node, dL/dZ: the gradient of what came in, where
    // the node is not dense.
    T* gradient_at(size_t i, bool through) const {
        return through && plan_->nodes[i].kind != NodeKind::dense ? buffers_[i - 1].G : buffers_[i].G;
    }
    // Whether node i is a last activation of its own that the loss has within it, softmax or sigmoid, whose input are
    // the logits.
    bool last_is_in_loss(size_t i) const {
        return fused_ && i + 1 == plan_->nodes.size() && plan_->nodes[i].kind == NodeKind::activation;
    }
    // Whether gradient_of(i) can run in the epilogue of the GEMM that makes dL/dY of node i.
    bool joins_epilogue(size_t i) const;
    // Whether both that make and that take node i's output are dense layers, which may pass it on as bfloat16.
    bool between_dense(size_t i) const;
    // What node i takes, from row rows.first of the batch on; neither for a first node that takes sparse rows.
    struct Taken {
        const T* X = nullptr;
        const Bfloat* X16 = nullptr;
    };
    Taken input_of(size_t i, const Inputs<T>& x, RowRange rows) const;

    Queue* queue_ = nullptr;
    const Plan* plan_ = nullptr;
    const Parameters<T>* parameters_ = nullptr;
    LossSpec loss_;
    bool fused_ = false;
    Activation fused_activation_ = Activation::linear;
    Arena arena_;
    int64_t capacity_ = 0;
    bool training_room_ = false, sparse_room_ = false;
    std::vector<Buffers> buffers_;
    T* probability_ = nullptr;
    T* scratch_ = nullptr;
    int64_t weights_ = 0;     // of all dense nodes
    bool rows_apart_ = true;  // nothing a step computes for a row depends on the others
    std::vector<DenseBackwardW<T>> weight_gradients_;
};

}  // namespace fastreg
