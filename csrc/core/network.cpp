// The order of forward and backward within a batch. See network.h.
// It must not know optimizers, epochs or data sets.
#include "core/network.h"

#include "core/dropout_spec.h"

namespace fastreg {

template <class T>
void Network<T>::set_loss(const LossSpec& loss) {
    loss_ = loss;
    fused_ = false;
    capacity_ = 0;
    const Node& last = plan_->nodes.back();
    if (loss.from_logits || last.has_dropout || has_penalty(last.activity_penalty)) return;
    const bool binary = loss.kind == Loss::binary_crossentropy && last.activation.kind == Activation::sigmoid;
    const bool categorical =
        (loss.kind == Loss::categorical_crossentropy || loss.kind == Loss::sparse_categorical_crossentropy) &&
        last.activation.kind == Activation::softmax;
    if (!binary && !categorical) return;
    fused_ = loss_.from_logits = true;
    fused_activation_ = last.activation.kind;
}

template <class T>
void Network<T>::reserve(int64_t rows, bool training) {
    if (rows <= capacity_ && (!training || training_room_)) return;
    rows = rows > capacity_ ? rows : capacity_;
    training = training || training_room_;
    capacity_ = 0;
    if (rows > (int64_t(1) << 46) / plan_->widest) throw OutOfMemory(size_t(-1));  // sizes below cannot overflow
    const auto pieces = [&](auto take) {  // the same list is measured, then taken
        for (size_t i = 0; i < plan_->nodes.size(); ++i) {
            const Node& n = plan_->nodes[i];
            take(&buffers_[i].Y, rows * n.out);
            const bool keeps_z =
                training && n.kind == NodeKind::dense && activation_needs_z(n.activation.kind, n.has_dropout);
            buffers_[i].Z = nullptr;
            if (keeps_z) take(&buffers_[i].Z, rows * n.out);
        }
        for (T*& g : gradient_)
            if (training) take(&g, rows * plan_->widest);
        take(&probability_, rows * plan_->outputs);
        take(&scratch_, rows * (1 + plan_->outputs));
    };
    size_t bytes = 0;
    pieces([&](T**, int64_t n) { bytes += Arena::padded<T>(n); });
    arena_.reserve(bytes);
    pieces([&](T** p, int64_t n) { *p = arena_.take<T>(n); });
    capacity_ = rows;
    training_room_ = training;
}

template <class T>
DropoutSpec Network<T>::dropout_of(const Node& n, bool training, uint64_t step) const {
    if (!training || !n.has_dropout) return {};
    DropoutSpec d = dropout_spec(n.dropout.rate, n.dropout.seed, n.dropout.stream, uint32_t(step));
    if (n.dropout.scale_at_inference) d.scale = 1.0;
    return d;
}

template <class T>
const T* Network<T>::forward(const OpTable<T>& ops, Cancel& cancel, const T* x, int64_t B, bool training, uint64_t step,
                             double* activity) {
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
        const Node& n = plan_->nodes[i];
        const T* in = input_of(i, x);
        T* out = buffers_[i].Y;
        const DropoutSpec drop = dropout_of(n, training, step);
        const Rows<T> rows{B, n.out, in, n.out, out, n.out};
        const bool last_fused = fused_ && i + 1 == plan_->nodes.size();
        if (n.kind == NodeKind::dense) {
            const ActivationSpec f = last_fused ? ActivationSpec{} : n.activation;
            T* Z = training ? buffers_[i].Z : nullptr;
            ops.dense_forward(cancel, {B,
                                       n.in,
                                       n.out,
                                       {in, n.in, 1},
                                       {parameters_->weight(n.kernel), n.out, 1},
                                       parameters_->weight(n.bias),
                                       f,
                                       drop,
                                       out,
                                       n.out,
                                       Z,
                                       n.out});
        } else if (n.kind == NodeKind::activation) {
            ops.activation_forward(rows, last_fused ? ActivationSpec{} : n.activation);
        } else if (training) {
            ops.dropout(rows, drop);
        } else {
            const DropoutSpec trained = dropout_spec(n.dropout.rate, 0, 0, 0);
            ops.scale(rows, n.dropout.scale_at_inference ? trained.keep / 65536.0 : 1.0);
        }
        if (has_penalty(n.activity_penalty))
            *activity += ops.activity_penalty(out, nullptr, B, n.out, n.activity_penalty);
    }
    return prediction_ = buffers_.back().Y;
}

template <class T>
double Network<T>::loss(const OpTable<T>& ops, const Targets<T>& targets, int64_t B, bool training) {
    const int64_t O = plan_->outputs;
    const LossBatch<T> batch{loss_,
                             B,
                             O,
                             buffers_.back().Y,
                             O,
                             targets.y,
                             targets.y_cols,
                             targets.weight,
                             scratch_,
                             training ? gradient_[0] : nullptr,
                             loss_.from_logits ? probability_ : nullptr};
    if (fused_) prediction_ = probability_;
    return ops.loss(batch);
}

template <class T>
void Network<T>::finish_prediction(const OpTable<T>& ops, int64_t B, T* out) const {
    const int64_t O = plan_->outputs;
    ActivationSpec f;
    if (fused_) f.kind = fused_activation_;
    ops.activation_forward({B, O, buffers_.back().Y, O, out, O}, f);
}

template <class T>
LayerGradient<T> Network<T>::gradient_of(size_t i, const T* x, uint64_t step) const {
    const Node& n = plan_->nodes[i];
    const T* Z =
        n.kind == NodeKind::dense ? buffers_[i].Z : (n.kind == NodeKind::activation ? input_of(i, x) : nullptr);
    return {n.activation, dropout_of(n, true, step), buffers_[i].Y, n.out, Z, n.out};
}

template <class T>
bool Network<T>::joins_epilogue(size_t i) const {
    const Node& n = plan_->nodes[i];
    return n.activation.kind != Activation::softmax && !has_penalty(n.activity_penalty);
}

template <class T>
void Network<T>::backward(const OpTable<T>& ops, Cancel& cancel, const T* x, int64_t B, uint64_t step) {
    T *current = gradient_[0], *other = gradient_[1];
    bool is_dz = fused_;  // `current` holds dL/dZ of node i rather than dL/dY
    for (size_t i = plan_->nodes.size(); i-- > size_t(plan_->first_dense);) {
        const Node& n = plan_->nodes[i];
        if (!is_dz) {
            if (has_penalty(n.activity_penalty))
                ops.activity_penalty(buffers_[i].Y, current, B, n.out, n.activity_penalty);
            ops.layer_backward({B, n.out, current, n.out, current, n.out}, gradient_of(i, x, step));
        }
        is_dz = false;
        if (n.kind != NodeKind::dense) continue;
        const Strided<const T> dZ{current, n.out, 1}, X{input_of(i, x), n.in, 1};
        ops.dense_backward_w(
            cancel, {B, n.in, n.out, X, dZ, parameters_->gradient(n.kernel), n.out, parameters_->gradient(n.bias)});
        if (i == size_t(plan_->first_dense)) return;
        const LayerGradient<T> producer = gradient_of(i - 1, x, step);
        is_dz = joins_epilogue(i - 1);
        ops.dense_backward_x(
            cancel,
            {B, n.in, n.out, dZ, {parameters_->weight(n.kernel), n.out, 1}, other, n.in, is_dz ? &producer : nullptr});
        T* swap = current;
        current = other;
        other = swap;
    }
}

template class Network<float>;
template class Network<double>;

}  // namespace fastreg
