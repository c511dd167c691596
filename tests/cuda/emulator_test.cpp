// The emulator must do what a device does where a kernel is right, and find what is wrong.
#include "emulator.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "compute/cuda/ptx.h"

namespace bitnet::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr emulator::Order kOrders[] = {emulator::kForward, emulator::kBackward,
                                       emulator::kShuffled};

class EmulatorTest : public testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override {
    emulator::reset();
    EXPECT_EQ(emulator::live_allocations(), 0);
    EXPECT_EQ(emulator::live_objects(), 0);
  }
};
using EmulatorDeathTest = EmulatorTest;

// Device memory that is released at the end.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) {
    EXPECT_EQ(cudaMalloc(&data_, count * sizeof(T)), cudaSuccess);
  }
  explicit Buffer(const std::vector<T>& from) : Buffer(from.size()) {
    EXPECT_EQ(cudaMemcpy(data_, from.data(), count_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~Buffer() { EXPECT_EQ(cudaFree(data_), cudaSuccess); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> to(count_);
    EXPECT_EQ(cudaMemcpy(to.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return to;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

cudaLaunchConfig_t shape(dim3 grid, dim3 block, size_t shared_bytes = 0,
                         cudaStream_t stream = nullptr) {
  return {grid, block, shared_bytes, stream, nullptr, 0};
}

template <class... Parameters, class... Arguments>
cudaError_t launch(const cudaLaunchConfig_t& config, void (*kernel)(Parameters...),
                   Arguments... arguments) {
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

int flat_thread() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}

// ---- Places ------------------------------------------------------------------------------------

__global__ void write_places(uint32_t* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + static_cast<unsigned>(flat_thread())] =
      threadIdx.x | threadIdx.y << 4 | threadIdx.z << 8 | blockIdx.x << 12 | blockIdx.y << 16 |
      blockIdx.z << 20;
}

TEST_F(EmulatorTest, EveryThreadOfEveryBlockRunsOnce) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<uint32_t> out(3 * 2 * 4 * 5 * 3 * 2);
    ASSERT_EQ(launch(shape({3, 2, 4}, {5, 3, 2}), write_places, out.get()), cudaSuccess);
    const auto places = out.read();
    size_t i = 0;
    for (uint32_t block_z = 0; block_z < 4; ++block_z) {
      for (uint32_t block_y = 0; block_y < 2; ++block_y) {
        for (uint32_t block_x = 0; block_x < 3; ++block_x) {
          for (uint32_t z = 0; z < 2; ++z) {
            for (uint32_t y = 0; y < 3; ++y) {
              for (uint32_t x = 0; x < 5; ++x, ++i) {
                ASSERT_EQ(places[i],
                          x | y << 4 | z << 8 | block_x << 12 | block_y << 16 | block_z << 20);
              }
            }
          }
        }
      }
    }
  }
}

// ---- Barriers ----------------------------------------------------------------------------------

// The sum of 0..threads-1 as a tree in shared memory.
template <bool kWithBarrier>
__global__ void sum_tree(int* out) {
  int* values = reinterpret_cast<int*>(shared_memory());
  const int t = flat_thread(), threads = static_cast<int>(blockDim.x);
  values[t] = t;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (t < half) values[t] += values[t + half];
    if constexpr (kWithBarrier) __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = values[0];
}

template <bool kWithBarrier>
int sum_of(emulator::Order order, unsigned threads) {
  emulator::set_order(order, 7);
  Buffer<int> out(1);
  EXPECT_EQ(launch(shape(1, threads, threads * sizeof(int)), sum_tree<kWithBarrier>, out.get()),
            cudaSuccess);
  return out.read()[0];
}

TEST_F(EmulatorTest, OrderDoesNotMatterToACorrectKernel) {
  for (const auto order : kOrders) {
    for (unsigned threads = 1; threads <= 1024; threads *= 2) {
      EXPECT_EQ(sum_of<true>(order, threads), static_cast<int>(threads * (threads - 1) / 2));
    }
  }
}

TEST_F(EmulatorTest, OrderShowsAMissingBarrier) {
  const int expected = 256 * 255 / 2;
  EXPECT_NE(sum_of<false>(emulator::kForward, 256), expected);
  // From the last to the first is the one order in which this tree needs no barriers.
  EXPECT_EQ(sum_of<false>(emulator::kBackward, 256), expected);
  EXPECT_NE(sum_of<false>(emulator::kShuffled, 256), expected);
}

__global__ void hand_on(int* out, int steps) {
  int* values = reinterpret_cast<int*>(shared_memory());
  const int t = flat_thread(), threads = static_cast<int>(blockDim.x);
  values[t] = t;
  for (int i = 0; i < steps; ++i) {
    __syncthreads();
    const int neighbour = values[(t + 1) % threads];
    __syncthreads();
    values[t] = neighbour;
  }
  out[t] = values[t];
}

TEST_F(EmulatorTest, ShuffledOrderIsTheSeeds) {
  const auto order_of = [](uint64_t seed) {
    emulator::set_order(emulator::kShuffled, seed);
    Buffer<int> out(1);
    EXPECT_EQ(launch(shape(1, 256, 1024), sum_tree<false>, out.get()), cudaSuccess);
    return out.read()[0];
  };
  EXPECT_EQ(order_of(3), order_of(3));
  EXPECT_NE(order_of(3), order_of(4));
}

TEST_F(EmulatorTest, BarriersHoldEveryThread) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<int> out(100);
    ASSERT_EQ(launch(shape(1, 100, 400), hand_on, out.get(), 37), cudaSuccess);
    const auto values = out.read();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(values[i], (i + 37) % 100);
  }
}

__global__ void vote(int* out) {
  const int t = flat_thread();
  const int count = __syncthreads_count(t % 3 == 0);
  const int any = __syncthreads_or(t == 50), none = __syncthreads_or(0);
  const int all = __syncthreads_and(t < 1000), not_all = __syncthreads_and(t != 50);
  out[t] = count * 16 + any * 8 + none * 4 + all * 2 + not_all;
}

TEST_F(EmulatorTest, BarriersCount) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<int> out(70);
    ASSERT_EQ(launch(shape(1, 70), vote, out.get()), cudaSuccess);
    for (const int value : out.read()) EXPECT_EQ(value, 24 * 16 + 8 + 2);
  }
}

