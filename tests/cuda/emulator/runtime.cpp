#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "emulator.h"

using Operation = std::function<cudaError_t()>;

struct CUgraph_st {
  std::vector<Operation> operations;
};
struct CUgraphExec_st {
  std::vector<Operation> operations;
};
struct CUstream_st {
  unsigned flags;
  CUgraph_st* capture = nullptr;  // what is recorded; nullptr: nothing is
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool invalid = false;  // the capture
};
struct CUevent_st {
  unsigned flags;
  bool recorded = false, captured = false;
  std::chrono::steady_clock::time_point time{};
};

namespace emulator {
namespace {

// A Hopper device, but for the numbers that can be set.
constexpr int kMaxDevices = 16;
constexpr size_t kSharedBytes = 48 << 10;        // of a block, unless asked for
constexpr size_t kSharedBytesOptin = 227 << 10;  // of a block
constexpr size_t kSharedBytesOfBlock = 1 << 10;  // that the system takes
constexpr size_t kSharedBytesTotal = 228 << 10;  // of a multiprocessor
constexpr int kThreadsTotal = 2048, kBlocksTotal = 32;
constexpr unsigned kMaxGridYZ = 65535, kMaxBlockZ = 64, kMaxGridX = 0x7fffffff;
constexpr int kL2Bytes = 50 << 20;
constexpr size_t kAllocationUnit = 256;
constexpr size_t kDefaultMemory = size_t{1} << 30;
constexpr int kDefaultMultiprocessors = 4;

// What tests set.
std::atomic<int> device_count{1};
std::atomic<size_t> memory_bytes{kDefaultMemory};
std::atomic<int> multiprocessors{kDefaultMultiprocessors};
std::atomic<int64_t> allocations_left{0};  // until one fails; 0 and less: none does
std::atomic<int64_t> launches_left{0};     // likewise
std::atomic<bool> overlap_refused{false};
std::atomic<Report> launch_report{Report::kAtOnce};
std::atomic<bool> broken{false};
std::atomic<int64_t> kernels_run{0};
std::atomic<int64_t> objects{0};

struct Allocation {
  size_t bytes;
  int device;  // kPinned: the host's
};
constexpr int kPinned = -1;

struct Memory {
  std::mutex mutex;
  std::map<uintptr_t, Allocation> allocations;
  std::array<size_t, kMaxDevices> used{};
  std::map<std::pair<int, const void*>, size_t> shared_limits;  // by device and kernel
};
Memory& memory() {
  static Memory instance;
  return instance;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStream_t capturing = nullptr;  // whose capture this thread began

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// What every call answers before it looks at its arguments.
cudaError_t device_state() {
  if (broken) return cudaErrorLaunchFailure;
  if (device_count == 0) return cudaErrorNoDevice;
  return device_count < 0 ? cudaErrorInsufficientDriver : cudaSuccess;
}

// Runs body, if the device works, and keeps its error.
template <class Body>
cudaError_t call(Body&& body) {
  const cudaError_t state = device_state();
  return result(state == cudaSuccess ? body() : state);
}
// Runs body in any case.
template <class Body>
cudaError_t release(Body&& body) {
  const cudaError_t error = body();
  const cudaError_t state = device_state();
  return result(state == cudaSuccess ? error : state);
}

// Counts down; true for the one that reaches zero.
bool is_the_one(std::atomic<int64_t>& left) {
  return left > 0 && left.fetch_sub(1) == 1;
}

// ---- Captures ----------------------------------------------------------------------------------

cudaError_t invalidate(cudaStream_t stream, cudaError_t error) {
  stream->invalid = true;
  return error;
}
// For calls that do not go into a stream and would wait for it, or allocate.
cudaError_t check_unsafe_call() {
  if (!capturing || capturing->mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  return invalidate(capturing, cudaErrorStreamCaptureUnsupported);
}
// For calls on a stream, or on the default one: that waits for streams which are not told
// otherwise.
cudaError_t check_stream(cudaStream_t stream) {
  if (stream) return stream->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
  if (!capturing || capturing->flags & cudaStreamNonBlocking) return cudaSuccess;
  return invalidate(capturing, cudaErrorStreamCaptureImplicit);
}
// For calls that wait for a stream.
cudaError_t check_wait(cudaStream_t stream) {
  if (stream && stream->capture) return invalidate(stream, cudaErrorStreamCaptureUnsupported);
  return check_stream(stream);
}
// Runs the operation, or records it.
cudaError_t submit(cudaStream_t stream, Operation operation) {
  if (const cudaError_t error = check_stream(stream); error != cudaSuccess) return error;
  if (!stream || !stream->capture) return operation();
  stream->capture->operations.push_back(std::move(operation));
  return cudaSuccess;
}

// ---- Memory ------------------------------------------------------------------------------------

size_t whole_units(size_t bytes) {
  return (bytes + kAllocationUnit - 1) / kAllocationUnit * kAllocationUnit;
}

// On the device, or kPinned.
cudaError_t allocate(void** p, size_t bytes, int device) {
  if (p == nullptr) return cudaErrorInvalidValue;
  *p = nullptr;
  if (is_the_one(allocations_left)) return cudaErrorMemoryAllocation;
  if (bytes == 0) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (device != kPinned) {
    const size_t used = m.used[device], total = memory_bytes;
    if (used > total || bytes > total - used || whole_units(bytes) > total - used) {
      return cudaErrorMemoryAllocation;
    }
  }
  if (posix_memalign(p, kAllocationUnit, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*p, kUnwritten, bytes);
  m.allocations[reinterpret_cast<uintptr_t>(*p)] = {bytes, device};
  if (device != kPinned) m.used[device] += whole_units(bytes);
  return cudaSuccess;
}

cudaError_t deallocate(void* p, bool pinned) {
  if (p == nullptr) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto known = m.allocations.find(reinterpret_cast<uintptr_t>(p));
  if (known == m.allocations.end() || (known->second.device == kPinned) != pinned) {
    return cudaErrorInvalidValue;
  }
  if (!pinned) m.used[known->second.device] -= whole_units(known->second.bytes);
  m.allocations.erase(known);
  std::free(p);
  return cudaSuccess;
}

// Whether these bytes are all in one piece of the devices' memory.
bool on_device(const void* p, size_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  auto after = m.allocations.upper_bound(address);
  if (after == m.allocations.begin()) return false;
  const auto& [begin, allocation] = *--after;
  const uintptr_t offset = address - begin;
  return allocation.device != kPinned && offset <= allocation.bytes &&
         bytes <= allocation.bytes - offset;
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool fits = to && from && (!to_device || on_device(to, bytes)) &&
                    (!from_device || on_device(from, bytes));
  return fits ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                 cudaStream_t stream) {
  if (const cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) {
    return error;
  }
  return submit(stream, [=] {
    if (bytes != 0) std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}

cudaError_t fill(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes != 0 && !on_device(to, bytes)) return cudaErrorInvalidValue;
  return submit(stream, [=] {
    if (bytes != 0) std::memset(to, value, bytes);
    return cudaSuccess;
  });
}

// ---- Kernels -----------------------------------------------------------------------------------

size_t shared_limit(const void* kernel) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto known = m.shared_limits.find({current_device, kernel});
  return known == m.shared_limits.end() ? kSharedBytes : known->second;
}

cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) return cudaErrorInvalidValue;
  if (grid.x > kMaxGridX || grid.y > kMaxGridYZ || grid.z > kMaxGridYZ) {
    return cudaErrorInvalidValue;
  }
  if (block.x > kMaxBlockThreads || block.y > kMaxBlockThreads || block.z > kMaxBlockZ ||
      threads > kMaxBlockThreads) {
    return cudaErrorInvalidValue;
  }
  if (config.dynamicSmemBytes > kSharedBytes && config.dynamicSmemBytes > shared_limit(kernel)) {
    return cudaErrorInvalidValue;
  }
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttributeID id = config.attrs[i].id;
    if (id != cudaLaunchAttributeProgrammaticStreamSerialization &&
        id != cudaLaunchAttributeIgnore) {
      return cudaErrorNotSupported;
    }
  }
  return cudaSuccess;
}

cudaError_t run_kernel(const dim3& grid, const dim3& block, size_t shared_bytes,
                       const std::function<void()>& body) {
  if (broken) return cudaErrorLaunchFailure;  // by an earlier kernel of the graph
  if (is_the_one(launches_left)) {
    broken = true;
    return launch_report == Report::kAtOnce ? cudaErrorLaunchFailure : cudaSuccess;
  }
  ++kernels_run;
  run_grid(grid, block, shared_bytes, body);
  return cudaSuccess;
}

// ---- Objects -----------------------------------------------------------------------------------

template <class T, class... Arguments>
cudaError_t make_object(T** object, Arguments&&... arguments) {
  if (object == nullptr) return cudaErrorInvalidValue;
  *object = new T{std::forward<Arguments>(arguments)...};
  ++objects;
  return cudaSuccess;
}
template <class T>
cudaError_t release_object(T* object) {
  if (object == nullptr) return cudaErrorInvalidResourceHandle;
  delete object;
  --objects;
  return cudaSuccess;
}

}  // namespace

void set_device_count(int count) {
  device_count = count < kMaxDevices ? count : kMaxDevices;
}
void set_memory(size_t bytes) {
  memory_bytes = bytes;
}
void set_multiprocessors(int count) {
  multiprocessors = count;
}
void fail_allocation_after(int64_t n) {
  allocations_left = n;
}
void fail_launch_after(int64_t n, Report report) {
  launch_report = report;
  launches_left = n;
}
void refuse_overlap_in_captures(bool refuse) {
  overlap_refused = refuse;
}
int64_t live_allocations() {
  const std::lock_guard lock(memory().mutex);
  return static_cast<int64_t>(memory().allocations.size());
}
int64_t live_objects() {
  return objects;
}
int64_t launches() {
  return kernels_run;
}
void reset() {
  set_order(kForward);
  set_device_count(1);
  set_memory(kDefaultMemory);
  set_multiprocessors(kDefaultMultiprocessors);
  fail_allocation_after(0);
  fail_launch_after(0);
  refuse_overlap_in_captures(false);
  broken = false;
  kernels_run = 0;
  last_error = cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> body) {
  return call([&] {
    if (const cudaError_t error = check_launch(config, kernel); error != cudaSuccess) return error;
    if (overlap_refused && config.numAttrs > 0 && config.stream && config.stream->capture) {
      return invalidate(config.stream, cudaErrorStreamCaptureUnsupported);
    }
    return submit(config.stream, [grid = config.gridDim, block = config.blockDim,
                                  shared_bytes = config.dynamicSmemBytes, body = std::move(body)] {
      return run_kernel(grid, block, shared_bytes, body);
    });
  });
}

}  // namespace emulator

