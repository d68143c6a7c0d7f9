// The checks behind guard.h, and the functions about the library itself.
// It must not know what a kernel computes.
#include "capi/guard.h"

#include <string_view>

namespace fastreg::capi {
namespace {

thread_local std::string t_message, t_build_info;

// Whether the last element of a strided array can be addressed.
bool addressable(const Array& a, int64_t element) {
    int64_t down = 0, across = 0, last = 0, n = 0;
    const auto modest = [](int64_t offset) { return offset < INT64_MAX / 16 && offset > INT64_MIN / 16; };
    return !__builtin_mul_overflow(a.rows, a.cols, &n) && !__builtin_mul_overflow(n, element, &n) &&
           !__builtin_mul_overflow(a.rows, a.row_stride, &down) &&
           !__builtin_mul_overflow(a.cols, a.col_stride, &across) && modest(down) && modest(across) &&
           modest(a.row_stride) && modest(a.col_stride) && !__builtin_add_overflow(down, across, &last) && modest(last);
}

std::string text(int64_t n) { return std::to_string(n); }

}  // namespace

void keep_message(const char* message) noexcept {
    try {
        t_message = message;
    } catch (const std::bad_alloc&) {
        t_message.clear();
    }
}

const Status& read_environment() {
    static const Status environment = runtime_init();
    return environment;
}

Status check_size(const char* name, int64_t n, int64_t least) {
    if (n >= least) return {};
    return invalid(std::string(name) + " must be >= " + text(least) + ", got " + text(n));
}

Status check_flag(const char* name, int64_t value) {
    if (value == 0 || value == 1) return {};
    return invalid(std::string(name) + " must be 0 or 1, got " + text(value));
}

Status check_kind(const char* name, int64_t value, int64_t kinds) {
    if (value >= 0 && value < kinds) return {};
    return invalid(std::string(name) + " must be from 0 to " + text(kinds - 1) + ", got " + text(value));
}

Status to_view(const Array& a, Dtype dtype, bool strided, Matrix* view) {
    static double nothing = 0.0;  // an array without elements is present, whatever its pointer
    const std::string name(a.name);
    const int64_t element = size_of(dtype);
    *view = {a.name, const_cast<void*>(a.data), a.rows, a.cols, a.row_stride, a.col_stride, dtype};
    if (!a.data && a.optional) return {};
    if (!addressable(a, element))
        return invalid(name + " is too large: " + text(a.rows) + " x " + text(a.cols) + " with strides of " +
                       text(a.row_stride) + " and " + text(a.col_stride) + " elements");
    if (!a.data) {
        if (a.rows > 0 && a.cols > 0) return check_pointer(a.name, a.data, element);
        view->data = &nothing;
        return {};
    }
    FR_RETURN_IF_ERROR(check_pointer(a.name, a.data, element));
    const int64_t apart = a.row_stride < 0 ? -a.row_stride : a.row_stride;
    if (!strided && a.rows > 1 && a.cols > 0 && apart < a.cols)
        return invalid(name + "_rs must be at least the " + text(a.cols) + " columns, got " + text(a.row_stride));
    return {};
}

Status to_penalty(const char* name, const fr_penalty& p, PenaltySpec* out) {
    FR_RETURN_IF_ERROR(check_flag((std::string(name) + ".subgradient").c_str(), p.subgradient));
    *out = {p.l1, p.l2, p.subgradient == 0};
    return {};
}

Status to_optimizer(const fr_optimizer* given, OptimizerSpec* out) {
    fr_optimizer o = FR_OPTIMIZER_INIT(FR_SGD, 0.0);
    FR_RETURN_IF_ERROR(read_struct("optimizer", given, &o));
    FR_RETURN_IF_ERROR(check_kind("optimizer.kind", o.kind, FR_ADAGRAD + 1));
    FR_RETURN_IF_ERROR(check_flag("optimizer.nesterov", o.nesterov));
    FR_RETURN_IF_ERROR(check_flag("optimizer.amsgrad", o.amsgrad));
    FR_RETURN_IF_ERROR(check_flag("optimizer.centered", o.centered));
    out->kind = Optimizer(o.kind);
    out->learning_rate = o.learning_rate;
    out->momentum = o.momentum;
    out->nesterov = o.nesterov == 1;
    out->beta_1 = o.beta_1;
    out->beta_2 = o.beta_2;
    out->epsilon = o.epsilon;
    out->amsgrad = o.amsgrad == 1;
    out->rho = o.rho;
    out->centered = o.centered == 1;
    out->initial_accumulator_value = o.initial_accumulator_value;
    out->weight_decay = o.weight_decay;
    out->clipnorm = o.clipnorm;
    out->clipvalue = o.clipvalue;
    out->global_clipnorm = o.global_clipnorm;
    return {};
}

Status to_loss(const fr_loss* given, LossSpec* out) {
    fr_loss l = FR_LOSS_INIT(FR_MEAN_SQUARED_ERROR);
    FR_RETURN_IF_ERROR(read_struct("loss", given, &l));
    FR_RETURN_IF_ERROR(check_kind("loss.kind", l.kind, FR_LOG_COSH + 1));
    FR_RETURN_IF_ERROR(check_flag("loss.from_logits", l.from_logits));
    *out = {Loss(l.kind), l.from_logits == 1, l.label_smoothing, l.delta};
    return {};
}

}  // namespace fastreg::capi

