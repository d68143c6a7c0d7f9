// dL/dZ from dL/dY of a layer Y = dropout(f(Z)), for one vector, and what must be kept of a layer for it. It must not
// know where arrays or masks lie.
#pragma once
#include <type_traits>

#include "rules/activation.h"
#include "rules/hd.h"

namespace fastreg::rules {

// g: dL/dY. y() and z() load what f' needs; has_z: whether Z was kept. drops: whether the layer has dropout, drop(g)
// being g times its mask and scale. Relu needs no mask: kept and positive is exactly y != 0.
template <class Act, class V, class Y, class Z, class Drop>
FR_DEVICE_RULE V layer_gradient(V g, V alpha, V scale, bool drops, bool has_z, Y y, Z z, Drop drop) {
    if constexpr (std::is_same_v<Act, Relu>) {
        if (drops) g = g * scale;
        return V::select(y() == V::set(0), V::set(0), g);
    } else {
        if (drops) g = drop(g);
        if constexpr (std::is_same_v<Act, Linear>) {
            return g;
        } else if constexpr (Act::kFromY) {
            return g * Act::gradient(has_z ? Act::forward(z(), alpha) : y(), alpha);
        } else {
            return g * Act::gradient(z(), alpha);
        }
    }
}

// Whether f' cannot be had from Y: then forward must keep Z and give it to backward.
inline bool needs_z(Activation kind, bool drops) {
    bool needs = false;
    with_activation(kind, [&](auto act) {
        using Act = decltype(act);
        constexpr bool kNoMask = std::is_same_v<Act, Linear> || std::is_same_v<Act, Relu>;
        needs = !Act::kFromY || (drops && !kNoMask);
    });
    return needs;
}

}  // namespace fastreg::rules
