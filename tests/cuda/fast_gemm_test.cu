// Fast products on a GPU against float64: every shape class, layout, kind of numbers, epilogue and plan; then their
// speed. Prints a line per case, PASS or FAIL at the end, and fails with FAIL. About 20 s on an H100.
//   nvcc -std=c++17 -O3 -Icsrc -fmad=false -gencode arch=compute_90a,code=sm_90a -o fast_gemm_test
//     tests/cuda/fast_gemm_test.cu csrc/cuda/fast_gemm.cu csrc/cuda/queue.cu
// With arch=compute_90,code=sm_90 the same tests the mma.sync kernel. "fast_gemm_test quick": for compute-sanitizer.
// It must not know kernels. Over 250 lines: one program, so that a lent GPU is needed once.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/fast_gemm.h"
#include "cuda/fast_numbers.h"

using namespace fastreg;
using namespace fastreg::cuda;

namespace {

int n_passed = 0, n_failed = 0;

void verdict(bool ok, const std::string& text) {
    ++(ok ? n_passed : n_failed);
    std::printf("%-5s%s\n", ok ? "ok" : "FAIL", text.c_str());
    std::fflush(stdout);
}

void must(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    std::printf("FAIL %s: %s\n", what, cudaGetErrorString(error));
    std::exit(1);
}

enum Numbers { normal, positive, flat, wide, wide_signed, tiny, huge, mixed_scales, special, lone_small, learned };
const char* const kNames[] = {"normal", "positive",  "flat",    "wide", "wide+-", "tiny",
                              "huge",   "rows*10^k", "Inf,NaN", "lone", "learned"};

__device__ uint32_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return uint32_t(x ^ x >> 33);
}
__device__ float uniform(uint64_t i) { return (mix(i) + 0.5f) * 2.3283064e-10f; }
__device__ float normal_at(uint64_t i) {
    return sqrtf(-2 * logf(uniform(2 * i) + 1e-12f)) * cospif(2 * uniform(2 * i + 1));
}

// Element i of an operand whose rows (or columns) of common scale are `line` long.
__global__ void fill(float* p, int64_t n, Numbers kind, uint64_t seed, bool second, int64_t line) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += int64_t(gridDim.x) * blockDim.x) {
        const uint64_t at = uint64_t(i) + (seed << 40);
        const float z = normal_at(at), sign = mix(at ^ 0x5555) & 1 ? -1.0f : 1.0f;
        float x = z;
        if (kind == positive) x = fmaxf(z, 0.0f);
        if (kind == flat) x = 1 + uniform(at);
        if (kind == wide) x = expf(6 * z);
        if (kind == wide_signed) x = sign * expf(6 * z);
        if (kind == tiny) x = second ? z * 1e-19f : z * 1e-21f;
        if (kind == huge) x = second ? z * 1e-30f : fminf(fmaxf(z * 1e38f, -3.4e38f), 3.4e38f);
        if (kind == mixed_scales) x = z * exp10f(float(mix(i / line + (second ? 77 : 5)) % 12) - 6);
        if (kind == special && mix(at ^ 0x77) % 3001 == 0) {
            const int which = mix(at ^ 0x99) % 4;
            x = which == 0 ? INFINITY : which == 1 ? -INFINITY : which == 2 ? NAN : 3.4028235e38f;
        }
        const bool lone = i % line % 64 == 5;
        if (kind == learned && second && mix(i / line) % 10 != 0) x = z * 1e-13f;  // nine of ten samples
        if (kind == lone_small) x = second ? (lone ? z : 0.0f) : (lone ? z * 1e-25f : z);
        p[i] = x;
    }
}

struct Errors {
    double fast, plain;  // sums of squares of errors relative to sum |a| |b|
    double most;         // of `fast`
    unsigned long long n, bad_nonfinite, bad_finite;
};

struct Problem {
    int64_t M, N, K;
    Strided<const float> A, B;
    const float* bias;
    const float* C;
    int64_t c_rs;
    bool bf16;
};

