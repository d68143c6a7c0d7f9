// Dropout, activations, functions, prox and softmax, against plain evaluations.
// It must not know time.
#include <algorithm>

#include "case.h"
#include "core/dropout_spec.h"

namespace fastreg {
namespace {

using Real = long double;

constexpr int64_t kChecked = 65536;

std::string power(int p) { return "2^" + std::to_string(p); }

// n elements read and written once.
template <class T>
Work map_work(double n) {
    Work w;
    w.elements = n;
    w.bytes = w.footprint = 2 * sizeof(T) * n;
    return w;
}

template <class T>
void add_dropout(const OpTable<T>& ops, const std::vector<int>& powers, std::vector<Case>* cases) {
    for (const int p : powers) {
        const int64_t n = int64_t(1) << p;
        Work work = map_work<T>(double(n));
        work.wide_multiply = 1.75 * double(n);  // 7 rounds of 2 decide 8 elements
        cases->push_back({"dropout", dtype_name<T>(), power(p), work, [&ops, n]() -> Prepared {
                              const Buffer<T> x(n, 1, 0.5, 1), y(n);
                              const DropoutSpec d = dropout_spec(0.2, 42, 1, 7);
                              const auto run = [=, &ops] { ops.dropout({1, n, x.get(), n, y.get(), n}, d); };
                              const auto check = [=] {
                                  run();
                                  std::vector<uint8_t> mask(static_cast<size_t>(n));
                                  scalar_table().dropout_mask(n, d, false, mask.data());
                                  ErrorMeter<T> meter;
                                  int64_t kept = 0, wrong = 0;
                                  for (int64_t i = 0; i < n; ++i) {
                                      kept += mask[size_t(i)];
                                      wrong += (y[i] != 0) != (mask[size_t(i)] != 0);
                                  }
                                  sample(n, kChecked, [&](int64_t i) {
                                      const Real exact = mask[size_t(i)] ? Real(x[i]) * d.scale : Real(0);
                                      meter.add(y[i], exact, std::fabs(exact));
                                  });
                                  const double chance = d.keep / 65536.0, share = double(kept) / double(n);
                                  meter.expect(wrong == 0, "decisions differ from the scalar table");
                                  meter.expect(
                                      std::fabs(share - chance) < 5 * std::sqrt(chance * (1 - chance) / double(n)),
                                      "the share kept is off");
                                  meter.note("kept " + std::to_string(share));
                                  return meter.within_relative(2 * ErrorMeter<T>::u);
                              };
                              return {run, check};
                          }});
    }
}

// y = f(x): run(x, y, n) against exact(x), within ulp_limit.
template <class T, class Run>
Case map_case(const std::string& name, int p, double low, double high, double divides, double ulp_limit, Run run_map,
              Real (*exact)(Real)) {
    const int64_t n = int64_t(1) << p;
    Work work = map_work<T>(double(n));
    work.divide = divides * double(n);
    return {name, dtype_name<T>(), power(p), work, [=]() -> Prepared {
                const Buffer<T> x(n, 1, low, high), y(n);
                const auto run = [=] { run_map(x.get(), y.get(), n); };
                const auto check = [=] {
                    run();
                    ErrorMeter<T> meter;
                    sample(n, kChecked, [&](int64_t i) {
                        const Real e = exact(x[i]);
                        meter.add(y[i], e, std::fabs(e));
                    });
                    return meter.within_ulp(ulp_limit);
                };
                return {run, check};
            }};
}

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }
Real softplus(Real x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::fabs(x))); }
Real norm_cdf(Real x) { return std::erfc(-x * std::sqrt(0.5L)) / 2; }

constexpr double kPlain = 0.5, kSlack = 1;  // the rounding of one operation; what the operations after f add

struct Function {
    const char* name;
    MathFunction function;
    double low, high, divides, ulp;  // the bounds that rules/mathfn.h states
    Real (*exact)(Real);
};
constexpr Function kFunctions[] = {
    {"exp", MathFunction::exp, -8, 8, 0, 1.1, [](Real x) { return std::exp(x); }},
    {"expm1", MathFunction::expm1, -8, 8, 0, 1.8, [](Real x) { return std::expm1(x); }},
    {"log", MathFunction::log, 1e-6, 8, 0, 1.0, [](Real x) { return std::log(x); }},
    {"log1p", MathFunction::log1p, -0.9, 8, 0, 1.5, [](Real x) { return std::log1p(x); }},
    {"norm_cdf", MathFunction::norm_cdf, -5, 5, 0, 8.0, norm_cdf}};

