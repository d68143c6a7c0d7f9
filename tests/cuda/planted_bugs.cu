// Two kernels with a bug each, for tools/gpu_check.py: compute-sanitizer must find them before its silence means
// anything. It must not know fastreg.
#include <cstdio>
#include <cstring>

__global__ void write_beyond_the_end(int* p) { p[threadIdx.x + 1] = 1; }

__global__ void read_what_another_thread_writes(int* p) {
    __shared__ int shared[64];
    shared[threadIdx.x] = int(threadIdx.x);
    p[threadIdx.x] = shared[63 - threadIdx.x];  // no barrier between
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    int* p = nullptr;
    if (cudaMalloc(&p, 64 * sizeof(int)) != cudaSuccess) return 3;
    if (std::strcmp(argv[1], "memcheck") == 0)
        write_beyond_the_end<<<1, 64>>>(p);
    else
        read_what_another_thread_writes<<<1, 64>>>(p);
    std::printf("%s\n", cudaGetErrorString(cudaDeviceSynchronize()));
    cudaFree(p);
    return 0;
}
