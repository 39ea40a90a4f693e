// Marks functions that are compiled for the host and for the device.
#pragma once

#if defined(__CUDACC__)
#define OLIFT_HD __host__ __device__ __forceinline__
#else
#define OLIFT_HD inline __attribute__((always_inline))
#endif
