// Arena: one aligned block of a queue's memory, handed out in pieces and never freed piecewise. A training step
// allocates nothing. It must not know what the pieces hold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/queue.h"

namespace fastreg {

class Arena {
public:
    // Reserves room for pieces of `bytes` in all, each rounded up to 64 bytes by its caller (see padded()). Zeroed.
    void reserve(Queue& queue, size_t bytes) {
        memory_.reset();
        size_ = used_ = 0;
        if (bytes == 0) return;
        memory_ = Memory(static_cast<char*>(queue.allocate(bytes)), Release{&queue});
        size_ = bytes;
    }
    size_t size_bytes() const { return size_; }
    void rewind() { used_ = 0; }  // all pieces are given back

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
        if (n < 0 || n > (int64_t(1) << 56)) throw std::bad_alloc();
        return (size_t(n) * sizeof(T) + 63) / 64 * 64;
    }

private:
    struct Release {
        Queue* queue;  // set where there is memory
        void operator()(char* p) const { queue->release(p); }
    };
    using Memory = std::unique_ptr<char, Release>;
    Memory memory_;
    size_t size_ = 0, used_ = 0;
};

}  // namespace fastreg
