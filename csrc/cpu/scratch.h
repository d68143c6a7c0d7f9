// Memory for what a kernel packs or sums on the way, without asking the system each time. It must not know what is
// kept.
//
// Included by sources compiled per instruction set: declarations only.
#pragma once
#include <cstddef>

namespace fastreg::cpu {

// Memory for as long as the object lives, 64-byte aligned, with undefined content; null for 0 bytes. A thread keeps
// two blocks for the next users. They are leased, not shared: poll() may run the owner's code, which may come back
// here.
class Scratch {
public:
    explicit Scratch(size_t size_bytes);  // throws std::bad_alloc
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    void* memory() const;

private:
    void* memory_ = nullptr;
    size_t size_bytes_ = 0;
};

}  // namespace fastreg::cpu
