// The gate: every array of every kernel call is checked here, then trusted. See ops.h.
// It must not know models, sessions, NumPy or how a kernel is made. It is over 250 lines because each kernel has its
// entry here. Over 40 lines: update_checked and dense_backward, all checks of a call and then the call.
#include "core/ops.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/cuda.h"
#include "core/dropout_spec.h"
#include "core/op_table.h"
#include "core/runtime.h"
#include "core/validate.h"
#include "rules/lanes.h"
#include "rules/layer_gradient.h"
#include "rules/update.h"

namespace fastreg {
namespace {

std::string shape(const Matrix& m) { return "(" + std::to_string(m.rows) + ", " + std::to_string(m.cols) + ")"; }

// A small kernel takes less time than a Status that is built, returned and taken apart, and a call has dozens of
// checks: each is inline, and its message, if there is one, is made elsewhere.
Status wrong_shape(const Matrix& m, int64_t rows, int64_t cols, const char* why) {
    return invalid(std::string(m.name) + " has shape " + shape(m) + "; expected (" + std::to_string(rows) + ", " +
                   std::to_string(cols) + ") " + why);
}
inline Status expect_shape(const Matrix& m, int64_t rows, int64_t cols, const char* why) {
    return m.rows == rows && m.cols == cols ? Status() : wrong_shape(m, rows, cols, why);
}
Status wrong_length(const Matrix& m, int64_t n, const char* why) {
    return invalid(std::string(m.name) + " has shape (" + std::to_string(m.cols) + ",); expected (" +
                   std::to_string(n) + ",): " + why);
}
// Of what the caller has as a vector.
inline Status expect_length(const Matrix& m, int64_t n, const char* why) {
    return m.rows == 1 && m.cols == n ? Status() : wrong_length(m, n, why);
}

Status wrong_rows_layout(const Matrix& m) {
    return invalid(std::string(m.name) + " must have contiguous rows, got strides of (" + std::to_string(m.row_stride) +
                   ", " + std::to_string(m.col_stride) + ") elements for shape " + shape(m));
}
inline Status expect_rows_layout(const Matrix& m) {
    if (m.rows == 0 || m.cols == 0) return {};
    const bool fits = (m.cols == 1 || m.col_stride == 1) && (m.rows == 1 || std::abs(m.row_stride) >= m.cols);
    return fits ? Status() : wrong_rows_layout(m);
}

Status expect_contiguous(const Matrix& m) {
    FR_RETURN_IF_ERROR(expect_rows_layout(m));
    if (m.rows <= 1 || m.cols == 0 || m.row_stride == m.cols) return {};
    return invalid(std::string(m.name) + " must be contiguous, got a row stride of " + std::to_string(m.row_stride) +
                   " elements for shape " + shape(m));
}

const char* place(const Matrix& m) { return m.on_gpu ? "on CUDA:0" : "in the memory of the CPU"; }

Status wrong_kind(const Matrix& m, const Matrix& first) {
    const char* names[] = {"float32", "float64", "bfloat16"};
    if (m.dtype == first.dtype)
        return invalid(std::string(m.name) + " is " + place(m) + ", but " + first.name + " is " + place(first) +
                       "; all arrays of a call must be in one place");
    return {Code::type_mismatch, std::string(m.name) + " is " + names[int(m.dtype)] + "; the call's other arrays are " +
                                     names[int(first.dtype)]};
}
// The dtype and the place of the call's first array.
inline Status expect_kind(const Matrix& m, const Matrix& first) {
    return m.dtype == first.dtype && m.on_gpu == first.on_gpu ? Status() : wrong_kind(m, first);
}

Status refuse_gpu(const Matrix& m, const char* function) {
    if (!m.on_gpu) return {};
    return invalid(std::string(m.name) + " is on CUDA:0; " + function + " takes arrays in the memory of the CPU alone");
}

// First and last byte a matrix touches; without elements it is apart from all.
struct Extent {
    uintptr_t first = 1, last = 0;
};
inline Extent extent(const Matrix& m) {
    if (!m || m.rows * m.cols == 0) return {};
    const intptr_t size = size_of(m.dtype);
    const intptr_t r = intptr_t(m.rows - 1) * intptr_t(m.row_stride) * size,
                   c = intptr_t(m.cols - 1) * intptr_t(m.col_stride) * size;
    const intptr_t at = reinterpret_cast<intptr_t>(m.data);
    return {uintptr_t(at + std::min<intptr_t>(r, 0) + std::min<intptr_t>(c, 0)),
            uintptr_t(at + std::max<intptr_t>(r, 0) + std::max<intptr_t>(c, 0) + size - 1)};
}
inline bool apart(const Extent& a, const Extent& b) { return a.last < b.first || b.last < a.first; }

// A matrix as lines, its rows or its columns: bytes from one to the next (0: all of them begin at one address), and
// bytes of a line.
struct Lines {
    int64_t pitch, width;
};
Lines lines_of(const Matrix& m) {
    const int64_t size = size_of(m.dtype), down = std::abs(m.row_stride) * size, across = std::abs(m.col_stride) * size;
    const bool by_rows = m.rows == 1 || m.cols == 1 || down == 0 || down >= across;
    return by_rows ? Lines{m.rows > 1 ? down : 0, (m.cols - 1) * across + size}
                   : Lines{across, (m.rows - 1) * down + size};
}

// Whether matrices whose extents meet share no number all the same, as columns of one wider array do: modulo a pitch
// that divides both of theirs, each matrix is one line, and these lines are apart.
bool side_by_side(const Matrix& a, const Matrix& b) {
    const Lines la = lines_of(a), lb = lines_of(b);
    const int64_t pitch = std::gcd(la.pitch, lb.pitch);
    if (pitch == 0) return false;
    const int64_t from_a = int64_t(extent(b).first - extent(a).first) % pitch, start = (from_a + pitch) % pitch;
    return la.width <= start && start + lb.width <= pitch;
}

Status overlap(const Matrix& out, const Matrix& other) {
    return invalid(std::string(out.name) + " must not overlap " + other.name + " in memory");
}
inline Status expect_apart(const Matrix& out, const Matrix& other) {
    return apart(extent(out), extent(other)) || side_by_side(out, other) ? Status() : overlap(out, other);
}

// Each of outputs apart from all of inputs, then from the outputs after it. At most 8 in all.
Status expect_apart(std::initializer_list<const Matrix*> outputs, std::initializer_list<const Matrix*> inputs) {
    Extent extents[8];
    size_t n = 0;
    for (const Matrix* m : inputs) extents[n++] = extent(*m);
    for (const Matrix* m : outputs) extents[n++] = extent(*m);
    size_t o = inputs.size();
    for (const Matrix* out : outputs) {
        for (size_t i = 0; i < inputs.size(); ++i)
            if (!apart(extents[o], extents[i])) FR_RETURN_IF_ERROR(expect_apart(*out, *inputs.begin()[i]));
        for (size_t i = o + 1; i < n; ++i)
            if (!apart(extents[o], extents[i]))
                FR_RETURN_IF_ERROR(expect_apart(*out, *outputs.begin()[i - inputs.size()]));
        ++o;
    }
    return {};
}

// out may be the same array as in (same start, same strides), or apart from it.
Status expect_same_or_apart(const Matrix& out, const Matrix& in) {
    const bool same = out.data == in.data && (out.rows <= 1 || out.row_stride == in.row_stride) &&
                      (out.cols <= 1 || out.col_stride == in.col_stride);
    return same ? Status{} : expect_apart(out, in);
}

// All checks of y = f(x) over rows, in place allowed.
Status expect_map(const Matrix& x, const Matrix& out) {
    FR_RETURN_IF_ERROR(expect_kind(out, x));
    FR_RETURN_IF_ERROR(expect_shape(out, x.rows, x.cols, "like its input"));
    FR_RETURN_IF_ERROR(expect_rows_layout(x));
    FR_RETURN_IF_ERROR(expect_rows_layout(out));
    return expect_same_or_apart(out, x);
}

// Where the operations of a call find room for numbers of their own, and how such numbers come to the host.
class CallMemory {
public:
    explicit CallMemory(CudaCall* gpu) : gpu_(gpu) {}