// ---- Warps -------------------------------------------------------------------------------------

__global__ void shuffle_all_ways(uint64_t* out) {
  const int t = flat_thread(), lane = t % 32;
  uint64_t* mine = out + 8 * t;
  mine[0] = static_cast<uint64_t>(__shfl_sync(kAll, t * 10, lane + 5));
  mine[1] = static_cast<uint64_t>(__shfl_xor_sync(kAll, t * 10, 7));
  mine[2] = static_cast<uint64_t>(__shfl_down_sync(kAll, t * 10, 3u));
  mine[3] = static_cast<uint64_t>(__shfl_up_sync(kAll, t * 10, 3u));
  mine[4] = __shfl_sync(kAll, (uint64_t{1} << 40) + static_cast<uint64_t>(t), 2, 8);
  mine[5] = static_cast<uint64_t>(__shfl_down_sync(kAll, t * 10, 3u, 8));
  mine[6] = static_cast<uint64_t>(__shfl_up_sync(kAll, static_cast<float>(t), 3u, 8));
  mine[7] = static_cast<uint64_t>(__shfl_xor_sync(kAll, static_cast<double>(t), 16, 8));
}

TEST_F(EmulatorTest, Shuffles) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<uint64_t> out(96 * 8);
    ASSERT_EQ(launch(shape(1, 96), shuffle_all_ways, out.get()), cudaSuccess);
    const auto values = out.read();
    for (int t = 0; t < 96; ++t) {
      const int first = t / 32 * 32, lane = t % 32;
      const uint64_t* mine = values.data() + 8 * t;
      const auto is = [&](int i, int expected) { EXPECT_EQ(mine[i], expected) << t << ' ' << i; };
      is(0, (first + (lane + 5) % 32) * 10);
      is(1, (first + (lane ^ 7)) * 10);
      is(2, lane + 3 < 32 ? (t + 3) * 10 : t * 10);
      is(3, lane >= 3 ? (t - 3) * 10 : t * 10);
      EXPECT_EQ(mine[4], (uint64_t{1} << 40) + static_cast<uint64_t>(t / 8 * 8 + 2));
      is(5, t % 8 + 3 < 8 ? (t + 3) * 10 : t * 10);
      is(6, t % 8 >= 3 ? t - 3 : t);
      is(7, lane < 16 ? t : t - 16);  // earlier parts can be read, later ones cannot
    }
  }
}

