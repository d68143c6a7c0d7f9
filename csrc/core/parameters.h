// Parameters<T>: a model's weights, gradients and optimizer slots, in one arena with one layout each.
// It must not know layers or the order of a step.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/op_table.h"
#include "core/plan.h"

namespace fastreg {

template <class T>
class Parameters {
public:
    void init(const Plan& plan, Queue* queue) {
        queue_ = queue;
        info_ = plan.parameters;
        segments_.resize(info_.size());
        frozen_.assign(info_.size(), false);
        size_t bytes = 0;
        for (size_t i = 0; i < info_.size(); ++i) bytes += Arena::padded<T>(size(i));
        weights_.reserve(*queue, 2 * bytes + Arena::padded<double>(int64_t(info_.size())));
        penalty_values_ = weights_.take<double>(int64_t(info_.size()));
        for (size_t i = 0; i < info_.size(); ++i) {
            UpdateSegment<T>& s = segments_[i];
            s = {};
            s.w = weights_.take<T>(size(i));
            s.g = gradients_.emplace_back(weights_.take<T>(size(i)));
            s.n = size(i);
            s.rows = info_[i].rows;
            s.cols = info_[i].cols;
            s.penalty = plan.penalties[i];
            s.constraint = plan.constraints[i];
        }
    }

    // New slots, all `value`. All memory is taken before anything changes.
    Status reset_slots(int n_slots, T value) {
        size_t bytes = 0;
        for (size_t i = 0; i < info_.size(); ++i) bytes += Arena::padded<T>(size(i));
        constexpr size_t kPiece = 1 << 16;
        const std::vector<T> piece(value == T(0) ? 0 : kPiece, value);
        Arena fresh;
        fresh.reserve(*queue_, bytes * size_t(n_slots));
        slots_ = std::move(fresh);
        n_slots_ = n_slots;
        for (UpdateSegment<T>& s : segments_)
            for (int k = 0; k < 3; ++k) s.slot[k] = k < n_slots ? slots_.take<T>(s.n) : nullptr;
        return piece.empty() ? Status{} : fill_slots(piece);
    }

    size_t count() const { return info_.size(); }
    int64_t size(size_t i) const { return info_[i].rows * info_[i].cols; }
    int n_slots() const { return n_slots_; }
    T* weight(int64_t i) const { return i < 0 ? nullptr : segments_[size_t(i)].w; }
    T* gradient(int64_t i) const { return i < 0 ? nullptr : gradients_[size_t(i)]; }
    UpdateSegment<T>& segment(size_t i) { return segments_[i]; }
    const UpdateSegment<T>& segment(size_t i) const { return segments_[i]; }
    const std::vector<ParameterInfo>& info() const { return info_; }

    void set_trainable(size_t i, bool trainable) { frozen_[i] = !trainable; }
    bool is_trained(int64_t i) const { return i >= 0 && !frozen_[size_t(i)]; }
    size_t trained_count() const { return size_t(std::count(frozen_.begin(), frozen_.end(), false)); }
    bool any_frozen() const { return trained_count() < count(); }

    // One optimizer step over all that is trained; penalty_values() are then those of these weights before it.
    void update(const OpTable<T>& ops, const OptimizerSpec& optimizer, int64_t step) {
        UpdateBatch<T> batch{optimizer, step, segments_.data(), int64_t(segments_.size()), penalty_values_};
        if (any_frozen()) {
            trained_.clear();
            for (size_t i = 0; i < count(); ++i)
                if (!frozen_[i]) trained_.push_back(segments_[i]);
            batch.segments = trained_.data();
            batch.n_segments = int64_t(trained_.size());
        }
        if (batch.n_segments > 0) ops.update(batch);
    }
    const UpdateSegment<T>* segments() const { return segments_.data(); }
    double* penalty_values() const { return penalty_values_; }  // in the queue's memory

    double penalty(const OpTable<T>& ops, size_t i) const {
        const UpdateSegment<T>& s = segments_[i];
        if (frozen_[i] || !has_penalty(s.penalty)) return 0.0;
        return ops.penalty(s.w, s.n, s.penalty.l1, s.penalty.l2);
    }

private:
    Status fill_slots(const std::vector<T>& piece) {
        for (const UpdateSegment<T>& s : segments_)
            for (int k = 0; k < n_slots_; ++k)
                for (int64_t i = 0; i < s.n; i += int64_t(piece.size())) {
                    const size_t left = size_t(s.n - i), n = left < piece.size() ? left : piece.size();
                    FR_RETURN_IF_ERROR(queue_->copy_in(s.slot[k] + i, piece.data(), n * sizeof(T)));
                }
        return {};
    }

    Queue* queue_ = nullptr;
    Arena weights_, slots_;
    std::vector<ParameterInfo> info_;
    std::vector<UpdateSegment<T>> segments_;
    std::vector<bool> frozen_;
    std::vector<UpdateSegment<T>> trained_;  // where some are frozen: copies of the segments of the others
    std::vector<T*> gradients_;
    double* penalty_values_ = nullptr;
    int n_slots_ = 0;
};

}  // namespace fastreg
