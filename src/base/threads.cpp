#include "base/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <climits>
#include <cstdio>

#include "base/float_mode.h"

namespace bitnet {
namespace {

using Word = std::atomic<uint32_t>;
static_assert(sizeof(Word) == sizeof(uint32_t) && Word::is_always_lock_free);

// Sleeps while *word == seen; may return early.
void sleep_while(const Word& word, uint32_t seen) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}
void wake_all(const Word& word) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Phases of a forward pass follow each other within a few microseconds; waking a parked thread
// takes longer than that, a longer spin would only burn the host's CPU between calls.
constexpr std::chrono::microseconds kSpinTime{40};

// What a waiting thread brings into its second-level cache of what it will read next: what comes
// from memory while the caller alone is busy, a few microseconds, and a part of that cache.
constexpr int64_t kAheadBytes = 256 << 10;

// Spins until done() or the time is over, and meanwhile brings what follows `next`, unless that is
// nullptr, into the cache; whether done() came true.
template <class Done>
bool spin_until(Done&& done, const uint8_t* next) noexcept {
  uintptr_t ahead = reinterpret_cast<uintptr_t>(next);  // of which nothing may be there
  const uintptr_t end = next ? ahead + kAheadBytes : ahead;
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      if (ahead == end) {
        pause_briefly();
      } else {  // about as long as a pause
        for (int line = 0; line < 8; ++line, ahead += 64) {
          __builtin_prefetch(reinterpret_cast<const void*>(ahead), 0, 2);
        }
      }
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

constexpr uint32_t kMostImpatient = 63;  // runs without spinning before it is tried again

constexpr int kMaxThreads = 1024;
constexpr size_t kLine = 128;  // two cache lines: processors fetch them in pairs

}  // namespace

// How a run passes from the caller to the threads and back:
//   the caller writes what is to be done, sets unfinished, then moves generation on;
//   a thread that sees a new generation does its part, then takes that from unfinished;
//   the caller returns when unfinished is 0.
// No wake-up is lost: one who parks first announces it (parked, caller_parked) and then looks again
// (the futex compares once more in the kernel); one who changes a word looks for the announcement
// afterwards. All in the one order of seq_cst, so at least one of the two sees the other.
//
// In a run for each worker (run()) unfinished counts threads, and the caller waits for every one of
// them. In a run of chunks it counts chunks, and a thread may come late, even during a later run:
// it then finds nothing, or something of that later run, to take. What is to be done it reads only
// once it has taken a chunk, since until that is done nobody writes there.
struct ThreadPool::State {
  static constexpr uint32_t kForEach = 1;  // in generation: a run for each worker

  alignas(kLine) Word generation{0};
  Word parked{0};
  Task task = nullptr;
  ChunkTask chunk_task = nullptr;
  void* argument = nullptr;
  int64_t chunks = 0;
  bool closing = false;
  // Runs to come in which nobody spins: the caller waited in vain for a thread that had work, so
  // somebody else is on its core, and spinning would only use up the time we get there.
  Word impatient{0};

  alignas(kLine) Word unfinished{0};
  Word caller_parked{0};
  uint32_t patience_lost = 0;  // the caller's: grows with each disappointment

  // Constant after open().
  alignas(kLine) int size = 1;
  int thread_count = 1;                 // the calling one included
  bitnet_execute_fn execute = nullptr;  // the host's threads instead of ours
  void* execute_user = nullptr;
  // Chunks left of a thread's own: their number, and above it the number of the run, so that a
  // number read during one run is not taken for the same number of another.
  struct alignas(kLine) Left {
    std::atomic<uint64_t> word{0};
    std::atomic<const uint8_t*> next{nullptr};  // what the thread will read: expect()
  };
  Vec<Left> left;  // [thread_count]
  struct Thread {
    State* state;
    int index;
    pthread_t thread;
  };
  Vec<Thread> threads;  // those that started: indices 1, 2, ...