__device__ double block_sum(double x) {
    __shared__ double parts[8];
    for (int half = 16; half; half /= 2) x += __shfl_down_sync(0xFFFFFFFFu, x, half);
    const int t = threadIdx.y * 16 + threadIdx.x;
    __syncthreads();
    if (t % 32 == 0) parts[t / 32] = x;
    __syncthreads();
    double sum = 0;
    for (double part : parts) sum += part;
    return sum;
}

// Each thread one element, in float64 and in float32 one product after the other.
__global__ void __launch_bounds__(256) check_kernel(Problem p, Errors* errors) {
    __shared__ float a[16][17], b[16][17];
    const int x = threadIdx.x, y = threadIdx.y;
    const int64_t i = int64_t(blockIdx.y) * 16 + y, j = int64_t(blockIdx.x) * 16 + x;
    double sum = 0, size = 0;
    float plain = 0;
    bool operands_finite = true;
    for (int64_t k0 = 0; k0 < p.K; k0 += 16) {
        __syncthreads();
        a[y][x] = i < p.M && k0 + x < p.K ? p.A.p[i * p.A.rs + (k0 + x) * p.A.cs] : 0.0f;
        b[y][x] = j < p.N && k0 + y < p.K ? p.B.p[(k0 + y) * p.B.rs + j * p.B.cs] : 0.0f;
        if (p.bf16) {
            a[y][x] = fast::from_bfloat(fast::to_bfloat(a[y][x]));
            b[y][x] = fast::from_bfloat(fast::to_bfloat(b[y][x]));
        }
        __syncthreads();
        for (int k = 0; k < 16 && k0 + k < p.K; ++k) {
            const double product = double(a[y][k]) * b[k][x];
            sum += product;
            size += fabs(product);
            plain += a[y][k] * b[k][x];
            operands_finite = operands_finite && isfinite(a[y][k]) && isfinite(b[k][x]);
        }
    }
    double fast_error = 0, plain_error = 0;
    if (i < p.M && j < p.N) {
        if (p.bias) {
            sum += p.bias[j];
            size += fabs(double(p.bias[j]));
            plain += p.bias[j];
        }
        const float c = p.C[i * p.c_rs + j];
        if (!operands_finite) {
            if (isfinite(c)) atomicAdd(&errors->bad_finite, 1ull);
        } else if (size < 3.3e38) {
            if (!isfinite(c)) {
                atomicAdd(&errors->bad_nonfinite, 1ull);
            } else if (size > 0) {
                fast_error = (double(c) - sum) / size;
                plain_error = (double(plain) - sum) / size;
                const double most = fabs(fast_error);
                if (most > errors->most)
                    atomicMax(reinterpret_cast<unsigned long long*>(&errors->most),
                              static_cast<unsigned long long>(__double_as_longlong(most)));
                atomicAdd(&errors->n, 1ull);
            } else if (c != float(sum)) {
                atomicAdd(&errors->bad_nonfinite, 1ull);
            }
        }
    }
    const double fast = block_sum(fast_error * fast_error), plain_sum = block_sum(plain_error * plain_error);
    if (x == 0 && y == 0) {
        atomicAdd(&errors->fast, fast);
        atomicAdd(&errors->plain, plain_sum);
    }
}

// Elements of rows of c_rs floats, from column `from` on, whose bits differ from `expected` (or, if null, from all
// ones).
__global__ void count_different(const float* c, const float* expected, int64_t rows, int64_t from, int64_t to,
                                int64_t c_rs, unsigned long long* count) {
    const int64_t width = to - from;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * width;
         i += int64_t(gridDim.x) * blockDim.x) {
        const int64_t at = i / width * c_rs + from + i % width;
        const uint32_t want = expected ? __float_as_uint(expected[at]) : 0xFFFFFFFFu;
        if (__float_as_uint(c[at]) != want) atomicAdd(count, 1ull);
    }
}

