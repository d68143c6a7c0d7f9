// Resident<T>: a caller's data set where the queue's operations can read it: the arrays themselves on the CPU, a copy
// on a device, kept for as long as the caller says that nothing has changed. It must not know batches or models.
#pragma once
#include <cstdint>

#include "core/arena.h"
#include "core/session.h"

namespace fastreg {

template <class T>
class Resident {
public:
    // `view` then points into the queue's memory. fresh: the arrays may have changed since the last time, or be others
    // at the same place. *moved is set when memory that operations were given before is no longer the data's.
    Status bring(Queue& queue, const DataView& data, bool fresh, bool* moved) {
        if (queue.is_host()) {
            view = data;
            return {};
        }
        if (!fresh && same(data)) return {};
        known_ = false;
        const SparseView& sparse = data.sparse_x;
        const int64_t starts = sparse.starts ? data.rows + 1 : 0, elements = sparse.starts ? sparse.n_elements : 0;
        const int64_t x = data.x ? data.rows * data.x_cols : 0, y = data.y ? data.rows * data.y_cols : 0;
        const int64_t weights = data.sample_weight ? data.rows : 0;
        const size_t bytes = Arena::padded<T>(x) + Arena::padded<T>(y) + Arena::padded<T>(weights) +
                             Arena::padded<int64_t>(starts) + Arena::padded<int32_t>(elements) +
                             Arena::padded<T>(elements);
        if (bytes > arena_.size_bytes() || 2 * bytes < arena_.size_bytes()) arena_.reserve(queue, bytes);
        arena_.rewind();
        const DataView before = view;
        view = data;
        FR_RETURN_IF_ERROR((copy<T>(queue, &view.x, data.x, x)));
        FR_RETURN_IF_ERROR((copy<T>(queue, &view.y, data.y, y)));
        FR_RETURN_IF_ERROR((copy<T>(queue, &view.sample_weight, data.sample_weight, weights)));
        const void *new_starts = nullptr, *new_columns = nullptr;
        FR_RETURN_IF_ERROR((copy<int64_t>(queue, &new_starts, sparse.starts, starts)));
        FR_RETURN_IF_ERROR((copy<int32_t>(queue, &new_columns, sparse.columns, elements)));
        FR_RETURN_IF_ERROR((copy<T>(queue, &view.sparse_x.values, sparse.values, elements)));
        view.sparse_x.starts = static_cast<const int64_t*>(new_starts);
        view.sparse_x.columns = static_cast<const int32_t*>(new_columns);
        if (!same(before, view)) *moved = true;
        source_ = data;
        known_ = true;
        return {};
    }

    DataView view;

private:
    template <class E>
    Status copy(Queue& queue, const void** to, const void* from, int64_t n) {
        if (n == 0) {
            *to = from ? arena_.take<E>(0) : nullptr;
            return {};
        }
        E* memory = arena_.take<E>(n);
        *to = memory;
        return queue.copy_in(memory, from, size_t(n) * sizeof(E));
    }

    static bool same(const DataView& a, const DataView& b) {
        return a.x == b.x && a.y == b.y && a.sample_weight == b.sample_weight && a.rows == b.rows &&
               a.x_cols == b.x_cols && a.y_cols == b.y_cols && a.sparse_x.starts == b.sparse_x.starts &&
               a.sparse_x.columns == b.sparse_x.columns && a.sparse_x.values == b.sparse_x.values &&
               a.sparse_x.n_elements == b.sparse_x.n_elements;
    }
    bool same(const DataView& data) const { return known_ && same(data, source_); }

    Arena arena_;
    DataView source_;
    bool known_ = false;
};

}  // namespace fastreg