    bool on_gpu() const { return gpu_ != nullptr; }
    // n undefined numbers, until the call is over; once a call. Not zeroed, which would walk through a large block
    // twice. Null after an error of the GPU.
    template <class T>
    T* take(size_t n) {
        if (gpu_) return static_cast<T*>(gpu_->memory(n * sizeof(T)));
        host_.reset(new double[(n * sizeof(T) + sizeof(double) - 1) / sizeof(double)]);
        return reinterpret_cast<T*>(host_.get());
    }
    Status fetch(double* to, const double* from, size_t n) { return gpu_->fetch(to, from, n * sizeof(double)); }

private:
    CudaCall* gpu_;
    std::unique_ptr<double[]> host_;
};

// Calls f(op table, a value of its type, memory) for the dtype and the place of the call's first array. clock: see
// CudaCall.
template <class F>
Status with_table(const Matrix& first, F f, void* clock = nullptr) {
    const auto call = [&](const Backend& backend, CallMemory&& memory) {
        first.dtype == Dtype::f32 ? f(backend.f32, float(), memory) : f(backend.f64, double(), memory);
    };
    if (!first.on_gpu) {
        call(backend(), CallMemory(nullptr));
        return {};
    }
    CudaCall gpu;
    FR_RETURN_IF_ERROR(gpu.begin(first.stream, clock));
    call(gpu.exact(), CallMemory(&gpu));
    return gpu.end();
}

template <class T>
Strided<const T> strided(const Matrix& m) {
    return {static_cast<const T*>(m.data), m.row_stride, m.col_stride};
}
template <class T>
T* data(const Matrix& m) {
    return static_cast<T*>(m.data);
}
template <class T>
Rows<T> rows_of(const Matrix& x, const Matrix& y) {
    return {x.rows, x.cols, data<T>(x), x.row_stride, data<T>(y), y.row_stride};
}

// dL/dZ of a layer (B, O): dY itself where nothing lies between Z and Y, else written to memory. Null after an error.
template <class T>
Strided<const T> dz_of(const OpTable<T>& ops, int64_t B, int64_t O, Strided<const T> dY, const LayerGradient<T>& layer,
                       CallMemory* memory) {
    if (layer.activation.kind == Activation::linear && layer.dropout.keep == 65536) return dY;
    T* dZ = memory->take<T>(size_t(B) * size_t(O));
    if (dZ) ops.layer_backward({B, O, dY.p, dY.rs, dZ, O}, layer);
    return {dZ, O, 1};
}

Status refuse_softmax(const ActivationSpec& a, const char* instead) {
    if (a.kind != Activation::softmax) return {};
    return invalid(std::string("activation softmax mixes a row and is not fused; ") + instead);
}

// How messages call the i-th parameter of an update: not at all when there is one.
std::string owner(const char* word, size_t i, const char* after) {
    return *word ? word + std::to_string(i) + after : std::string();
}

// An array of an update: what memory it takes, and whether it is written.
struct Use {
    Extent extent;
    const Matrix* matrix;
    size_t parameter, order;  // order: its place among the arrays of the call
    bool written;
};

Status overlap(const Use& a, const Use& b, const char* word) {
    const bool a_is_out = a.written && (!b.written || a.order > b.order);
    const Use &out = a_is_out ? a : b, &other = a_is_out ? b : a;
    return invalid(owner(word, out.parameter, "'s ") + out.matrix->name + " must not overlap " +
                   owner(word, other.parameter, "'s ") + other.matrix->name + " in memory");
}

// Whatever is written is apart from all else. In the order of their first bytes, an array meets one before it exactly
// when it meets the one that reaches furthest.
Status expect_all_apart(std::vector<Use> uses, const char* word) {
    std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.extent.first < b.extent.first; });
    const Use *furthest = nullptr, *furthest_written = nullptr;
    for (const Use& use : uses) {
        if (use.extent.last < use.extent.first) continue;  // no elements
        const Use* before = use.written ? furthest : furthest_written;
        if (before && use.extent.first <= before->extent.last) return overlap(*before, use, word);
        if (!furthest || furthest->extent.last < use.extent.last) furthest = &use;
        if (use.written && (!furthest_written || furthest_written->extent.last < use.extent.last))
            furthest_written = &use;
    }
    return {};
}

