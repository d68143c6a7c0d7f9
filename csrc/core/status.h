// Status: how every fallible function of the core answers. No printing, no aborting, and one exception: OutOfMemory of
// queue.h, a bad_alloc, which the two borders, capi/guard.h and python/errors.h, turn into an answer.
// It must not know who will show the message.
#pragma once
#include <string>
#include <utility>

#define FASTREG_API __attribute__((visibility("default")))

// After the declaration of a C++ function that the Python module calls. The library exports names in fr_ alone; these
// are no part of its interface and may change at any time.
#define FR_PRIVATE(name) __asm__("fr_private_" #name) FASTREG_API

namespace fastreg {

enum class Code { ok, invalid_argument, type_mismatch, out_of_memory, runtime, cancelled };

struct [[nodiscard]] Status {
    Code code = Code::ok;
    std::string message;

    Status() = default;
    Status(Code c, std::string m) : code(c), message(std::move(m)) {}
    bool ok() const { return code == Code::ok; }
};

inline Status invalid(std::string message) { return {Code::invalid_argument, std::move(message)}; }

#define FR_RETURN_IF_ERROR(expr)                 \
    do {                                         \
        ::fastreg::Status fr_status_ = (expr);   \
        if (!fr_status_.ok()) return fr_status_; \
    } while (0)

}  // namespace fastreg
