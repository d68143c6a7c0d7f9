// The PTX instructions that have no CUDA function, all of them: tests/emulator has a file of this name for the host.
// sm_80: asynchronous copies, ldmatrix, mma. sm_90: clusters, bulk copies and mbarriers; sm_90a: wgmma.
// It must not know matrices larger than an instruction's. Over 250 lines, so that no PTX is anywhere else.
#pragma once
#include <cstdint>

namespace fastreg::cuda::ptx {

// The shared memory that a launch asks for, from a multiple of 16 on.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
    extern __shared__ float4 memory[];
    return reinterpret_cast<T*>(memory);
}

__device__ __forceinline__ uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// The same address in a register: the compiler, which sees where it comes from, asks for the number of the CTA in its
// cluster before every use otherwise.
template <class T>
__device__ __forceinline__ T* keep_shared(T* p) {
    const uint32_t at = __shfl_sync(0xFFFFFFFFu, shared_address(p), 0);
    return static_cast<T*>(__cvta_shared_to_generic(at));
}

// The compiler keeps x in a register instead of working it out again and again.
__device__ __forceinline__ void keep(uint32_t& x) { asm volatile("" : "+r"(x)); }

// x, |x| < 65520, rounded to the nearest half-precision number, ties to even; and back.
__device__ __forceinline__ uint16_t to_half(float x) {
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ __forceinline__ float from_half(uint16_t h) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}

// Four numbers to 16-byte aligned memory as one instruction, which the compiler cannot take apart.
__device__ __forceinline__ void store4(float* to, const float (&v)[4]) {
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3])
                 : "memory");
}

// Accesses that are made if `there`, as one predicated instruction: around a plain one the compiler builds branches, at
// which loads wait for one another, and takes pairs apart. Addresses are multiples of what is read or written; what is
// loaded is not written meanwhile.
__device__ __forceinline__ float load_if(bool there, const float* from, float otherwise) {
    float x;
    asm("{\n.reg .pred p;\nsetp.ne.b32 p, %1, 0;\nmov.f32 %0, %3;\n@p ld.global.nc.f32 %0, [%2];\n}"
        : "=&f"(x)
        : "r"(int(there)), "l"(from), "f"(otherwise));
    return x;
}
__device__ __forceinline__ float2 load_if(bool there, const float2* from) {
    float2 x;
    asm("{\n.reg .pred p;\nsetp.ne.b32 p, %2, 0;\nmov.f32 %0, 0f00000000;\nmov.f32 %1, 0f00000000;\n"
        "@p ld.global.nc.v2.f32 {%0, %1}, [%3];\n}"
        : "=&f"(x.x), "=&f"(x.y)
        : "r"(int(there)), "l"(from));
    return x;
}
__device__ __forceinline__ uint32_t load_if(bool there, const uint32_t* from) {
    uint32_t x;
    asm("{\n.reg .pred p;\nsetp.ne.b32 p, %1, 0;\nmov.b32 %0, 0;\n@p ld.global.nc.b32 %0, [%2];\n}"
        : "=&r"(x)
        : "r"(int(there)), "l"(from));
    return x;
}
__device__ __forceinline__ float4 load_if(bool there, const float4* from, float otherwise) {
    float4 x;
    asm("{\n.reg .pred p;\nsetp.ne.b32 p, %4, 0;\nmov.f32 %0, %6;\nmov.f32 %1, %6;\nmov.f32 %2, %6;\nmov.f32 %3, %6;\n"
        "@p ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%5];\n}"
        : "=&f"(x.x), "=&f"(x.y), "=&f"(x.z), "=&f"(x.w)
        : "r"(int(there)), "l"(from), "f"(otherwise));
    return x;
}
__device__ __forceinline__ double2 load_if(bool there, const double2* from, double otherwise) {
    double2 x;
    asm("{\n.reg .pred p;\nsetp.ne.b32 p, %2, 0;\nmov.f64 %0, %4;\nmov.f64 %1, %4;\n"
        "@p ld.global.nc.v2.f64 {%0, %1}, [%3];\n}"
        : "=&d"(x.x), "=&d"(x.y)
        : "r"(int(there)), "l"(from), "d"(otherwise));
    return x;
}
__device__ __forceinline__ void store_if(bool there, float2* to, float2 x) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %0, 0;\n@p st.global.v2.f32 [%1], {%2, %3};\n}" ::"r"(int(there)),
                 "l"(to), "f"(x.x), "f"(x.y)
                 : "memory");
}
__device__ __forceinline__ void store_if(bool there, uint32_t* to, uint32_t x) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %0, 0;\n@p st.global.b32 [%1], %2;\n}" ::"r"(int(there)), "l"(to),
                 "r"(x)
                 : "memory");
}

