// Structs of programs with an older or a newer header: how capi/structs.h reads and fills them. The last line is a
// count. It must not know the structs of fastreg.h.
#include "capi/structs.h"

#include <cstdio>
#include <string>

namespace {

int g_passed = 0, g_failed = 0;

void check(bool ok, const std::string& what) {
    ok ? ++g_passed : ++g_failed;
    if (!ok) std::printf("FAILED %s\n", what.c_str());
}

// A struct that began with `old` and has had two fields added.
struct Options {
    size_t struct_size;
    double old;
    double added;
    int32_t small, flag;
};

}  // namespace

template <>
inline constexpr size_t fastreg::capi::kFirstSize<Options> = offsetof(Options, old) + sizeof(Options::old);

namespace {

using fastreg::Status;
using fastreg::capi::read_struct;
using fastreg::capi::write_struct;

constexpr Options kDefaults = {sizeof(Options), 1.0, 2.0, 3, 4};

// A caller's memory: his struct, then what is none of the library's business.
struct Memory {
    Options options;
    double beyond[2];
};

Memory caller(size_t size) { return {{size, 10.0, 20.0, 30, 40}, {0.0, 0.0}}; }

void test_reading(size_t size, double added, int32_t small, int32_t flag) {
    const Memory memory = caller(size);
    Options out = kDefaults;
    const Status s = read_struct("options", &memory.options, &out);
    const std::string what = std::to_string(size) + " bytes: ";
    check(s.ok(), what + s.message);
    check(out.old == 10.0, what + "what both know is read");
    check(out.added == added && out.small == small && out.flag == flag, what + "the rest is the default");
}

void test_refused(const Memory& memory, const std::string& words) {
    Options out = kDefaults;
    const Status s = read_struct("options", &memory.options, &out);
    check(!s.ok() && s.message.find(words) != std::string::npos, "\"" + s.message + "\" should say " + words);
    check(out.old == kDefaults.old, "what is refused is not read");
}

void test_sizes() {
    test_reading(16, 2.0, 3, 4);
    test_reading(24, 20.0, 3, 4);
    test_reading(32, 20.0, 30, 40);
    test_reading(48, 20.0, 30, 40);
    for (const size_t size : {0, 8, 15, 20, 33, 1 << 20}) test_refused(caller(size), "must be the 32 bytes");
    Memory newer = caller(48);
    newer.beyond[1] = 1.0;
    test_refused(newer, "sets something that version");
    newer.options.struct_size = 40;
    Options out = kDefaults;
    check(read_struct("options", &newer.options, &out).ok(), "what lies beyond the struct is not looked at");
}

void test_pointers() {
    Options out = kDefaults;
    const Options* none = nullptr;
    check(read_struct("options", none, &out).message == "options must not be NULL", "NULL");
    alignas(8) unsigned char bytes[64] = {};
    const auto crooked = reinterpret_cast<const Options*>(bytes + 4);
    check(read_struct("options", crooked, &out).message == "options must be aligned to 8 bytes", "alignment");
}

void test_filling() {
    Memory memory = caller(16);
    write_struct(kDefaults, &memory.options);
    check(memory.options.struct_size == 16 && memory.options.old == 1.0, "an older program gets what it knows");
    check(memory.options.added == 20.0 && memory.options.flag == 40, "and nothing beyond");
    memory = caller(48);
    write_struct(kDefaults, &memory.options);
    check(memory.options.struct_size == 48 && memory.options.flag == 4, "a newer program gets all we know");
    check(memory.beyond[0] == 0.0, "and nothing beyond");
}

}  // namespace

int main() {
    test_sizes();
    test_pointers();
    test_filling();
    std::printf("%d passed, %d failed\n", g_passed, g_failed);
    return g_failed == 0 ? 0 : 1;
}
