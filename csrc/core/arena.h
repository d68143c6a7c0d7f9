// Arena: one aligned block of memory, handed out in pieces and never freed piecewise. A training step allocates
// nothing. It must not know what the pieces hold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace fastreg {

class Arena {
public:
    // Reserves room for pieces of `bytes` in all, each rounded up to 64 bytes by its caller (see padded()). Zeroed.
    void reserve(size_t bytes) {
        memory_.reset();
        size_ = used_ = 0;
        if (bytes == 0) return;
        memory_.reset(static_cast<char*>(std::aligned_alloc(64, bytes)));
        if (!memory_) throw std::bad_alloc();
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
