// Looks for lost wake-ups (a run that never returns), workers left out or called twice, and pools
// that burn CPU while nobody runs anything.
#include "base/threads.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/host_float_mode.h"

// Stands before the C library's pthread_create, to fail on demand.
namespace {
constexpr int kNoLimit = -1;
int startable_threads = kNoLimit;
}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*body)(void*), void* argument) noexcept {
  if (startable_threads == 0) return EAGAIN;
  if (startable_threads > 0) --startable_threads;
  static const auto next =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, attributes, body, argument);
}

namespace bitnet {
namespace {

Ptr<ThreadPool> open_pool(int threads) {
  auto pool = ThreadPool::open(threads);
  EXPECT_TRUE(pool.ok()) << pool.status().text();
  return std::move(pool.value());
}

int threads_of_process() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}
const int threads_at_start = threads_of_process();

// Waits until it holds, however late a busy machine lets other threads run; false: not within a
// minute, counted in turns of our own, since a machine that holds us up holds them up, too.
template <typename Condition>
bool soon(Condition holds) {
  for (int turn = 0; turn < 60'000; ++turn) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return holds();
}

// Besides those that are always there. A thread that has ended, and was joined, is listed a moment
// longer.
::testing::AssertionResult runs_threads(int expected) {
  if (soon([&] { return threads_of_process() == threads_at_start + expected; })) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << threads_of_process() - threads_at_start << " threads run, expected " << expected;
}

std::set<std::string> thread_names() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    names.insert(name);
  }
  return names;
}

double process_cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Every run reaches every worker exactly once; returns the runs that did not.
int64_t wrong_runs(ThreadPool& pool, int64_t runs) {
  std::vector<int64_t> calls(static_cast<size_t>(pool.size()) * 16);  // a line apart
  int64_t wrong = 0;
  for (int64_t run = 1; run <= runs; ++run) {
    pool.run([&](int worker) { ++calls[static_cast<size_t>(worker) * 16]; });
    for (int worker = 0; worker < pool.size(); ++worker) {
      wrong += calls[static_cast<size_t>(worker) * 16] != run;
    }
  }
  return wrong;
}

TEST(ThreadPool, CallsEachWorkerOnceInEachOfManyShortRuns) {
  const auto pool = open_pool(2);
  // A tenth of a second on an idle machine; a busy one takes the time it has.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  for (int i = 0; i < 20 && std::chrono::steady_clock::now() < until; ++i) {
    EXPECT_EQ(wrong_runs(*pool, 5000), 0);
  }
}

TEST(ThreadPool, CallsEachWorkerOnceWithMoreThreadsThanCores) {
  const auto pool = open_pool(usable_cores() * 4 + 3);
  EXPECT_EQ(wrong_runs(*pool, 3000), 0);
}

TEST(ThreadPool, LosesNoWakeUpWhenWorkersAreAboutToPark) {
  const auto pool = open_pool(2);
  int64_t calls = 0;
  for (int pause_us = 0; pause_us < 1500;
       ++pause_us) {  // around the spin time, to meet every moment of parking
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(pause_us % 100);
    while (std::chrono::steady_clock::now() < until) {
    }
    pool->run([&](int worker) {
      if (worker == 1) ++calls;
    });
  }
  EXPECT_EQ(calls, 1500);
}

