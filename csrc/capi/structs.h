// Structs of the C interface, as a program with an older or a newer header has them: shorter or longer than ours.
// It must not know what a field means.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/status.h"
#include "fastreg/fastreg.h"

namespace fastreg::capi {

inline Status check_pointer(const char* name, const void* p, size_t alignment) {
    if (!p) return invalid(std::string(name) + " must not be NULL");
    if (reinterpret_cast<uintptr_t>(p) % alignment == 0) return {};
    return invalid(std::string(name) + " must be aligned to " + std::to_string(alignment) + " bytes");
}
template <class T>
Status check_given(const char* name, const T* p) {
    return check_pointer(name, p, alignof(T));
}

// Bytes of a struct's first version, by its last field: the least that a caller must have. It stays when fields are
// added; where a caller ends before those, they keep their defaults.
template <class S>
constexpr size_t kFirstSize = 0;
template <>
inline constexpr size_t kFirstSize<fr_dense> = offsetof(fr_dense, step) + sizeof(fr_dense::step);
template <>
inline constexpr size_t kFirstSize<fr_loss> = offsetof(fr_loss, delta) + sizeof(fr_loss::delta);
template <>
inline constexpr size_t kFirstSize<fr_optimizer> =
    offsetof(fr_optimizer, global_clipnorm) + sizeof(fr_optimizer::global_clipnorm);
template <>
inline constexpr size_t kFirstSize<fr_layer> = offsetof(fr_layer, bias_constraint) + sizeof(fr_layer::bias_constraint);
template <>
inline constexpr size_t kFirstSize<fr_totals> = offsetof(fr_totals, nonfinite) + sizeof(fr_totals::nonfinite);

constexpr size_t kMostUnknown = 4096;  // how much longer than ours a struct may be

// That a caller's struct has a size that can be, and says nothing that this library does not know.
template <class S>
Status check_struct(const char* name, const S* given) {
    static_assert(kFirstSize<S> > 0, "a struct needs its first size");
    FR_RETURN_IF_ERROR(check_given(name, given));
    const size_t size = given->struct_size;
    if (size < kFirstSize<S> || size > sizeof(S) + kMostUnknown || size % alignof(S) != 0)
        return invalid(std::string(name) + ".struct_size must be the " + std::to_string(sizeof(S)) +
                       " bytes that the FR_..._INIT macros set, got " + std::to_string(size));
    for (size_t i = sizeof(S); i < size; ++i)
        if (reinterpret_cast<const unsigned char*>(given)[i] != 0)
            return invalid(std::string(name) + " sets something that version " FASTREG_VERSION " does not know");
    return {};
}

// *out, which holds the defaults, takes what the caller has set.
template <class S>
Status read_struct(const char* name, const S* given, S* out) {
    FR_RETURN_IF_ERROR(check_struct(name, given));
    std::memcpy(out, given, std::min(given->struct_size, sizeof(S)));
    return {};
}

// The caller's struct, checked before, takes what it has room for.
template <class S>
void write_struct(S values, S* to) {
    values.struct_size = to->struct_size;
    std::memcpy(to, &values, std::min(to->struct_size, sizeof(S)));
}

}  // namespace fastreg::capi
