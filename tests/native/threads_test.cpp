// Sessions and operations called by several threads of the host at once, while another changes the pool's threads: the
// bits of each called alone; and a training that is stopped by an exception while threads are at work. `make test-tsan`
// runs it under ThreadSanitizer. The last line is a count. It must not know anything but the C interface.
#include <fastreg/fastreg.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kInputs = 30, kRows = 512, kElements = 200000;
constexpr int kCallers = 3, kRounds = 4;

void require(fr_status status) {
    if (status == FR_OK) return;
    std::printf("FAILED %s\n", fr_last_error());
    std::exit(1);
}

struct Training {
    fr_session* session = nullptr;
    std::vector<float> x, y;
    int64_t batch;

    Training(int64_t width, int64_t batch);
    ~Training() { fr_session_destroy(session); }
    fr_status epoch() {
        return fr_session_train_epoch_f32(session, x.data(), y.data(), nullptr, kRows, batch, 1, nullptr);
    }
};

Training::Training(int64_t width, int64_t rows_of_batch) : batch(rows_of_batch) {
    fr_layer layers[] = {FR_LAYER_INIT(FR_DENSE), FR_LAYER_INIT(FR_DROPOUT), FR_LAYER_INIT(FR_DENSE),
                         FR_LAYER_INIT(FR_DENSE)};
    layers[0].units = layers[2].units = width;
    layers[0].activation = layers[2].activation = FR_RELU;
    layers[0].kernel_penalty.l1 = 1e-4;
    layers[1].rate = 0.5;
    layers[2].kernel_penalty.l2 = 1e-4;
    layers[3].units = 1;
    layers[3].activation = FR_SIGMOID;
    const fr_loss loss = FR_LOSS_INIT(FR_BINARY_CROSSENTROPY);
    const fr_optimizer adam = FR_OPTIMIZER_INIT(FR_ADAM, 1e-3);
    for (int64_t i = 0; i < kRows * kInputs; ++i) x.push_back(float(i * 37 % 1009) / 500.0f - 1.0f);
    for (int64_t r = 0; r < kRows; ++r) y.push_back(x[size_t(r * kInputs)] > 0 ? 1.0f : 0.0f);

    require(fr_session_create(layers, 4, kInputs, FR_F32, 7, &session));
    require(fr_session_compile(session, &loss, &adam));
}

// What a training of a network of that width predicts.
std::vector<float> trained(int64_t width, int64_t batch) {
    Training training(width, batch);
    for (int epoch = 0; epoch < 2; ++epoch) require(training.epoch());
    std::vector<float> out(kRows);
    require(fr_session_predict_f32(training.session, training.x.data(), kRows, out.data()));
    return out;
}

// Whether an exception of poll ends a call, and the session goes on without it.
bool stops_by_exception() {
    Training training(1024, 2);  // an epoch takes far longer than the 20 ms between polls
    const auto poll = [](void*) -> int { throw std::runtime_error("stop"); };
    require(fr_session_set_cancel(training.session, poll, nullptr));
    fr_status status = FR_OK;
    for (int epoch = 0; epoch < 100 && status == FR_OK; ++epoch) status = training.epoch();
    require(fr_session_set_cancel(training.session, nullptr, nullptr));
    return status == FR_CANCELLED && training.epoch() == FR_OK;
}

std::vector<float> dropped() {
    std::vector<float> x(kElements, 1.0f), out(kElements);
    require(fr_dropout_f32(x.data(), kElements, 0.5, 3, 1, 2, out.data()));
    return out;
}

}  // namespace

int main() {
    const auto small = [] { return trained(64, 32); };    // threads share the rows of a batch
    const auto large = [] { return trained(512, 256); };  // they share each operation
    require(fr_set_num_threads(1));
    const std::vector<float> small_alone = small(), large_alone = large(), dropped_alone = dropped();

    std::atomic<int> passed{0}, failed{0};
    const auto check = [&](bool ok) { ++(ok ? passed : failed); };
    require(fr_set_num_threads(3));
    check(stops_by_exception());
    std::atomic<bool> finished{false};
    std::thread resizing([&] {
        for (int i = 0; !finished; ++i) {
            require(fr_set_num_threads(1 + i % 4));
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
        }
    });
    std::vector<std::thread> callers;
    for (int caller = 0; caller < kCallers; ++caller)
        callers.emplace_back([&, caller] {
            for (int round = 0; round < kRounds; ++round) {
                check(caller == 0 ? large() == large_alone : small() == small_alone);
                check(dropped() == dropped_alone);
            }
        });
    for (std::thread& caller : callers) caller.join();
    finished = true;
    resizing.join();
    std::printf("%d passed, %d failed\n", int(passed), int(failed));
    return failed == 0 ? 0 : 1;
}