__global__ void apply_epilogue(float* c, int64_t M, int64_t N, int64_t c_rs, Epilogue<float> epilogue) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < M * N; i += int64_t(gridDim.x) * blockDim.x) {
        float v[1] = {c[i / N * c_rs + i % N]};
        epilogue.apply<1>(i / N, i % N, 1, v);
        c[i / N * c_rs + i % N] = v[0];
    }
}

__global__ void to_bfloats(const float* from, int64_t n, Bfloat* to) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += int64_t(gridDim.x) * blockDim.x)
        to[i] = fast::to_bfloat(from[i]);
}
__global__ void from_bfloats(const Bfloat* from, int64_t rows, int64_t cols, int64_t rs, float* to) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols;
         i += int64_t(gridDim.x) * blockDim.x)
        to[i / cols * rs + i % cols] = fast::from_bfloat(from[i / cols * rs + i % cols]);
}
__global__ void round_to_bfloats(float* c, int64_t rows, int64_t cols, int64_t rs) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols;
         i += int64_t(gridDim.x) * blockDim.x) {
        float& x = c[i / cols * rs + i % cols];
        x = fast::from_bfloat(fast::to_bfloat(x));
    }
}

CudaQueue* queue = nullptr;
Bfloat *A16 = nullptr, *C16 = nullptr;
float *A = nullptr, *B = nullptr, *C = nullptr, *C2 = nullptr, *Z = nullptr, *Z2 = nullptr, *bias = nullptr;
unsigned long long* count = nullptr;
Errors* errors = nullptr;
constexpr int64_t kMost = 8192 * 8192 + 1024, kSmall = 4200 * 4200;

// Layouts of A and B: row-major (N), column-major (T), or neither (S: every other element of rows twice as long).
Strided<const float> strided(const float* p, int64_t rows, int64_t cols, char layout) {
    if (layout == 'N') return {p, cols, 1};
    if (layout == 'T') return {p, 1, rows};
    return {p, 2 * cols, 2};
}

unsigned long long differences(const float* c, const float* expected, int64_t rows, int64_t from, int64_t to,
                               int64_t c_rs) {
    unsigned long long n = 0;
    cudaMemsetAsync(count, 0, sizeof *count, queue->stream());
    if (to > from) count_different<<<512, 256, 0, queue->stream()>>>(c, expected, rows, from, to, c_rs, count);
    cudaMemcpyAsync(&n, count, sizeof n, cudaMemcpyDeviceToHost, queue->stream());
    must(cudaStreamSynchronize(queue->stream()), "comparing");
    return n;
}

void finish_queue(const std::string& what) {
    const Status status = queue->wait();
    if (status.ok()) return;
    std::printf("FAIL %s: %s\n", what.c_str(), status.message.c_str());
    std::exit(1);  // the device is of no use after an error
}

void fill_operands(int64_t n_a, int64_t n_b, Numbers kind, int64_t K) {
    fill<<<1024, 256, 0, queue->stream()>>>(A, n_a, kind, 1, false, K);
    fill<<<1024, 256, 0, queue->stream()>>>(B, n_b, kind, 2, true, K);
}