__global__ void vote_in_warps(uint32_t* out) {
  const int t = flat_thread();
  uint32_t* mine = out + 6 * t;
  mine[0] = __ballot_sync(kAll, t % 3 == 0);
  mine[1] = static_cast<uint32_t>(__any_sync(kAll, t == 40) + 2 * __all_sync(kAll, t < 40));
  mine[2] = static_cast<uint32_t>(__reduce_add_sync(kAll, t - 100));
  mine[3] = static_cast<uint32_t>(__reduce_max_sync(kAll, -t));
  mine[4] = __reduce_max_sync(kAll, static_cast<unsigned>(-t));
  mine[5] = static_cast<uint32_t>(__reduce_min_sync(kAll, -t));
}

TEST_F(EmulatorTest, Votes) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<uint32_t> out(64 * 6);
    ASSERT_EQ(launch(shape(1, 64), vote_in_warps, out.get()), cudaSuccess);
    const auto values = out.read();
    for (uint32_t t = 0; t < 64; ++t) {
      const uint32_t* mine = values.data() + 6 * t;
      EXPECT_EQ(mine[0], t < 32 ? 0x49249249u : 0x92492492u);
      EXPECT_EQ(mine[1], t < 32 ? 2u : 1u);
      EXPECT_EQ(mine[2], (t < 32 ? 496u : 1520u) - 3200);
      EXPECT_EQ(mine[3], t < 32 ? 0u : static_cast<uint32_t>(-32));
      EXPECT_EQ(mine[4], t < 32 ? static_cast<uint32_t>(-1) : static_cast<uint32_t>(-32));
      EXPECT_EQ(mine[5], t < 32 ? static_cast<uint32_t>(-31) : static_cast<uint32_t>(-63));
    }
  }
}

// The parts of a warp go different ways, at different lengths, and come together again.
__global__ void diverge(int* out) {
  const int t = flat_thread(), lane = t % 32;
  int sum = 0;
  if (lane < 8) {
    for (int i = 0; i < 3; ++i) sum += __shfl_xor_sync(0x000000ffu, t + i, 1);
  } else if (lane % 2 == 0) {
    sum = __shfl_xor_sync(0x55555500u, t, 2);
    __syncwarp(0x55555500u);
    sum += __popc(__ballot_sync(0x55555500u, lane > 20));
  } else {
    __syncwarp(0xaaaaaa00u);
    sum = static_cast<int>(__reduce_add_sync(0xaaaaaa00u, 1u));
  }
  __syncwarp();
  out[t] = __shfl_xor_sync(kAll, sum, 31);
}

TEST_F(EmulatorTest, WarpsDiverge) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<int> out(64);
    ASSERT_EQ(launch(shape(1, 64), diverge, out.get()), cudaSuccess);
    const auto values = out.read();
    for (int t = 0; t < 64; ++t) {
      const int from = t ^ 31, lane = from % 32;
      int expected = 12;
      if (lane < 8) {
        expected = 3 * (from ^ 1) + 3;
      } else if (lane % 2 == 0) {
        expected = (from ^ 2) + 5;
      }
      EXPECT_EQ(values[t], expected) << t;
    }
  }
}

template <bool kWithSync>
__global__ void swap_in_warp(int* out) {
  int* values = reinterpret_cast<int*>(shared_memory());
  const int t = flat_thread();
  values[t] = t;
  if (kWithSync) __syncwarp();
  out[t] = values[t ^ 1];
}

TEST_F(EmulatorTest, OrderShowsAMissingWarpBarrier) {
  std::vector<int> with[3], without[3];
  for (int i = 0; i < 3; ++i) {
    emulator::set_order(kOrders[i]);
    Buffer<int> out(128);
    ASSERT_EQ(launch(shape(1, 128, 512), swap_in_warp<true>, out.get()), cudaSuccess);
    with[i] = out.read();
    ASSERT_EQ(launch(shape(1, 128, 512), swap_in_warp<false>, out.get()), cudaSuccess);
    without[i] = out.read();
  }
  EXPECT_EQ(with[0], with[1]);
  EXPECT_EQ(with[0], with[2]);
  EXPECT_NE(without[0], without[1]);
  EXPECT_NE(without[0], without[2]);
}

// A last warp of less than 32 lanes.
__global__ void ballot_of_short_warp(uint32_t* out) {
  __syncwarp();
  out[flat_thread()] = __ballot_sync(kAll, 1);
}

