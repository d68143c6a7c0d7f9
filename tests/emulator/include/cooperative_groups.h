// Clusters for the emulator (cuda_runtime.h). It must not know kernels.
#pragma once
#include <cuda_runtime.h>

namespace cooperative_groups {

struct Cluster {
    template <class T>
    T* map_shared_rank(T* p, int rank) const {
        return static_cast<T*>(emulator::in_block(p, rank));
    }
    void sync() const {
        emulator::arrive_in_cluster();
        emulator::wait_for_cluster();
    }
};
inline Cluster this_cluster() { return {}; }

}  // namespace cooperative_groups