  static void* thread_main(void* thread) noexcept;
  Status start();
  void set_off(uint32_t generation_bit) noexcept;
  uint32_t wait_for_run(int thread, uint32_t seen) noexcept;
  const uint8_t* next_of(int thread) const noexcept {
    return left[static_cast<size_t>(thread)].next.load(std::memory_order_relaxed);
  }
  void call_workers(int thread) noexcept;
  uint32_t take_chunks(int thread) noexcept;
  void finish(uint32_t count) noexcept;
  void wait_until_finished() noexcept;
};

void ThreadPool::State::set_off(uint32_t generation_bit) noexcept {
  generation.store(((generation.load(std::memory_order_relaxed) | kForEach) + 1) | generation_bit);
  if (parked.load() != 0) wake_all(generation);
}

uint32_t ThreadPool::State::wait_for_run(int thread, uint32_t seen) noexcept {
  const auto changed = [&] { return generation.load() != seen; };
  if (impatient.load() != 0 || !spin_until(changed, next_of(thread))) {
    parked.fetch_add(1);
    while (!changed()) sleep_while(generation, seen);
    parked.fetch_sub(1);
  }
  return generation.load();
}

void ThreadPool::State::finish(uint32_t count) noexcept {
  if (unfinished.fetch_sub(count) == count && caller_parked.load() != 0) wake_all(unfinished);
}

void ThreadPool::State::wait_until_finished() noexcept {
  const auto finished = [&] { return unfinished.load() == 0; };
  if (const uint32_t runs = impatient.load()) {
    impatient.store(runs - 1);
  } else if (spin_until(finished, next_of(0))) {
    patience_lost /= 2;
    return;
  } else {
    patience_lost = std::min(2 * patience_lost + 1, kMostImpatient);
    impatient.store(patience_lost);
  }
  caller_parked.store(1);
  while (const uint32_t count = unfinished.load()) sleep_while(unfinished, count);
  caller_parked.store(0);
}

// Workers next to each other, so that their shares of rows are one stream.
void ThreadPool::State::call_workers(int thread) noexcept {
  const Share workers = share_of(size, 1, thread, thread_count);
  for (int64_t worker = workers.first; worker < workers.last; ++worker) {
    task(argument, static_cast<int>(worker));
  }
}

// Own chunks first, then those of the next threads; how many were done.
uint32_t ThreadPool::State::take_chunks(int thread) noexcept {
  uint32_t done = 0;
  for (int i = 0; i < thread_count; ++i) {
    const int owner = (thread + i) % thread_count;
    std::atomic<uint64_t>& word = left[static_cast<size_t>(owner)].word;
    uint64_t seen = word.load();
    while (static_cast<uint32_t>(seen) > 0) {
      if (!word.compare_exchange_weak(seen, seen - 1)) continue;
      const int64_t last = share_of(chunks, 1, owner, thread_count).last;
      chunk_task(argument, thread, last - static_cast<uint32_t>(seen));
      ++done;
      seen = word.load();
    }
  }
  return done;
}

void* ThreadPool::State::thread_main(void* thread) noexcept {
  const Thread& self = *static_cast<const Thread*>(thread);
  State& state = *self.state;
  char name[16];
  std::snprintf(name, sizeof name, "bitnet-%d", self.index);
  pthread_setname_np(pthread_self(), name);
  PlainFloatMode plain;
  for (uint32_t seen = 0;;) {
    seen = state.wait_for_run(self.index, seen);
    if (seen & kForEach) {
      if (state.closing) return nullptr;
      state.call_workers(self.index);
      state.finish(1);
    } else if (const uint32_t done = state.take_chunks(self.index)) {
      state.finish(done);
    }
  }
}

// Signals meant for the process go to the host's own threads. Those that an instruction raises stay
// open: blocked, they would end the process past any handler the host has for them.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&all, signal);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

Status ThreadPool::State::start() {
  left = Vec<Left>(static_cast<size_t>(thread_count));
  threads.reserve(static_cast<size_t>(thread_count));  // threads keep pointers into it
  SignalsBlocked while_starting;
  for (int i = 1; i < thread_count; ++i) {
    Thread& thread = threads.emplace_back(Thread{this, i, {}});
    const int error = pthread_create(&thread.thread, nullptr, thread_main, &thread);
    if (error != 0) {
      threads.pop_back();
      return Status::error(BITNET_E_MEMORY, "thread %d of %d did not start (system error %d)",
                           i + 1, thread_count, error);
    }
  }
  return {};
}

ThreadPool::ThreadPool(int size, Ptr<State> state) noexcept
    : size_(size), state_(std::move(state)) {
  state_->size = size;
}

ThreadPool::~ThreadPool() {
  state_->closing = true;
  state_->set_off(State::kForEach);
  for (State::Thread& thread : state_->threads) pthread_join(thread.thread, nullptr);
}

Result<Ptr<ThreadPool>> ThreadPool::open(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return Status::error(BITNET_E_ARGUMENT, "threads: %d, must be 1 to %d", threads, kMaxThreads);
  }
  auto pool = make<ThreadPool>(threads, make<State>());
  pool->state_->thread_count = threads > 1 ? std::min(threads, usable_cores()) : 1;
  BITNET_TRY(pool->state_->start());
  return pool;
}