// The arrays of one parameter fit each other and the call; adds them to uses.
Status expect_update(const OptimizerSpec& optimizer, const UpdateArrays& p, const Matrix& first, size_t i,
                     std::vector<Use>* uses) {
    FR_RETURN_IF_ERROR(check_penalty("update", p.penalty));
    const size_t needed = size_t(rules::n_slots(optimizer));
    if (p.n_slots != needed)
        return invalid("slots must hold " + std::to_string(needed) + " arrays for this optimizer, got " +
                       std::to_string(p.n_slots));
    const auto take = [&](const Matrix& m, bool written) -> Status {
        FR_RETURN_IF_ERROR(expect_kind(m, first));
        FR_RETURN_IF_ERROR(expect_shape(m, p.w.rows, p.w.cols, "like w"));
        FR_RETURN_IF_ERROR(expect_contiguous(m));
        uses->push_back({extent(m), &m, i, uses->size(), written});
        return {};
    };
    FR_RETURN_IF_ERROR(take(p.w, true));
    FR_RETURN_IF_ERROR(take(p.g, false));
    for (size_t k = 0; k < p.n_slots; ++k) FR_RETURN_IF_ERROR(take(p.slots[k], true));
    return {};
}

// The arrays of UpdateOnGpu.
Status expect_on_gpu(const UpdateOnGpu& on_gpu, const Matrix& first, size_t n, const std::vector<Use>& uses) {
    const std::pair<const Matrix*, int64_t> arrays[] = {{&on_gpu.penalties, int64_t(n)}, {&on_gpu.clock, 3}};
    for (const auto& [m, size] : arrays) {
        if (!*m) continue;
        if (!first.on_gpu || !m->on_gpu)
            return invalid(std::string(m->name) + " is " + place(*m) + " and " + first.name + " is " + place(first) +
                           "; both must be on CUDA:0");
        if (m->dtype != Dtype::f64) return {Code::type_mismatch, std::string(m->name) + " must be float64"};
        FR_RETURN_IF_ERROR(expect_shape(*m, 1, size, m == &on_gpu.clock ? "for a clock" : "one for each parameter"));
        FR_RETURN_IF_ERROR(expect_contiguous(*m));
        for (const Use& use : uses)
            if (!apart(extent(*m), use.extent)) return overlap(*m, *use.matrix);
    }
    return {};
}

