// A case: a kernel at one size, the least work it takes, and how far its results are from an exact evaluation.
// It must not know which kernels there are, nor time.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/op_table.h"

namespace fastreg {

// The least work of one call, as its formula asks for it, not as the kernel does it. Operations of one lane.
struct Work {
    double fma = 0, divide = 0, root = 0, wide_multiply = 0;
    double bytes = 0;      // read once and written once
    double footprint = 0;  // bytes touched: they decide which cache the bytes come from
    double elements = 0;   // 0: time per element says nothing
};

struct Error {
    double relative = 0;  // largest |got - exact| / size of the terms that exact is the sum of
    double ulp = 0;       // largest |got - exact| in units of the last place of exact, where no 4 bits cancelled
    double limit = 0;     // what the relative error, or the ulp where ulp_limit, may not exceed
    bool ulp_limit = false;
    std::string broken;  // what else is wrong
    std::string note;

    bool ok() const { return broken.empty() && (ulp_limit ? ulp : relative) <= limit; }
};

struct Prepared {
    std::function<void()> run;
    std::function<Error()> check;  // called once, before the first run
};

struct Case {
    std::string kernel, dtype, size;
    Work work;
    std::function<Prepared()> prepare;  // takes the memory
};

// Collects errors of a dtype. u: half the distance of 1 to its neighbour.
template <class T>
class ErrorMeter {
public:
    static constexpr double u = std::numeric_limits<T>::epsilon() / 2;

    void add(long double got, long double exact, long double size) {
        const long double error = std::fabs(got - exact);
        if (!(error < std::numeric_limits<long double>::infinity())) {
            error_.broken = "not finite";
            return;
        }
        if (error == 0) return;
        error_.relative = std::max(error_.relative, double(error / size));
        if (std::fabs(exact) * 16 < size) return;
        const long double least = std::numeric_limits<T>::min();
        const int exponent = std::ilogb(std::max(std::fabs(exact), least));
        error_.ulp = std::max(error_.ulp, double(std::ldexp(error, std::numeric_limits<T>::digits - 1 - exponent)));
    }
    void expect(bool holds, const char* what) {
        if (!holds) error_.broken = what;
    }
    void note(std::string text) { error_.note = std::move(text); }

    Error within_relative(double limit) { return with(limit, false); }
    Error within_ulp(double limit) { return with(limit, true); }

private:
    Error with(double limit, bool ulp) {
        error_.limit = limit;
        error_.ulp_limit = ulp;
        return error_;
    }
    Error error_;
};

// n numbers of T, 64-byte aligned, as in the library's arenas; shared by the closures of a case.
template <class T>
class Buffer {
public:
    explicit Buffer(int64_t n) : n_(n) {
        void* p = std::aligned_alloc(64, (size_t(n) * sizeof(T) + 64) / 64 * 64);
        if (!p) throw std::bad_alloc();
        memory_.reset(static_cast<T*>(p), [](T* q) { std::free(q); });
        for (int64_t i = 0; i < n; ++i) memory_.get()[i] = T(0);
    }
    // low + (high - low) * splitmix64 in [0, 1)
    Buffer(int64_t n, uint64_t seed, double low, double high) : Buffer(n) {
        for (int64_t i = 0; i < n; ++i) {
            uint64_t z = seed += 0x9E3779B97F4A7C15u;
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
            z = (z ^ z >> 27) * 0x94D049BB133111EBu;
            (*this)[i] = T(low + (high - low) * double((z ^ z >> 31) >> 11) * 0x1p-53);
        }
    }
    T* get() const { return memory_.get(); }
    T& operator[](int64_t i) const { return memory_.get()[i]; }
    std::vector<T> copy() const { return std::vector<T>(get(), get() + n_); }

private:
    std::shared_ptr<T> memory_;
    int64_t n_;
};

// f(i) for all i < n, or for about `most` of them, spread out, the last one included.
template <class F>
void sample(int64_t n, int64_t most, F f) {
    const int64_t stride = n <= most ? 1 : n / most | 1;
    for (int64_t i = 0; i < n; i += stride) f(i);
    if (stride > 1) f(n - 1);
}

template <class T>
constexpr const char* dtype_name() {
    return sizeof(T) == 4 ? "f32" : "f64";
}

const Backend& scalar_table();

void add_dense_cases(const Backend& backend, std::vector<Case>* cases);
void add_elementwise_cases(const Backend& backend, std::vector<Case>* cases);
void add_data_cases(const Backend& backend, std::vector<Case>* cases);
void add_update_cases(const Backend& backend, std::vector<Case>* cases);
void add_loss_cases(const Backend& backend, std::vector<Case>* cases);

}  // namespace fastreg
