// A lasso regression in C++17 whose parameters and gradients are its own: fastreg supplies the kernels. The fused update
// makes the weights of useless columns exactly 0.
#include <fastreg/fastreg.h>

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

namespace {

void check(fr_status status) {
    if (status != FR_OK) throw std::runtime_error(fr_last_error());
}

// A parameter with its optimizer's memory.
struct Parameter {
    std::vector<float> w, g;
    std::vector<std::vector<float>> memory;
    std::vector<float*> slots;

    Parameter(size_t n, const fr_optimizer& optimizer) : w(n), g(n) {
        for (int i = 0; i < fr_n_slots(&optimizer); ++i) memory.emplace_back(n);
        for (auto& m : memory) slots.push_back(m.data());
    }

    double step(const fr_optimizer& optimizer, std::int64_t t, const fr_penalty* penalty) {
        double value = 0;
        check(fr_update_f32(&optimizer, w.data(), g.data(), slots.data(), static_cast<std::int64_t>(w.size()), t,
                            penalty, &value));
        return value;
    }
};

void run() {
    constexpr std::int64_t rows = 512, columns = 40, used = 5;
    std::vector<float> x(rows * columns), noise(rows), y(rows), z(rows), dz(rows), per_row(rows);
    check(fr_initialize_f32(FR_NORMAL, 0, 1, 1, 0, rows * columns, x.data()));
    check(fr_initialize_f32(FR_NORMAL, 0, 0.1, 1, 1, rows, noise.data()));
    for (std::int64_t i = 0; i < rows; ++i) {  // the first five columns decide
        y[i] = noise[i] + 0.5f;
        for (std::int64_t j = 0; j < used; ++j) y[i] += x[i * columns + j] * static_cast<float>(j + 1) / used;
    }

    fr_optimizer momentum = FR_OPTIMIZER_INIT(FR_SGD, 0.02);
    momentum.momentum = 0.9;
    const fr_penalty lasso = {0.1, 0.0, 0};
    const fr_loss squares = FR_LOSS_INIT(FR_MEAN_SQUARED_ERROR);
    Parameter weights(columns, momentum), bias(1, momentum);
    double mean = 0, penalty = 0;
    for (std::int64_t t = 1; t <= 500; ++t) {
        check(fr_dense_forward_f32(rows, columns, 1, x.data(), columns, 1, weights.w.data(), 1, 1, bias.w.data(),
                                   nullptr, z.data(), 1, nullptr, 0));
        check(fr_loss_f32(rows, 1, y.data(), 1, z.data(), 1, nullptr, &squares, per_row.data(), dz.data(), &mean));
        check(fr_dense_backward_f32(rows, columns, 1, dz.data(), 1, x.data(), columns, 1, weights.w.data(), 1, 1,
                                    z.data(), 1, nullptr, 0, nullptr, nullptr, 0, weights.g.data(), 1, bias.g.data()));
        penalty = weights.step(momentum, t, &lasso);
        bias.step(momentum, t, nullptr);
    }

    std::int64_t zeros = 0;
    for (std::int64_t j = used; j < columns; ++j) zeros += weights.w[j] == 0.0f;
    std::printf("loss %.4f + penalty %.4f\n", mean, penalty);
    std::printf("weights of the columns that decide:");
    for (std::int64_t j = 0; j < used; ++j) std::printf(" %.3f", weights.w[j]);
    std::printf("\nexactly 0 among the other %d: %d\n", int(columns - used), int(zeros));
    if (zeros < columns - used) throw std::runtime_error("a useless column has a weight");
    for (std::int64_t j = 0; j < used; ++j)  // the lasso shrinks each by about l1 / 2
        if (std::fabs(weights.w[j] - (static_cast<float>(j + 1) / used - 0.05f)) > 0.03f)
            throw std::runtime_error("a weight is not where the lasso puts it");
}

}  // namespace

int main() {
    try {
        run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