// word: how messages call a parameter; empty when there is one.
Status update_checked(const OptimizerSpec& optimizer, const UpdateArrays* parameters, size_t n, int64_t step,
                      double* values, const char* word, const UpdateOnGpu& on_gpu) {
    FR_RETURN_IF_ERROR(check_optimizer(optimizer));
    if (step < 1) return invalid("step must be >= 1, got " + std::to_string(step));
    if (n == 0) return {};
    const Matrix& first = parameters[0].w;
    std::vector<Use> uses;
    uses.reserve(n * 5);
    int64_t elements = 0;
    for (size_t i = 0; i < n; ++i) {
        Status fits = expect_update(optimizer, parameters[i], first, i, &uses);
        if (!fits.ok()) return {fits.code, owner(word, i, ": ") + fits.message};
        elements += parameters[i].w.rows * parameters[i].w.cols;
    }
    FR_RETURN_IF_ERROR(expect_on_gpu(on_gpu, first, n, uses));
    FR_RETURN_IF_ERROR(expect_all_apart(std::move(uses), word));
    if (first.on_gpu && elements == 0) {  // nothing would be launched, and nobody write the penalties
        if (on_gpu.penalties) return invalid("weights hold no elements, so that penalties would stay unwritten");
        std::fill(values, values + n, 0.0);
        return {};
    }
    Status fetched;
    const Status called = with_table(
        first,
        [&](const auto& ops, auto t, CallMemory& memory) {
            using T = decltype(t);
            std::vector<UpdateSegment<T>> segments(n);
            for (size_t i = 0; i < n; ++i) {
                const UpdateArrays& p = parameters[i];
                segments[i] = {data<T>(p.w), data<T>(p.g), {}, p.w.rows * p.w.cols, p.penalty, {}, p.w.rows, p.w.cols};
                for (size_t k = 0; k < p.n_slots; ++k) segments[i].slot[k] = data<T>(p.slots[k]);
            }
            const bool fetches = memory.on_gpu() && !on_gpu.penalties;
            double* penalties = fetches            ? memory.take<double>(n)
                                : on_gpu.penalties ? data<double>(on_gpu.penalties)
                                                   : values;
            if (!penalties) return;
            ops.update({optimizer, step, segments.data(), int64_t(n), penalties});
            if (fetches) fetched = memory.fetch(values, penalties, n);
        },
        on_gpu.clock ? on_gpu.clock.data : nullptr);
    return fetched.ok() ? called : fetched;
}

Status interrupted(const Cancel& cancel) {
    return cancel.stopped() ? Status(Code::cancelled, "interrupted") : Status();
}

}  // namespace

