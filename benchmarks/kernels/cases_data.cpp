// What is done to whole arrays: penalty value, gather of a batch, shuffle. Against plain evaluations.
// It must not know time.
#include <algorithm>

#include "case.h"
#include "core/context.h"

namespace fastreg {
namespace {

template <class T>
void add_penalty(const OpTable<T>& ops, const std::vector<int>& powers, std::vector<Case>* cases) {
    for (const int p : powers) {
        const int64_t n = int64_t(1) << p;
        Work work;
        work.elements = double(n);
        work.bytes = work.footprint = sizeof(T) * double(n);  // only read
        cases->push_back({"penalty value", dtype_name<T>(), "2^" + std::to_string(p), work, [&ops, n]() -> Prepared {
                              const Buffer<T> w(n, 1, -1, 1);
                              auto value = std::make_shared<double>();
                              const auto run = [=, &ops] { *value = ops.penalty(w.get(), n, 1e-3, 1e-2); };
                              const auto check = [=] {
                                  run();
                                  long double exact = 0;
                                  for (int64_t i = 0; i < n; ++i)
                                      exact += 1e-3L * std::fabs(w[i]) + 1e-2L * w[i] * w[i];
                                  ErrorMeter<T> meter;
                                  meter.add(*value, exact, exact);
                                  return meter.within_relative(264 * ErrorMeter<T>::u);  // 4096 terms in 16 lanes of T
                              };
                              return {run, check};
                          }});
    }
}

// Batch after batch of a shuffled data set, as an epoch does.
template <class T>
void add_gather(const Backend& backend, std::vector<Case>* cases) {
    struct Set {
        int64_t rows, cols, batch;
    };
    for (const Set s : {Set{16000, 30, 32}, Set{12800, 784, 128}}) {
        Work work;
        work.elements = double(s.batch * s.cols);
        work.bytes = 2 * sizeof(T) * work.elements;
        work.footprint = double(sizeof(T)) * double(s.rows * s.cols);
        cases->push_back({"gather", dtype_name<T>(), std::to_string(s.batch) + "x" + std::to_string(s.cols), work,
                          [&backend, s]() -> Prepared {
                              const Buffer<T> x(s.rows * s.cols, 1, -1, 1), out(s.batch * s.cols);
                              const Buffer<uint32_t> order(s.rows), scratch(3 * s.rows);
                              Cancel never;
                              backend.permutation(never, s.rows, 42, 0, order.get(), scratch.get());
                              auto first = std::make_shared<int64_t>(0);
                              const auto& ops = backend.table<T>();
                              const auto run = [=, &ops] {
                                  const Gather<T> batch{x.get(), s.cols, order.get() + *first, s.batch, out.get()};
                                  ops.gather(&batch, 1);
                                  *first = *first + 2 * s.batch > s.rows ? 0 : *first + s.batch;
                              };
                              const auto check = [=] {
                                  run();
                                  bool same = true;
                                  for (int64_t i = 0; i < s.batch * s.cols; ++i)
                                      same &= out[i] == x[order[i / s.cols] * s.cols + i % s.cols];
                                  ErrorMeter<T> meter;
                                  meter.expect(same, "a row is not the one asked for");
                                  return meter.within_relative(0);
                              };
                              return {run, check};
                          }});
    }
}

void add_permutation(const Backend& backend, std::vector<Case>* cases) {
    for (const int64_t n : {1024, 16000, 1 << 20}) {
        Work work;
        work.elements = double(n);
        work.wide_multiply = 5 * double(n);  // 10 rounds of 2 make 4 keys
        work.bytes = 4 * double(n);          // the order; a sort's passes are its own affair
        work.footprint = 16 * double(n);
        cases->push_back({"permutation", "u32", std::to_string(n), work, [&backend, n]() -> Prepared {
                              const Buffer<uint32_t> order(n), scratch(3 * n);
                              const auto run = [=, &backend] {
                                  Cancel never;
                                  backend.permutation(never, n, 42, 0, order.get(), scratch.get());
                              };
                              const auto check = [=] {
                                  run();
                                  std::vector<uint32_t> sorted = order.copy();
                                  const Buffer<uint32_t> other(n);
                                  Cancel never;
                                  scalar_table().permutation(never, n, 42, 0, other.get(), scratch.get());
                                  ErrorMeter<float> meter;
                                  meter.expect(sorted == other.copy(), "the order differs from the scalar table");
                                  std::sort(sorted.begin(), sorted.end());
                                  bool all = true;
                                  for (size_t i = 0; i < sorted.size(); ++i) all &= sorted[i] == i;
                                  meter.expect(all, "not a permutation");
                                  return meter.within_relative(0);
                              };
                              return {run, check};
                          }});
    }
}

}  // namespace

void add_data_cases(const Backend& backend, std::vector<Case>* cases) {
    add_penalty(backend.f32, {12, 16, 20, 24}, cases);
    add_penalty(backend.f64, {12, 20}, cases);
    add_gather<float>(backend, cases);
    add_gather<double>(backend, cases);
    add_permutation(backend, cases);
}

}  // namespace fastreg