TEST(ThreadPool, WaitsForAWorkerThatTakesLong) {
  const auto pool = open_pool(2);
  std::atomic<bool> over{false};
  pool->run([&](int worker) {
    if (worker == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    over = true;
  });
  EXPECT_TRUE(over);
}

TEST(ThreadPool, OfSizeOneCallsDirectly) {
  const auto pool = open_pool(1);
  std::thread::id id;
  pool->run([&](int) { id = std::this_thread::get_id(); });
  EXPECT_EQ(id, std::this_thread::get_id());
  EXPECT_TRUE(runs_threads(0));
}

TEST(ThreadPool, TheCallingThreadIsWorkerZero) {
  if (usable_cores() < 2) GTEST_SKIP() << "needs two cores";
  const auto pool = open_pool(2);
  std::thread::id ids[2];
  pool->run([&](int worker) { ids[worker] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_NE(ids[1], ids[0]);
}

TEST(ThreadPool, StartsNoMoreThreadsThanThereAreCores) {
  const auto pool = open_pool(usable_cores() + 6);
  EXPECT_EQ(pool->size(), usable_cores() + 6);
  EXPECT_TRUE(runs_threads(usable_cores() - 1));
}

// Every chunk of every run is done once, by workers that are not two at a time; returns how often
// that was not so. Runs of both kinds follow each other, so that threads come late to both.
int64_t wrong_chunks(ThreadPool& pool, int64_t runs) {
  std::vector<std::atomic<int>> calls(300);
  std::vector<std::atomic<int>> busy(static_cast<size_t>(pool.size()));
  std::atomic<int64_t> wrong{0};
  for (int64_t run = 0; run < runs; ++run) {
    const int64_t count = run % 7 == 6 ? 300 : run % 11;
    for (auto& c : calls) c.store(0, std::memory_order_relaxed);
    pool.run_chunks(count, [&](int worker, int64_t chunk) {
      wrong += busy[static_cast<size_t>(worker)].fetch_add(1) != 0;
      calls[static_cast<size_t>(chunk)].fetch_add(1, std::memory_order_relaxed);
      busy[static_cast<size_t>(worker)].fetch_sub(1);
    });
    for (int64_t i = 0; i < 300; ++i) wrong += calls[static_cast<size_t>(i)] != (i < count);
    if (run % 3 == 0) wrong += wrong_runs(pool, 1);
  }
  return wrong;
}

TEST(ThreadPool, DoesEachChunkOnce) {
  for (const int threads : {1, 2, 3, usable_cores() * 4 + 1}) {
    const auto pool = open_pool(threads);
    EXPECT_EQ(wrong_chunks(*pool, 5000), 0) << threads << " threads";
  }
}

TEST(ThreadPool, LosesNoChunkWhenThreadsAreAboutToPark) {
  const auto pool = open_pool(2);
  int64_t wrong = 0;
  for (int pause_us = 0; pause_us < 1000; ++pause_us) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(pause_us % 100);
    while (std::chrono::steady_clock::now() < until) {
    }
    wrong += wrong_chunks(*pool, 2);
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, AWorkerHeldUpHoldsUpOnlyItsChunk) {
  if (usable_cores() < 2) GTEST_SKIP() << "needs two cores";
  const auto pool = open_pool(2);
  std::atomic<int> slow_worker{-1}, done[2] = {};
  bool helped = false;
  pool->run_chunks(100, [&](int worker, int64_t) {
    ++done[worker];
    int nobody = -1;
    if (!slow_worker.compare_exchange_strong(nobody, worker)) return;
    helped = soon([&] { return done[1 - worker] == 99; });
  });
  EXPECT_TRUE(helped) << "the other had time for all 99";
  EXPECT_EQ(done[0] + done[1], 100);
}

// One forward stream each, and one more for what is left of the other's.
TEST(ThreadPool, WorkersTakeChunksInOrder) {
  const auto pool = open_pool(2);
  std::vector<int64_t> chunks[2];
  pool->run_chunks(64, [&](int worker, int64_t chunk) {
    chunks[worker].push_back(chunk);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  });
  for (const auto& order : chunks) {
    int jumps_back = 0;
    for (size_t i = 1; i < order.size(); ++i) jumps_back += order[i] < order[i - 1];
    EXPECT_LE(jumps_back, 1);
  }
}

// Half a second of a thread that spins is half a second of CPU; workers that park take less than a
// thousandth of that, even when they get to it late.
double cpu_seconds_while_asleep() {
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  return process_cpu_seconds() - before;
}

// Where each thread will begin is asked at once; what lies there may be anything, even nothing.
TEST(ThreadPool, IsToldWhatIsReadNext) {
  auto pool = ThreadPool::open(2);
  ASSERT_TRUE(pool.ok());
  const std::vector<uint8_t> bytes(100);
  for (const uint8_t* address :
       {bytes.data(), bytes.data() + 99, static_cast<const uint8_t*>(nullptr)}) {
    std::vector<int64_t> asked;
    pool.value()->expect_chunks(11, [&](int64_t chunk) {
      asked.push_back(chunk);
      return address;
    });
    EXPECT_EQ(asked, usable_cores() > 1 ? std::vector<int64_t>({0, 5}) : std::vector<int64_t>());
    for (int run = 0; run < 100; ++run) {
      std::atomic<int64_t> sum{0};
      pool.value()->run_chunks(11, [&](int, int64_t chunk) { sum += chunk; });
      EXPECT_EQ(sum, 55);
    }
  }
  auto alone = ThreadPool::open(1);
  ASSERT_TRUE(alone.ok());
  alone.value()->expect_chunks(3, [](int64_t) -> const uint8_t* {
    ADD_FAILURE() << "one thread waits for nobody";
    return nullptr;
  });
}

TEST(ThreadPool, UsesNoCpuWhenIdle) {
  const auto pool = open_pool(4);
  pool->run([](int) {});
  EXPECT_LT(cpu_seconds_while_asleep(), 0.1);
  pool->run_chunks(100, [](int, int64_t) {});
  EXPECT_LT(cpu_seconds_while_asleep(), 0.1);
}

TEST(ThreadPool, ClosingEndsItsThreadsWhateverTheyWait) {
  for (int i = 0; i < 200; ++i) {
    const auto pool = open_pool(4);
    if (i % 2) pool->run([](int) {});
  }
  EXPECT_TRUE(runs_threads(0));
}

TEST(ThreadPool, RefusesCountsThatMakeNoSense) {
  for (const int count : {0, -1, 1025}) {
    const auto pool = ThreadPool::open(count);
    ASSERT_FALSE(pool.ok());
    EXPECT_EQ(pool.status().code(), BITNET_E_ARGUMENT);
    EXPECT_NE(std::strstr(pool.status().text(), std::to_string(count).c_str()), nullptr);
  }
}

TEST(ThreadPool, ReportsThreadsThatDoNotStartAndLeavesNoneBehind) {
  const int cores = usable_cores();
  const std::string of = " of " + std::to_string(cores) + " ";
  for (int startable = 0; startable < cores - 1; ++startable) {
    startable_threads = startable;
    const auto pool = ThreadPool::open(cores);
    startable_threads = kNoLimit;
    ASSERT_FALSE(pool.ok());
    EXPECT_EQ(pool.status().code(), BITNET_E_MEMORY);
    EXPECT_NE(std::strstr(pool.status().text(), of.c_str()), nullptr) << pool.status().text();
  }
  EXPECT_TRUE(runs_threads(0));
}

TEST(ThreadPool, WorkersAreNamed) {
  if (usable_cores() < 2) GTEST_SKIP() << "needs two cores";
  const auto pool = open_pool(2);
  pool->run([](int) {});
  const auto names = thread_names();
  EXPECT_TRUE(names.count("bitnet-1"));
  EXPECT_FALSE(names.count("bitnet-0"));
}

TEST(ThreadPool, LeavesTheProcessSignalsToTheHost) {
  if (usable_cores() < 2) GTEST_SKIP() << "needs two cores";
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  const auto pool = open_pool(2);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
  bool blocks_int = false, blocks_bus = true;
  pool->run([&](int worker) {
    if (worker != 1) return;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocks_int = sigismember(&mask, SIGINT);
    blocks_bus = sigismember(&mask, SIGBUS);
  });
  EXPECT_TRUE(blocks_int);
  EXPECT_FALSE(blocks_bus);
}

TEST(ThreadPool, ComputesInThePlainFloatModeAndKeepsTheHosts) {
  const uint64_t before = float_mode();
  set_float_mode(kHostMode);
  uint64_t seen[2] = {};
  const auto pool = open_pool(2);
  pool->run([&](int worker) { seen[worker] = float_mode(); });
  const uint64_t after = float_mode();
  set_float_mode(before);
  EXPECT_EQ(seen[0], kPlainMode);
  EXPECT_EQ(seen[1], kPlainMode);
  EXPECT_EQ(after, kHostMode);
}

struct HostThreads {
  int calls = 0;
  static void execute(void* user, void (*task)(void*, int32_t), void* argument, int32_t count) {
    ++static_cast<HostThreads*>(user)->calls;
    std::vector<std::thread> threads;
    for (int32_t i = count; i-- > 0;) threads.emplace_back(task, argument, i);
    for (auto& thread : threads) thread.join();
  }
};

TEST(ThreadPool, OverTheHostsThreadsRunsEverythingThere) {
  HostThreads host;
  auto pool = ThreadPool::over(HostThreads::execute, &host, 3);
  ASSERT_TRUE(pool.ok());
  EXPECT_TRUE(runs_threads(0));
  EXPECT_EQ(pool.value()->size(), 3);
  EXPECT_EQ(wrong_runs(*pool.value(), 50), 0);
  EXPECT_EQ(host.calls, 50);
  EXPECT_EQ(wrong_chunks(*pool.value(), 50), 0);
}

TEST(ThreadPool, OverTheHostsThreadsNeedsAFunction) {
  EXPECT_EQ(ThreadPool::over(nullptr, nullptr, 3).status().code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(ThreadPool::over(HostThreads::execute, nullptr, 0).status().code(), BITNET_E_ARGUMENT);
}

TEST(UsableCores, FollowsTheAffinityOfTheProcess) {
  EXPECT_GE(usable_cores(), 1);
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usable_cores(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(ShareOf, CutsIntoWholeUnitsWithoutGapOrOverlap) {
  for (const int64_t count : {0, 1, 15, 16, 17, 100, 2560}) {
    for (const int workers : {1, 2, 3, 7, 64}) {
      int64_t next = 0;
      for (int worker = 0; worker < workers; ++worker) {
        const Share share = share_of(count, 16, worker, workers);
        EXPECT_EQ(share.first, next);
        EXPECT_TRUE(share.last == count || share.last % 16 == 0);
        next = share.last;
      }
      EXPECT_EQ(next, count);
    }
  }
}

}  // namespace
}  // namespace bitnet
