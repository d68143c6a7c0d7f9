// Losses of a batch with gradients, against the formulas in long double, row by row.
// It must not know time. Dimensions: B batch, O outputs.
#include <algorithm>

#include "case.h"

namespace fastreg {
namespace {

using Real = long double;

struct Variant {
    const char* name;
    LossSpec spec;
    bool row;    // needs a whole row: categorical
    double low;  // predictions are drawn from [low, 1], times `by`
    double by;
};

constexpr Variant kVariants[] = {
    {"loss mse", {Loss::mean_squared_error, false, 0, 1}, false, -1, 1},
    {"loss mae", {Loss::mean_absolute_error, false, 0, 1}, false, -1, 1},
    {"loss huber", {Loss::huber, false, 0, 0.5}, false, -1, 1},
    {"loss poisson", {Loss::poisson, false, 0, 1}, false, 0.05, 1},
    {"loss mape", {Loss::mean_absolute_percentage_error, false, 0, 1}, false, 0.05, 1},
    {"loss msle", {Loss::mean_squared_logarithmic_error, false, 0, 1}, false, 0.05, 1},
    {"loss log cosh", {Loss::log_cosh, false, 0, 1}, false, -1, 8},
    {"loss bce", {Loss::binary_crossentropy, false, 0, 1}, false, 0.01, 0.99},
    {"loss bce logits", {Loss::binary_crossentropy, true, 0, 1}, false, -1, 8},
    {"loss cce logits", {Loss::categorical_crossentropy, true, 0, 1}, true, -1, 8},
    {"loss sparse cce logits", {Loss::sparse_categorical_crossentropy, true, 0, 1}, true, -1, 8}};

// A value, its derivative, and the sizes of the terms they are sums of.
struct Exact {
    Real value, gradient, size, gradient_size;
};

Exact elementwise(const LossSpec& s, Real y, Real t) {
    const Real e = y - t, size = std::fabs(y) + std::fabs(t), delta = s.delta;
    switch (s.kind) {
        case Loss::mean_absolute_error: return {std::fabs(e), e > 0 ? 1.0L : e < 0 ? -1.0L : 0.0L, size, 1};
        case Loss::huber:
            if (std::fabs(e) > delta)
                return {delta * (std::fabs(e) - delta / 2), std::copysign(delta, e), delta * (size + delta), delta};
            return {e * e / 2, e, size * size, size};
        case Loss::poisson: {
            const Real a = y + 1e-7L;
            return {y - t * std::log(a), 1 - t / a, y + t * (std::fabs(std::log(a)) + 1), 1 + t / a};
        }
        case Loss::mean_absolute_percentage_error: {
            const Real scale = 100 / std::max(std::fabs(t), 1e-7L);
            return {std::fabs(e) * scale, e > 0 ? scale : e < 0 ? -scale : 0.0L, size * scale, scale};
        }
        case Loss::mean_squared_logarithmic_error: {
            const Real a = std::log1p(std::max(y, 1e-7L)), b = std::log1p(std::max(t, 1e-7L));
            return {(a - b) * (a - b), 2 * (a - b) / (1 + y), (a + b) * (a + b), 2 * (a + b) / (1 + y)};
        }
        case Loss::log_cosh:
            return {std::fabs(e) + std::log1p(std::exp(-2 * std::fabs(e))) - std::log(2.0L), std::tanh(e), size, size};
        case Loss::binary_crossentropy: {
            if (!s.from_logits)
                return {-(t * std::log(y) + (1 - t) * std::log1p(-y)), (y - t) / (y * (1 - y)),
                        t * (1 - std::log(y)) + (1 - t) * (1 / (1 - y) - std::log1p(-y)), 2 * size / (y * (1 - y))};
            const Real softplus = std::max(y, 0.0L) + std::log1p(std::exp(-std::fabs(y))), p = 1 / (1 + std::exp(-y));
            return {softplus - y * t, p - t, softplus + std::fabs(y * t), p + t};
        }
        default: return {e * e, 2 * e, size * size, 2 * size};
    }
}

// The loss of a row of logits z, targets t: sum_j t_j (log sum e^z - z_j), and its gradient; sizes alike.
void categorical(const std::vector<Real>& z, const std::vector<Real>& t, std::vector<Real>* gradient,
                 std::vector<Real>* gradient_size, Real* value, Real* size) {
    const Real top = *std::max_element(z.begin(), z.end());
    Real sum = 0, mass = 0;
    for (size_t j = 0; j < z.size(); ++j) {
        sum += std::exp(z[j] - top);
        mass += t[j];
    }
    for (size_t j = 0; j < z.size(); ++j) {
        *value += t[j] * (top + std::log(sum) - z[j]);
        *size += t[j] * (std::fabs(top) + std::log(sum) + std::fabs(z[j]));
        const Real pull = mass * std::exp(z[j] - top) / sum;
        (*gradient)[j] = pull - t[j];
        (*gradient_size)[j] = pull + t[j];
    }
}

template <class T>
struct Arrays {
    Buffer<T> y, t, per_row, gradient, probability;
};

// The row's exact loss and gradient; sizes alike.
template <class T>
void exact_row(const Variant& v, int64_t O, const T* y, const T* t, int64_t r, std::vector<Real>* gradient,
               std::vector<Real>* gradient_size, Real* value, Real* size) {
    *value = *size = 0;
    if (v.row) {
        const bool sparse = v.spec.kind == Loss::sparse_categorical_crossentropy;
        std::vector<Real> z(y + r * O, y + (r + 1) * O), target(static_cast<size_t>(O));
        for (int64_t j = 0; j < O; ++j) target[size_t(j)] = sparse ? j == int64_t(t[r]) : Real(t[r * O + j]);
        return categorical(z, target, gradient, gradient_size, value, size);
    }
    for (int64_t j = 0; j < O; ++j) {
        const Exact e = elementwise(v.spec, y[r * O + j], t[r * O + j]);
        *value += e.value / O;
        *size += e.size / O;
        (*gradient)[size_t(j)] = e.gradient / O;
        (*gradient_size)[size_t(j)] = e.gradient_size / O;
    }
}

template <class T>
Prepared prepare(const OpTable<T>& ops, const Variant& v, int64_t B, int64_t O) {
    const bool sparse = v.spec.kind == Loss::sparse_categorical_crossentropy;
    const int64_t n = B * O, targets = sparse ? B : n;
    const Arrays<T> a{
        {n, 1, v.low * v.by, v.by}, {targets, 2, 0, sparse ? double(O) : 1}, Buffer<T>(B), Buffer<T>(n), Buffer<T>(n)};
    for (int64_t i = 0; sparse && i < B; ++i) a.t[i] = std::floor(a.t[i]);
    const auto run = [=, &ops] {
        ops.loss({v.spec, B, O, B, a.y.get(), O, a.t.get(), targets / B, nullptr, a.per_row.get(), a.gradient.get(),
                  v.spec.from_logits ? a.probability.get() : nullptr});
    };
    const auto check = [=] {
        run();
        ErrorMeter<T> meter;
        std::vector<Real> gradient(static_cast<size_t>(O)), sizes(static_cast<size_t>(O));
        Real value, size;
        for (int64_t r = 0; r < B; ++r) {
            exact_row(v, O, a.y.get(), a.t.get(), r, &gradient, &sizes, &value, &size);
            meter.add(a.per_row[r], value, size);
            for (int64_t j = 0; j < O; ++j)
                meter.add(a.gradient[r * O + j], gradient[size_t(j)] / B, sizes[size_t(j)] / B);
        }
        return meter.within_relative(ErrorMeter<T>::u * (16 + double(O) / 4));
    };
    return {run, check};
}

template <class T>
void add(const OpTable<T>& ops, std::vector<Case>* cases) {
    for (const Variant& v : kVariants)
        for (const auto& [B, O] :
             {std::pair<int64_t, int64_t>{32, 1}, {128, 10}, {4096, 1}, {4096, 10}, {1024, 1000}}) {
            if (v.row && O == 1) continue;
            const bool sparse = v.spec.kind == Loss::sparse_categorical_crossentropy;
            const double n = double(B * O), targets = sparse ? double(B) : n;
            Work work;
            work.elements = n;
            work.bytes = work.footprint =
                sizeof(T) * (n * (v.spec.from_logits ? 3 : 2) + targets + double(B));  // with the probabilities
            cases->push_back({v.name, dtype_name<T>(), std::to_string(B) + "x" + std::to_string(O), work,
                              [&ops, v, B = B, O = O] { return prepare(ops, v, B, O); }});
        }
}

}  // namespace

void add_loss_cases(const Backend& backend, std::vector<Case>* cases) {
    add(backend.f32, cases);
    add(backend.f64, cases);
}

}  // namespace fastreg