using emulator::call;
using emulator::release;

// ---- Errors ------------------------------------------------------------------------------------

cudaError_t cudaPeekAtLastError() {
  return emulator::broken ? cudaErrorLaunchFailure : emulator::last_error;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  emulator::last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define NAME(name) \
  case name:       \
    return #name
    NAME(cudaSuccess);
    NAME(cudaErrorInvalidValue);
    NAME(cudaErrorMemoryAllocation);
    NAME(cudaErrorInvalidConfiguration);
    NAME(cudaErrorInsufficientDriver);
    NAME(cudaErrorNoDevice);
    NAME(cudaErrorInvalidDevice);
    NAME(cudaErrorInvalidResourceHandle);
    NAME(cudaErrorNotReady);
    NAME(cudaErrorIllegalAddress);
    NAME(cudaErrorLaunchFailure);
    NAME(cudaErrorNotSupported);
    NAME(cudaErrorStreamCaptureUnsupported);
    NAME(cudaErrorStreamCaptureInvalidated);
    NAME(cudaErrorStreamCaptureImplicit);
    NAME(cudaErrorCapturedEvent);
    NAME(cudaErrorStreamCaptureWrongThread);
    NAME(cudaErrorUnknown);
#undef NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureImplicit:
      return "operation would make the legacy stream depend on a capturing blocking stream";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorStreamCaptureWrongThread:
      return "attempt to terminate a thread-local capture sequence from another thread";
    case cudaErrorUnknown:
      return "unknown error";
  }
  return "unrecognized error code";
}

