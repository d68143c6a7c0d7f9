// Softmax and the losses of one row of a batch, whatever walks the row: value and derivative, as Keras 3 defines them.
// It must not know batches, threads or how a row lies in memory.
//
// A Row walks elements that belong together, in vectors V of T:
//   each(f)     f(at) for all elements. at.load(p), at.store(p, v): the elements at p + their places; loads beyond the
//               row's end give 0. at.mask(v): v with 0 there.
//   sum(f)      s = f(at, s) over all elements, s being one of the 16 lanes of a sum (cpu/sweep.inl); their total
//   label(t)    the label that t holds, as only() and element() take it
//   only(c, f)  f(at) for element c alone
//   element(p, c), max(p)   p[c]; the largest of p
// A V that is not an element's has the row's number in all lanes or, where a vector holds an element of each of some
// rows, those of these rows.
#pragma once
#include <cstdint>

#include "rules/hd.h"
#include "rules/loss.h"
#include "rules/mathfn.h"

namespace fastreg::rules {

// The largest x of a row, and the sum of e^(x - top): y = e^(x - top) / total.
template <class V>
struct SoftmaxSums {
    V top, total;
};

// y = e^(x - max x) / sum; y may be x.
template <class Row, class T>
FR_DEVICE_RULE auto softmax(const Row& row, const T* x, T* y) {
    using V = typename Row::V;
    const V top = row.max(x);
    const V total = row.sum([&](auto at, V sum) FR_LAMBDA {
        const V e = exp(at.load(x) - top);
        at.store(y, e);
        return sum + at.mask(e);
    });
    row.each([&](auto at) FR_LAMBDA { at.store(y, at.load(y) / total); });
    return SoftmaxSums<V>{top, total};
}

// dz = y (dy - sum_j dy_j y_j); dz may be dy.
template <class Row, class T>
FR_DEVICE_RULE void softmax_backward(const Row& row, const T* y, const T* dy, T* dz) {
    using V = typename Row::V;
    const V dot = row.sum([&](auto at, V sum) FR_LAMBDA { return fma(at.load(dy), at.load(y), sum); });
    row.each([&](auto at) FR_LAMBDA { at.store(dz, at.load(y) * (at.load(dy) - dot)); });
}

// The losses below return the row's loss and, where g is not null, store weight times its gradient there.

// The mean over n outputs of an elementwise loss. probability: where the sigmoid of y goes, or null.
template <class Rule, class Row, class V, class T>
FR_DEVICE_RULE V mean_loss(const Row& row, Rule, T n, const T* y, const T* t, T* probability, T* g, V weight,
                           const LossScalars<V>& s) {
    const V sum = row.sum([&](auto at, V sum) FR_LAMBDA {
        const V yv = at.load(y), tv = at.load(t);
        if (probability) at.store(probability, sigmoid(yv));
        if (g) at.store(g, Rule::gradient(yv, tv, s) * weight);
        return sum + at.mask(Rule::value(yv, tv, s));
    });
    return sum / V::set(n);
}

// Cross-entropy of p = softmax(z): sum_j t_j (log sum e^z - z_j), gradient p sum(t) - t. p may be g.
template <class Row, class V, class T>
FR_DEVICE_RULE V categorical_from_logits(const Row& row, const T* z, const T* t, T* p, T* g, V weight,
                                         const LossScalars<V>& s) {
    const SoftmaxSums<V> of = softmax(row, z, p);
    const V log_sum = log(of.total);
    const auto target = [&](auto at) FR_LAMBDA { return s.target(at.load(t)); };
    const V loss = row.sum([&](auto at, V sum)
                               FR_LAMBDA { return sum + at.mask(target(at) * ((of.top - at.load(z)) + log_sum)); });
    const V mass = row.sum([&](auto at, V sum) FR_LAMBDA { return sum + at.mask(target(at)); });
    if (g) row.each([&](auto at) FR_LAMBDA { at.store(g, (at.load(p) * mass - target(at)) * weight); });
    return loss;
}

// The same with all of the target on `label`. The label's probability is made once more, since p may be g.
template <class Row, class Label, class V, class T>
FR_DEVICE_RULE V sparse_from_logits(const Row& row, const T* z, Label label, T* p, T* g, V weight) {
    const SoftmaxSums<V> of = softmax(row, z, p);
    const V of_label = row.element(z, label);
    if (g) {
        const V gradient = (exp(of_label - of.top) / of.total - V::set(1)) * weight;
        row.each([&](auto at) FR_LAMBDA { at.store(g, at.load(p) * weight); });
        row.only(label, [&](auto at) FR_LAMBDA { at.store(g, gradient); });
    }
    return (of.top - of_label) + log(of.total);
}

// Of probabilities y: p = y / sum y, clipped; -sum_j t_j log p_j. No gradient through what is clipped.
template <class Row, class V, class T>
FR_DEVICE_RULE V categorical_from_probabilities(const Row& row, const T* y, const T* t, T* g, V weight,
                                                const LossScalars<V>& s) {
    const V total = row.sum([&](auto at, V sum) FR_LAMBDA { return sum + at.load(y); });
    const auto target = [&](auto at) FR_LAMBDA { return s.target(at.load(t)); };
    const V loss = row.sum([&](auto at, V sum) FR_LAMBDA {
        return sum - at.mask(target(at) * log(clip_probability(at.load(y) / total)));
    });
    if (!g) return loss;
    const V through = row.sum([&](auto at, V sum) FR_LAMBDA {
        const V raw = at.load(y) / total;
        return sum + at.mask(V::select(clip_probability(raw) == raw, target(at), V::set(0)));
    });
    row.each([&](auto at) FR_LAMBDA {
        const V raw = at.load(y) / total, p = clip_probability(raw);
        const V own = V::select(p == raw, target(at) / p, V::set(0));
        at.store(g, (through - own) / total * weight);
    });
    return loss;
}

// Keras on TensorFlow: clip, take logarithms as logits: log sum_j q_j - log q_label with q the clipped probabilities.
template <class Row, class Label, class V, class T>
FR_DEVICE_RULE V sparse_from_probabilities(const Row& row, const T* y, Label label, T* g, V weight) {
    const V total = row.sum([&](auto at, V sum) FR_LAMBDA { return sum + at.mask(clip_probability(at.load(y))); });
    const V of_label = row.element(y, label), q = clip_probability(of_label);
    if (g) {
        row.each([&](auto at) FR_LAMBDA {
            const V raw = at.load(y);
            at.store(g, V::select(clip_probability(raw) == raw, weight / total, V::set(0)));
        });
        row.only(label, [&](auto at) FR_LAMBDA {
            const V shared = at.load(g);
            at.store(g, V::select(q == of_label, shared - weight / q, shared));
        });
    }
    return log(total) - log(q);
}

// The categorical loss that spec names; t: a row of targets, or one label.
template <class Row, class V, class T>
FR_DEVICE_RULE V categorical_loss(const Row& row, const LossSpec& spec, const T* y, const T* t, T* p, T* g, V weight,
                                  const LossScalars<V>& s) {
    const bool sparse = spec.kind == Loss::sparse_categorical_crossentropy;
    if (spec.from_logits)
        return sparse ? sparse_from_logits(row, y, row.label(t), p, g, weight)
                      : categorical_from_logits(row, y, t, p, g, weight, s);
    return sparse ? sparse_from_probabilities(row, y, row.label(t), g, weight)
                  : categorical_from_probabilities(row, y, t, g, weight, s);
}

}  // namespace fastreg::rules
