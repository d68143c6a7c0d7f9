// Operations and a whole training on every table this build can run: the same bits as the scalar table, whatever the
// threads. It must not know Python: it is how a cross-compiled library is tested under an emulator. The last line is a
// count.
//
// `op_test --hash` prints only the digest of a training, for comparison between machines.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/ops.h"
#include "core/runtime.h"
#include "core/session.h"

namespace {

using namespace fastreg;

int g_passed = 0, g_failed = 0;

void check(bool ok, const std::string& what) {
    ok ? ++g_passed : ++g_failed;
    if (!ok) std::printf("FAILED %s\n", what.c_str());
}

void require(const Status& s, const char* what) {
    if (!s.ok()) check(false, std::string(what) + ": " + s.message);
}

// A fixed sequence in [-2, 2): splitmix64.
template <class T>
std::vector<T> numbers(int64_t n, uint64_t seed) {
    std::vector<T> out;
    for (int64_t i = 0; i < n; ++i) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        out.push_back(T(double((z ^ z >> 31) >> 11) * 0x1p-51 - 2.0));
    }
    return out;
}

template <class T>
Matrix view(const char* name, std::vector<T>& v, int64_t rows, int64_t cols) {
    return {name, v.data(), rows, cols, cols, 1, sizeof(T) == 4 ? Dtype::f32 : Dtype::f64};
}

template <class T>
void append(std::vector<unsigned char>* bytes, const std::vector<T>& v) {
    const auto* p = reinterpret_cast<const unsigned char*>(v.data());
    bytes->insert(bytes->end(), p, p + v.size() * sizeof(T));
}

// Everything a dense layer of these sizes computes, as bytes.
template <class T>
std::vector<unsigned char> dense_bytes(int64_t B, int64_t I, int64_t O, Activation kind, double rate) {
    auto x = numbers<T>(B * I, 1), w = numbers<T>(I * O, 2), b = numbers<T>(O, 3), dy = numbers<T>(B * O, 4);
    std::vector<T> y(size_t(B * O)), z(size_t(B * O)), dx(size_t(B * I)), dw(size_t(I * O)), db(static_cast<size_t>(O));
    const ActivationSpec f{kind, 0.3};
    DropoutSpec drop;
    require(make_dropout(rate, 42, 7, 3, &drop), "make_dropout");
    Cancel cancel;
    const Matrix X = view("x", x, B, I), W = view("w", w, I, O), Y = view("y", y, B, O), Z = view("z", z, B, O);
    require(dense_forward(cancel, X, W, view("b", b, 1, O), f, drop, Y, Z), "dense_forward");
    require(dense_backward(cancel, view("dy", dy, B, O), X, W, Y, Z, f, drop, view("dx", dx, B, I),
                           view("dw", dw, I, O), view("db", db, 1, O)),
            "dense_backward");
    std::vector<unsigned char> bytes;
    for (const auto* v : {&y, &z, &dx, &dw, &db}) append(&bytes, *v);
    return bytes;
}

// A training with everything in it: shuffle, dropout, L1, L2, Adam, a partial batch. The weights, as bytes.
template <class T>
std::vector<unsigned char> training_bytes() {
    const int64_t rows = 203, inputs = 13;
    ModelSpec spec;
    spec.input_units = inputs;
    spec.dtype = sizeof(T) == 4 ? Dtype::f32 : Dtype::f64;
    spec.seed = 12345;
    for (const auto& [units, kind] :
         {std::pair{37, Activation::relu}, {19, Activation::tanh}, {1, Activation::sigmoid}}) {
        LayerSpec dense, drop;
        dense.units = units;
        dense.activation.kind = kind;
        dense.kernel_penalty = {1e-3, 1e-3, true};
        spec.layers.push_back(dense);
        drop.kind = LayerKind::dropout;
        drop.rate = 0.25;
        drop.stream = uint32_t(spec.layers.size());
        if (units > 1) spec.layers.push_back(drop);
    }
    std::unique_ptr<Session> session;
    require(Session::create(spec, &session), "create");
    for (size_t i = 0; i < session->parameters().size(); ++i) {
        const ParameterInfo& p = session->parameters()[i];
        std::vector<T> w = numbers<T>(p.rows * p.cols, 100 + i);
        for (T& v : w) v *= T(0.25);
        require(session->set(int64_t(i), -1, w.data()), "set");
    }
    OptimizerSpec adam;
    adam.kind = Optimizer::adam;
    adam.learning_rate = 1e-2;
    LossSpec loss;
    loss.kind = Loss::binary_crossentropy;
    require(session->compile(loss, adam, {}), "compile");
    auto x = numbers<T>(rows * inputs, 5);
    std::vector<T> y;
    for (int64_t r = 0; r < rows; ++r) y.push_back(T(x[size_t(r * inputs)] + x[size_t(r * inputs + 1)] > 0));
    for (int epoch = 0; epoch < 5; ++epoch) {
        Cancel cancel;
        Totals totals;
        require(session->begin_epoch(cancel, {x.data(), y.data(), nullptr, rows, inputs, 1}, 32, true), "begin_epoch");
        require(session->run_steps(cancel, -1, false, &totals), "run_steps");
        check(totals.finished && totals.rows == rows, "an epoch sees every row");
    }
    std::vector<unsigned char> bytes;
    for (size_t i = 0; i < session->parameters().size(); ++i) {
        std::vector<T> w(size_t(session->parameters()[i].rows * session->parameters()[i].cols));
        require(session->get(int64_t(i), -1, w.data()), "get");
        append(&bytes, w);
    }
    return bytes;
}

