// Status: how every fallible function of the core answers. No printing, no aborting, no exception across a border.
// It must not know who will show the message.
#pragma once
#include <string>
#include <utility>

#if defined(__GNUC__)
#define FASTREG_API __attribute__((visibility("default")))
#else
#define FASTREG_API
#endif

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