// ---- Devices -----------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  if (count) *count = 0;
  return call([&] {
    if (!count) return cudaErrorInvalidValue;
    *count = emulator::device_count;
    return cudaSuccess;
  });
}

static cudaError_t check_device(int device) {
  return device >= 0 && device < emulator::device_count ? cudaSuccess : cudaErrorInvalidDevice;
}

static cudaDeviceProp properties_of_device() {
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof p.name, "Emulated device");
  p.totalGlobalMem = emulator::memory_bytes;
  p.sharedMemPerBlock = emulator::kSharedBytes;
  p.sharedMemPerBlockOptin = emulator::kSharedBytesOptin;
  p.sharedMemPerMultiprocessor = emulator::kSharedBytesTotal;
  p.warpSize = emulator::kLanes;
  p.maxThreadsPerBlock = emulator::kMaxBlockThreads;
  p.maxThreadsPerMultiProcessor = emulator::kThreadsTotal;
  p.multiProcessorCount = emulator::multiprocessors;
  p.major = 9;
  p.minor = 0;
  p.l2CacheSize = emulator::kL2Bytes;
  p.memoryBusWidth = 6144;
  return p;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    if (!properties) return cudaErrorInvalidValue;
    if (const cudaError_t error = check_device(device); error != cudaSuccess) return error;
    *properties = properties_of_device();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([&] {
    if (!value) return cudaErrorInvalidValue;
    if (const cudaError_t error = check_device(device); error != cudaSuccess) return error;
    const cudaDeviceProp p = properties_of_device();
    const auto answer = [&](auto number) {
      *value = static_cast<int>(number);
      return cudaSuccess;
    };
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
        return answer(p.maxThreadsPerBlock);
      case cudaDevAttrMaxSharedMemoryPerBlock:
        return answer(p.sharedMemPerBlock);
      case cudaDevAttrWarpSize:
        return answer(p.warpSize);
      case cudaDevAttrMultiProcessorCount:
        return answer(p.multiProcessorCount);
      case cudaDevAttrIntegrated:
        return answer(p.integrated);
      case cudaDevAttrGlobalMemoryBusWidth:
        return answer(p.memoryBusWidth);
      case cudaDevAttrL2CacheSize:
        return answer(p.l2CacheSize);
      case cudaDevAttrMaxThreadsPerMultiProcessor:
        return answer(p.maxThreadsPerMultiProcessor);
      case cudaDevAttrComputeCapabilityMajor:
        return answer(p.major);
      case cudaDevAttrComputeCapabilityMinor:
        return answer(p.minor);
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        return answer(p.sharedMemPerMultiprocessor);
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        return answer(p.sharedMemPerBlockOptin);
    }
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&] {
    const cudaError_t error = check_device(device);
    if (error == cudaSuccess) emulator::current_device = device;
    return error;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&] {
    if (!device) return cudaErrorInvalidValue;
    *device = emulator::current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call(emulator::check_unsafe_call);
}