struct Rule {
    const char* name;
    Activation kind;
    double divides, ulp;
    Real (*exact)(Real);
};
// alpha is 0.25. The relative error of gelu_tanh for z near -8 is that of e^-50.
constexpr Rule kRules[] = {
    {"relu", Activation::relu, 0, 0, [](Real x) { return std::max(x, 0.0L); }},
    {"leaky_relu", Activation::leaky_relu, 0, kPlain, [](Real x) { return x > 0 ? x : 0.25L * x; }},
    {"elu", Activation::elu, 0, 1.8 + kSlack, [](Real x) { return x > 0 ? x : 0.25L * std::expm1(x); }},
    {"selu", Activation::selu, 0, 1.8 + 2 * kSlack,
     [](Real x) { return 1.0507009873554805L * (x > 0 ? x : 1.6732632423543772L * std::expm1(x)); }},
    {"gelu", Activation::gelu, 0, 8 + kSlack, [](Real x) { return x * norm_cdf(x); }},
    {"gelu_tanh", Activation::gelu_tanh, 1, 128,
     [](Real x) { return x * sigmoid(2 * 0.797884560802865355879892L * (x + 0.044715L * x * x * x)); }},
    {"silu", Activation::silu, 1, 2.5 + kSlack, [](Real x) { return x * sigmoid(x); }},
    {"tanh", Activation::tanh, 1, 1.7, [](Real x) { return std::tanh(x); }},
    {"sigmoid", Activation::sigmoid, 1, 2.5, sigmoid},
    {"softplus", Activation::softplus, 0, 3.0, softplus}};

template <class T>
void add_maps(const OpTable<T>& ops, const std::vector<int>& powers, std::vector<Case>* cases) {
    for (const int p : powers) {
        for (const Function& f : kFunctions)
            cases->push_back(map_case<T>(
                std::string("math ") + f.name, p, f.low, f.high, f.divides, f.ulp,
                [&ops, function = f.function](const T* x, T* y, int64_t n) { ops.math(function, x, y, n); }, f.exact));
        for (const Rule& r : kRules)
            cases->push_back(map_case<T>(
                std::string("activation ") + r.name, p, -8, 8, r.divides, r.ulp,
                [&ops, kind = r.kind](const T* x, T* y, int64_t n) {
                    ops.activation_forward({1, n, x, n, y, n}, {kind, 0.25});
                },
                r.exact));
        cases->push_back(map_case<T>(
            "prox", p, -1, 1, 0, 2, [&ops](const T* x, T* y, int64_t n) { ops.prox({1, n, x, n, y, n}, 0.5, 1, 0.5); },
            [](Real x) { return std::copysign(std::max(std::fabs(x) - 0.25L, 0.0L), x) / 2; }));
    }
}

template <class T>
void add_softmax(const OpTable<T>& ops, std::vector<Case>* cases) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{128, 10}, {1024, 1000}})
        cases->push_back({"activation softmax", dtype_name<T>(), std::to_string(rows) + "x" + std::to_string(cols),
                          map_work<T>(double(rows * cols)), [&ops, rows = rows, cols = cols]() -> Prepared {
                              const Buffer<T> x(rows * cols, 1, -8, 8), y(rows * cols);
                              const auto run = [=, &ops] {
                                  ops.activation_forward({rows, cols, x.get(), cols, y.get(), cols},
                                                         {Activation::softmax, 0});
                              };
                              const auto check = [=] {
                                  run();
                                  ErrorMeter<T> meter;
                                  for (int64_t r = 0; r < rows; ++r) {
                                      const T *xr = x.get() + r * cols, *yr = y.get() + r * cols;
                                      const Real top = *std::max_element(xr, xr + cols);
                                      Real sum = 0;
                                      for (int64_t j = 0; j < cols; ++j) sum += std::exp(xr[j] - top);
                                      for (int64_t j = 0; j < cols; ++j) {
                                          const Real e = std::exp(xr[j] - top) / sum;
                                          meter.add(yr[j], e, e);
                                      }
                                  }
                                  // x - top rounds: up to 8 u after exp; the sum's chain is cols / 16 long
                                  return meter.within_relative(ErrorMeter<T>::u * (16 + double(cols) / 16));
                              };
                              return {run, check};
                          }});
}

}  // namespace

void add_elementwise_cases(const Backend& backend, std::vector<Case>* cases) {
    add_dropout(backend.f32, {12, 14, 16, 18, 20, 22, 24}, cases);
    add_dropout(backend.f64, {12, 20}, cases);
    add_maps(backend.f32, {14, 24}, cases);
    add_maps(backend.f64, {14}, cases);
    add_softmax(backend.f32, cases);
    add_softmax(backend.f64, cases);
}

}  // namespace fastreg