Status dense_forward(Cancel& cancel, const Matrix& x, const Matrix& w, const Matrix& b,
                     const ActivationSpec& activation, const DropoutSpec& dropout, const Matrix& out,
                     const Matrix& z_out) {
    FR_RETURN_IF_ERROR(check_activation("activation", activation));
    FR_RETURN_IF_ERROR(refuse_softmax(activation, "use \"linear\", then the softmax of its result"));
    const Matrix* others[] = {&w, &b, &out, &z_out};
    for (const Matrix* m : others)
        if (*m) FR_RETURN_IF_ERROR(expect_kind(*m, x));
    FR_RETURN_IF_ERROR(expect_shape(w, x.cols, w.cols, "so that x @ w exists"));
    if (b) FR_RETURN_IF_ERROR(expect_length(b, w.cols, "one number per output"));
    FR_RETURN_IF_ERROR(expect_shape(out, x.rows, w.cols, "for x @ w"));
    if (z_out) FR_RETURN_IF_ERROR(expect_shape(z_out, x.rows, w.cols, "for x @ w"));
    for (const Matrix* m : {&b, &out, &z_out})
        if (*m) FR_RETURN_IF_ERROR(expect_rows_layout(*m));
    FR_RETURN_IF_ERROR(expect_apart({&out, &z_out}, {&x, &w, &b}));
    FR_RETURN_IF_ERROR(with_table(x, [&](const auto& ops, auto t, CallMemory&) {
        using T = decltype(t);
        ops.dense_forward(cancel, {x.rows, x.cols, w.cols, strided<T>(x), strided<T>(w), data<T>(b), activation,
                                   dropout, data<T>(out), out.row_stride, data<T>(z_out), z_out.row_stride});
    }));
    return interrupted(cancel);
}

bool needs_z(const ActivationSpec& activation, bool drops) { return rules::needs_z(activation.kind, drops); }

Status dense_backward(Cancel& cancel, const Matrix& dy, const Matrix& x, const Matrix& w, const Matrix& y,
                      const Matrix& z, const ActivationSpec& activation, const DropoutSpec& dropout, const Matrix& dx,
                      const Matrix& dw, const Matrix& db, bool dw_transposed) {
    FR_RETURN_IF_ERROR(check_activation("activation", activation));
    FR_RETURN_IF_ERROR(refuse_softmax(activation, "use \"linear\", with dy taken through softmax before"));
    if (!z && rules::needs_z(activation.kind, dropout.keep < 65536))
        return invalid("z (x @ w + b) is needed: the gradient of this activation cannot be had from y" +
                       std::string(dropout.keep < 65536 ? " after dropout" : ""));
    for (const Matrix* m : {&x, &w, &y, &z, &dx, &dw, &db})
        if (*m) FR_RETURN_IF_ERROR(expect_kind(*m, dy));
    FR_RETURN_IF_ERROR(expect_shape(w, x.cols, w.cols, "so that x @ w exists"));
    FR_RETURN_IF_ERROR(expect_shape(dy, x.rows, w.cols, "like x @ w"));
    FR_RETURN_IF_ERROR(expect_shape(y, x.rows, w.cols, "like x @ w"));
    if (z) FR_RETURN_IF_ERROR(expect_shape(z, x.rows, w.cols, "like x @ w"));
    if (dx) FR_RETURN_IF_ERROR(expect_shape(dx, x.rows, x.cols, "like x"));
    if (dw_transposed) {
        FR_RETURN_IF_ERROR(expect_shape(dw, w.cols, w.rows, "like w transposed"));
        FR_RETURN_IF_ERROR(expect_rows_layout(x));
    } else {
        FR_RETURN_IF_ERROR(expect_shape(dw, w.rows, w.cols, "like w"));
    }
    if (db) FR_RETURN_IF_ERROR(expect_length(db, w.cols, "one number per output"));
    for (const Matrix* m : {&dy, &y, &z, &dx, &dw, &db})
        if (*m) FR_RETURN_IF_ERROR(expect_rows_layout(*m));
    FR_RETURN_IF_ERROR(expect_apart({&dx, &dw, &db}, {&dy, &x, &w, &y, &z}));
    FR_RETURN_IF_ERROR(with_table(dy, [&](const auto& ops, auto t, CallMemory& memory) {
        using T = decltype(t);
        const int64_t B = x.rows, I = x.cols, O = w.cols;
        const LayerGradient<T> layer{activation, dropout, data<T>(y), y.row_stride, data<T>(z), z.row_stride};
        const Strided<const T> dZ = dz_of<T>(ops, B, O, {data<T>(dy), dy.row_stride, 1}, layer, &memory);
        if (memory.on_gpu() && !dZ.p) return;
        const Strided<const T> X = strided<T>(x);
        if (dw_transposed) {  // dw^T = dz^T x is the same product with its operands exchanged, so it has the same bits
            const DenseBackwardW<T> product{B, O, I, dZ, X, data<T>(dw), dw.row_stride, nullptr};
            const DenseBackwardW<T> bias{B, 0, O, X, dZ, nullptr, 0, data<T>(db)};
            ops.dense_backward_w(cancel, &product, 1);
            if (db) ops.dense_backward_w(cancel, &bias, 1);
        } else {
            const DenseBackwardW<T> gradient{B, I, O, X, dZ, data<T>(dw), dw.row_stride, data<T>(db)};
            ops.dense_backward_w(cancel, &gradient, 1);
        }
        if (dx) ops.dense_backward_x(cancel, {B, I, O, dZ, strided<T>(w), data<T>(dx), dx.row_stride, nullptr});
    }));
    return interrupted(cancel);
}