void test_product(FastMode mode, int64_t M, int64_t N, int64_t K, const char* layouts, Numbers kind, bool with_bias,
                  int64_t pad, int halves, int splits) {
    const bool bf16 = mode == FastMode::bf16;
    char text[256];
    std::snprintf(text, sizeof text, "%-5s %5lld %5lld %5lld %s %-9s %s pad %lld plan %d,%d", bf16 ? "bf16" : "split",
                  (long long)M, (long long)N, (long long)K, layouts, kNames[kind], with_bias ? "bias" : "    ",
                  (long long)pad, halves, splits);
    const int64_t c_rs = N + pad, factor_a = layouts[0] == 'S' ? 2 : 1, factor_b = layouts[1] == 'S' ? 2 : 1;
    fill_operands(M * K * factor_a, N * K * factor_b, kind, K);
    Problem p{M, N,    K,   strided(A, M, K, layouts[0]), strided(B, K, N, layouts[1]), with_bias ? bias : nullptr,
              C, c_rs, bf16};
    cudaMemsetAsync(C, 0xFF, (M * c_rs + 64) * 4, queue->stream());
    cudaMemsetAsync(errors, 0, sizeof *errors, queue->stream());
    FastProduct product{M, N, K, p.A, p.B, p.bias, C, c_rs, Epilogue<float>()};
    fast_gemm(mode, product, halves, splits);
    check_kernel<<<dim3(unsigned((N + 15) / 16), unsigned((M + 15) / 16)), dim3(16, 16), 0, queue->stream()>>>(p,
                                                                                                               errors);
    finish_queue(text);
    Errors e;
    must(cudaMemcpy(&e, errors, sizeof e, cudaMemcpyDeviceToHost), text);
    bool ok = !e.bad_finite && !e.bad_nonfinite;
    ok = ok && !differences(C, nullptr, M, N, c_rs, c_rs) && !differences(C, nullptr, 1, M * c_rs, M * c_rs + 64, 0);
    // The same again gives the same bits.
    cudaMemsetAsync(C2, 0xFF, M * c_rs * 4, queue->stream());
    product.C = C2;
    fast_gemm(mode, product, halves, splits);
    unsigned long long changed = differences(C, C2, M, 0, N, c_rs);
    if (bf16) {  // A as bfloat16 beforehand, and the result as bfloat16
        to_bfloats<<<512, 256, 0, queue->stream()>>>(A, M * K * factor_a, A16);
        product.A16 = A16;
        fast_gemm(mode, product, halves, splits);
        changed += differences(C, C2, M, 0, N, c_rs);
        product.C16 = C16;
        fast_gemm(mode, product, halves, splits);
        from_bfloats<<<512, 256, 0, queue->stream()>>>(C16, M, N, c_rs, C2);
        round_to_bfloats<<<512, 256, 0, queue->stream()>>>(C, M, N, c_rs);
        changed += differences(C, C2, M, 0, N, c_rs);
    }
    const double n = double(std::max(e.n, 1ull)), fast = std::sqrt(e.fast / n), plain = std::sqrt(e.plain / n);
    // Few products, or few that tell: what tensor cores cut off within a promotion can exceed what float32 rounds.
    const bool even = kind == normal || kind == positive || kind == flat;
    const double bound = std::max(plain, bf16 ? 2e-6 : K < 512 || !even ? 4e-7 : 0.0);
    ok = ok && !changed && fast <= bound && e.most <= 1e-5 + 60 * plain;
    std::snprintf(text + std::strlen(text), 120, " | rms %.2e float32 %.2e max %.1e%s%s%s", fast, plain, e.most,
                  changed ? " DIFFERENT BITS" : "", e.bad_finite ? " FINITE" : "",
                  e.bad_nonfinite ? " NOT FINITE" : "");
    verdict(ok, text);
}