TEST_F(EmulatorTest, ShortWarps) {
  Buffer<uint32_t> out(40);
  ASSERT_EQ(launch(shape(1, 40), ballot_of_short_warp, out.get()), cudaSuccess);
  const auto values = out.read();
  for (int t = 0; t < 40; ++t) EXPECT_EQ(values[t], t < 32 ? kAll : 0xffu);
}

// ---- What a device would answer with a hang ----------------------------------------------------

__global__ void some_return_before_barrier() {
  if (flat_thread() >= 40) return;
  __syncthreads();
}
__global__ void barrier_in_a_branch() {
  if (flat_thread() < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void barrier_in_a_lane() {
  if (flat_thread() == 3) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}
__global__ void some_return_before_shuffle() {
  if (flat_thread() == 5) return;
  __shfl_xor_sync(kAll, 1, 1);
}
__global__ void shuffle_of_one_half() {
  if (flat_thread() < 16) __shfl_xor_sync(kAll, 1, 1);
  __syncthreads();
}
__global__ void take_from_nobody() {
  if (flat_thread() < 16) __shfl_xor_sync(0xffffu, 1, 16);
}
__global__ void mask_of_others() {
  __syncwarp(0xfffffffeu);
}
__global__ void different_operations() {
  if (flat_thread() < 16) {
    __any_sync(kAll, 1);
  } else {
    __all_sync(kAll, 1);
  }
}
__global__ void multiply_with_half_a_warp() {
  int32_t sum[4] = {};
  const uint32_t a[4] = {};
  multiply_u8_s8(sum, a, 0, 0);
}
__global__ void load_misaligned(const uint8_t* p) {
  load_once(p + 8);
}
__global__ void copy_beyond_shared_memory(const uint8_t* p) {
  copy_async(shared_memory() + 64, p);
}

TEST_F(EmulatorDeathTest, HangsAreReported) {
  const auto dies = [](unsigned threads, void (*kernel)(), const char* message) {
    EXPECT_DEATH(launch(shape(1, threads), kernel), message);
  };
  dies(64, some_return_before_barrier,
       "none can go on(.|\n)*and 39 like it: waits for the block, in some_return_before_barrier, "
       ".*emulator_test.cpp:[0-9]+\n(.|\n)*and 23 like it: has returned");
  dies(64, barrier_in_a_branch, "different barriers");
  dies(32, barrier_in_a_lane, "none can go on");
  dies(32, some_return_before_shuffle,
       "in some_return_before_shuffle, .*; thread .* of block \\(0,0,0\\)\n");
  dies(32, shuffle_of_one_half, "none can go on");
  dies(32, take_from_nobody, "from a lane that takes no part");
  dies(32, mask_of_others, "not in its own mask");
  dies(32, different_operations, "different operations");
  dies(48, multiply_with_half_a_warp, "all 32 lanes");
}

TEST_F(EmulatorDeathTest, WrongAddressesAreReported) {
  Buffer<uint8_t> memory(64);
  EXPECT_DEATH(launch(shape(1, 1), load_misaligned, memory.get()), "misaligned address");
  EXPECT_DEATH(launch(shape(1, 1, 64), copy_beyond_shared_memory, memory.get()),
               "outside shared memory");
}

// ---- Memory ------------------------------------------------------------------------------------

__global__ void read_unwritten(uint8_t* out) {
  out[blockIdx.x] = shared_memory()[threadIdx.x];
  shared_memory()[threadIdx.x] = 1;
}

TEST_F(EmulatorTest, MemoryIsUnwritten) {
  Buffer<uint8_t> out(7);
  for (const uint8_t byte : out.read()) EXPECT_EQ(byte, 0xC5);
  ASSERT_EQ(cudaMemset(out.get(), 0, 7), cudaSuccess);
  ASSERT_EQ(launch(shape(7, 32, 32), read_unwritten, out.get()), cudaSuccess);
  for (const uint8_t byte : out.read()) EXPECT_EQ(byte, 0xC5);
}

__global__ void share_a_variable(int* out) {
  __shared__ int value;
  if (threadIdx.x == 5) value = static_cast<int>(blockIdx.x) + 3;
  __syncthreads();
  if (threadIdx.x == blockIdx.x) out[blockIdx.x] = value;
}

TEST_F(EmulatorTest, SharedVariables) {
  for (const auto order : kOrders) {
    emulator::set_order(order);
    Buffer<int> out(4);
    ASSERT_EQ(launch(shape(4, 40), share_a_variable, out.get()), cudaSuccess);
    EXPECT_EQ(out.read(), (std::vector<int>{3, 4, 5, 6}));
  }
}

__global__ void touch_end_of_shared_memory(uint64_t* out, unsigned bytes) {
  shared_memory()[bytes - 1] = 9;
  out[0] = shared_memory()[bytes - 1];
  out[1] = reinterpret_cast<uintptr_t>(shared_memory()) % 16;
}

TEST_F(EmulatorTest, SharedMemoryHasItsLimits) {
  const auto run = [](unsigned bytes) {
    Buffer<uint64_t> out(2);
    const cudaError_t error =
        launch(shape(1, 1, bytes), touch_end_of_shared_memory, out.get(), bytes);
    if (error == cudaSuccess) {
      EXPECT_EQ(out.read(), (std::vector<uint64_t>{9, 0}));
    } else {
      EXPECT_EQ(cudaGetLastError(), error);
    }
    return error;
  };
  EXPECT_EQ(run(48 << 10), cudaSuccess);
  EXPECT_EQ(run((48 << 10) + 1), cudaErrorInvalidValue);
  const auto set = [](int bytes) {
    return cudaFuncSetAttribute(touch_end_of_shared_memory,
                                cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  EXPECT_EQ(set((227 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(set(227 << 10), cudaSuccess);
  EXPECT_EQ(run(227 << 10), cudaSuccess);
  EXPECT_EQ(run((227 << 10) + 1), cudaErrorInvalidValue);
  int blocks = 0;
  EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, touch_end_of_shared_memory, 256,
                                                          100 << 10),
            cudaSuccess);
  EXPECT_EQ(blocks, 2);
}

TEST_F(EmulatorTest, LaunchesHaveTheirLimits) {
  const auto run = [](dim3 grid, dim3 block) { return launch(shape(grid, block), mask_of_others); };
  EXPECT_EQ(run({0, 1, 1}, 1), cudaErrorInvalidValue);
  EXPECT_EQ(run({1, 65536, 1}, 1), cudaErrorInvalidValue);
  EXPECT_EQ(run({1, 1, 65536}, 1), cudaErrorInvalidValue);
  EXPECT_EQ(run(1, 0), cudaErrorInvalidValue);
  EXPECT_EQ(run(1, 1025), cudaErrorInvalidValue);
  EXPECT_EQ(run(1, {32, 33, 1}), cudaErrorInvalidValue);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(emulator::launches(), 0);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

TEST_F(EmulatorTest, CopiesStayInsideTheirMemory) {
  Buffer<uint8_t> memory(100);
  uint8_t host[200] = {};
  EXPECT_EQ(cudaMemcpy(memory.get(), host, 101, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, memory.get() + 50, 51, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, host + 100, 50, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(memory.get() + 50, memory.get(), 50, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemset(memory.get() + 100, 0, 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(memory.get() + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(memory.get()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

// Two stages: the copies of the next are on their way while one is read.
template <int kLeft, bool kWithBarrier>
__global__ void stream_through(uint32_t* out, const uint32_t* in, int stages) {
  const int t = flat_thread(), threads = static_cast<int>(blockDim.x);
  uint32_t* buffers = reinterpret_cast<uint32_t*>(shared_memory());
  const auto fetch = [&](int stage) {
    if (stage < stages) {
      copy_async(buffers + (stage % 2 * threads + t) * 4, in + (stage * threads + t) * 4);
    }
    copy_async_commit();
  };
  fetch(0);
  uint32_t sum = 0;
  for (int stage = 0; stage < stages; ++stage) {
    fetch(stage + 1);
    copy_async_wait<kLeft>();
    if (kWithBarrier) __syncthreads();
    for (int i = 0; i < 4; ++i) {
      sum = sum * 3 + buffers[(stage % 2 * threads + (t + 1) % threads) * 4 + i];
    }
    if (kWithBarrier) __syncthreads();
  }
  out[t] = sum;
}

TEST_F(EmulatorTest, CopiesComeAsLateAsTheyMay) {
  constexpr int kThreads = 64, kStages = 5;
  std::vector<uint32_t> in(kThreads * kStages * 4);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint32_t>(i * 2654435761u);
  std::vector<uint32_t> expected(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    for (int stage = 0; stage < kStages; ++stage) {
      for (int i = 0; i < 4; ++i) {
        expected[t] = expected[t] * 3 + in[(stage * kThreads + (t + 1) % kThreads) * 4 + i];
      }
    }
  }
  const Buffer<uint32_t> from(in);
  for (const auto order : kOrders) {
    emulator::set_order(order);
    const auto run = [&](void (*kernel)(uint32_t*, const uint32_t*, int)) {
      Buffer<uint32_t> out(kThreads);
      EXPECT_EQ(launch(shape(1, kThreads, kThreads * 32), kernel, out.get(), from.get(), kStages),
                cudaSuccess);
      return out.read();
    };
    EXPECT_EQ(run(stream_through<0, true>), expected);
    EXPECT_EQ(run(stream_through<1, true>), expected);
    EXPECT_NE(run(stream_through<2, true>), expected);   // waits for the stage before
    EXPECT_NE(run(stream_through<1, false>), expected);  // reads what others still wait for
  }
}

__global__ void count_and_compare(unsigned long long* sums, unsigned* largest, int* swapped) {
  const int t = flat_thread() + static_cast<int>(blockIdx.x * blockDim.x);
  atomicAdd(&sums[0], static_cast<unsigned long long>(t));
  atomicMax(&sums[1], (1ull << 40) + static_cast<unsigned long long>(t ^ 77));
  atomicMax(&largest[0], static_cast<unsigned>(t ^ 77));
  atomicAdd(&largest[1], 1u);
  atomicCAS(&swapped[0], t, t + 1);  // ascending only in the forward order
  atomicExch(&swapped[1], 5);
  atomicAdd(&swapped[2], -1);
  atomicMax(&swapped[3], -t);
}

TEST_F(EmulatorTest, Atomics) {
  Buffer<unsigned long long> sums(std::vector<unsigned long long>{0, 0});
  Buffer<unsigned> largest(std::vector<unsigned>{0, 0});
  Buffer<int> swapped(std::vector<int>{0, 0, 0, -1000});
  // Blocks of several threads of the host at once.
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      EXPECT_EQ(launch(shape(4, 128), count_and_compare, sums.get(), largest.get(), swapped.get()),
                cudaSuccess);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sums.read(), (std::vector<unsigned long long>{3 * 512 * 511 / 2, (1ull << 40) + 511}));
  EXPECT_EQ(largest.read(), (std::vector<unsigned>{511, 3 * 512}));
  const auto values = swapped.read();
  EXPECT_GT(values[0], 0);
  EXPECT_EQ(values[1], 5);
  EXPECT_EQ(values[2], -3 * 512);
  EXPECT_EQ(values[3], 0);
}

// ---- Arithmetic --------------------------------------------------------------------------------

TEST_F(EmulatorTest, SmallFunctions) {
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__popc(0xf0f0u), 8);
  EXPECT_EQ(__dp4a(static_cast<int>(0xff027f80u), 0x01030201, 10), -1 + 6 + 254 - 128 + 10);
  EXPECT_EQ(__dp4a(0xff027f80u, 0x01030201u, 10u), 255u + 6 + 254 + 128 + 10);
  EXPECT_EQ(max(1, 2u), 2u);
  EXPECT_EQ(max(NAN, 1.0f), 1.0f);
  EXPECT_EQ(min(1.0f, NAN), 1.0f);
  EXPECT_FALSE(std::signbit(max(-0.0f, 0.0f)));
  EXPECT_TRUE(std::signbit(min(0.0f, -0.0f)));
  EXPECT_EQ(fused(1 + 0x1p-23f, 1 + 0x1p-23f, -1.0f), 0x1p-22f + 0x1p-46f);
  EXPECT_EQ(half_to_float(float_to_half(0.333f)), 0x1.55p-2f);
}

__global__ void multiply(int32_t* sum, const uint8_t* a, const int8_t* b, int steps) {
  const int warp = flat_thread() / 32, lane = flat_thread() % 32, g = lane / 4, j = lane % 4;
  int32_t sums[4];
  for (int i = 0; i < 4; ++i) {
    sums[i] = sum[(16 * warp + g + 8 * (i / 2)) * 8 + 2 * j + i % 2];
  }
  for (int step = 0; step < steps; ++step) {
    uint32_t a_part[4] = {}, b_part[2] = {};
    for (int byte = 0; byte < 4; ++byte) {
      for (int i = 0; i < 4; ++i) {
        const int row = 16 * warp + g + 8 * (i % 2), column = 4 * j + 16 * (i / 2) + byte;
        a_part[i] |= static_cast<uint32_t>(a[row * 32 + column]) << 8 * byte;
      }
      for (int i = 0; i < 2; ++i) {
        const int row = 4 * j + 16 * i + byte;
        b_part[i] |= static_cast<uint32_t>(static_cast<uint8_t>(b[(32 * warp + row) * 8 + g]))
                     << 8 * byte;
      }
    }
    multiply_u8_s8(sums, a_part, b_part[0], b_part[1]);
  }
  for (int i = 0; i < 4; ++i) {
    sum[(16 * warp + g + 8 * (i / 2)) * 8 + 2 * j + i % 2] = sums[i];
  }
}

TEST_F(EmulatorTest, Multiplies) {
  constexpr int kWarps = 3, kSteps = 2;
  std::mt19937 random(1);
  std::vector<uint8_t> a(kWarps * 16 * 32);
  std::vector<int8_t> b(kWarps * 32 * 8);
  std::vector<int32_t> sum(kWarps * 16 * 8);
  for (auto& x : a) x = static_cast<uint8_t>(random());
  for (auto& x : b) x = static_cast<int8_t>(random());
  for (auto& x : sum) x = static_cast<int32_t>(random());  // some wrap around
  a[0] = 255, b[0] = -128;
  auto expected = sum;
  for (int warp = 0; warp < kWarps; ++warp) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        uint32_t total = 0;
        for (int k = 0; k < 32; ++k) {
          total += static_cast<uint32_t>(a[(16 * warp + row) * 32 + k] *
                                         b[(32 * warp + k) * 8 + column]);
        }
        auto& x = expected[(16 * warp + row) * 8 + column];
        x = static_cast<int32_t>(static_cast<uint32_t>(x) + kSteps * total);
      }
    }
  }
  const Buffer<uint8_t> a_there(a);
  const Buffer<int8_t> b_there(b);
  for (const auto order : kOrders) {
    emulator::set_order(order);
    const Buffer<int32_t> sum_there(sum);
    ASSERT_EQ(launch(shape(1, 32 * kWarps), multiply, sum_there.get(), a_there.get(), b_there.get(),
                     kSteps),
              cudaSuccess);
    EXPECT_EQ(sum_there.read(), expected);
  }
}

// ---- Graphs ------------------------------------------------------------------------------------

__global__ void add_number(int* value, int number) {
  *value = *value * 10 + number;
}

TEST_F(EmulatorTest, GraphsReplay) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  Buffer<int> value(2);
  int* host = nullptr;
  ASSERT_EQ(cudaMallocHost(&host, sizeof(int)), cudaSuccess);
  *host = 1;

  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(value.get(), 0, 2 * sizeof(int), stream), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(value.get(), host, sizeof(int), cudaMemcpyHostToDevice, stream),
            cudaSuccess);
  int number = 7;  // its value at this time is what is replayed
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = shape(1, 1, 0, stream);
  config.attrs = &attribute;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelEx(&config, add_number, value.get(), number), cudaSuccess);
  number = 8;
  EXPECT_EQ(cudaLaunchKernelEx(&config, add_number, value.get(), number), cudaSuccess);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(emulator::launches(), 0);
  EXPECT_EQ(value.read()[0], static_cast<int>(0xC5C5C5C5u));

  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (int first = 1; first < 4; ++first) {
    *host = first;
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(value.read(), (std::vector<int>{first * 100 + 78, 0}));
  }
  EXPECT_EQ(emulator::launches(), 6);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(EmulatorTest, CapturesForbidWaiting) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  Buffer<int> value(1);
  const auto capture = [&](cudaStreamCaptureMode mode, auto body) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
    const cudaError_t error = body();
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph),
              error == cudaSuccess ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph == nullptr, error != cudaSuccess);
    if (graph) {
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
    EXPECT_EQ(cudaGetLastError() == cudaSuccess, error == cudaSuccess);
    return error;
  };
  const auto synchronize = [&] { return cudaStreamSynchronize(stream); };
  const auto set = [&] { return cudaMemset(value.get(), 0, sizeof(int)); };
  EXPECT_EQ(capture(cudaStreamCaptureModeRelaxed, synchronize), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(capture(cudaStreamCaptureModeThreadLocal, set), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(capture(cudaStreamCaptureModeRelaxed, set), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(EmulatorTest, EventsMeasureTime) {
  cudaEvent_t start = nullptr, end = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&end, cudaEventDefault), cudaSuccess);
  float time = -1;
  EXPECT_EQ(cudaEventElapsedTime(&time, start, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(start), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&time, start, end), cudaSuccess);
  EXPECT_GE(time, 0);
  EXPECT_EQ(cudaEventDestroy(start), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
}

// ---- Failures ----------------------------------------------------------------------------------

TEST_F(EmulatorTest, MemoryRunsOut) {
  emulator::set_memory(1 << 20);
  size_t free_bytes = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
  EXPECT_EQ(free_bytes, size_t{1} << 20);
  EXPECT_EQ(total, size_t{1} << 20);
  {
    const Buffer<uint8_t> most((1 << 20) - 300);
    ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
    EXPECT_EQ(free_bytes, 256u);
    EXPECT_EQ(emulator::live_allocations(), 1);
    int* p = nullptr;
    EXPECT_EQ(cudaMalloc(&p, 257), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaMalloc(&p, ~size_t{0}), cudaErrorMemoryAllocation);
    EXPECT_EQ(p, nullptr);
    EXPECT_EQ(cudaMalloc(&p, 256), cudaSuccess);
    EXPECT_EQ(cudaFree(p), cudaSuccess);
  }
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
  EXPECT_EQ(free_bytes, size_t{1} << 20);
}

TEST_F(EmulatorTest, AllocationsFailOnDemand) {
  emulator::fail_allocation_after(2);
  int* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 4), cudaSuccess);
  int* q = nullptr;
  EXPECT_EQ(cudaMalloc(&q, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMallocHost(&q, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(q), cudaSuccess);
}

TEST_F(EmulatorTest, LaunchesFailOnDemand) {
  for (const auto report : {emulator::Report::kAtOnce, emulator::Report::kLater}) {
    int* value = nullptr;
    ASSERT_EQ(cudaMalloc(&value, sizeof(int)), cudaSuccess);
    ASSERT_EQ(cudaMemset(value, 0, sizeof(int)), cudaSuccess);
    emulator::fail_launch_after(2, report);
    EXPECT_EQ(launch(shape(1, 1), add_number, value, 1), cudaSuccess);
    EXPECT_EQ(launch(shape(1, 1), add_number, value, 2),
              report == emulator::Report::kAtOnce ? cudaErrorLaunchFailure : cudaSuccess);
    EXPECT_EQ(*value, 1);  // it is the host's memory, after all
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(launch(shape(1, 1), add_number, value, 3), cudaErrorLaunchFailure);
    int count = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaFree(value), cudaErrorLaunchFailure);
    EXPECT_EQ(emulator::live_allocations(), 0);
    EXPECT_EQ(emulator::launches(), 1);
    emulator::reset();
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  }
}

TEST_F(EmulatorTest, Devices) {
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(properties.major, 9);
  int value = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
            cudaSuccess);
  EXPECT_EQ(value, 232448);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  emulator::set_device_count(2);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaGetDevice(&value), cudaSuccess);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  emulator::set_device_count(0);
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorNoDevice);
  EXPECT_EQ(value, 0);
  emulator::set_device_count(-1);
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorInsufficientDriver);
}

// ---- Speed -------------------------------------------------------------------------------------

__global__ void shuffle_often(int* out, int times) {
  int value = flat_thread();
  for (int i = 0; i < times; ++i) value = __shfl_xor_sync(kAll, value, 1) + 1;
  out[flat_thread()] = value;
}

// Not a bound, which a busy machine would break: a number to look at.
TEST_F(EmulatorTest, SpeedOfSwitches) {
  constexpr int kThreads = 256, kTimes = 2000;
  Buffer<int> out(kThreads);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(launch(shape(1, kThreads), shuffle_often, out.get(), kTimes), cudaSuccess);
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  std::printf("%.1f ns a lane and shuffle\n", time.count() / kThreads / kTimes);
  EXPECT_EQ(out.read()[0], kTimes);
}

}  // namespace
}  // namespace bitnet::cuda