Status activation_forward(const Matrix& x, const ActivationSpec& activation, const Matrix& out) {
    FR_RETURN_IF_ERROR(check_activation("activation", activation));
    FR_RETURN_IF_ERROR(expect_map(x, out));
    return with_table(x, [&](const auto& ops, auto t, CallMemory&) {
        ops.activation_forward(rows_of<decltype(t)>(x, out), activation);
    });
}

Status activation_backward(const Matrix& dy, const Matrix& x, const ActivationSpec& activation, const Matrix& out) {
    FR_RETURN_IF_ERROR(check_activation("activation", activation));
    FR_RETURN_IF_ERROR(expect_map(dy, out));
    FR_RETURN_IF_ERROR(expect_kind(x, dy));
    FR_RETURN_IF_ERROR(expect_shape(x, dy.rows, dy.cols, "like dy"));
    FR_RETURN_IF_ERROR(expect_rows_layout(x));
    FR_RETURN_IF_ERROR(expect_apart(out, x));
    return with_table(x, [&](const auto& ops, auto t, CallMemory& memory) {
        using T = decltype(t);
        LayerGradient<T> layer{activation, {}, data<T>(x), x.row_stride, data<T>(x), x.row_stride};
        const bool from_y = activation.kind == Activation::softmax || activation.kind == Activation::relu;
        if (from_y) {
            T* y = memory.take<T>(size_t(x.rows) * size_t(x.cols));
            if (!y) return;
            ops.activation_forward({x.rows, x.cols, data<T>(x), x.row_stride, y, x.cols}, activation);
            layer.Y = y;
            layer.y_rs = x.cols;
            layer.Z = nullptr;
        }
        ops.layer_backward(rows_of<T>(dy, out), layer);
    });
}

Status loss_forward(const Matrix& y_true, const Matrix& y_pred, const Matrix& sample_weight, const LossSpec& loss,
                    const Matrix& per_row, const Matrix& gradient, double* mean) {
    FR_RETURN_IF_ERROR(check_loss(loss));
    FR_RETURN_IF_ERROR(refuse_gpu(y_pred, "loss_forward"));
    for (const Matrix* m : {&y_true, &sample_weight, &per_row, &gradient})
        if (*m) FR_RETURN_IF_ERROR(expect_kind(*m, y_pred));
    const int64_t B = y_pred.rows, O = y_pred.cols;
    if (O < 1) return invalid("y_pred has no columns");
    if (y_true.rows != B)
        return invalid("y_true has " + std::to_string(y_true.rows) + " rows; y_pred has " + std::to_string(B));
    FR_RETURN_IF_ERROR(check_targets(loss, y_true.cols, O));
    if (sample_weight) FR_RETURN_IF_ERROR(expect_shape(sample_weight, 1, B, "one weight per row"));
    FR_RETURN_IF_ERROR(expect_shape(per_row, 1, B, "one loss per row"));
    if (gradient) FR_RETURN_IF_ERROR(expect_shape(gradient, B, O, "like y_pred"));
    for (const Matrix* m : {&y_true, &y_pred, &sample_weight, &per_row}) FR_RETURN_IF_ERROR(expect_rows_layout(*m));
    if (gradient) FR_RETURN_IF_ERROR(expect_contiguous(gradient));
    FR_RETURN_IF_ERROR(expect_apart({&gradient, &per_row}, {&y_true, &y_pred, &sample_weight}));
    Status classes;
    FR_RETURN_IF_ERROR(with_table(y_pred, [&](const auto& ops, auto t, CallMemory& memory) {
        using T = decltype(t);
        if (loss.kind == Loss::sparse_categorical_crossentropy)
            classes = check_classes("y_true", data<T>(y_true), B, y_true.row_stride, O);
        if (!classes.ok()) return;
        T* const probability = loss.from_logits ? memory.take<T>(size_t(B) * size_t(O)) : nullptr;
        ops.loss({loss, B, O, B, data<T>(y_pred), y_pred.row_stride, data<T>(y_true), y_true.row_stride,
                  data<T>(sample_weight), data<T>(per_row), data<T>(gradient), probability});
        const T *value = data<T>(per_row), *weight = data<T>(sample_weight);
        const double sum =
            rules::lane_sum(B, [&](int64_t i) { return double(value[i]) * (weight ? double(weight[i]) : 1.0); });
        *mean = B ? sum / double(B) : 0.0;
    }));
    return classes;
}

