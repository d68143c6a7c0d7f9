// Sums: where the losses, penalties and metrics of an epoch are added up, in the queue's memory, and how they come
// back. It must not know how they are computed.
#pragma once
#include <vector>

#include "core/arena.h"
#include "core/op_table.h"
#include "core/session.h"

namespace fastreg {

class Sums {
public:
    // For metrics of so many totals each.
    void init(Queue* queue, const std::vector<size_t>& totals_of_metrics) {
        queue_ = queue;
        of_metrics_ = totals_of_metrics;
        count_ = kLossTotals;
        for (size_t n : of_metrics_) count_ += n;
        memory_.reserve(*queue_, Arena::padded<double>(int64_t(count_) + 1));
        sums_ = memory_.take<double>(int64_t(count_) + 1);
    }

    double* losses() const { return sums_; }                 // kLossTotals numbers
    double* metrics() const { return sums_ + kLossTotals; }  // those of one after those of the other
    double* activity() const { return sums_ + count_; }      // the penalty of the activities of a batch

    Totals zeros() const {
        Totals t;
        for (size_t n : of_metrics_) t.metrics.emplace_back(n, 0.0);
        return t;
    }

    Status put(const Totals& t) {
        host_.assign(count_ + 1, 0.0);
        host_[kTotalLoss] = t.loss;
        host_[kTotalDataLoss] = t.data_loss;
        host_[kTotalPenalty] = t.penalty;
        host_[kTotalNonfinite] = t.nonfinite ? 1.0 : 0.0;
        size_t at = kLossTotals;
        for (const std::vector<double>& m : t.metrics)
            for (double v : m) host_[at++] = v;
        return queue_->copy_in(sums_, host_.data(), host_.size() * sizeof(double));
    }

    // Waits for all that has been enqueued.
    Status take(Totals* t) {
        FR_RETURN_IF_ERROR(queue_->wait());
        FR_RETURN_IF_ERROR(queue_->copy_out(host_.data(), sums_, count_ * sizeof(double)));
        t->loss = host_[kTotalLoss];
        t->data_loss = host_[kTotalDataLoss];
        t->penalty = host_[kTotalPenalty];
        t->nonfinite = host_[kTotalNonfinite] != 0.0;
        size_t at = kLossTotals;
        for (std::vector<double>& m : t->metrics)
            for (double& v : m) v = host_[at++];
        return {};
    }

private:
    Queue* queue_ = nullptr;
    std::vector<size_t> of_metrics_;
    size_t count_ = kLossTotals;
    Arena memory_;
    double* sums_ = nullptr;
    std::vector<double> host_;
};

}  // namespace fastreg
