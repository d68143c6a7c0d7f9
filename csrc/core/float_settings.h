// FloatSettings: round to nearest, keep subnormal numbers, raise no traps, whatever the calling thread had set: others
// give other bits, and code compiled with -ffast-math sets some for its whole process. It must not know what is
// computed.
#pragma once
#include <cstdint>

namespace fastreg {

class FloatSettings {
public:
    FloatSettings() : before_(get()) {
        if (before_ != kDefault) set(kDefault);
    }
    ~FloatSettings() {
        if (before_ != kDefault) set(before_);
    }
    FloatSettings(const FloatSettings&) = delete;
    FloatSettings& operator=(const FloatSettings&) = delete;

private:
#if defined(__x86_64__)
    static constexpr uint64_t kDefault = 0x1f80, kFlags = 0x3f;  // flags tell what has happened, and stay
    static uint64_t get() { return __builtin_ia32_stmxcsr() & ~kFlags; }
    static void set(uint64_t settings) {
        __builtin_ia32_ldmxcsr(unsigned(settings | (__builtin_ia32_stmxcsr() & kFlags)));
    }
#elif defined(__aarch64__)
    static constexpr uint64_t kDefault = 0;
    static uint64_t get() {
        uint64_t settings;
        asm volatile("mrs %0, fpcr" : "=r"(settings));
        return settings;
    }
    static void set(uint64_t settings) { asm volatile("msr fpcr, %0" : : "r"(settings)); }
#else
    static constexpr uint64_t kDefault = 0;
    static uint64_t get() { return 0; }
    static void set(uint64_t) {}
#endif

    const uint64_t before_;
};

}  // namespace fastreg
