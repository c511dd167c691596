// An allocator for tests that counts and fails on demand, in place of base/memory.cpp: include it
// in one file of a program that does not link base_lib.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "base/memory.h"

namespace bitnet::test {

inline size_t allocated_bytes =
    0;  // asked for since it was last set to 0; frees are not subtracted
inline int64_t allocations_left = -1;  // until allocate fails; negative: it never does

// Calls body with the first, the second, ... allocation failing until it returns true without any
// failing. Returns how many calls saw std::bad_alloc.
template <class Body>
int64_t fail_each_allocation(Body body) {
  for (int64_t n = 0;; ++n) {
    allocations_left = n;
    try {
      body();
      allocations_left = -1;
      return n;
    } catch (const std::bad_alloc&) {
      allocations_left = -1;
    }
  }
}

}  // namespace bitnet::test

namespace bitnet {

void* allocate(size_t bytes, size_t alignment) noexcept {
  if (test::allocations_left == 0) return nullptr;
  if (test::allocations_left > 0) --test::allocations_left;
  test::allocated_bytes += bytes;
  return std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment);
}
void release(void* memory) noexcept {
  std::free(memory);
}
Buffer::Buffer(size_t bytes) : data_(static_cast<uint8_t*>(allocate(bytes, 64))), bytes_(bytes) {
  if (!data_) throw std::bad_alloc();
}
Buffer::~Buffer() {
  release(data_);
}

}  // namespace bitnet
