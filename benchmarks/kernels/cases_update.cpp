// One optimizer step with the elastic net, in place, against the formulas in long double.
// It must not know time.
#include "case.h"

namespace fastreg {
namespace {

using Real = long double;

constexpr int64_t kStep = 1;  // later, 1 - beta^t loses digits of float64
constexpr int64_t kChecked = 65536;

struct Variant {
    const char* name;
    OptimizerSpec optimizer;
    PenaltySpec penalty;
    int slots;
    double divides, roots;  // a weight, with the threshold's
};

std::vector<Variant> variants() {
    OptimizerSpec sgd, momentum, adam, adamw, rmsprop;
    sgd.learning_rate = momentum.learning_rate = 1e-4;
    momentum.momentum = 0.9;
    adam.kind = adamw.kind = Optimizer::adam;
    rmsprop.kind = Optimizer::rmsprop;
    adam.learning_rate = adamw.learning_rate = rmsprop.learning_rate = 1e-4;
    adamw.weight_decay = 1e-2;
    const PenaltySpec elastic_net{1e-3, 1e-3, true}, none{};
    return {{"update adam", adam, none, 2, 1, 1},
            {"update adam elastic net", adam, elastic_net, 2, 2, 1},
            {"update adamw elastic net", adamw, elastic_net, 2, 2, 1},
            {"update rmsprop elastic net", rmsprop, elastic_net, 1, 2, 1},
            {"update sgd", sgd, none, 0, 0, 0},
            {"update sgd elastic net", sgd, elastic_net, 0, 0, 0},
            {"update momentum elastic net", momentum, elastic_net, 1, 0, 0}};
}

// A weight and its slots after one step from (w, g, slot); size: of the terms that w is the sum of.
struct Exact {
    Real w, slot[2], size, slot_size[2];
};

Exact exact_step(const Variant& v, Real w, Real g, Real s0, Real s1) {
    const OptimizerSpec& o = v.optimizer;
    const Real lr = o.learning_rate;
    g += 2 * static_cast<Real>(v.penalty.l2) * w;
    Exact e{w * (1 - lr * o.weight_decay), {0, 0}, 0, {1, 1}};
    Real move = 0, threshold = 0;
    switch (o.kind) {
        case Optimizer::sgd:
            move = -lr * g;
            threshold = lr / (1 - static_cast<Real>(o.momentum));
            if (v.slots) e.slot[0] = move = o.momentum * s0 + move;
            e.slot_size[0] = std::fabs(s0) + lr * std::fabs(g);
            break;
        case Optimizer::adam: {
            const Real c1 = 1 - std::pow(static_cast<Real>(o.beta_1), kStep);
            const Real c2 = 1 - std::pow(static_cast<Real>(o.beta_2), kStep);
            e.slot[0] = s0 + (g - s0) * (1 - static_cast<Real>(o.beta_1));
            e.slot[1] = s1 + (g * g - s1) * (1 - static_cast<Real>(o.beta_2));
            e.slot_size[0] = std::fabs(s0) + std::fabs(g);
            e.slot_size[1] = s1 + g * g;
            move = -lr * (e.slot[0] / c1) / (std::sqrt(e.slot[1] / c2) + o.epsilon / std::sqrt(c2));
            threshold = lr / (std::sqrt(e.slot[1] / c2) + o.epsilon);
            break;
        }
        case Optimizer::rmsprop:
            e.slot[0] = e.slot_size[0] = o.rho * s0 + (1 - static_cast<Real>(o.rho)) * g * g;
            move = -lr * g / std::sqrt(e.slot[0] + o.epsilon);
            threshold = lr / std::sqrt(e.slot[0] + o.epsilon);
            break;
        case Optimizer::adagrad: break;  // no variant
    }
    threshold *= v.penalty.l1;
    e.size = std::fabs(w) + std::fabs(move) + threshold;
    const Real u = e.w + move;
    e.w = std::copysign(std::max(std::fabs(u) - threshold, static_cast<Real>(0)), u);
    return e;
}

template <class T>
Prepared prepare(const OpTable<T>& ops, const Variant& v, int64_t n) {
    Buffer<T> w(n, 1, -0.1, 0.1), g(n, 2, -1, 1), s0(v.slots > 0 ? n : 0, 3, 0.01, 0.1),
        s1(v.slots > 1 ? n : 0, 4, 0.01, 1);
    const auto step = [=, &ops] {
        UpdateSegment<T> segment{w.get(), g.get(), {s0.get(), s1.get(), nullptr}, n, v.penalty, {}, n, 1};
        double penalty;
        ops.update({v.optimizer, kStep, &segment, 1, &penalty});
        return penalty;
    };
    const auto check = [=] {
        const std::vector<T> w_before = w.copy(), s0_before = s0.copy(), s1_before = s1.copy();
        const double penalty = step();
        ErrorMeter<T> meter;
        sample(n, kChecked, [&](int64_t i) {
            const size_t at = size_t(i);
            const Exact e =
                exact_step(v, w_before[at], g[i], v.slots > 0 ? s0_before[at] : 0, v.slots > 1 ? s1_before[at] : 0);
            meter.add(w[i], e.w, e.size);
            if (v.slots > 0) meter.add(s0[i], e.slot[0], e.slot_size[0]);
            if (v.slots > 1) meter.add(s1[i], e.slot[1], e.slot_size[1]);
        });
        Real exact_penalty = 0;
        for (const T x : w_before)
            exact_penalty += static_cast<Real>(v.penalty.l1) * std::fabs(x) + v.penalty.l2 * static_cast<Real>(x) * x;
        // Sums of 4096 terms in 16 lanes of T.
        meter.expect(std::fabs(penalty - exact_penalty) <= ErrorMeter<T>::u * 264 * exact_penalty,
                     "the penalty's value is off");
        return meter.within_relative(4 * ErrorMeter<T>::u);
    };
    return {[step] { step(); }, check};
}

template <class T>
void add(const OpTable<T>& ops, const std::vector<int>& powers, std::vector<Case>* cases) {
    for (const Variant& v : variants())
        for (const int power : powers) {
            const int64_t n = int64_t(1) << power;
            Work work;
            work.elements = double(n);
            work.divide = v.divides * double(n);
            work.root = v.roots * double(n);
            work.bytes = double(sizeof(T)) * double(n) * (3 + 2 * v.slots);  // 28 a float32 parameter with Adam
            work.footprint = double(sizeof(T)) * double(n) * (2 + v.slots);
            cases->push_back({v.name, dtype_name<T>(), "2^" + std::to_string(power), work,
                              [&ops, v, n] { return prepare(ops, v, n); }});
        }
}

}  // namespace

void add_update_cases(const Backend& backend, std::vector<Case>* cases) {
    add(backend.f32, {12, 14, 16, 18, 20, 22, 24}, cases);
    add(backend.f64, {12, 20}, cases);
}

}  // namespace fastreg
