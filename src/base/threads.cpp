#include "base/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

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

// Spins until done() or the time is over; whether done() came true.
template <class Done>
bool spin_until(Done done) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

constexpr int kMaxThreads = 1024;
constexpr size_t kLine = 128;  // two cache lines: processors fetch them in pairs

}  // namespace

// How a run passes from the caller to the workers and back:
//   the caller writes task and argument, sets unfinished = size - 1, then adds 1 to generation;
//   a worker that sees a new generation runs the task, then subtracts 1 from unfinished;
//   the caller returns when unfinished is 0.
// No wake-up is lost: one who parks first announces it (parked, caller_parked) and then looks again
// (the futex compares once more in the kernel); one who changes a word looks for the announcement
// afterwards. All in the one order of seq_cst, so at least one of the two sees the other.
struct ThreadPool::State {
  alignas(kLine) Word generation{0};
  Word parked{0};
  Task task = nullptr;
  void* argument = nullptr;
  bool closing = false;

  alignas(kLine) Word unfinished{0};
  Word caller_parked{0};

  // Constant after open().
  alignas(kLine) bool spins = false;
  bitnet_execute_fn execute = nullptr;  // the host's threads instead of ours
  void* execute_user = nullptr;
  struct Worker {
    State* state;
    int index;
    pthread_t thread;
  };
  Vec<Worker> workers;  // those that started: indices 1, 2, ...

  static void* worker_main(void* worker) noexcept;
  Status start(int count);
  void announce() noexcept;
  uint32_t wait_for_run(uint32_t seen) noexcept;
  void finish_one() noexcept;
  void wait_until_finished() noexcept;
};

void ThreadPool::State::announce() noexcept {
  generation.fetch_add(1);
  if (parked.load() != 0) wake_all(generation);
}

uint32_t ThreadPool::State::wait_for_run(uint32_t seen) noexcept {
  const auto changed = [&] { return generation.load() != seen; };
  if (!spins || !spin_until(changed)) {
    parked.fetch_add(1);
    while (!changed()) sleep_while(generation, seen);
    parked.fetch_sub(1);
  }
  return generation.load();
}

void ThreadPool::State::finish_one() noexcept {
  if (unfinished.fetch_sub(1) == 1 && caller_parked.load() != 0) wake_all(unfinished);
}

void ThreadPool::State::wait_until_finished() noexcept {
  if (spins && spin_until([&] { return unfinished.load() == 0; })) return;
  caller_parked.store(1);
  while (const uint32_t left = unfinished.load()) sleep_while(unfinished, left);
  caller_parked.store(0);
}

void* ThreadPool::State::worker_main(void* worker) noexcept {
  const Worker& self = *static_cast<const Worker*>(worker);
  State& state = *self.state;
  char name[16];
  std::snprintf(name, sizeof name, "bitnet-%d", self.index);
  pthread_setname_np(pthread_self(), name);
  PlainFloatMode plain;
  for (uint32_t seen = 0;;) {
    seen = state.wait_for_run(seen);
    if (state.closing) return nullptr;
    state.task(state.argument, self.index);
    state.finish_one();
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

Status ThreadPool::State::start(int count) {
  workers.reserve(count);  // workers keep pointers into it
  SignalsBlocked while_starting;
  for (int i = 1; i <= count; ++i) {
    Worker& worker = workers.emplace_back(Worker{this, i, {}});
    const int error = pthread_create(&worker.thread, nullptr, worker_main, &worker);
    if (error != 0) {
      workers.pop_back();
      return Status::error(BITNET_E_MEMORY, "thread %d of %d did not start (system error %d)",
                           i + 1, count + 1, error);
    }
  }
  return {};
}

ThreadPool::ThreadPool(int size, Ptr<State> state) noexcept
    : size_(size), state_(std::move(state)) {}

ThreadPool::~ThreadPool() {
  state_->closing = true;
  state_->announce();
  for (State::Worker& worker : state_->workers) pthread_join(worker.thread, nullptr);
}

Result<Ptr<ThreadPool>> ThreadPool::open(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return Status::error(BITNET_E_ARGUMENT, "threads: %d, must be 1 to %d", threads, kMaxThreads);
  }
  auto pool = make<ThreadPool>(threads, make<State>());
  // With more threads than cores a spinning one would keep the core from one that has work.
  pool->state_->spins = threads <= usable_cores();
  BITNET_TRY(pool->state_->start(threads - 1));
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
  state.unfinished.store(size_ - 1);
  state.announce();
  task(argument, 0);
  state.wait_until_finished();
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
