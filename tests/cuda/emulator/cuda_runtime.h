// Stands in for the toolkit's header of this name: what our kernels and their callers use of it, on
// the host (emulator.h). Names, numbers and signatures are CUDA's.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "block.h"

#define __global__
#define __device__
#define __host__
#define __constant__
// Blocks run one after the other, on one thread of the host. It keeps what the last block wrote.
#define __shared__ static thread_local
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))

// ---- Types -------------------------------------------------------------------------------------

struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline int2 make_int2(int x, int y) {
  return {x, y};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
inline int4 make_int4(int x, int y, int z, int w) {
  return {x, y, z, w};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}

// ---- The device: where a thread is -------------------------------------------------------------

extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;
inline constexpr int warpSize = emulator::kLanes;

// ---- The device: barriers and operations of a warp ---------------------------------------------

inline void __syncthreads(emulator::Where where = emulator::Where::here()) {
  emulator::meet_block("__syncthreads", false, where);
}
inline int __syncthreads_or(int condition, emulator::Where where = emulator::Where::here()) {
  return emulator::meet_block("__syncthreads_or", condition != 0, where) != 0;
}
inline int __syncthreads_and(int condition, emulator::Where where = emulator::Where::here()) {
  return emulator::meet_block("__syncthreads_and", condition == 0, where) == 0;
}
inline int __syncthreads_count(int condition, emulator::Where where = emulator::Where::here()) {
  return emulator::meet_block("__syncthreads_count", condition != 0, where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       emulator::Where where = emulator::Where::here()) {
  emulator::WarpRequest request{"__syncwarp", mask, where, nullptr};
  request.one_place = false;
  emulator::meet_warp(request);
}
// The fibers of a block are one thread: only the compiler could change the order.
inline void __threadfence() {
  __asm__ volatile("" ::: "memory");
}
inline void __threadfence_block() {
  __asm__ volatile("" ::: "memory");
}

namespace emulator {

void finish_shuffle(WarpRequest* const* requests, uint32_t mask);
void finish_ballot(WarpRequest* const* requests, uint32_t mask);
uint32_t ballot(const char* name, uint32_t mask, bool condition, Where where);

template <class T>
T shuffle(const char* name, uint32_t mask, T value, int source, Where where) {
  static_assert((sizeof(T) == 4 || sizeof(T) == 8) && std::is_arithmetic_v<T>);
  WarpRequest request{name, mask, where, finish_shuffle};
  std::memcpy(&request.value, &value, sizeof value);
  request.source = source;
  meet_warp(request);
  std::memcpy(&value, &request.result, sizeof value);
  return value;
}

// The first and last lane of the part of a warp that lane belongs to.
inline int first_of_part(int lane, int width) {
  return lane & ~(width - 1);
}
inline int last_of_part(int lane, int width) {
  return lane | (width - 1);
}

template <class T, T (*kJoin)(T, T)>
void finish_reduce(WarpRequest* const* requests, uint32_t mask) {
  T sum{};
  bool first = true;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const T value = static_cast<T>(requests[__builtin_ctz(left)]->value);
    sum = first ? value : kJoin(sum, value);
    first = false;
  }
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    requests[__builtin_ctz(left)]->result = static_cast<uint64_t>(sum);
  }
}
template <class T, T (*kJoin)(T, T)>
T reduce(const char* name, uint32_t mask, T value, Where where) {
  WarpRequest request{name, mask, where, finish_reduce<T, kJoin>};
  request.value = static_cast<uint64_t>(value);
  meet_warp(request);
  return static_cast<T>(request.result);
}

template <class T>
T sum_of(T a, T b) {
  return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
}
template <class T>
T larger_of(T a, T b) {
  return a > b ? a : b;
}
template <class T>
T smaller_of(T a, T b) {
  return a < b ? a : b;
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              emulator::Where where = emulator::Where::here()) {
  const int first = emulator::first_of_part(emulator::current_lane(), width);
  return emulator::shuffle("__shfl_sync", mask, value, first | (source & (width - 1)), where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width = warpSize,
                  emulator::Where where = emulator::Where::here()) {
  const int lane = emulator::current_lane(), source = lane ^ (distance & 31);
  const bool inside = source <= emulator::last_of_part(lane, width);
  return emulator::shuffle("__shfl_xor_sync", mask, value, inside ? source : lane, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                   emulator::Where where = emulator::Where::here()) {
  const int lane = emulator::current_lane(), source = lane + static_cast<int>(distance & 31);
  const bool inside = source <= emulator::last_of_part(lane, width);
  return emulator::shuffle("__shfl_down_sync", mask, value, inside ? source : lane, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                 emulator::Where where = emulator::Where::here()) {
  const int lane = emulator::current_lane(), source = lane - static_cast<int>(distance & 31);
  const bool inside = source >= emulator::first_of_part(lane, width);
  return emulator::shuffle("__shfl_up_sync", mask, value, inside ? source : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int condition,
                              emulator::Where where = emulator::Where::here()) {
  return emulator::ballot("__ballot_sync", mask, condition != 0, where);
}
inline int __any_sync(unsigned mask, int condition,
                      emulator::Where where = emulator::Where::here()) {
  return emulator::ballot("__any_sync", mask, condition != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int condition,
                      emulator::Where where = emulator::Where::here()) {
  return emulator::ballot("__all_sync", mask, condition == 0, where) == 0;
}

inline int __reduce_add_sync(unsigned mask, int value,
                             emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<int, emulator::sum_of<int>>("__reduce_add_sync", mask, value, where);
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value,
                                  emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<unsigned, emulator::sum_of<unsigned>>("__reduce_add_sync", mask, value,
                                                                where);
}
inline int __reduce_max_sync(unsigned mask, int value,
                             emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<int, emulator::larger_of<int>>("__reduce_max_sync", mask, value, where);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value,
                                  emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<unsigned, emulator::larger_of<unsigned>>("__reduce_max_sync", mask, value,
                                                                   where);
}
inline int __reduce_min_sync(unsigned mask, int value,
                             emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<int, emulator::smaller_of<int>>("__reduce_min_sync", mask, value, where);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value,
                                  emulator::Where where = emulator::Where::here()) {
  return emulator::reduce<unsigned, emulator::smaller_of<unsigned>>("__reduce_min_sync", mask,
                                                                    value, where);
}

// ---- The device: arithmetic --------------------------------------------------------------------

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}

namespace emulator {
template <class To, class From>
To same_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
}  // namespace emulator
inline unsigned __float_as_uint(float x) {
  return emulator::same_bits<unsigned>(x);
}
inline int __float_as_int(float x) {
  return emulator::same_bits<int>(x);
}
inline float __uint_as_float(unsigned x) {
  return emulator::same_bits<float>(x);
}
inline float __int_as_float(int x) {
  return emulator::same_bits<float>(x);
}

// sum + the products of four signed, or four unsigned, bytes.
inline int __dp4a(int a, int b, int sum) {
  unsigned y = static_cast<unsigned>(sum);
  for (int i = 0; i < 32; i += 8) {
    y += static_cast<unsigned>(static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i));
  }
  return static_cast<int>(y);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned sum) {
  for (int i = 0; i < 32; i += 8) sum += (a >> i & 255) * (b >> i & 255);
  return sum;
}

inline int min(int a, int b) {
  return a < b ? a : b;
}
inline unsigned min(unsigned a, unsigned b) {
  return a < b ? a : b;
}
inline unsigned min(int a, unsigned b) {
  return min(static_cast<unsigned>(a), b);
}
inline unsigned min(unsigned a, int b) {
  return min(a, static_cast<unsigned>(b));
}
inline long min(long a, long b) {
  return a < b ? a : b;
}
inline unsigned long min(unsigned long a, unsigned long b) {
  return a < b ? a : b;
}
inline long long min(long long a, long long b) {
  return a < b ? a : b;
}
inline unsigned long long min(unsigned long long a, unsigned long long b) {
  return a < b ? a : b;
}
inline int max(int a, int b) {
  return a > b ? a : b;
}
inline unsigned max(unsigned a, unsigned b) {
  return a > b ? a : b;
}
inline unsigned max(int a, unsigned b) {
  return max(static_cast<unsigned>(a), b);
}
inline unsigned max(unsigned a, int b) {
  return max(a, static_cast<unsigned>(b));
}
inline long max(long a, long b) {
  return a > b ? a : b;
}
inline unsigned long max(unsigned long a, unsigned long b) {
  return a > b ? a : b;
}
inline long long max(long long a, long long b) {
  return a > b ? a : b;
}
inline unsigned long long max(unsigned long long a, unsigned long long b) {
  return a > b ? a : b;
}
// The other one if one is not a number; -0 is less than +0.
namespace emulator {
template <class T>
T smaller_number(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T larger_number(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}
}  // namespace emulator
inline float min(float a, float b) {
  return emulator::smaller_number(a, b);
}
inline double min(double a, double b) {
  return emulator::smaller_number(a, b);
}
inline float max(float a, float b) {
  return emulator::larger_number(a, b);
}
inline double max(double a, double b) {
  return emulator::larger_number(a, b);
}

// ---- The device: memory ------------------------------------------------------------------------

template <class T>
T __ldg(const T* p) {
  return *p;
}

// Atomic also between the host's threads, for blocks of launches side by side. They return what was
// there before. The same types as on the device.
namespace emulator {
template <class T>
T atomic_max(T* p, T value) {
  T seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (seen < value &&
         !__atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}
template <class T>
T atomic_cas(T* p, T expected, T value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
}  // namespace emulator
inline int atomicAdd(int* p, int value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned* p, unsigned value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline int atomicMax(int* p, int value) {
  return emulator::atomic_max(p, value);
}
inline unsigned atomicMax(unsigned* p, unsigned value) {
  return emulator::atomic_max(p, value);
}
inline unsigned long long atomicMax(unsigned long long* p, unsigned long long value) {
  return emulator::atomic_max(p, value);
}
inline int atomicExch(int* p, int value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
inline unsigned atomicExch(unsigned* p, unsigned value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicExch(unsigned long long* p, unsigned long long value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
inline int atomicCAS(int* p, int expected, int value) {
  return emulator::atomic_cas(p, expected, value);
}
inline unsigned atomicCAS(unsigned* p, unsigned expected, unsigned value) {
  return emulator::atomic_cas(p, expected, value);
}
inline unsigned long long atomicCAS(unsigned long long* p, unsigned long long expected,
                                    unsigned long long value) {
  return emulator::atomic_cas(p, expected, value);
}

// ---- The runtime -------------------------------------------------------------------------------

enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureImplicit = 906,
  cudaErrorCapturedEvent = 907,
  cudaErrorStreamCaptureWrongThread = 908,
  cudaErrorUnknown = 999,
};
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

// The members we have a use for; the order is not CUDA's.
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
  size_t sharedMemPerBlockOptin;
  size_t sharedMemPerMultiprocessor;
  int warpSize;
  int maxThreadsPerBlock;
  int maxThreadsPerMultiProcessor;
  int multiProcessorCount;
  int major, minor;
  int l2CacheSize;
  int memoryBusWidth;
  int integrated;
};
enum cudaDeviceAttr : int {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrIntegrated = 18,
  cudaDevAttrGlobalMemoryBusWidth = 37,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceSynchronize();

enum cudaMemcpyKind : int {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
inline constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocPortable = 1,
                          cudaHostAllocMapped = 2, cudaHostAllocWriteCombined = 4;
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** p, size_t bytes);
cudaError_t cudaFree(void* p);
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned flags);
cudaError_t cudaMallocHost(void** p, size_t bytes, unsigned flags = cudaHostAllocDefault);
cudaError_t cudaFreeHost(void* p);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream = nullptr);

namespace emulator {
template <class T, class F>
cudaError_t allocate_typed(T** p, F&& allocate) {
  void* memory = nullptr;
  const cudaError_t error = allocate(&memory);
  if (error == cudaSuccess) *p = static_cast<T*>(memory);
  return error;
}
}  // namespace emulator
template <class T>
cudaError_t cudaMalloc(T** p, size_t bytes) {
  return emulator::allocate_typed(p, [&](void** memory) { return cudaMalloc(memory, bytes); });
}
template <class T>
cudaError_t cudaHostAlloc(T** p, size_t bytes, unsigned flags) {
  return emulator::allocate_typed(
      p, [&](void** memory) { return cudaHostAlloc(memory, bytes, flags); });
}
template <class T>
cudaError_t cudaMallocHost(T** p, size_t bytes, unsigned flags = cudaHostAllocDefault) {
  return emulator::allocate_typed(
      p, [&](void** memory) { return cudaMallocHost(memory, bytes, flags); });
}

inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1,
                          cudaEventDisableTiming = 2;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);

enum cudaStreamCaptureMode : int {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

enum cudaFuncAttribute : int {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,
};
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
template <class... Arguments>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Arguments...), cudaFuncAttribute attribute,
                                 int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel,
                                                          int threads, size_t shared_bytes);
template <class... Arguments>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(Arguments...),
                                                          int threads, size_t shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      blocks, reinterpret_cast<const void*>(kernel), threads, shared_bytes);
}

enum cudaLaunchAttributeID : int {
  cudaLaunchAttributeIgnore = 0,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6,
};
union cudaLaunchAttributeValue {
  char pad[64];
  int programmaticStreamSerializationAllowed;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

namespace emulator {
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> body);
}  // namespace emulator

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  std::tuple<Parameters...> copies(std::forward<Arguments>(arguments)...);
  return emulator::launch(*config, reinterpret_cast<const void*>(kernel),
                          [kernel, copies] { std::apply(kernel, copies); });
}