using namespace fastreg;
using capi::guarded;

// The two vocabularies are one, and so are the codes.
static_assert(int(Activation::softmax) == FR_SOFTMAX && int(Activation::gelu_tanh) == FR_GELU_TANH);
static_assert(int(Loss::log_cosh) == FR_LOG_COSH && int(Loss::binary_crossentropy) == FR_BINARY_CROSSENTROPY);
static_assert(int(Optimizer::adagrad) == FR_ADAGRAD && int(Optimizer::adam) == FR_ADAM);
static_assert(int(LayerKind::dropout) == FR_DROPOUT && int(Constraint::unit_norm) == FR_UNIT_NORM);
static_assert(int(Initializer::truncated_normal) == FR_TRUNCATED_NORMAL && int(Dtype::f64) == FR_F64);
static_assert(int(Device::cuda) == FR_CUDA && int(Precision::fast) == FR_FAST && int(Precision::bf16) == FR_BF16);
static_assert(int(Code::invalid_argument) == FR_INVALID_ARGUMENT && int(Code::cancelled) == FR_CANCELLED);

// The header's version is that of the build.
#define FR_TEXT(x) #x
#define FR_DOTTED(major, minor, patch) FR_TEXT(major) "." FR_TEXT(minor) "." FR_TEXT(patch)
static_assert(std::string_view(FASTREG_VERSION) ==
              FR_DOTTED(FASTREG_VERSION_MAJOR, FASTREG_VERSION_MINOR, FASTREG_VERSION_PATCH));

extern "C" {

FASTREG_API int fr_abi_version(void) { return FR_ABI_VERSION; }
FASTREG_API const char* fr_version(void) { return FASTREG_VERSION; }
FASTREG_API const char* fr_last_error(void) { return capi::t_message.c_str(); }

FASTREG_API const char* fr_build_info(void) {
    const fr_status status = guarded([]() -> Status {
        const BuildInfo info = build_info();
        std::string isas;
        for (const std::string& name : info.isas_compiled) isas += (isas.empty() ? "" : " ") + name;
        capi::t_build_info = "fastreg " + info.version + ", " + info.compiler + ", " + info.isa + " of " + isas +
                             ", cuda " + info.cuda + ", " + std::to_string(info.num_threads) + " threads";
        return {};
    });
    return status == FR_OK ? capi::t_build_info.c_str() : "";
}

FASTREG_API int fr_get_num_threads(void) {
    int n = 1;
    const fr_status status = guarded([&]() -> Status {
        n = get_num_threads();
        return {};
    });
    return status == FR_OK ? n : 1;
}
FASTREG_API fr_status fr_set_num_threads(int n) {
    return guarded([&] { return set_num_threads(n); });
}

}  // extern "C"
