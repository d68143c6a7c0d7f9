// The order of forward and backward within a batch. See network.h.
// It must not know optimizers, epochs or data sets. It is over 250 lines because what forward keeps, and in which form,
// is what backward reads. Over 40 lines: forward, in which the arguments of a dense layer stand one below another.
#include "core/network.h"

#include "core/dropout_spec.h"
#include "rules/layer_gradient.h"

namespace fastreg {

namespace {

// Whether a loss of the activation's outputs is better made of what comes into it, the logits.
bool belongs(Activation activation, const LossSpec& loss) {
    if (loss.from_logits) return false;
    if (loss.kind == Loss::binary_crossentropy) return activation == Activation::sigmoid;
    return activation == Activation::softmax &&
           (loss.kind == Loss::categorical_crossentropy || loss.kind == Loss::sparse_categorical_crossentropy);
}

}  // namespace

template <class T>
void Network<T>::set_loss(const LossSpec& loss) {
    loss_ = loss;
    fused_ = false;
    capacity_ = 0;
    rows_apart_ = loss.kind != Loss::hinge;  // it looks at all targets of a batch
    for (const Node& n : plan_->nodes) rows_apart_ &= !has_penalty(n.activity_penalty);
    const Node& last = plan_->nodes.back();
    if (last.has_dropout || !belongs(last.activation.kind, loss)) return;
    fused_ = loss_.from_logits = true;
    fused_activation_ = last.activation.kind;
}

// What must be asked of a device first: see OpTable::bf16_from.
template <class T>
bool Network<T>::between_dense(size_t i) const {
    const auto& nodes = plan_->nodes;
    return i + 1 < nodes.size() && nodes[i].kind == NodeKind::dense && nodes[i + 1].kind == NodeKind::dense &&
           joins_epilogue(i);
}

template <class T>
bool Network<T>::reserve(const OpTable<T>& ops, int64_t rows, bool training, bool sparse) {
    if (rows <= capacity_ && (!training || training_room_) && (!sparse || sparse_room_)) return false;
    rows = rows > capacity_ ? rows : capacity_;
    training = training || training_room_;
    sparse = sparse || sparse_room_;
    capacity_ = 0;
    // Sizes below cannot overflow.
    if (rows > (int64_t(1) << 46) / plan_->widest) throw std::bad_alloc();
    const auto pieces = [&](auto take) {  // the same list is measured, then taken
        for (size_t i = 0; i < plan_->nodes.size(); ++i) {
            const Node& n = plan_->nodes[i];
            Buffers& b = buffers_[i];
            b = {};
            if (ops.bf16_from && between_dense(i)) b.bf16_from = ops.bf16_from(*queue_, n.in, n.out);
            // Room for the largest batch that is kept as T, and for the largest as bfloat16.
            const int64_t as_t = rows < b.bf16_from || (i == 0 && sparse) ? rows : b.bf16_from - 1;
            const int64_t kept = (as_t > (rows + 1) / 2 ? as_t : (rows + 1) / 2) * n.out;
            if (last_is_in_loss(i))
                b.Y = buffers_[i - 1].Y;  // the logits, as they are
            else
                take(&b.Y, kept);
            const bool keeps_z =
                training && n.kind == NodeKind::dense && rules::needs_z(n.activation.kind, n.has_dropout);
            if (keeps_z) take(&b.Z, kept);
            if (training && i >= size_t(plan_->first_dense)) take(&b.G, rows * n.out);
        }
        take(&probability_, rows * plan_->outputs);
        take(&scratch_, rows * (1 + plan_->outputs));
    };
    size_t bytes = 0;
    pieces([&](T**, int64_t n) { bytes += Arena::padded<T>(n); });
    arena_.reserve(*queue_, bytes);
    pieces([&](T** p, int64_t n) { *p = arena_.take<T>(n); });
    capacity_ = rows;
    training_room_ = training;
    sparse_room_ = sparse;
    return true;
}

template <class T>
typename Network<T>::Kept Network<T>::kept(size_t i, bool sparse, RowRange rows) const {
    const Buffers& b = buffers_[i];
    const int64_t offset = rows.first * plan_->nodes[i].out;
    Kept k;
    if (rows.count < b.bf16_from || (i == 0 && sparse)) {
        k.Y = b.Y + offset;
        if (b.Z) k.Z = b.Z + offset;
    } else {
        k.Y16 = reinterpret_cast<Bfloat*>(b.Y) + offset;
        if (b.Z) k.Z16 = reinterpret_cast<Bfloat*>(b.Z) + offset;
    }
    return k;
}

template <class T>
typename Network<T>::Taken Network<T>::input_of(size_t i, const Inputs<T>& x, RowRange rows) const {
    if (i == 0) return {x.is_sparse() ? nullptr : x.dense + rows.first * plan_->inputs, nullptr};
    const Kept before = kept(i - 1, x.is_sparse(), rows);
    return {before.Y, before.Y16};
}

template <class T>
int64_t Network<T>::row_parts(const Backend& backend, int64_t rows) const {
    return rows_apart_ ? backend.row_parts(rows, weights_) : 1;
}

template <class T>
DropoutSpec Network<T>::dropout_of(const Node& n, bool training, uint64_t step, int64_t first_row) const {
    if (!training || !n.has_dropout) return {};
    DropoutSpec d = dropout_spec(n.dropout.rate, n.dropout.seed, n.dropout.stream, uint32_t(step));
    if (n.dropout.scale_at_inference) d.scale = 1.0;
    d.first = first_row * n.out;
    return d;
}

template <class T>
void Network<T>::forward(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, RowRange rows, bool training,
                         uint64_t step, double* activity) {
    Csr<T> sparse = x.sparse;
    sparse.first += rows.first;
    if (sparse.order) sparse.order += rows.first;
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
        const Node& n = plan_->nodes[i];
        const bool is_sparse = i == 0 && x.is_sparse();
        const Taken in = input_of(i, x, rows);
        const Kept out = kept(i, x.is_sparse(), rows);
        const DropoutSpec drop = dropout_of(n, training, step, rows.first);
        const Rows<T> map{rows.count, n.out, in.X, n.out, out.Y, n.out};
        if (last_is_in_loss(i)) continue;
        const bool last_fused = fused_ && i + 1 == plan_->nodes.size();
        if (n.kind == NodeKind::dense) {
            const ActivationSpec f = last_fused ? ActivationSpec{} : n.activation;
            ops.dense_forward(cancel, {rows.count,
                                       n.in,
                                       n.out,
                                       {in.X, n.in, 1},
                                       {parameters_->weight(n.kernel), n.out, 1},
                                       parameters_->weight(n.bias),
                                       f,
                                       drop,
                                       out.Y,
                                       n.out,
                                       training ? out.Z : nullptr,
                                       n.out,
                                       is_sparse ? &sparse : nullptr,
                                       in.X16,
                                       out.Y16,
                                       training ? out.Z16 : nullptr});
        } else if (n.kind == NodeKind::activation) {
            ops.activation_forward(map, n.activation);
        } else if (training) {
            ops.dropout(map, drop);
        } else {
            const DropoutSpec trained = dropout_spec(n.dropout.rate, 0, 0, 0);
            ops.scale(map, n.dropout.scale_at_inference ? trained.keep / 65536.0 : 1.0);
        }
        if (has_penalty(n.activity_penalty) && !last_fused)
            ops.activity_penalty(out.Y, nullptr, rows.count, n.out, n.activity_penalty, activity);
    }
}