Result<Ptr<ThreadPool>> ThreadPool::over(bitnet_execute_fn execute, void* user, int count) {
  if (count < 1 || count > kMaxThreads) {
    return Status::error(BITNET_E_ARGUMENT, "threads: %d, must be 1 to %d", count, kMaxThreads);
  }
  if (!execute) return Status::error(BITNET_E_ARGUMENT, "execute is NULL, must be a function");
  auto pool = make<ThreadPool>(count, make<State>());
  pool->state_->execute = execute;
  pool->state_->execute_user = user;
  return pool;
}

void ThreadPool::run(Task task, void* argument) noexcept {
  PlainFloatMode plain;
  State& state = *state_;
  if (size_ == 1) return task(argument, 0);
  state.task = task;
  state.argument = argument;
  if (state.execute) {
    return state.execute(
        state.execute_user,
        [](void* address, int32_t index) {
          PlainFloatMode plain_here;
          const State& run = *static_cast<const State*>(address);
          run.task(run.argument, index);
        },
        &state, size_);
  }
  if (state.thread_count == 1) return state.call_workers(0);
  state.unfinished.store(static_cast<uint32_t>(state.thread_count - 1));
  state.set_off(State::kForEach);
  state.call_workers(0);
  state.wait_until_finished();
}

void ThreadPool::run_chunks(int64_t count, ChunkTask task, void* argument) noexcept {
  PlainFloatMode plain;
  State& state = *state_;
  if (state.execute) {  // whose tasks take what is left, whenever each of them comes to run
    std::atomic<int64_t> next{0};
    return run([&](int worker) {
      for (int64_t chunk; (chunk = next.fetch_add(1)) < count;) task(argument, worker, chunk);
    });
  }
  if (state.thread_count == 1 || count < 2) {
    for (int64_t chunk = 0; chunk < count; ++chunk) task(argument, 0, chunk);
    return;
  }
  state.chunk_task = task;
  state.argument = argument;
  state.chunks = count;
  state.unfinished.store(static_cast<uint32_t>(count));
  const uint64_t run = uint64_t{state.generation.load(std::memory_order_relaxed)} << 32;
  for (int thread = 0; thread < state.thread_count; ++thread) {
    const Share share = share_of(count, 1, thread, state.thread_count);
    state.left[static_cast<size_t>(thread)].word.store(
        run | static_cast<uint64_t>(share.last - share.first));
  }
  state.set_off(0);
  state.finish(state.take_chunks(0));
  state.wait_until_finished();
}

int ThreadPool::expecting_threads() const noexcept {
  return state_->execute || state_->thread_count == 1 ? 0 : state_->thread_count;
}

void ThreadPool::expect(int thread, const uint8_t* address) noexcept {
  state_->left[static_cast<size_t>(thread)].next.store(address, std::memory_order_relaxed);
}

namespace {

// CPUs in the affinity mask of the calling thread; 0 if the system does not say.
int cores_by_affinity() noexcept {
  unsigned long mask[8192 / (8 * sizeof(unsigned long))] = {};
  if (sched_getaffinity(0, sizeof mask, reinterpret_cast<cpu_set_t*>(mask)) != 0) return 0;
  int count = 0;
  for (const unsigned long word : mask) count += std::popcount(word);
  return count;
}

bool read_line(const char* path, char* text, int capacity) noexcept {
  std::FILE* const file = std::fopen(path, "re");
  if (!file) return false;
  const bool read = std::fgets(text, capacity, file) != nullptr;
  std::fclose(file);
  return read;
}

// CPUs' worth of time that a container grants, rounded up; 0: no limit. The files as seen from
// inside a container: cgroup v2 "quota period" or "max period", cgroup v1 one number each, -1 for
// none.
int cores_by_quota() noexcept {
  char text[64];
  long long quota = 0, period = 0;
  if (read_line("/sys/fs/cgroup/cpu.max", text, sizeof text)) {
    if (std::sscanf(text, "%lld %lld", &quota, &period) != 2) return 0;
  } else if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text)) {
    if (std::sscanf(text, "%lld", &quota) != 1) return 0;
    if (!read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", text, sizeof text)) return 0;
    if (std::sscanf(text, "%lld", &period) != 1) return 0;
  }
  if (quota <= 0 || period <= 0 || quota / period > INT_MAX / 2) return 0;
  return static_cast<int>((quota + period - 1) / period);
}

}  // namespace

int usable_cores() noexcept {
  int cores = cores_by_affinity();
  const int quota = cores_by_quota();
  if (quota > 0 && quota < cores) cores = quota;
  return cores > 0 ? cores : 1;
}

}  // namespace bitnet