// ---- Memory ------------------------------------------------------------------------------------

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return call([&] {
    if (!free_bytes || !total_bytes) return cudaErrorInvalidValue;
    const std::lock_guard lock(emulator::memory().mutex);
    const size_t used = emulator::memory().used[emulator::current_device];
    *total_bytes = emulator::memory_bytes;
    *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
    return cudaSuccess;
  });
}

static cudaError_t allocate_safely(void** p, size_t bytes, int device) {
  return call([&] {
    const cudaError_t error = emulator::check_unsafe_call();
    return error == cudaSuccess ? emulator::allocate(p, bytes, device) : error;
  });
}
cudaError_t cudaMalloc(void** p, size_t bytes) {
  return allocate_safely(p, bytes, emulator::current_device);
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  return allocate_safely(p, bytes, emulator::kPinned);
}
cudaError_t cudaMallocHost(void** p, size_t bytes, unsigned) {
  return allocate_safely(p, bytes, emulator::kPinned);
}
cudaError_t cudaFree(void* p) {
  return release([&] { return emulator::deallocate(p, false); });
}
cudaError_t cudaFreeHost(void* p) {
  return release([&] { return emulator::deallocate(p, true); });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return call([&] {
    const cudaError_t error = emulator::check_unsafe_call();
    return error == cudaSuccess ? emulator::copy(to, from, bytes, kind, nullptr) : error;
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([&] { return emulator::copy(to, from, bytes, kind, stream); });
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return call([&] {
    const cudaError_t error = emulator::check_unsafe_call();
    return error == cudaSuccess ? emulator::fill(to, value, bytes, nullptr) : error;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return call([&] { return emulator::fill(to, value, bytes, stream); });
}

// ---- Streams and events ------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&] { return emulator::make_object(stream, flags); });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return release([&] {
    if (stream && stream->capture) {
      delete stream->capture;
      if (emulator::capturing == stream) emulator::capturing = nullptr;
    }
    return emulator::release_object(stream);
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] { return emulator::check_wait(stream); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call([&] { return emulator::check_wait(stream); });
}
// What has been recorded is over already. Captures of several streams are not emulated.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&] {
    if (!event) return cudaErrorInvalidResourceHandle;
    if (event->captured && !(stream && stream->capture)) return cudaErrorStreamCaptureUnsupported;
    return emulator::check_wait(stream);
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&] { return emulator::make_object(event, flags); });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
// In a capture the event is a place in the graph, which a replay does not record.
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] {
    if (!event) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = emulator::check_stream(stream); error != cudaSuccess) {
      return error;
    }
    event->recorded = true;
    event->captured = stream && stream->capture;
    event->time = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