void test_epilogue(const char* name, FastMode mode, const Epilogue<float>& epilogue, Epilogue<float> expected,
                   int64_t M, int64_t N, int64_t pad, int64_t K, int splits) {
    const int64_t c_rs = N + pad;
    fill_operands(M * K, N * K, normal, K);
    const Strided<const float> a{A, K, 1}, b{B, N, 1};
    expected.Z = expected.Z ? Z2 : nullptr;
    FastProduct product{M, N, K, a, b, bias, C2, c_rs, Epilogue<float>()};
    fast_gemm(mode, product, 0, splits);
    apply_epilogue<<<512, 256, 0, queue->stream()>>>(C2, M, N, c_rs, expected);
    cudaMemsetAsync(C, 0xFF, M * c_rs * 4, queue->stream());
    product.C = C;
    product.epilogue = epilogue;
    fast_gemm(mode, product, 0, splits);
    unsigned long long wrong = differences(C, C2, M, 0, N, c_rs) + differences(C, nullptr, M, N, c_rs, c_rs);
    if (epilogue.Z) wrong += differences(Z, Z2, M, 0, N, epilogue.z_rs);
    if (mode == FastMode::bf16) {  // the same with bfloat16 in place of Y, Z and C
        Epilogue<float>& e = product.epilogue;
        if (e.Z) e.Z16 = A16, e.Z = nullptr;
        if (e.y) {  // what was read above is made coarser first, and the product made again
            to_bfloats<<<512, 256, 0, queue->stream()>>>(e.y, M * e.y_rs, A16);
            from_bfloats<<<512, 256, 0, queue->stream()>>>(A16, M, e.y_rs, e.y_rs, Z);
            fast_gemm(mode, product, 0, splits);
            e.y16 = A16;
            if (e.z) e.z16 = A16;
        }
        product.C16 = C16;
        fast_gemm(mode, product, 0, splits);
        from_bfloats<<<512, 256, 0, queue->stream()>>>(C16, M, N, c_rs, C2);
        round_to_bfloats<<<512, 256, 0, queue->stream()>>>(C, M, N, c_rs);
        wrong += differences(C, C2, M, 0, N, c_rs);
        if (e.Z16) {
            from_bfloats<<<512, 256, 0, queue->stream()>>>(A16, M, N, e.z_rs, Z2);
            round_to_bfloats<<<512, 256, 0, queue->stream()>>>(Z, M, N, e.z_rs);
            wrong += differences(Z, Z2, M, 0, N, e.z_rs);
        }
    }
    finish_queue(name);
    char text[160];
    std::snprintf(text, sizeof text, "epilogue %-22s %s %lld %lld pad %lld splits %d: %llu differ", name,
                  mode == FastMode::bf16 ? "bf16" : "split", (long long)M, (long long)N, (long long)pad, splits, wrong);
    verdict(wrong == 0, text);
}

// N, pad: columns of C and between its rows. Even ones take the ways of fast_finish.cuh, odd ones the general one.
void test_epilogues(int64_t M, int64_t N, int64_t pad) {
    const int64_t K = 512;
    for (int splits : {1, 3}) {
        const FastMode mode = splits == 1 ? FastMode::split : FastMode::bf16;
        DenseForward<float> f{};
        f.B = M, f.I = K, f.O = N;
        f.activation.kind = Activation::relu;
        test_epilogue("relu", mode, Epilogue<float>::of(f), Epilogue<float>::of(f), M, N, pad, K, splits);
        f.dropout.keep = 50000, f.dropout.scale = 65536.0 / 50000, f.dropout.seed = 0x123456789abcull,
        f.dropout.stream = 5, f.dropout.step = 70, f.dropout.first = 24 * N;
        test_epilogue("relu, dropout", mode, Epilogue<float>::of(f), Epilogue<float>::of(f), M, N, pad, K, splits);
        f.dropout.first = 3;
        test_epilogue("relu, dropout from 3", mode, Epilogue<float>::of(f), Epilogue<float>::of(f), M, N, pad, K,
                      splits);
        f.dropout.first = 0;
        f.activation.kind = Activation::gelu;
        f.dropout.keep = 40000, f.dropout.scale = 65536.0 / 40000, f.dropout.seed = 9, f.dropout.stream = 3,
        f.dropout.step = 7;
        f.Z = Z, f.z_rs = N + 2;
        test_epilogue("gelu, dropout, Z", mode, Epilogue<float>::of(f), Epilogue<float>::of(f), M, N, pad, K, splits);
        f.Z = nullptr;
        f.dropout.first = 3 * N;  // rows of a batch from the fourth on
        f.activation.kind = Activation::linear;
        test_epilogue("linear, dropout", mode, Epilogue<float>::of(f), Epilogue<float>::of(f), M, N, pad, K, splits);
        LayerGradient<float> g{};
        fill<<<512, 256, 0, queue->stream()>>>(Z, M * (N + 2), positive, 3, false, N);
        g.Y = Z, g.y_rs = N + 2;
        g.activation.kind = Activation::relu;
        test_epilogue("through relu", mode, Epilogue<float>::of(&g, N), Epilogue<float>::of(&g, N), M, N, pad, K,
                      splits);
        g.dropout = f.dropout;
        test_epilogue("through relu, dropout", mode, Epilogue<float>::of(&g, N), Epilogue<float>::of(&g, N), M, N, pad,
                      K, splits);
        g.dropout = DropoutSpec{};
        g.activation.kind = Activation::linear;
        test_epilogue("through linear", mode, Epilogue<float>::of(&g, N), Epilogue<float>::of(&g, N), M, N, pad, K,
                      splits);
        g.activation.kind = Activation::silu;
        g.dropout = f.dropout;
        g.Z = Z, g.z_rs = N + 2;
        test_epilogue("through silu, dropout", mode, Epilogue<float>::of(&g, N), Epilogue<float>::of(&g, N), M, N, pad,
                      K, splits);
    }
}

