// How the threads of one block run as fibers, and how they meet: behind the device functions of
// cuda_runtime.h and ptx.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3;

namespace emulator {

inline constexpr int kLanes = 32;
inline constexpr int kMaxBlockThreads = 1024;
// What memory holds that nobody has written.
inline constexpr int kUnwritten = 0xC5;

// Where a kernel calls something: for messages, and to tell one barrier from another. (clang has
// std::source_location since its version 15 only.)
struct Where {
  const char* file;
  const char* function;
  int line;
  static constexpr Where here(const char* file = __builtin_FILE(),
                              const char* function = __builtin_FUNCTION(),
                              int line = __builtin_LINE()) {
    return {file, function, line};
  }
};

// Runs body as every thread of every block. The shapes have been checked.
void run_grid(const dim3& grid, const dim3& block, size_t shared_bytes,
              const std::function<void()>& body);

// The block's dynamic shared memory.
uint8_t* shared_memory();

// __syncthreads() in its variants, told apart by name. Returns how many threads had a true
// condition.
int meet_block(const char* name, bool condition, Where where);

// What a lane brings to an operation of its warp and takes from it; lies on the lane's stack. The
// last lane of the mask that comes finishes the operation for all of them.
struct WarpRequest {
  const char* name;
  uint32_t mask;
  Where where;
  // Of the lanes in mask: requests[lane]. nullptr: there is nothing to do.
  void (*finish)(WarpRequest* const* requests, uint32_t mask);
  uint64_t value = 0;   // what the lane brings
  uint64_t result = 0;  // what it takes
  int source = 0;       // the lane it takes it from
  // Whether all lanes must be at one place of the program, and whether there must be 32 of them.
  bool one_place = true;
  bool whole_warp = false;
};
void meet_warp(WarpRequest& request);
int current_lane();

// copy_async of ptx.h: the copy comes as late as the waits allow, and what was at its place is lost
// as early as possible.
void copy_later(void* shared, const void* global, Where where);
void end_copy_group();
void finish_copies(int groups_left);

// Ends the process where the device would report a misaligned address.
void check_alignment(const void* p, size_t alignment, Where where);

}  // namespace emulator
