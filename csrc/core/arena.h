// Arena: one aligned block of memory, handed out in pieces and never freed piecewise. A training step allocates
// nothing. It must not know what the pieces hold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

namespace fastreg {

// A bad_alloc that says how much was wanted.
class OutOfMemory : public std::bad_alloc {
public:
    explicit OutOfMemory(size_t bytes)
        : message_("out of memory: " + std::to_string(bytes) + " bytes could not be had") {}
    const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

class Arena {
public:
    // Reserves room for pieces of `bytes` in all, each rounded up to 64 bytes by its caller (see padded()). Zeroed.
    void reserve(size_t bytes) {
        memory_.reset();
        size_ = used_ = 0;
        if (bytes == 0) return;
        memory_.reset(static_cast<char*>(std::aligned_alloc(64, bytes)));
        if (!memory_) throw OutOfMemory(bytes);
        std::memset(memory_.get(), 0, bytes);
        size_ = bytes;
    }

    template <class T>
    T* take(int64_t n) {
        const size_t bytes = padded<T>(n);
        if (used_ + bytes > size_) throw std::bad_alloc();
        T* p = reinterpret_cast<T*>(memory_.get() + used_);
        used_ += bytes;
        return p;
    }

    template <class T>
    static size_t padded(int64_t n) {
        if (n < 0 || n > (int64_t(1) << 56)) throw OutOfMemory(size_t(-1));
        return (size_t(n) * sizeof(T) + 63) / 64 * 64;
    }

private:
    struct Free {
        void operator()(char* p) const { std::free(p); }
    };
    std::unique_ptr<char, Free> memory_;
    size_t size_ = 0, used_ = 0;
};

}  // namespace fastreg