template <class T>
void Network<T>::loss(const OpTable<T>& ops, const Targets<T>& targets, RowRange rows, int64_t B, bool training,
                      double* activity) {
    const int64_t O = plan_->outputs, first = rows.first;
    T* gradient = training ? gradient_at(plan_->nodes.size() - 1, fused_) + first * O : nullptr;
    ops.loss({loss_, rows.count, O, B, buffers_.back().Y + first * O, O, targets.y + first * targets.y_cols,
              targets.y_cols, targets.weight ? targets.weight + first : nullptr, scratch_ + first, gradient,
              loss_.from_logits ? probability_ + first * O : nullptr});
    if (fused_ && has_penalty(plan_->nodes.back().activity_penalty)) penalise_prediction(ops, rows, gradient, activity);
}

template <class T>
void Network<T>::penalise_prediction(const OpTable<T>& ops, RowRange rows, T* gradient, double* activity) const {
    const int64_t O = plan_->outputs, first = rows.first * O;
    const PenaltySpec& penalty = plan_->nodes.back().activity_penalty;
    T *const Y = probability_ + first, *const G = scratch_ + capacity_ + first;
    ops.activity_penalty(Y, nullptr, rows.count, O, penalty, activity);
    if (!gradient) return;
    ops.scale({rows.count, O, Y, O, G, O}, 0.0);
    ops.activity_penalty(Y, G, rows.count, O, penalty, nullptr);
    const ActivationSpec f{fused_activation_};
    ops.layer_backward({rows.count, O, G, O, G, O}, {f, {}, Y, O, buffers_.back().Y + first, O, nullptr, nullptr});
    const PenaltySpec half_square{0.0, double(rows.count) / 2, false};  // whose gradient, divided by the rows, is G
    ops.activity_penalty(G, gradient, rows.count, O, half_square, nullptr);
}

template <class T>
typename Network<T>::Counted Network<T>::counted(const MetricSpec& metric) const {
    Counted c{metric, prediction()};
    if (!fused_ || metric.kind != Metric::loss || !belongs(fused_activation_, metric.loss)) return c;
    c.metric.loss.from_logits = true;
    c.outputs = buffers_.back().Y;
    return c;
}

