// Batches<T>: an epoch's batches of a data set in the queue's memory, in order or shuffled. It must not know networks,
// losses or what is done with a batch.
#pragma once
#include <type_traits>

#include "core/arena.h"
#include "core/network.h"
#include "core/op_table.h"
#include "core/session.h"

namespace fastreg {

template <class T>
struct Batch {
    Inputs<T> x;
    Targets<T> targets;
    int64_t rows;
};

template <class T>
class Batches {
public:
    // Room for the order of an epoch's rows, and for its gathered batches. A device gathers one batch at a time,
    // shuffled or not: where its rows begin is then nothing but a number of the step's clock. Returns whether what a
    // recorded step was given has changed.
    bool begin(Queue* queue, const DataView& data, int64_t batch_size, bool shuffle) {
        on_host_ = queue->is_host();
        data_ = data;
        batch_size_ = batch_size < data.rows ? batch_size : data.rows;
        shuffle_ = shuffle && batch_size < data.rows;  // one batch has all rows in any order
        begin_ = end_ = 0;
        if (!shuffle_ && on_host_) return false;
        const int64_t numbers_a_row = x_cols() + data_.y_cols + 1;
        const int64_t batches = kBytesAtOnce / int64_t(sizeof(T)) / numbers_a_row / batch_size_;
        rows_at_once_ = batch_size_ * (on_host_ && batches > 1 ? batches : 1);
        if (rows_at_once_ > data_.rows) rows_at_once_ = data_.rows;
        const int64_t shuffled = shuffle_ ? data_.rows : 0;
        const size_t bytes = Arena::padded<T>(rows_at_once_ * numbers_a_row) + Arena::padded<uint32_t>(shuffled) +
                             Arena::padded<uint32_t>(4 * shuffled);
        if (bytes > memory_.size_bytes() || bytes < memory_.size_bytes() / 2) memory_.reserve(*queue, bytes);
        memory_.rewind();
        bool changed = last_rows_at_once_ != rows_at_once_ || last_shuffle_ != shuffle_;
        const auto take = [&](auto** p, int64_t n) {
            using Element = std::remove_reference_t<decltype(**p)>;
            Element* taken = memory_.template take<Element>(n);
            changed |= *p != taken;
            *p = taken;
        };
        take(&gathered_, rows_at_once_ * numbers_a_row);
        take(&order_, shuffled);
        take(&sort_scratch_, 4 * shuffled);
        last_rows_at_once_ = rows_at_once_;
        last_shuffle_ = shuffle_;
        return changed;
    }

    void shuffle(Cancel& cancel, const Backend& backend, uint64_t seed, uint32_t epoch) {
        if (shuffle_) backend.permutation(cancel, data_.rows, seed, epoch, order_, sort_scratch_);
    }

    const DataView& data() const { return data_; }
    int64_t size() const { return batch_size_; }                           // rows; the last may have fewer
    const uint32_t* order() const { return shuffle_ ? order_ : nullptr; }  // of the rows; null: as they are
    int64_t left(int64_t row) const { return (data_.rows - row + batch_size_ - 1) / batch_size_; }

    // The B rows that begin at `row` of the epoch. What a device is given for them begins at row 0: its clock knows
    // better.
    Batch<T> at(const OpTable<T>& ops, int64_t row, int64_t B) {
        if (!shuffle_ && on_host_) return of(data_, row, B);
        T *x = gathered_, *y = x + rows_at_once_ * x_cols(), *weight = y + rows_at_once_ * data_.y_cols;
        const uint32_t* order = !shuffle_ ? nullptr : on_host_ ? order_ + row : order_;
        if (row + B > end_ || !on_host_) {
            begin_ = row;
            const int64_t rows = on_host_ ? rows_at_once_ : B;
            end_ = row + rows < data_.rows ? row + rows : data_.rows;
            Gather<T> arrays[3];
            int64_t n = 0;
            const auto gather = [&](const void* from, int64_t cols, T* to) {
                arrays[n++] = {static_cast<const T*>(from), cols, order, end_ - row, to};
            };
            if (data_.x) gather(data_.x, data_.x_cols, x);
            gather(data_.y, data_.y_cols, y);
            if (data_.sample_weight) gather(data_.sample_weight, 1, weight);
            ops.gather(arrays, n);
        }
        const DataView gathered{x, y, data_.sample_weight ? weight : nullptr, end_ - begin_, x_cols(), data_.y_cols,
                                {}};
        Batch<T> batch = of(gathered, row - begin_, B);
        if (!data_.x) {
            batch.x = inputs(data_, 0);
            batch.x.sparse.order = order;
        }
        return batch;
    }

    // Rows of any data set, as they are.
    static Inputs<T> inputs(const DataView& d, int64_t row) {
        const SparseView& s = d.sparse_x;
        if (!s.starts) return {static_cast<const T*>(d.x) + row * d.x_cols, {}};
        return {nullptr, {s.starts, s.columns, static_cast<const T*>(s.values), nullptr, row}};
    }
    static Batch<T> of(const DataView& d, int64_t row, int64_t B) {
        const T* weight = static_cast<const T*>(d.sample_weight);
        return {inputs(d, row),
                {static_cast<const T*>(d.y) + row * d.y_cols, d.y_cols, weight ? weight + row : nullptr},
                B};
    }

private:
    // The shuffled rows of as many batches as fit in this many bytes, at least one, are gathered at once: waiting for
    // many far rows takes hardly longer than for a few, and they stay in the second cache.
    static constexpr int64_t kBytesAtOnce = 128 * 1024;

    // Of a sparse x nothing is gathered: its rows are read in the epoch's order.
    int64_t x_cols() const { return data_.sparse_x.starts ? 0 : data_.x_cols; }

    DataView data_;
    int64_t batch_size_ = 0;
    bool shuffle_ = false, on_host_ = true;
    Arena memory_;
    uint32_t *order_ = nullptr, *sort_scratch_ = nullptr;
    T* gathered_ = nullptr;  // rows_at_once_ rows of x, then of y, then of sample_weight
    int64_t rows_at_once_ = 0, begin_ = 0, end_ = 0;
    int64_t last_rows_at_once_ = 0;
    bool last_shuffle_ = false;
};

}  // namespace fastreg