template <class T>
std::vector<unsigned char> initial_bytes(Initializer kind) {
    const int64_t n = 40001;
    std::vector<unsigned char> bytes(size_t(n) * sizeof(T));
    Cancel cancel;
    const Matrix out{"out", bytes.data(), 1, n, n, 1, sizeof(T) == 4 ? Dtype::f32 : Dtype::f64};
    require(initialize(cancel, kind, -0.3, 0.7, 42, 3, out), "initialize");
    return bytes;
}

uint64_t fnv1a(const std::vector<unsigned char>& bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (unsigned char b : bytes) h = (h ^ b) * 0x100000001b3u;
    return h;
}

void print_hash() {
    std::printf("f32 %016llx f64 %016llx\n", static_cast<unsigned long long>(fnv1a(training_bytes<float>())),
                static_cast<unsigned long long>(fnv1a(training_bytes<double>())));
}

// Runs `make` on the scalar table, then on the others and with other thread counts, and compares.
template <class F>
void same_everywhere(const std::string& what, F make) {
    require(set_isa("scalar"), "set_isa");
    require(set_num_threads(1), "set_num_threads");
    const std::vector<unsigned char> expected = make();
    for (const std::string& isa : build_info().isas_runnable)
        for (int threads : {1, 3}) {
            require(set_isa(isa), "set_isa");
            require(set_num_threads(threads), "set_num_threads");
            check(make() == expected, what + " on " + isa + ", " + std::to_string(threads) + " threads");
        }
}

// Dropout of n elements from flat index `first` on, against the 16-bit halves of the Philox words it promises.
template <class T>
void test_dropout_from(int64_t first, int64_t n) {
    DropoutSpec drop;
    require(make_dropout(0.4, 42, 7, 3, &drop), "make_dropout");
    drop.first = first;
    auto x = numbers<T>(n, 5);
    std::vector<uint32_t> words(size_t(4 * (n / 8 + 2)));
    require(philox(42, 3, 7, uint64_t(first) / 8, n / 8 + 2, 7, words.data()), "philox");
    std::vector<T> expected;
    for (int64_t i = 0; i < n; ++i) {
        const size_t half = size_t(first % 8 + i);
        const uint32_t draw = words[half / 2] >> 16 * (half % 2) & 0xFFFF;
        expected.push_back(draw < drop.keep ? x[size_t(i)] * T(drop.scale) : T(0));
    }
    for (const std::string& isa : build_info().isas_runnable)
        for (int threads : {1, 3}) {
            require(set_isa(isa), "set_isa");
            require(set_num_threads(threads), "set_num_threads");
            std::vector<T> y(static_cast<size_t>(n));
            require(dropout(view("x", x, 1, n), drop, view("y", y, 1, n)), "dropout");
            check(y == expected, "dropout of " + std::to_string(n) + " from " + std::to_string(first) + " on " + isa +
                                     ", " + std::to_string(threads) + " threads");
        }
}

template <class T>
void test_all() {
    const std::string dtype = sizeof(T) == 4 ? " f32" : " f64";
    const int64_t sizes[][3] = {{1, 1, 1},     {7, 3, 5},    {32, 30, 64},   {13, 67, 10},
                                {65, 300, 33}, {2, 1000, 1}, {129, 64, 130}, {1, 771, 333}};
    const Activation kinds[] = {Activation::linear, Activation::relu, Activation::gelu, Activation::selu,
                                Activation::softplus};
    for (const auto& s : sizes)
        for (Activation kind : kinds)
            for (double rate : {0.0, 0.4})
                same_everywhere("dense " + std::to_string(s[0]) + "x" + std::to_string(s[1]) + "x" +
                                    std::to_string(s[2]) + " activation " + std::to_string(int(kind)) + dtype,
                                [&] { return dense_bytes<T>(s[0], s[1], s[2], kind, rate); });
    same_everywhere("training" + dtype, training_bytes<T>);
    for (Initializer kind : {Initializer::uniform, Initializer::normal, Initializer::truncated_normal})
        same_everywhere("initial weights of kind " + std::to_string(int(kind)) + dtype,
                        [&] { return initial_bytes<T>(kind); });
    const int64_t wrap = int64_t(1) << 35;  // where the low word of a block's number wraps
    for (int64_t first : {int64_t(0), int64_t(3), int64_t(8), wrap - 5000, wrap - 4096, wrap - 1001, wrap - 8, wrap})
        for (int64_t n : {100, 600, 20000}) test_dropout_from<T>(first, n);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "--hash") == 0) {
        print_hash();
        return g_failed != 0;
    }
    test_all<float>();
    test_all<double>();
    std::printf("%d passed, %d failed\n", g_passed, g_failed);
    return g_failed != 0;
}