void test_graph() {
    const int64_t n = 1024;
    fill_operands(n * n, n * n, normal, n);
    const Strided<const float> a{A, n, 1}, b{B, n, 1};
    FastProduct product{n, n, n, a, b, bias, C2, n, Epilogue<float>()};
    fast_gemm(FastMode::split, product);
    product.C = C;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t run = nullptr;
    must(cudaStreamBeginCapture(queue->stream(), cudaStreamCaptureModeThreadLocal), "capturing");
    fast_gemm(FastMode::split, product);
    must(cudaStreamEndCapture(queue->stream(), &graph), "capturing");
    must(cudaGraphInstantiate(&run, graph, 0), "capturing");
    cudaMemsetAsync(C, 0, n * n * 4, queue->stream());
    for (int i = 0; i < 3; ++i) must(cudaGraphLaunch(run, queue->stream()), "replaying");
    verdict(differences(C, C2, n, 0, n, n) == 0, "a recorded product gives the same bits");
    verdict(!fast_pays(FastMode::split, queue->capability(), 16, 16, 16), "small products do not pay");
    cudaGraphExecDestroy(run);
    cudaGraphDestroy(graph);
}

void test_all_products() {
    struct Shape {
        int64_t M, N, K;
    };
    const char* const layouts[] = {"NN", "NT", "TN", "TT", "SS"};
    int i = 0;
    for (const Shape& s : {Shape{1, 1, 1}, Shape{1, 7, 3}, Shape{17, 1, 65}, Shape{64, 64, 64}, Shape{65, 33, 31},
                           Shape{127, 129, 63}, Shape{128, 128, 128}, Shape{129, 127, 257}, Shape{255, 257, 100},
                           Shape{256, 128, 64}, Shape{257, 130, 1000}, Shape{300, 500, 700}, Shape{1000, 1000, 1000}})
        for (const char* l : layouts)
            for (FastMode mode : {FastMode::split, FastMode::bf16}) {
                ++i;
                test_product(mode, s.M, s.N, s.K, l, i % 3 ? normal : positive, i % 2, i % 5, 0, 0);
            }
    for (int halves : {1, 2})
        for (int splits : {1, 2, 5})
            for (FastMode mode : {FastMode::split, FastMode::bf16}) {
                test_product(mode, 600, 390, 1500, "NN", normal, true, 0, halves, splits);
                test_product(mode, 2500, 2300, 700, "NT", positive, false, 4, halves, splits);
            }
    for (Numbers kind : {flat, wide, wide_signed, tiny, huge, mixed_scales, special, lone_small}) {
        test_product(FastMode::split, 200, 300, 64, "NT", kind, false, 0, 0, 0);
        test_product(FastMode::split, 515, 385, 1000, "NN", kind, false, 0, 0, 0);
        test_product(FastMode::split, 512, 512, 4096, "NT", kind, false, 0, 2, 0);
        test_product(FastMode::split, 512, 512, 4096, "TN", kind, false, 0, 1, 2);
    }
    test_product(FastMode::bf16, 515, 385, 1000, "NN", special, false, 0, 0, 0);
    test_product(FastMode::split, 512, 512, 8192, "TN", positive, true, 0, 0, 0);
    test_product(FastMode::split, 100, 4096, 300, "NN", normal, true, 0, 0, 0);
    test_product(FastMode::split, 4096, 100, 2000, "NT", normal, true, 0, 0, 0);
    test_product(FastMode::split, 4096, 4096, 4096, "NN", normal, true, 0, 0, 0);
    test_product(FastMode::split, 4096, 4096, 4096, "NT", positive, false, 0, 0, 0);
    test_product(FastMode::split, 4096, 4096, 4096, "TN", wide, false, 0, 0, 0);
    test_product(FastMode::bf16, 4096, 4096, 4096, "NN", normal, true, 0, 0, 0);
}

