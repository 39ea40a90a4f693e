// Marks what is compiled for the host and for the device, and is one plain function on either.
#pragma once

#if defined(__CUDACC__)
#define OLIFT_HD __host__ __device__ __forceinline__
#else
#define OLIFT_HD inline __attribute__((always_inline))
#endif
