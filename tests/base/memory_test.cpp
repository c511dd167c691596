// Looks for blocks that are too small, misaligned or shared, sizes that wrap, and memory that does
// not return to the system.
#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#ifdef HOST_HAS_MIMALLOC
extern "C" void mi_free(void*) {}
#endif

namespace bitnet {
namespace {

constexpr size_t kMega = size_t{1} << 20;

bool aligned(const void* p, size_t alignment) {
  return reinterpret_cast<uintptr_t>(p) % alignment == 0;
}

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * 4096;
}

#ifdef HOST_HAS_MIMALLOC
TEST(Allocator, IsTheCLibraryInAHostWithAMimalloc) {
  EXPECT_STREQ(allocator_name(), "libc");
}
#endif

TEST(Allocate, GivesWritableBlocksOfTheAlignmentAskedFor) {
  for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (const size_t bytes : {0, 1, 7, 64, 1000, 70000, 3000000}) {
      void* const block = allocate(bytes, alignment);
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(aligned(block, alignment));
      std::memset(block, 0xa5, bytes);
      release(block);
    }
  }
}

TEST(Allocate, ReturnsNullWhenThereIsNotSoMuch) {
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2}) {
    EXPECT_EQ(allocate(bytes, 16), nullptr);
    EXPECT_EQ(allocate(bytes, 64), nullptr);
  }
}

TEST(Allocate, BlocksDoNotOverlapAcrossThreads) {
  std::vector<std::thread> threads;
  std::vector<int> damaged(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &damaged] {
      std::vector<unsigned char*> blocks;
      for (size_t i = 0; i < 2000; ++i) {
        auto* block = static_cast<unsigned char*>(allocate(1 + i % 300, 16));
        std::memset(block, t + 1, 1 + i % 300);
        blocks.push_back(block);
      }
      for (size_t i = 0; i < blocks.size(); ++i) {
        damaged[t] += blocks[i][0] != t + 1 || blocks[i][i % 300] != t + 1;
        release(blocks[i]);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(damaged, std::vector<int>(4));
}

TEST(Allocate, AThreadMayReleaseWhatAnotherAllocated) {
  void* block = nullptr;
  std::thread([&] { block = allocate(1000, 64); }).join();
  std::memset(block, 1, 1000);
  release(block);
}

TEST(Release, OfNullDoesNothing) {
  release(nullptr);
}

TEST(Allocator, ContainersReportSizesThatWrapAsBadAlloc) {
  EXPECT_THROW(Allocator<uint64_t>().allocate(SIZE_MAX / 4), std::bad_alloc);
}

TEST(Make, ReleasesTheMemoryOfAnObjectWhoseConstructorThrows) {
  struct Thrower {
    Thrower() { throw std::bad_alloc(); }
  };
  EXPECT_THROW(make<Thrower>(), std::bad_alloc);  // the leak checker sees the rest
}

TEST(Make, HonoursTheAlignmentOfTheType) {
  struct alignas(128) Wide {
    char bytes[128];
  };
  EXPECT_TRUE(aligned(make<Wide>().get(), 128));
}

TEST(Buffer, OfNoBytesIsEmptyAndMovable) {
  Buffer empty(0);
  EXPECT_EQ(empty.bytes(), 0u);
  Buffer other(std::move(empty));
  other = Buffer(100);
  EXPECT_EQ(other.bytes(), 100u);
}

TEST(Buffer, IsAlignedToACacheLineAndWritableToItsEnd) {
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{5000}, 2 * kMega - 1, 2 * kMega,
                             2 * kMega + 1, 5 * kMega + 4097}) {
    Buffer buffer(bytes);
    EXPECT_TRUE(aligned(buffer.data(), 64));
    std::memset(buffer.data(), 0x5a, bytes);
    EXPECT_EQ(buffer.data()[bytes - 1], 0x5a);
  }
}

TEST(Buffer, LargeOnesLieOnHugePagesAndTouchNothingYet) {
  const size_t before = resident_bytes();
  Buffer buffer(256 * kMega);
  EXPECT_TRUE(aligned(buffer.data(), 2 * kMega));
  EXPECT_LT(resident_bytes(), before + 16 * kMega);
}

TEST(Buffer, LargeOnesReturnToTheSystem) {
  const size_t before = resident_bytes();
  for (int i = 0; i < 8; ++i) {
    Buffer buffer(64 * kMega);
    std::memset(buffer.data(), 1, buffer.bytes());
    EXPECT_GT(resident_bytes(), before + 32 * kMega);
  }
  EXPECT_LT(resident_bytes(), before + 32 * kMega);
}

TEST(Buffer, LargeOnesLeaveNoAddressSpaceBehind) {
  const auto mapped = [] {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * 4096;
  };
  { Buffer once(3 * kMega); }
  const size_t before = mapped();
  for (int i = 0; i < 50; ++i) Buffer buffer(3 * kMega + 1);
  EXPECT_LT(mapped(), before + 2 * kMega);
}

TEST(Buffer, ThrowsBadAllocWhenThereIsNotSoMuch) {
  EXPECT_THROW(Buffer(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(Buffer(SIZE_MAX - 4 * kMega), std::bad_alloc);
  EXPECT_THROW(Buffer(size_t{1} << 62), std::bad_alloc);
}

TEST(Buffer, MovingHandsTheBytesOver) {
  Buffer a(10), b(3 * kMega);
  const uint8_t* const bytes = a.data();
  b = std::move(a);
  EXPECT_EQ(b.data(), bytes);
  EXPECT_EQ(b.bytes(), 10u);
}

}  // namespace
}  // namespace bitnet