void measure(const char* what, FastMode mode, int64_t M, int64_t N, int64_t K, const char* layouts, Numbers kind,
             int halves, const Epilogue<float>& epilogue = Epilogue<float>()) {
    fill_operands(M * K, N * K, kind, kind == learned ? N : K);
    const Strided<const float> a = strided(A, M, K, layouts[0]), b = strided(B, K, N, layouts[1]);
    cudaEvent_t begin, end;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    const bool gradient = layouts[0] == 'T';  // of weights, with those of biases
    const bool no_bias = gradient || epilogue.kind == Epilogue<float>::backward;
    FastProduct product{M, N, K, a, b, no_bias ? nullptr : bias, C, N, epilogue};
    if (gradient) product.column_sums = Z2, product.over_samples = true;
    const auto run = [&] { fast_gemm(mode, product, halves); };
    for (int i = 0; i < 4; ++i) run();
    // Small products: several between two events.
    const int repeats = double(M) * double(N) * double(K) < 1e10 ? 10 : 1;
    std::vector<float> times;
    for (int i = 0; i < 10; ++i) {
        cudaEventRecord(begin, queue->stream());
        for (int r = 0; r < repeats; ++r) run();
        cudaEventRecord(end, queue->stream());
        must(cudaEventSynchronize(end), what);
        float ms = 0;
        cudaEventElapsedTime(&ms, begin, end);
        times.push_back(ms / float(repeats));
    }
    finish_queue(what);
    std::sort(times.begin(), times.end());
    std::printf("time %-16s %5lld %5lld %5lld %s halves %d: %8.3f ms (%.3f to %.3f), %6.1f TFLOP/s\n", what,
                (long long)M, (long long)N, (long long)K, layouts, halves, times[5], times[0], times[9],
                2e-9 * double(M) * double(N) * double(K) / times[5]);
    std::fflush(stdout);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
}

