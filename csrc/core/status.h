// Status: how every fallible function of the core answers. No printing, no aborting, and one exception: bad_alloc,
// which the two borders, capi/guard.h and python/errors.h, turn into an answer.
// It must not know who will show the message.
#pragma once
#include <cstddef>
#include <new>
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

// A bad_alloc that says how much was wanted.
class OutOfMemory : public std::bad_alloc {
public:
    explicit OutOfMemory(size_t bytes, const char* whose = "")
        : message_("out of memory: " + std::to_string(bytes) + " bytes" + whose + " could not be had") {}
    const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

// f(), a Status; if memory could not be had, that.
template <class F>
Status or_out_of_memory(F&& f) {
    try {
        return f();
    } catch (const OutOfMemory& e) {
        return {Code::out_of_memory, e.what()};
    } catch (const std::bad_alloc&) {
        return {Code::out_of_memory, "out of memory"};
    }
}

#define FR_RETURN_IF_ERROR(expr)                 \
    do {                                         \
        ::fastreg::Status fr_status_ = (expr);   \
        if (!fr_status_.ok()) return fr_status_; \
    } while (0)

}  // namespace fastreg