static cudaError_t check_event(cudaEvent_t event) {
  if (!event) return cudaErrorInvalidResourceHandle;
  return event->captured ? cudaErrorCapturedEvent : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] { return check_event(event); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] { return check_event(event); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call([&] {
    if (!milliseconds) return cudaErrorInvalidValue;
    for (const cudaEvent_t event : {start, end}) {
      if (const cudaError_t error = check_event(event); error != cudaSuccess) return error;
      if (!event->recorded || event->flags & cudaEventDisableTiming) {
        return cudaErrorInvalidResourceHandle;
      }
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return release([&] { return emulator::release_object(event); });
}

// ---- Graphs ------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call([&] {
    if (!stream || emulator::capturing) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorInvalidValue;
    stream->capture = new CUgraph_st;
    stream->mode = mode;
    stream->invalid = false;
    emulator::capturing = stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return release([&] {
    if (!stream || !graph || !stream->capture) return cudaErrorInvalidValue;
    *graph = nullptr;
    if (emulator::capturing != stream) {
      return emulator::invalidate(stream, cudaErrorStreamCaptureWrongThread);
    }
    emulator::capturing = nullptr;
    CUgraph_st* recorded = std::exchange(stream->capture, nullptr);
    if (std::exchange(stream->invalid, false) || emulator::broken) {
      delete recorded;
      return cudaErrorStreamCaptureInvalidated;
    }
    *graph = recorded;
    ++emulator::objects;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call([&] {
    return graph ? emulator::make_object(exec, graph->operations) : cudaErrorInvalidValue;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call([&] {
    if (!exec) return cudaErrorInvalidValue;
    if (const cudaError_t error = emulator::check_wait(stream); error != cudaSuccess) return error;
    for (const Operation& operation : exec->operations) {
      if (emulator::broken) return cudaSuccess;  // a failure that is reported later
      if (const cudaError_t error = operation(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return release([&] { return emulator::release_object(exec); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release([&] { return emulator::release_object(graph); });
}

// ---- Kernels -----------------------------------------------------------------------------------

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call([&] {
    if (!kernel) return cudaErrorInvalidValue;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) > emulator::kSharedBytesOptin) {
      return cudaErrorInvalidValue;
    }
    const std::lock_guard lock(emulator::memory().mutex);
    emulator::memory().shared_limits[{emulator::current_device, kernel}] =
        static_cast<size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel,
                                                          int threads, size_t shared_bytes) {
  return call([&] {
    if (!blocks || !kernel || threads <= 0) return cudaErrorInvalidValue;
    const size_t limit = std::max(emulator::shared_limit(kernel), emulator::kSharedBytes);
    *blocks = 0;
    if (threads > emulator::kMaxBlockThreads || shared_bytes > limit) return cudaSuccess;
    const int lanes = (threads + emulator::kLanes - 1) / emulator::kLanes * emulator::kLanes;
    const size_t by_memory =
        emulator::kSharedBytesTotal / (shared_bytes + emulator::kSharedBytesOfBlock);
    *blocks = std::min(
        {emulator::kThreadsTotal / lanes, emulator::kBlocksTotal, static_cast<int>(by_memory)});
    return cudaSuccess;
  });
}