// The products of a step of 784-512-512-10, with the epilogues they have there. C2 stands for the layer's output.
void measure_training() {
    fill<<<1024, 256, 0, queue->stream()>>>(C2, 65536 * 512, positive, 3, false, 512);
    DenseForward<float> f{};
    f.O = 512;
    f.activation.kind = Activation::relu;
    f.dropout.keep = 52429, f.dropout.scale = 65536.0 / 52429, f.dropout.seed = 9, f.dropout.stream = 3;
    LayerGradient<float> g{};
    g.Y = C2, g.y_rs = 512;
    g.activation = f.activation;
    g.dropout = f.dropout;
    const Epilogue<float> forward = Epilogue<float>::of(f), back = Epilogue<float>::of(&g, 512);
    for (FastMode mode : {FastMode::split, FastMode::bf16}) {
        const bool bf16 = mode == FastMode::bf16;
        for (int64_t batch : {12800, 65536}) {
            for (int halves : {1, 2}) {
                measure(bf16 ? "bf16" : "split", mode, batch, 512, 784, "NN", normal, halves);
                measure(bf16 ? "bf16" : "split", mode, batch, 512, 512, "NN", normal, halves);
            }
            measure(bf16 ? "bf16 relu drop" : "split relu drop", mode, batch, 512, 784, "NN", normal, 0, forward);
            measure(bf16 ? "bf16 relu drop" : "split relu drop", mode, batch, 512, 512, "NN", normal, 0, forward);
            measure(bf16 ? "bf16 through" : "split through", mode, batch, 512, 512, "NT", normal, 0, back);
            measure(bf16 ? "bf16" : "split", mode, 784, 512, batch, "TN", normal, 0);
            measure(bf16 ? "bf16" : "split", mode, 512, 512, batch, "TN", normal, 0);
            if (!bf16) measure("split learned", mode, 512, 512, batch, "TN", learned, 0);
        }
        measure(bf16 ? "bf16" : "split", mode, 1024, 512, 784, "NN", normal, 0);
        measure(bf16 ? "bf16" : "split", mode, 4096, 512, 784, "NN", normal, 0);
    }
}

}  // namespace

int main(int argc, char** argv) {
    CudaQueue made(0);
    const Entered entered(made);
    queue = &made;
    const bool quick = argc > 1 && !std::strcmp(argv[1], "quick");  // for compute-sanitizer
    const int64_t most = quick ? kSmall : kMost;
    for (float** p : {&A, &B, &C, &C2}) must(cudaMalloc(p, most * 4), "taking memory");
    for (Bfloat** p : {&A16, &C16}) must(cudaMalloc(p, most * 2), "taking memory");
    for (float** p : {&Z, &Z2}) must(cudaMalloc(p, 1 << 20), "taking memory");
    must(cudaMalloc(&bias, 8192 * 4), "taking memory");
    must(cudaMalloc(&count, sizeof *count), "taking memory");
    must(cudaMalloc(&errors, sizeof *errors), "taking memory");
    fill<<<32, 256, 0, queue->stream()>>>(bias, 8192, normal, 5, false, 8192);
    cudaMemsetAsync(Z, 0, 1 << 20, queue->stream());
    std::printf("compute capability %d, %d multiprocessors\n", queue->capability(), queue->multiprocessors());
    if (!fast_supported(*queue)) {
        std::printf("FAIL fast products are not supported here\n");
        return 1;
    }
    if (quick) {
        for (int halves : {1, 2})
            for (int splits : {1, 2})
                for (FastMode mode : {FastMode::split, FastMode::bf16})
                    test_product(mode, 300, 200, 200, "NT", splits == 1 ? normal : wide, true, 1, halves, splits);
        test_epilogues(301, 260, 1);
        test_epilogues(301, 264, 2);
    } else {
        test_all_products();
        test_epilogues(301, 260, 1);
        test_epilogues(301, 262, 0);  // in pairs, but no multiple of eight
        test_epilogues(301, 264, 2);
        test_epilogues(512, 256, 0);
        test_graph();
        for (int64_t n : {4096, 8192})
            for (int halves : {2, 1}) {
                measure("split", FastMode::split, n, n, n, "NN", normal, halves);
                measure("split, bf16x6", FastMode::split, n, n, n, "NN", wide, halves);
                measure("bf16", FastMode::bf16, n, n, n, "NN", normal, halves);
            }
        measure("split", FastMode::split, 4096, 4096, 4096, "NT", normal, 0);
        measure("split", FastMode::split, 4096, 4096, 4096, "TN", normal, 0);
        for (int64_t n : {512, 1024, 2048}) measure("split", FastMode::split, n, n, n, "NN", normal, 0);
        measure_training();
    }
    std::printf("%s: %d passed, %d failed\n", n_failed ? "FAIL" : "PASS", n_passed, n_failed);
    return n_failed != 0;
}
