// The CUDA runtime and CUDA's words on the host, as much of them as csrc/cuda uses, so that a C++ compiler can build
// the plugin and its kernels run without a GPU. What a thread of a kernel sees is here; emulator.cpp runs the threads.
// The device that is emulated is of capability 9.0, without wgmma. It must not know kernels. It is over 250 lines
// because CUDA has one header of this name.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#define __host__
#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local  // blocks that run at once have a thread of the host each
#define __CUDA_ARCH__ 900
#define CUDART_VERSION 13000
#define CUDART_CB

// ---- vectors -------------------------------------------------------------------------------------------------------

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

// ---- what a thread sees --------------------------------------------------------------------------------------------

inline thread_local uint3 threadIdx{}, blockIdx{};
inline thread_local dim3 blockDim, gridDim;

namespace emulator {

// The thread stops until `n` threads have come to this barrier of its block.
void sync_block(int barrier, int n);
// All threads of the warp: each gives `bytes` bytes, and may then read what any lane gave until its next exchange.
constexpr size_t kMostExchanged = 48;
const void* const* exchange(const void* mine, size_t bytes);
// The or of what all threads of the block say.
bool sync_any(bool mine);
// In two halves, of all threads of all blocks of a cluster.
void arrive_in_cluster();
void wait_for_cluster();
unsigned char* dynamic_shared();
// Where the block of that rank in the cluster has its p, a static shared variable.
void* in_block(void* p, int rank);

// Asynchronous copies of a thread: each happens at once, or only when it is waited for, as chance has it.
void copy_later(void* to, const void* from, size_t bytes);
void end_group();
void wait_for_groups(int left);

template <class T>
T from_lane(T value, int lane) {
    T other;
    std::memcpy(&other, exchange(&value, sizeof value)[lane], sizeof other);
    return other;
}

}  // namespace emulator

inline void __syncthreads() { emulator::sync_block(0, int(blockDim.x)); }
inline int __syncthreads_or(int mine) { return emulator::sync_any(mine != 0); }
inline int __syncthreads_and(int mine) { return !emulator::sync_any(mine == 0); }
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { emulator::exchange(nullptr, 0); }

template <class T>
T __shfl_sync(unsigned, T value, int from, int width = 32) {
    const int lane = int(threadIdx.x % 32);
    return emulator::from_lane(value, lane / width * width + from % width);
}
template <class T>
T __shfl_down_sync(unsigned, T value, int by, int width = 32) {
    const int lane = int(threadIdx.x % 32);
    return emulator::from_lane(value, lane % width + by < width ? lane + by : lane);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int by, int width = 32) {
    const int lane = int(threadIdx.x % 32), other = lane ^ by;
    return emulator::from_lane(value, other / width <= lane / width ? other : lane);
}
inline unsigned __reduce_max_sync(unsigned, unsigned value) {
    const void* const* const all = emulator::exchange(&value, sizeof value);
    unsigned most = 0;
    for (int lane = 0; lane < 32; ++lane) most = std::max(most, *static_cast<const unsigned*>(all[lane]));
    return most;
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
template <class T>
T atomicAdd(T* p, T x) {
    return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);
}
inline unsigned atomicInc(unsigned* p, unsigned last) {
    unsigned old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (
        !__atomic_compare_exchange_n(p, &old, old >= last ? 0 : old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
}
inline unsigned atomicMax(unsigned* p, unsigned x) {
    unsigned old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (old < x && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
}
template <class T>
T __ldg(const T* p) {
    return *p;
}
template <class T>
T __ldcg(const T* p) {
    return *p;
}
using std::max;
using std::min;

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }

namespace emulator {
template <class To, class From>
To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace emulator
inline float __uint_as_float(unsigned u) { return emulator::same_bits<float>(u); }
inline unsigned __float_as_uint(float x) { return emulator::same_bits<unsigned>(x); }
inline double __longlong_as_double(long long i) { return emulator::same_bits<double>(i); }
inline long long __double_as_longlong(double x) { return emulator::same_bits<long long>(x); }

// ---- the runtime ---------------------------------------------------------------------------------------------------

enum cudaError_t : int {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInitializationError = 3,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorUnknown = 999
};
const char* cudaGetErrorString(cudaError_t error);
inline cudaError_t cudaGetLastError() { return cudaSuccess; }  // calls tell of their own errors; kernels make none

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
struct CUuserObject_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
using cudaUserObject_t = CUuserObject_st*;

enum {
    cudaStreamNonBlocking = 1,
    cudaEventDisableTiming = 2,
    cudaUserObjectNoDestructorSync = 1,
    cudaGraphUserObjectMove = 1
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone,
    cudaStreamCaptureStatusActive,
    cudaStreamCaptureStatusInvalidated
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
};
struct cudaDeviceProp {
    char name[256];
};
struct cudaFuncAttributes {
    int numRegs, ptxVersion;
};
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrComputeCapabilityMajor,
    cudaDevAttrComputeCapabilityMinor,
    cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributeNonPortableClusterSizeAllowed };
enum cudaLaunchAttributeID {
    cudaLaunchAttributeClusterDimension,
    cudaLaunchAttributeCooperative,
    cudaLaunchAttributeProgrammaticStreamSerialization
};
struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    struct {
        dim3 clusterDim;
        int cooperative, programmaticStreamSerializationAllowed;
    } val;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
    cudaLaunchAttribute* attrs = nullptr;
    unsigned numAttrs = 0;
};

cudaError_t cudaGetDeviceCount(int* n);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p);

cudaError_t cuda_malloc(void** p, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** p, size_t bytes) {
    return cuda_malloc(reinterpret_cast<void**>(p), bytes);
}
cudaError_t cudaFree(void* p);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph);
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* owned, void (*let_go)(void*), unsigned count,
                                 unsigned flags);
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned count);
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags);

namespace emulator {
// Runs or records it.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> what);
void run_grid(const cudaLaunchConfig_t& config, int cluster, const std::function<void()>& kernel);
// A kernel may have more shared memory or larger clusters than all kernels may.
cudaError_t allow(const void* kernel, cudaFuncAttribute attribute, int value);
// Whether a device would start it.
bool may_run(const void* kernel, const cudaLaunchConfig_t& config, int cluster);
}  // namespace emulator

template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel) {
    *attributes = {0, 90};  // no registers: as of a kernel that was compiled without its body
    return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel kernel, cudaFuncAttribute attribute, int value) {
    return emulator::allow(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* n, Kernel, const cudaLaunchConfig_t*) {
    *n = 1;
    return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, Kernel, int, size_t) {
    *n = 1;
    return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    cudaLaunchConfig_t copy = *config;
    int cluster = 1;
    for (unsigned i = 0; i < config->numAttrs; ++i)
        if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
            cluster = int(config->attrs[i].val.clusterDim.x * config->attrs[i].val.clusterDim.y);
    if (!emulator::may_run(reinterpret_cast<const void*>(kernel), copy, cluster)) return cudaErrorInvalidValue;
    copy.attrs = nullptr;
    copy.numAttrs = 0;
    const std::function<void()> body =
        std::bind(kernel, static_cast<std::decay_t<Parameters>>(std::forward<Arguments>(arguments))...);
    return emulator::enqueue(config->stream, [copy, cluster, body] { emulator::run_grid(copy, cluster, body); });
}