Status make_dropout(double rate, uint64_t seed, uint64_t step, uint64_t stream, DropoutSpec* out) {
    FR_RETURN_IF_ERROR(check_rate(rate));
    if (step > UINT32_MAX) return invalid("step must be below 2^32, got " + std::to_string(step));
    if (stream > UINT32_MAX) return invalid("stream must be below 2^32, got " + std::to_string(stream));
    *out = dropout_spec(rate, seed, uint32_t(stream), uint32_t(step));
    return {};
}

Status dropout(const Matrix& x, const DropoutSpec& dropout, const Matrix& out) {
    FR_RETURN_IF_ERROR(expect_map(x, out));
    if (x.dtype != Dtype::bf16)
        return with_table(
            x, [&](const auto& ops, auto t, CallMemory&) { ops.dropout(rows_of<decltype(t)>(x, out), dropout); });
    if (!x.on_gpu) return {Code::type_mismatch, std::string(x.name) + " is bfloat16, which a GPU takes"};
    CudaCall gpu;
    FR_RETURN_IF_ERROR(gpu.begin(x.stream, nullptr));
    gpu.exact().dropout_bf16(rows_of<Bfloat>(x, out), dropout);
    return gpu.end();
}

Status dropout_mask(int64_t n, const DropoutSpec& dropout, bool packed, uint8_t* mask) {
    if (n < 0) return invalid("n must be >= 0, got " + std::to_string(n));
    if (n > INT64_MAX / 16) return invalid("n is too large: " + std::to_string(n));
    backend().dropout_mask(n, dropout, packed, mask);
    return {};
}

Status elastic_net(const Matrix& w, double l1, double l2, double* value) {
    FR_RETURN_IF_ERROR(check_penalty("elastic_net", {l1, l2, true}));
    FR_RETURN_IF_ERROR(expect_contiguous(w));
    return with_table(w, [&](const auto& ops, auto t, CallMemory&) {
        *value = ops.penalty(data<decltype(t)>(w), w.rows * w.cols, l1, l2);
    });
}

Status elastic_net_gradient(const Matrix& w, double l1, double l2, const Matrix& out) {
    FR_RETURN_IF_ERROR(check_penalty("elastic_net_gradient", {l1, l2, true}));
    FR_RETURN_IF_ERROR(expect_map(w, out));
    return with_table(
        w, [&](const auto& ops, auto t, CallMemory&) { ops.penalty_gradient(rows_of<decltype(t)>(w, out), l1, l2); });
}

Status prox(const Matrix& w, double l1, double l2, double step, const Matrix& out) {
    FR_RETURN_IF_ERROR(check_penalty("prox", {l1, l2, true}));
    if (!std::isfinite(step) || step < 0) return invalid("step must be finite and >= 0, got " + number(step));
    FR_RETURN_IF_ERROR(expect_map(w, out));
    return with_table(
        w, [&](const auto& ops, auto t, CallMemory&) { ops.prox(rows_of<decltype(t)>(w, out), l1, l2, step); });
}

int n_slots(const OptimizerSpec& optimizer) { return rules::n_slots(optimizer); }

Status update(const OptimizerSpec& optimizer, const Matrix& w, const Matrix& g, const Matrix* slots, size_t n_slots,
              int64_t step, const PenaltySpec& penalty, double* value) {
    const UpdateArrays one{w, g, slots, n_slots, penalty};
    return update_checked(optimizer, &one, 1, step, value, "", {});
}

