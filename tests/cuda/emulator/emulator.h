// A CUDA device on the host, for tests: what a test can set and ask. <cuda_runtime.h> of this
// folder has what kernels and the code that launches them see.
//
// Everything runs at once, on the thread that asks for it. A block's threads are fibers of that
// thread, which take turns at barriers, at operations of a warp and nowhere else. What the device
// would answer with a hang or with chance ends the process here, with a message.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// Which runnable thread of a block, and which block of a grid, goes on next. A kernel that lacks a
// barrier gives different results under different orders: forward and backward are the two
// extremes, shuffled is drawn anew for every launch.
enum class Order : int { kForward, kBackward, kShuffled };
inline constexpr Order kForward = Order::kForward;
inline constexpr Order kBackward = Order::kBackward;
inline constexpr Order kShuffled = Order::kShuffled;
// For all threads of the process, from their next launch on. Default: kForward.
void set_order(Order order, uint64_t seed = 1);

// Default: 1, at most 16. With 0 every call returns cudaErrorNoDevice, with less
// cudaErrorInsufficientDriver.
void set_device_count(int count);
// Of each device. Default: 1 GiB. cudaMalloc takes whole 256 bytes of it.
void set_memory(size_t bytes);
// Default: 4.
void set_multiprocessors(int count);

// The n-th cudaMalloc, cudaHostAlloc or cudaMallocHost from now (1: the next) returns
// cudaErrorMemoryAllocation, once. 0: none.
void fail_allocation_after(int64_t n);

// The n-th kernel from now, also one of a graph, does not run and breaks the device: from then on
// every call returns cudaErrorLaunchFailure until reset(), though what releases something still
// releases it. 0: none. kAtOnce: the launch itself returns the error already. kLater: it returns
// cudaSuccess, as on a device, which is told of the failure by the next call.
enum class Report : int { kAtOnce, kLater };
void fail_launch_after(int64_t n, Report report = Report::kAtOnce);

// As drivers older than the toolkit: a capture that records a kernel which may overlap the one
// before it is invalid. Default: false.
void refuse_overlap_in_captures(bool refuse);

// What is not released yet: device and pinned memory; streams, events, graphs.
int64_t live_allocations();
int64_t live_objects();
// Kernels run since the last reset(), those of graphs included.
int64_t launches();

// All of the above back to the defaults. Memory and objects stay as they are.
void reset();

}  // namespace emulator
