// Fast products: chooses a plan, lays out scratch memory and launches the split pass, the product and, with split k,
// the combining kernel. It must not know layers. Over 40 lines: fast_gemm, these in order, with one list of the memory.
#include "cuda/fast_gemm.h"

#include "cuda/fast_mma.cuh"
#include "cuda/fast_split.cuh"
#include "cuda/fast_wgmma.cuh"

namespace fastreg::cuda {
namespace {

using namespace fast;

// wgmma_kernel has a body only in code made for sm_90a; without one it needs hardly a register.
bool has_wgmma(int capability) {
    if (capability != 90) return false;
    static const bool has = [] {
        cudaFuncAttributes attributes{};
        const bool known = cudaFuncGetAttributes(&attributes, wgmma_kernel) == cudaSuccess;
        cudaGetLastError();
        return known && attributes.numRegs > 64;
    }();
    return has;
}

Source source(const float* p, const Bfloat* p16, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t K,
              int64_t tile_rows, int unit) {
    Source s{};
    s.p = p;
    s.p16 = p16;
    s.row_stride = row_stride;
    s.k_stride = k_stride;
    s.rows = rows;
    s.K = K;
    s.padded_rows = round_up(rows, tile_rows);
    s.segments = round_up(K, unit) / kSegment;
    s.reading = reading_of(s);
    return s;
}

// Room for planes and scales: fp16x3's planes are not needed any more when those of bf16x6 are made.
int64_t image_bytes(const Source& s, bool bf16) { return s.padded_rows * s.segments * kSegment * 2 * (bf16 ? 1 : 3); }
int64_t scale_bytes(const Source& s) { return s.padded_rows * s.segments * 4; }

// launch() for a kernel that calls wait_for_previous(): it may start while the one before it, of the same product,
// ends. All kernels of a product but the first, so that a product as a whole comes after what was there before.
template <class... Parameters, class... Arguments>
void launch_after(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Arguments&&... arguments) {
    CudaQueue& queue = CudaQueue::current();
    if (queue.capability() < 90) return launch(kernel, grid, block, shared_bytes, arguments...);
    if (queue.failed()) return;
    cudaLaunchAttribute early{};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = queue.stream();
    config.attrs = &early;
    config.numAttrs = 1;
    queue.note(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "a launch");
}

// The product of planes, however they came to be.
void multiply_planes(const Work& work, Output out, bool wgmma) {
    CudaQueue& queue = CudaQueue::current();
    const Plan& plan = work.plan;
    out.rows = plan.tiles_m * plan.halves * kHalfTileM;
    out.cols = plan.tiles_n * kTileN;
    out.partials = nullptr;
    if (plan.splits > 1) {
        out.partials = scratch<float>(Scratch::fast_partials, out.rows * out.cols * plan.splits);
        if (!out.partials) return;
    }
    out.way = way_of(out);
    out.narrow = out.way == Way::through_relu ? out.epilogue.y16 != nullptr : out.C16 != nullptr;
    const int64_t items = plan.items();
    if (wgmma) {
        queue.note(cudaFuncSetAttribute(wgmma_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kWgmmaBytes),
                   "preparing a product");
        const int64_t blocks = items < queue.multiprocessors() ? items : queue.multiprocessors();
        launch_after(wgmma_kernel, dim3(unsigned(blocks)), dim3(kWgmmaThreads), kWgmmaBytes, work, out);
    } else {
        queue.note(cudaFuncSetAttribute(mma_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMmaBytes),
                   "preparing a product");
        launch_after(mma_kernel, dim3(unsigned(items)), dim3(kMmaThreads), kMmaBytes, work, out);
    }
    if (out.partials)
        launch_after(combine_kernel, dim3(blocks_for(out.M, 4), blocks_for(out.N, 256)), dim3(256), 0, out,
                     plan.splits);
}

}  // namespace

bool fast_supported(int capability) { return capability >= 80; }

bool fast_pays(FastMode mode, int capability, int64_t M, int64_t N, int64_t K) {
    if (!fast_supported(capability)) return false;
    // GeForce-like devices have float32 units at the rate of a third of their half-precision tensor cores.
    const bool server = capability == 80 || capability == 90 || capability == 100 || capability == 103;
    if (mode == FastMode::split && !server) return false;
    // Below, splitting, padding and launching cost more than the product.
    return M >= kLeastFastSide && N >= kLeastFastSide && K >= kLeastFastSide &&
           double(M) * double(N) * double(K) >= kLeastFastWork;
}

void fast_gemm(FastMode mode, const FastProduct& p, int halves, int splits) {
    CudaQueue& queue = CudaQueue::current();
    const int64_t M = p.M, N = p.N, K = p.K;
    const bool bf16 = mode == FastMode::bf16, wgmma = has_wgmma(queue.capability());
    const Format format = bf16 ? Format::bf16 : Format::fp16x3;
    const int unit = unit_of(format);
    Plan plan = make_plan(M, N, K, unit, queue.multiprocessors(), wgmma ? kMaxHalves : 1);
    if (halves && wgmma) {
        plan.halves = halves;
        plan.tiles_m = ceil_div(M, halves * kHalfTileM);
    }
    if (splits) plan.splits = int(splits < plan.units ? splits : plan.units);

    Source a = source(p.A.p, p.A16, p.A.rs, p.A.cs, M, K, plan.halves * kHalfTileM, unit);
    Source b = source(p.B.p, nullptr, p.B.cs, p.B.rs, N, K, kTileN, unit);
    const int64_t blocks = a.blocks() + b.blocks();
    const bool notes = p.over_samples && !bf16;
    int64_t bytes = 0;
    const auto piece = [&](int64_t n) {
        bytes += round_up(n, 256);
        return bytes - round_up(n, 256);
    };
    const int64_t wide_at = piece(sizeof(int)), out_of_range_at = piece(blocks);
    const int64_t a_scales = piece(bf16 ? 0 : scale_bytes(a)), b_scales = piece(bf16 ? 0 : scale_bytes(b));
    const int64_t b_sums = piece(p.column_sums ? scale_bytes(b) : 0), b_notes = piece(notes ? 8 * b.padded_rows : 0);
    const int64_t a_image = piece(image_bytes(a, bf16)), b_image = piece(image_bytes(b, bf16));
    auto* const memory = scratch<unsigned char>(Scratch::fast, bytes);
    if (!memory) return;
    int* const wide = reinterpret_cast<int*>(memory + wide_at);
    unsigned char* const out_of_range = memory + out_of_range_at;
    a.image = memory + a_image;
    b.image = memory + b_image;
    if (p.column_sums) b.sums = reinterpret_cast<float*>(memory + b_sums);
    if (notes) {
        b.largest = reinterpret_cast<uint32_t*>(memory + b_notes);
        b.coarsest = b.largest + b.padded_rows;
        queue.note(cudaMemsetAsync(b.largest, 0, size_t(8 * b.padded_rows), queue.stream()), "clearing memory");
    }
    if (bf16) {
        launch(split_kernel<Format::bf16>, dim3(unsigned(blocks)), dim3(kSplitThreads), 0, a, b, out_of_range);
    } else {
        a.scales = reinterpret_cast<float*>(memory + a_scales);
        b.scales = reinterpret_cast<float*>(memory + b_scales);
        launch(split_kernel<Format::fp16x3>, dim3(unsigned(blocks)), dim3(kSplitThreads), 0, a, b, out_of_range);
        const int64_t widening = blocks < 2 * queue.multiprocessors() ? blocks : 2 * queue.multiprocessors();
        launch_after(widen_kernel, dim3(unsigned(widening)), dim3(kSplitThreads), 0, a, b, out_of_range,
                     uint32_t(blocks), wide);
    }

    Output out{};
    out.M = M;
    out.N = N;
    out.bias = p.bias;
    out.C = p.C;
    out.C16 = p.C16;
    out.c_rs = p.c_rs;
    out.wide_stores = p.c_rs % 4 == 0 && (p.C16 ? reinterpret_cast<uintptr_t>(p.C16) % 8 == 0
                                                : reinterpret_cast<uintptr_t>(p.C) % 16 == 0);
    out.epilogue = p.epilogue;
    multiply_planes({{a.image, a.scales, a.padded_rows}, {b.image, b.scales, b.padded_rows}, plan, format, wide}, out,
                    wgmma);
    if (b.sums)
        launch_after(row_totals, dim3(blocks_for(N, kTotalRows)), dim3(kTotalRows * kTotalChains), 0, b, p.column_sums);
}

}  // namespace fastreg::cuda
