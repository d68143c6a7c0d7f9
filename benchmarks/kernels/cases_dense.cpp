// Dense forward, dX and dW, bare, with ReLU and dropout in the epilogue, and with many zeros in the first operand,
// against sums in long double.
// It must not know time. Dimensions: B batch, I inputs, O outputs.
#include <tuple>

#include "case.h"
#include "core/context.h"
#include "core/dropout_spec.h"

namespace fastreg {
namespace {

struct Shape {
    int64_t B, I, O;
};

// The seed and the wide net's layers, one row, odd sizes, and large squares.
constexpr Shape kShapes[] = {{1, 16, 16},     {1, 512, 512},      {7, 3, 5},         {13, 67, 10},    {32, 30, 64},
                             {32, 64, 64},    {32, 64, 1},        {65, 300, 33},     {128, 784, 512}, {128, 512, 512},
                             {128, 512, 10},  {129, 257, 513},    {256, 256, 256},   {512, 512, 512}, {1024, 100, 1024},
                             {1024, 1024, 1}, {1024, 1024, 1024}, {4096, 1024, 1024}};
constexpr int64_t kChecked = 1024;  // outputs of a large product that are checked

// A chain of K FMAs in blocks of 256, the block sums added, then bias and scale: so many roundings on the longest way.
double rounding_steps(int64_t K) { return double(std::min<int64_t>(K, 256) + (K + 255) / 256 + 3); }

// sum_k x[k * xs] w[k * ws], and the sum of the absolute products.
struct Dot {
    long double sum = 0, size = 0;
};
template <class T>
Dot dot(int64_t K, const T* x, int64_t xs, const T* w, int64_t ws) {
    Dot d;
    for (int64_t k = 0; k < K; ++k) {
        const long double p = static_cast<long double>(x[k * xs]) * w[k * ws];
        d.sum += p;
        d.size += std::fabs(p);
    }
    return d;
}

// Which of n elements dropout keeps, by the scalar table.
std::vector<uint8_t> kept(int64_t n, const DropoutSpec& d) {
    std::vector<uint8_t> mask(static_cast<size_t>(n), 1);
    if (d.keep < 65536) scalar_table().dropout_mask(n, d, false, mask.data());
    return mask;
}

template <class T>
struct Operands {
    Shape s;
    Buffer<T> X, W, b, Y, dZ, dX, dW, db;
    Cancel cancel;
    // zeros: what share of X and dZ is 0, as behind relu and dropout.
    Operands(const Shape& shape, double zeros)
        : s(shape),
          X(s.B * s.I, 1, -1, 1),
          W(s.I * s.O, 2, -1, 1),
          b(s.O, 3, -1, 1),
          Y(s.B * s.O),
          dZ(s.B * s.O, 4, -1, 1),
          dX(s.B * s.I),
          dW(s.I * s.O),
          db(s.O) {
        for (auto [buffer, n, seed] : {std::tuple{&X, s.B * s.I, 5}, std::tuple{&dZ, s.B * s.O, 6}}) {
            const std::vector<uint8_t> mask = kept(n, dropout_spec(zeros, uint64_t(seed), 0, 0));
            for (int64_t i = 0; i < n; ++i) (*buffer)[i] *= T(mask[size_t(i)]);
        }
    }
};

template <class T>
Prepared forward(const OpTable<T>& ops, const Shape& s, bool epilogue, double zeros = 0) {
    auto m = std::make_shared<Operands<T>>(s, zeros);
    const DropoutSpec d = epilogue ? dropout_spec(0.3, 42, 1, 7) : DropoutSpec{};
    const ActivationSpec f{epilogue ? Activation::relu : Activation::linear, 0};
    const auto run = [m, s, f, d, &ops] {
        ops.dense_forward(
            m->cancel,
            {s.B, s.I, s.O, {m->X.get(), s.I, 1}, {m->W.get(), s.O, 1}, m->b.get(), f, d, m->Y.get(), s.O, nullptr, 0});
    };
    const auto check = [m, s, d, epilogue, run] {
        run();
        const std::vector<uint8_t> mask = kept(s.B * s.O, d);
        ErrorMeter<T> meter;
        sample(s.B * s.O, kChecked, [&](int64_t i) {
            const int64_t r = i / s.O, c = i % s.O;
            const Dot xw = dot(s.I, m->X.get() + r * s.I, 1, m->W.get() + c, s.O);
            long double y = xw.sum + m->b[c];
            if (epilogue) y = std::max(y, 0.0L);
            y = mask[size_t(i)] ? y * d.scale : 0.0L;
            meter.add(m->Y[i], y, (xw.size + std::fabs(m->b[c])) * d.scale);
        });
        return meter.within_relative(ErrorMeter<T>::u * rounding_steps(s.I));
    };
    return {run, check};
}

// The epilogue: through the ReLU and the dropout of the layer whose output, half of it zeros, X is.
template <class T>
Prepared backward_x(const OpTable<T>& ops, const Shape& s, bool epilogue, double zeros = 0) {
    auto m = std::make_shared<Operands<T>>(s, zeros);
    const DropoutSpec d = dropout_spec(0.3, 42, 1, 7);
    for (int64_t i = 0; i < s.B * s.I; ++i) m->X[i] = std::max(m->X[i], T(0));
    auto producer =
        std::make_shared<LayerGradient<T>>(LayerGradient<T>{{Activation::relu, 0}, d, m->X.get(), s.I, nullptr, 0});
    const auto run = [m, s, producer, epilogue, &ops] {
        ops.dense_backward_x(m->cancel, {s.B,
                                         s.I,
                                         s.O,
                                         {m->dZ.get(), s.O, 1},
                                         {m->W.get(), s.O, 1},
                                         m->dX.get(),
                                         s.I,
                                         epilogue ? producer.get() : nullptr});
    };
    const auto check = [m, s, d, epilogue, run] {
        run();
        ErrorMeter<T> meter;
        sample(s.B * s.I, kChecked, [&](int64_t i) {
            const int64_t r = i / s.I, c = i % s.I;
            const Dot zw = dot(s.O, m->dZ.get() + r * s.O, 1, m->W.get() + c * s.O, 1);
            const long double through = !epilogue ? 1.0L : m->X[i] > 0 ? static_cast<long double>(d.scale) : 0.0L;
            meter.add(m->dX[i], zw.sum * through, zw.size * (epilogue ? d.scale : 1.0));
        });
        return meter.within_relative(ErrorMeter<T>::u * rounding_steps(s.O));
    };
    return {run, check};
}

template <class T>
Prepared backward_w(const OpTable<T>& ops, const Shape& s, double zeros = 0) {
    auto m = std::make_shared<Operands<T>>(s, zeros);
    const auto run = [m, s, &ops] {
        const DenseBackwardW<T> layer{s.B,         s.I, s.O,        {m->X.get(), s.I, 1}, {m->dZ.get(), s.O, 1},
                                      m->dW.get(), s.O, m->db.get()};
        ops.dense_backward_w(m->cancel, &layer, 1);
    };
    const auto check = [m, s, run] {
        run();
        ErrorMeter<T> meter;
        sample(s.I * s.O, kChecked, [&](int64_t i) {
            const Dot xz = dot(s.B, m->X.get() + i / s.O, s.I, m->dZ.get() + i % s.O, s.O);
            meter.add(m->dW[i], xz.sum, xz.size);
        });
        const T one = 1;
        sample(s.O, kChecked, [&](int64_t c) {
            const Dot z = dot(s.B, m->dZ.get() + c, s.O, &one, 0);
            meter.add(m->db[c], z.sum, z.size);
        });
        return meter.within_relative(ErrorMeter<T>::u * rounding_steps(s.B));
    };
    return {run, check};
}

template <class T>
void add(const OpTable<T>& ops, std::vector<Case>* cases) {
    for (const Shape& s : kShapes) {
        const std::string size = std::to_string(s.B) + "x" + std::to_string(s.I) + "x" + std::to_string(s.O);
        const double B = double(s.B), I = double(s.I), O = double(s.O);
        Work work;
        work.fma = B * I * O;
        work.bytes = work.footprint = sizeof(T) * (B * I + I * O + B * O);
        Work forward_work = work, x_work = work;
        forward_work.wide_multiply = B * O * 1.75;  // 7 rounds of 2 decide 8 elements
        x_work.bytes = x_work.footprint = work.bytes + sizeof(T) * B * I;
        const char* type = dtype_name<T>();
        cases->push_back({"dense forward", type, size, work, [&ops, s] { return forward(ops, s, false); }});
        cases->push_back(
            {"dense forward relu dropout", type, size, forward_work, [&ops, s] { return forward(ops, s, true); }});
        cases->push_back({"dense dX", type, size, work, [&ops, s] { return backward_x(ops, s, false); }});
        cases->push_back({"dense dX relu dropout", type, size, x_work, [&ops, s] { return backward_x(ops, s, true); }});
        cases->push_back({"dense dW db", type, size, work, [&ops, s] { return backward_w(ops, s); }});
        // Speeds of these count the multiply-adds that are left.
        constexpr double kZeros = 0.65;
        if (s.B < 8 || s.I < 64 || s.O < 64) continue;
        Work sparse = work;
        sparse.fma *= 1 - kZeros;
        cases->push_back(
            {"dense forward zeros", type, size, sparse, [&ops, s] { return forward(ops, s, false, kZeros); }});
        cases->push_back(
            {"dense dX zeros", type, size, sparse, [&ops, s] { return backward_x(ops, s, false, kZeros); }});
        cases->push_back({"dense dW db zeros", type, size, sparse, [&ops, s] { return backward_w(ops, s, kZeros); }});
    }
}

}  // namespace

void add_dense_cases(const Backend& backend, std::vector<Case>* cases) {
    add(backend.f32, cases);
    add(backend.f64, cases);
}

}  // namespace fastreg
