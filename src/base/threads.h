// A pool of threads that runs one function on all of them and waits.
//
// Threads spin for a short while after a run (the next one usually follows within microseconds),
// then park: an idle pool uses no CPU. The calling thread is worker 0.
//
// A pool of more workers than the process has cores has only as many threads as there are cores,
// each the thread of several workers: more could only take turns, and wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/memory.h"
#include "base/status.h"

namespace bitnet {

// Worker w's share of count items in whole units: [first, last). Shares differ by one unit at most.
struct Share {
  int64_t first, last;
};
inline Share share_of(int64_t count, int64_t unit, int worker, int workers) noexcept {
  const int64_t units = (count + unit - 1) / unit;
  const int64_t first = units * worker / workers * unit;
  const int64_t last = units * (worker + 1) / workers * unit;
  return {first < count ? first : count, last < count ? last : count};
}

class ThreadPool {
 public:
  // threads: 1 to 1024, the calling thread included.
  static Result<Ptr<ThreadPool>> open(int threads);
  // A pool without threads of its own: run() hands count calls to the host's function, on the
  // calling thread. That may run them one after the other, so tasks must not wait for each other.
  static Result<Ptr<ThreadPool>> over(bitnet_execute_fn execute, void* user, int count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return size_; }

  // Calls task(argument, worker) for every worker 0..size-1, returns when all have returned.
  // One run at a time per pool. The task must not throw. It computes in the plain float mode
  // (float_mode.h), whatever mode the host's threads are in.
  using Task = void (*)(void* argument, int worker);
  void run(Task task, void* argument) noexcept;

  // The same for a callable: run([&](int worker) { ... }).
  template <class F>
  void run(F&& body) noexcept {
    auto* address = &body;
    run([](void* p, int worker) { (*static_cast<decltype(address)>(p))(worker); },
        const_cast<void*>(static_cast<const void*>(address)));
  }

  // Calls body(worker, chunk) once for each chunk 0..count-1, count < 2^32, each on the first
  // worker that comes to it: a thread the system has taken off its core holds up only the chunk it
  // is in. Every worker begins with chunks of its own share_of(count), in order, and goes on with
  // what is left of the others'. Worker numbers are below size(), and no two calls of one number
  // overlap.
  using ChunkTask = void (*)(void* argument, int worker, int64_t chunk);
  void run_chunks(int64_t count, ChunkTask task, void* argument) noexcept;
  template <class F>
  void run_chunks(int64_t count, F&& body) noexcept {
    auto* address = &body;
    run_chunks(
        count,
        [](void* p, int worker, int64_t chunk) {
          (*static_cast<decltype(address)>(p))(worker, chunk);
        },
        const_cast<void*>(static_cast<const void*>(address)));
  }

  // Says where a later run_chunks(count, ...) reads: address_of(chunk), and what follows it.
  // Threads that wait bring into their caches what they will begin with. A hint, which holds until
  // the next.
  template <class F>
  void expect_chunks(int64_t count, F&& address_of) noexcept {
    const int threads = expecting_threads();
    for (int t = 0; t < threads; ++t) expect(t, address_of(share_of(count, 1, t, threads).first));
  }
  void expect_nothing() noexcept {
    expect_chunks(1, [](int64_t) -> const uint8_t* { return nullptr; });
  }

  struct State;
  // Use open(): public only for make().
  ThreadPool(int size, Ptr<State> state) noexcept;

 private:
  int expecting_threads() const noexcept;  // 0: nobody waits
  void expect(int thread, const uint8_t* address) noexcept;

  int size_;
  Ptr<State> state_;
};

// Cores this process may run on; at least 1.
int usable_cores() noexcept;

}  // namespace bitnet