Status update_many(const OptimizerSpec& optimizer, const UpdateArrays* parameters, size_t n, int64_t step,
                   double* values, const UpdateOnGpu& on_gpu) {
    return update_checked(optimizer, parameters, n, step, values, "parameter ", on_gpu);
}

Status all_finite(const Matrix& x, bool* result) {
    FR_RETURN_IF_ERROR(expect_contiguous(x));
    return with_table(x, [&](const auto& ops, auto t, CallMemory&) {
        *result = ops.all_finite(data<decltype(t)>(x), x.rows * x.cols);
    });
}

Status initialize(Cancel& cancel, Initializer kind, double a, double b, uint64_t seed, uint32_t stream,
                  const Matrix& out) {
    if (!std::isfinite(a) || !std::isfinite(b))
        return invalid("a and b must be finite, got " + number(a) + " and " + number(b));
    const bool uniform = kind == Initializer::uniform;
    if (!uniform && b < 0) return invalid("b, the standard deviation, must be >= 0, got " + number(b));
    if (uniform && b < a) return invalid("b must be >= a, got " + number(b) + " and " + number(a));
    FR_RETURN_IF_ERROR(expect_contiguous(out));
    // No normal number drawn lies 8.6 deviations from the mean: sqrt(2 ln 2^53).
    const double widest = uniform ? std::max({std::fabs(a), std::fabs(b), b - a}) : std::fabs(a) + 8.6 * b;
    const double largest =
        out.dtype == Dtype::f32 ? double(std::numeric_limits<float>::max()) : std::numeric_limits<double>::max();
    if (widest > largest)
        return invalid("a and b must give numbers of out's type, got " + number(a) + " and " + number(b));
    FR_RETURN_IF_ERROR(refuse_gpu(out, "initialize"));
    FR_RETURN_IF_ERROR(with_table(out, [&](const auto& ops, auto t, CallMemory&) {
        ops.initialize(cancel, kind, a, b, seed, stream, data<decltype(t)>(out), out.rows * out.cols);
    }));
    return interrupted(cancel);
}

Status permutation(Cancel& cancel, int64_t n, uint64_t seed, uint64_t epoch, int64_t* out) {
    if (n < 0 || n > int64_t(UINT32_MAX)) return invalid("n must be from 0 to 2^32 - 1, got " + std::to_string(n));
    const std::unique_ptr<uint32_t[]> order(new uint32_t[size_t(n)]), scratch(new uint32_t[4 * size_t(n)]);
    backend().permutation(cancel, n, seed, uint32_t(epoch), order.get(), scratch.get());
    for (int64_t i = 0; i < n; ++i) {
        if (i % 65536 == 0 && cancel.check()) break;
        out[i] = order[size_t(i)];
    }
    return interrupted(cancel);
}

Status philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t first_block, int64_t n_blocks, int rounds,
              uint32_t* out) {
    if (n_blocks < 0) return invalid("n_blocks must be >= 0, got " + std::to_string(n_blocks));
    if (rounds != 7 && rounds != 10) return invalid("rounds must be 7 or 10, got " + std::to_string(rounds));
    backend().philox(seed, stream, step, first_block, n_blocks, rounds, out);
    return {};
}

Status math_function(const std::string& name, const Matrix& x, const Matrix& out) {
    static const std::map<std::string, MathFunction> kFunctions = {
        {"exp", MathFunction::exp},           {"expm1", MathFunction::expm1},       {"log", MathFunction::log},
        {"log1p", MathFunction::log1p},       {"tanh", MathFunction::tanh},         {"sigmoid", MathFunction::sigmoid},
        {"softplus", MathFunction::softplus}, {"norm_cdf", MathFunction::norm_cdf}, {"cos_2pi", MathFunction::cos_2pi}};
    FR_RETURN_IF_ERROR(expect_map(x, out));
    FR_RETURN_IF_ERROR(expect_contiguous(x));
    FR_RETURN_IF_ERROR(expect_contiguous(out));
    const auto function = kFunctions.find(name);
    if (function == kFunctions.end())
        return invalid(
            "name must be one of exp, expm1, log, log1p, tanh, sigmoid, softplus, norm_cdf, cos_2pi; got \"" + name +
            "\"");
    return with_table(x, [&](const auto& ops, auto t, CallMemory&) {
        using T = decltype(t);
        ops.math(function->second, data<T>(x), data<T>(out), x.rows * x.cols);
    });
}

}  // namespace fastreg