// Waits for so many threads of the block at a barrier other than __syncthreads()'s, which is 0.
template <int kBarrier, int kThreads>
__device__ __forceinline__ void sync_some() {
    asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "n"(kThreads) : "memory");
}

// A kernel launched by launch_after() (fast_gemm.cu) starts when all blocks of the kernel before it have called
// let_next_start() or ended; what that kernel wrote is there after wait_for_previous(). Nothing on older devices, which
// start kernels one after the other.
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ void copy16(uint32_t to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
__device__ __forceinline__ void copy4(uint32_t to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}

// d (16 x 8) += a (16 x 16) b (16 x 8)
template <bool kHalf>
__device__ __forceinline__ void mma(float* d, const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#define FR_MMA(type)                                                                    \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                       \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
    if constexpr (kHalf)
        FR_MMA("f16");
    else
        FR_MMA("bf16");
#undef FR_MMA
}
#endif

#if __CUDA_ARCH__ >= 900
// All threads of a cluster: what one wrote before the first any may read after the second.
__device__ __forceinline__ void arrive_in_cluster() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ __forceinline__ void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

__device__ __forceinline__ void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }
__device__ __forceinline__ float load_shared(uint32_t from) {
    float x;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(from) : "memory");
    return x;
}

__device__ __forceinline__ void init_barrier(uint32_t barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Barriers made before it are seen by the copy engine after it.
__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async;" ::: "memory");
}
__device__ __forceinline__ void arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void arrive_expecting(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Waits for the end of the phase of that parity.
__device__ __forceinline__ void wait(uint32_t barrier, uint32_t parity) {
    uint32_t done = 0;
    while (!done)
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
}
// bytes: a multiple of 16, as the addresses are. The barrier counts them when they have come.
__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, uint32_t bytes, uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}
#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <int kRegisters>
__device__ __forceinline__ void raise_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void lower_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Named barriers for two warpgroups: one waits for the other's arrival (or has had it).
__device__ __forceinline__ void take_turn(uint32_t barrier) {
    asm volatile("bar.sync %0, 256;" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void give_turn(uint32_t barrier) {
    asm volatile("bar.arrive %0, 256;" ::"r"(barrier) : "memory");
}
// The compiler must not move what reads d above what came before.
__device__ __forceinline__ void hold(float (&d)[64]) {
#pragma unroll
    for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// d (64 x 128) += a (64 x 16) b (16 x 128), or = with kFirst, when d may be undefined. Asynchronous. Thread t of the
// warpgroup has of each block of 8 columns rows 16 (t / 32) + t % 32 / 4 and 8 further on, columns 2 (t % 4) and the
// next.
template <bool kHalf, bool kFirst>
__device__ __forceinline__ void warpgroup_product(float (&d)[64], uint64_t a, uint64_t b) {
#define FR_F4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define FR_F16(c, i) FR_F4(c, i), FR_F4(c, i + 4), FR_F4(c, i + 8), FR_F4(c, i + 12)
#define FR_F64(c) FR_F16(c, 0), FR_F16(c, 16), FR_F16(c, 32), FR_F16(c, 48)
#define FR_WGMMA(type, c, keep)                                                                                      \
    asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, " keep                                                      \
                 ", 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                  \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
                 "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "   \
                 "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, "   \
                 "%59, %60, %61, %62, %63}, %64, %65, keep, 1, 1, 0, 0;\n}"                                          \
                 : FR_F64(c)                                                                                         \
                 : "l"(a), "l"(b)                                                                                    \
                 : "memory")
    if constexpr (kHalf && kFirst)
        FR_WGMMA("f16", "=f", "0");
    else if constexpr (kHalf)
        FR_WGMMA("f16", "+f", "1");
    else if constexpr (kFirst)
        FR_WGMMA("bf16", "=f", "0");
    else
        FR_WGMMA("bf16", "+f", "1");
#undef FR_WGMMA
#undef FR_F64
#undef FR_F16
#undef FR_F4
}
#endif

}  // namespace fastreg::cuda::ptx
