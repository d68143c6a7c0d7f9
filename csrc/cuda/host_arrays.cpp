// The CUDA operations on arrays of the host: each call copies its arguments to the device, runs there, and copies the
// results back. So everything that runs on the CPU's tables can be run, and tested, on the GPU.
// It must not know kernels: no CUDA header. It is over 250 lines because every operation stands here, one after
// another.
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "cuda/device_info.h"
#include "cuda/ops.h"
#include "rules/metric.h"

namespace fastreg::cuda {
namespace {

// The queue and the device memory that all calls share, one call at a time.
struct Shared {
    std::mutex mutex;
    std::unique_ptr<Queue> queue{new_cuda_queue()};
    struct Block {
        char* memory;
        size_t size_bytes, used;
    };
    std::vector<Block> blocks;

    void* take(size_t bytes) {
        bytes = (bytes + 255) / 256 * 256;
        for (Block& b : blocks)
            if (b.used + bytes <= b.size_bytes) {
                b.used += bytes;
                return b.memory + b.used - bytes;
            }
        constexpr size_t kLeast = size_t(32) << 20;
        const size_t size = bytes > kLeast ? bytes : kLeast;
        blocks.push_back({static_cast<char*>(queue->allocate(size)), size, bytes});
        return blocks.back().memory;
    }
};

Shared& shared() {
    static Shared* one = new Shared;  // never deleted: the driver may be gone by then
    return *one;
}

void raise_if(const Status& s) {
    if (!s.ok()) throw std::runtime_error(s.message);
}

// One operation: what it reads and writes, taken to the device.
class Call {
public:
    Call() : lock_(shared().mutex), entered_(*shared().queue) {}
    ~Call() {
        for (Shared::Block& b : shared().blocks) b.used = 0;
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // Elements [low, high) from p on, on the device; null stays null. The same p gives the same memory.
    template <class T>
    const T* in(const T* p, int64_t low, int64_t high) {
        return bring(p, low, high, 0, 0);
    }
    template <class T>
    const T* in(const T* p, int64_t n) {
        return in(p, 0, n);
    }
    template <class T>
    T* out(T* p, int64_t n) {
        return bring(p, 0, n, n, n);
    }

    // rows of `cols` elements, rs apart
    template <class T>
    const T* in_rows(const T* p, int64_t rows, int64_t cols, int64_t rs) {
        return rows && cols ? in(p, lowest(rows, rs), highest(rows, rs) + cols) : p;
    }
    template <class T>
    T* out_rows(T* p, int64_t rows, int64_t cols, int64_t rs) {
        return rows && cols ? bring(p, lowest(rows, rs), highest(rows, rs) + cols, cols, rs < 0 ? -rs : rs) : p;
    }
    template <class T>
    Strided<const T> in(const Strided<const T>& m, int64_t rows, int64_t cols) {
        if (!rows || !cols) return m;
        return {in(m.p, lowest(rows, m.rs) + lowest(cols, m.cs), highest(rows, m.rs) + highest(cols, m.cs) + 1), m.rs,
                m.cs};
    }
    template <class T>
    Rows<T> rows(const Rows<T>& a) {
        return {a.rows, a.cols, in_rows(a.x, a.rows, a.cols, a.x_rs), a.x_rs, out_rows(a.y, a.rows, a.cols, a.y_rs),
                a.y_rs};
    }
    template <class T>
    LayerGradient<T> in(const LayerGradient<T>& g, int64_t rows, int64_t cols) {
        return {g.activation, g.dropout, in_rows(g.Y, rows, cols, g.y_rs), g.y_rs, in_rows(g.Z, rows, cols, g.z_rs),
                g.z_rs};
    }
    template <class T>
    Csr<T> in(const Csr<T>& a, int64_t n) {
        int64_t rows = a.first + n;
        for (int64_t i = 0; a.order && i < n; ++i) rows = rows > a.order[i] ? rows : int64_t(a.order[i]) + 1;
        const int64_t elements = a.starts[rows];
        return {in(a.starts, rows + 1), in(a.columns, elements), in(a.values, elements), in(a.order, n), a.first};
    }

    // After the operation.
    void finish() {
        Queue& queue = *shared().queue;
        raise_if(queue.wait());
        std::vector<char> with_gaps;
        for (const Use& u : uses_) {
            if (!u.width) continue;
            if (u.width >= u.pitch) {
                raise_if(queue.copy_out(u.host, u.device, u.bytes));
                continue;
            }
            with_gaps.resize(u.bytes);
            raise_if(queue.copy_out(with_gaps.data(), u.device, u.bytes));
            for (size_t at = 0; at < u.bytes; at += u.pitch) std::memcpy(u.host + at, with_gaps.data() + at, u.width);
        }
    }

private:
    struct Use {
        char *host, *device;
        size_t bytes;
        size_t width, pitch;  // of the rows that are written; what lies between them is not the call's. Read only: 0
    };

    static int64_t lowest(int64_t n, int64_t stride) { return stride < 0 ? (n - 1) * stride : 0; }
    static int64_t highest(int64_t n, int64_t stride) { return stride > 0 ? (n - 1) * stride : 0; }

    template <class T>
    T* bring(T* p, int64_t low, int64_t high, int64_t written, int64_t apart) {
        if (!p) return nullptr;
        using Bare = std::remove_const_t<T>;
        char* host = reinterpret_cast<char*>(const_cast<Bare*>(p) + low);
        const size_t bytes = high > low ? size_t(high - low) * sizeof(T) : 0;
        const size_t width = size_t(written) * sizeof(T), pitch = size_t(apart) * sizeof(T);
        for (Use& u : uses_)
            if (u.host == host && u.bytes == bytes) {
                if (width) u.width = width, u.pitch = pitch;
                return reinterpret_cast<T*>(u.device) - low;
            }
        char* device = static_cast<char*>(shared().take(bytes ? bytes : 1));
        raise_if(shared().queue->copy_in(device, host, bytes));
        uses_.push_back({host, device, bytes, width, pitch});
        return reinterpret_cast<T*>(device) - low;
    }

    std::unique_lock<std::mutex> lock_;
    const Entered entered_;
    std::vector<Use> uses_;
};

template <class T>
void host_dense_forward(Cancel& cancel, const DenseForward<T>& a) {
    Call call;
    DenseForward<T> d = a;
    Csr<T> sparse;
    if (a.sparse_X) {
        sparse = call.in(*a.sparse_X, a.B);
        d.sparse_X = &sparse;
    } else {
        d.X = call.in(a.X, a.B, a.I);
    }
    d.W = call.in(a.W, a.I, a.O);
    d.b = call.in(a.b, a.O);
    d.Y = call.out_rows(a.Y, a.B, a.O, a.y_rs);
    d.Z = call.out_rows(a.Z, a.B, a.O, a.z_rs);
    dense_forward<T>(cancel, d);
    call.finish();
}

template <class T>
void host_dense_backward_x(Cancel& cancel, const DenseBackwardX<T>& a) {
    Call call;
    DenseBackwardX<T> d = a;
    d.dZ = call.in(a.dZ, a.B, a.O);
    d.W = call.in(a.W, a.I, a.O);
    d.dX = call.out_rows(a.dX, a.B, a.I, a.dx_rs);
    LayerGradient<T> producer;
    if (a.producer) {
        producer = call.in(*a.producer, a.B, a.I);
        d.producer = &producer;
    }
    dense_backward_x<T>(cancel, d);
    call.finish();
}

template <class T>
void host_dense_backward_w(Cancel& cancel, const DenseBackwardW<T>* layers, int64_t n_layers) {
    Call call;
    std::vector<DenseBackwardW<T>> device(layers, layers + n_layers);
    Csr<T> sparse;
    for (DenseBackwardW<T>& d : device) {
        if (d.sparse_X) {
            sparse = call.in(*d.sparse_X, d.B);
            d.sparse_X = &sparse;
        } else {
            d.X = call.in(d.X, d.B, d.I);
        }
        d.dZ = call.in(d.dZ, d.B, d.O);
        d.dW = call.out_rows(d.dW, d.I, d.O, d.dw_rs);
        d.db = call.out(d.db, d.O);
    }
    dense_backward_w<T>(cancel, device.data(), n_layers);
    call.finish();
}

template <class T>
void host_activation_forward(const Rows<T>& a, const ActivationSpec& spec) {
    Call call;
    activation_forward<T>(call.rows(a), spec);
    call.finish();
}

template <class T>
void host_layer_backward(const Rows<T>& a, const LayerGradient<T>& g) {
    Call call;
    layer_backward<T>(call.rows(a), call.in(g, a.rows, a.cols));
    call.finish();
}

template <class T>
void host_dropout(const Rows<T>& a, const DropoutSpec& d) {
    Call call;
    dropout<T>(call.rows(a), d);
    call.finish();
}

template <class T>
void host_scale(const Rows<T>& a, double factor) {
    Call call;
    scale<T>(call.rows(a), factor);
    call.finish();
}

template <class T>
void host_activity_penalty(const T* y, T* dy, int64_t B, int64_t O, const PenaltySpec& p, double* value) {
    Call call;
    activity_penalty<T>(call.in(y, B * O), call.out(dy, B * O), B, O, p, call.out(value, 1));
    call.finish();
}

template <class T>
void host_loss(const LossBatch<T>& a) {
    Call call;
    LossBatch<T> d = a;
    const bool classes = a.spec.kind == Loss::sparse_categorical_crossentropy;
    d.prediction = call.in_rows(a.prediction, a.B, a.O, a.prediction_rs);
    d.target = call.in_rows(a.target, a.B, classes ? 1 : a.O, a.target_rs);
    d.weight = call.in(a.weight, a.B);
    d.per_row = call.out(a.per_row, a.B);
    d.gradient = call.out(a.gradient, a.B * a.O);
    d.probability = call.out(a.probability, a.B * a.O);
    loss<T>(d);
    call.finish();
}

template <class T>
void host_metric(const MetricBatch<T>& a) {
    Call call;
    MetricBatch<T> d = a;
    d.prediction = call.in(a.prediction, a.B * a.O);
    d.target = call.in(a.target, a.B * a.target_cols);
    d.weight = call.in(a.weight, a.B);
    d.scratch = call.out(a.scratch, a.B * (1 + a.O));
    d.totals = call.out(a.totals, rules::n_totals(a.spec, a.O));
    metric<T>(d);
    call.finish();
}

template <class T>
void host_totals(const BatchTotals<T>& a) {
    Call call;
    BatchTotals<T> d = a;
    d.per_row = call.in(a.per_row, a.B);
    d.weight = call.in(a.weight, a.B);
    d.penalties = call.in(a.penalties, a.n_penalties);
    d.activity = call.out(a.activity, 1);
    d.totals = call.out(a.totals, kLossTotals);
    totals<T>(d);
    call.finish();
}

template <class T>
double host_penalty(const T* w, int64_t n, double l1, double l2) {
    Call call;
    const double value = penalty<T>(call.in(w, n), n, l1, l2);
    call.finish();
    return value;
}

template <class T>
void host_penalty_gradient(const Rows<T>& a, double l1, double l2) {
    Call call;
    penalty_gradient<T>(call.rows(a), l1, l2);
    call.finish();
}

template <class T>
void host_prox(const Rows<T>& a, double l1, double l2, double step) {
    Call call;
    prox<T>(call.rows(a), l1, l2, step);
    call.finish();
}

template <class T>
void host_update(const UpdateBatch<T>& u) {
    Call call;
    std::vector<UpdateSegment<T>> segments(u.segments, u.segments + u.n_segments);
    for (UpdateSegment<T>& s : segments) {
        s.w = call.out(s.w, s.n);
        s.g = call.in(s.g, s.n);
        for (T*& slot : s.slot) slot = call.out(slot, s.n);
    }
    UpdateBatch<T> d = u;
    d.segments = segments.data();
    d.penalties = call.out(u.penalties, u.n_segments);
    update<T>(d);
    call.finish();
}

template <class T>
void host_gather(const Gather<T>* arrays, int64_t n_arrays) {
    Call call;
    std::vector<Gather<T>> device(arrays, arrays + n_arrays);
    for (Gather<T>& d : device) {
        int64_t rows = d.index ? 0 : d.n;
        for (int64_t i = 0; d.index && i < d.n; ++i) rows = rows > d.index[i] ? rows : int64_t(d.index[i]) + 1;
        d.x = call.in(d.x, rows * d.cols);
        d.index = call.in(d.index, d.n);
        d.out = call.out(d.out, d.n * d.cols);
    }
    gather<T>(device.data(), n_arrays);
    call.finish();
}

template <class T>
int64_t host_count_zeros(const T* w, int64_t n) {
    Call call;
    const int64_t count = count_zeros<T>(call.in(w, n), n);
    call.finish();
    return count;
}

template <class T>
bool host_all_finite(const T* x, int64_t n) {
    Call call;
    const bool finite = all_finite<T>(call.in(x, n), n);
    call.finish();
    return finite;
}

template <class T>
void host_initialize(Cancel& cancel, Initializer kind, double a, double b, uint64_t seed, uint32_t stream, T* out,
                     int64_t n) {
    Call call;
    initialize<T>(cancel, kind, a, b, seed, stream, call.out(out, n), n);
    call.finish();
}

template <class T>
void host_math(MathFunction function, const T* x, T* y, int64_t n) {
    Call call;
    math<T>(function, call.in(x, n), call.out(y, n), n);
    call.finish();
}

void host_dropout_mask(int64_t n, const DropoutSpec& d, bool packed, uint8_t* mask) {
    Call call;
    dropout_mask(n, d, packed, call.out(mask, packed ? (n + 7) / 8 : n));
    call.finish();
}

void host_philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
                 uint32_t* out) {
    Call call;
    philox(seed, stream, step, first_block, n_blocks, rounds, call.out(out, 4 * n_blocks));
    call.finish();
}

void host_permutation(Cancel& cancel, int64_t n, uint64_t seed, uint32_t epoch, uint32_t* order, uint32_t* scratch) {
    Call call;
    permutation(cancel, n, seed, epoch, call.out(order, n), call.out(scratch, 4 * n));
    call.finish();
}

int64_t one_part(int64_t, int64_t) { return 1; }
void run_in_order(int64_t n, void (*task)(void* context, int64_t i), void* context) {
    for (int64_t i = 0; i < n; ++i) task(context, i);
}

template <class T>
constexpr OpTable<T> host_table() {
    return {host_dense_forward<T>,
            host_dense_backward_x<T>,
            host_dense_backward_w<T>,
            host_activation_forward<T>,
            host_layer_backward<T>,
            host_dropout<T>,
            host_scale<T>,
            host_activity_penalty<T>,
            host_loss<T>,
            host_metric<T>,
            host_totals<T>,
            host_penalty<T>,
            host_penalty_gradient<T>,
            host_prox<T>,
            host_update<T>,
            host_gather<T>,
            host_count_zeros<T>,
            host_all_finite<T>,
            host_initialize<T>,
            host_math<T>};
}

}  // namespace

const Backend kHostArrays{
    "cuda",   host_table<float>(), host_table<double>(), host_dropout_mask, host_philox, host_permutation,
    one_part, run_in_order};

}  // namespace fastreg::cuda
