// Each thread's spare blocks of memory. See scratch.h. It must not know what is kept in them.
#include "cpu/scratch.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace fastreg::cpu {
namespace {

// The blocks a thread keeps for the next users of Scratch: as many as it may hold at once.
struct Spares {
    static constexpr int kMost = 2;
    void* memory[kMost] = {};
    size_t size_bytes[kMost] = {};
    ~Spares() { std::free(memory[0]), std::free(memory[1]); }
};
thread_local Spares t_spares;

}  // namespace

Scratch::Scratch(size_t size_bytes) {
    if (size_bytes == 0) return;
    for (int i = 0; i < Spares::kMost; ++i) {
        if (t_spares.size_bytes[i] < size_bytes) continue;
        memory_ = std::exchange(t_spares.memory[i], nullptr);
        size_bytes_ = std::exchange(t_spares.size_bytes[i], 0);
        return;
    }
    memory_ = std::aligned_alloc(64, (size_bytes + 63) / 64 * 64);
    if (!memory_) throw std::bad_alloc();
    size_bytes_ = size_bytes;
}

Scratch::~Scratch() {
    if (!memory_) return;
    const int place = t_spares.size_bytes[0] <= t_spares.size_bytes[1] ? 0 : 1;  // an empty one, or the smaller
    std::free(t_spares.memory[place]);
    t_spares.memory[place] = memory_;
    t_spares.size_bytes[place] = size_bytes_;
}

void* Scratch::memory() const { return memory_; }

}  // namespace fastreg::cpu