template <class T>
void Network<T>::finish_prediction(const OpTable<T>& ops, RowRange rows, T* out) const {
    const int64_t O = plan_->outputs;
    ActivationSpec f;
    if (fused_) f.kind = fused_activation_;
    ops.activation_forward({rows.count, O, buffers_.back().Y + rows.first * O, O, out + rows.first * O, O}, f);
}

template <class T>
bool Network<T>::describe(std::vector<TrainLayer<T>>* layers, TrainSteps<T>* steps) const {
    layers->clear();
    if (!rows_apart_) return false;
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
        const Node& n = plan_->nodes[i];
        const bool last = i + 1 == plan_->nodes.size();
        if (last_is_in_loss(i)) continue;
        if (n.kind != NodeKind::dense || capacity_ >= buffers_[i].bf16_from) return false;
        const ActivationSpec f = last && fused_ ? ActivationSpec{} : n.activation;
        layers->push_back({n.in, n.out, f, dropout_of(n, true, 0, 0), n.kernel, n.bias});
    }
    steps->layers = layers->data();
    steps->n_layers = int64_t(layers->size());
    steps->loss = loss_;
    steps->prediction = fused_ ? fused_activation_ : Activation::linear;
    return true;
}

template <class T>
LayerGradient<T> Network<T>::gradient_of(size_t i, const Inputs<T>& x, uint64_t step, RowRange rows) const {
    const Node& n = plan_->nodes[i];
    const Kept k = kept(i, x.is_sparse(), rows);
    const T* Z = n.kind == NodeKind::activation ? input_of(i, x, rows).X : k.Z;
    return {n.activation, dropout_of(n, true, step, rows.first), k.Y, n.out, Z, n.out, k.Y16, k.Z16};
}

template <class T>
bool Network<T>::joins_epilogue(size_t i) const {
    const Node& n = plan_->nodes[i];
    return n.activation.kind != Activation::softmax && !has_penalty(n.activity_penalty);
}

template <class T>
size_t Network<T>::first_trained() const {
    size_t i = 0;
    while (i < plan_->nodes.size() && !is_trained(plan_->nodes[i])) ++i;
    return i;
}

template <class T>
void Network<T>::backward(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, RowRange rows, uint64_t step) {
    const auto [first, count] = rows;
    bool through = fused_;  // whether the gradient at hand has been taken through node i
    const size_t last = first_trained();
    for (size_t i = plan_->nodes.size(); i-- > last;) {
        const Node& n = plan_->nodes[i];
        T* G = buffers_[i].G + first * n.out;
        if (!through) {
            if (has_penalty(n.activity_penalty))
                ops.activity_penalty(kept(i, x.is_sparse(), rows).Y, G, count, n.out, n.activity_penalty, nullptr);
            T* through_node = gradient_at(i, true) + first * n.out;
            const bool unchanged = G == through_node && n.activation.kind == Activation::linear && !n.has_dropout;
            if (!unchanged)
                ops.layer_backward({count, n.out, G, n.out, through_node, n.out}, gradient_of(i, x, step, rows));
        }
        if (i == last) return;
        through = false;
        if (n.kind != NodeKind::dense) continue;
        const LayerGradient<T> producer = gradient_of(i - 1, x, step, rows);
        through = joins_epilogue(i - 1);
        ops.dense_backward_x(cancel, {count,
                                      n.in,
                                      n.out,
                                      {G, n.out, 1},
                                      {parameters_->weight(n.kernel), n.out, 1},
                                      gradient_at(i - 1, through) + first * n.in,
                                      n.in,
                                      through ? &producer : nullptr});
    }
}

template <class T>
void Network<T>::parameter_gradients(const OpTable<T>& ops, Cancel& cancel, const Inputs<T>& x, int64_t B) {
    weight_gradients_.clear();
    for (size_t i = 0; i < plan_->nodes.size(); ++i) {
        const Node& n = plan_->nodes[i];
        if (!is_trained(n)) continue;
        const Taken in = input_of(i, x, {0, B});
        weight_gradients_.push_back({B,
                                     n.in,
                                     n.out,
                                     {in.X, n.in, 1},
                                     {buffers_[i].G, n.out, 1},
                                     parameters_->gradient(n.kernel),
                                     n.out,
                                     parameters_->gradient(n.bias),
                                     i == 0 && x.is_sparse() ? &x.sparse : nullptr,
                                     in.X16});
    }
    if (weight_gradients_.empty()) return;
    ops.dense_backward_w(cancel, weight_gradients_.data(), int64_t(weight_gradients_.size()));
}

template class Network<float>;
template class Network<double>;

}  // namespace fastreg
