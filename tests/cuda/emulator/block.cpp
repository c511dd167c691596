#include "block.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"
#include "emulator.h"
#include "fiber.h"

constinit thread_local uint3 threadIdx{0, 0, 0}, blockIdx{0, 0, 0};
constinit thread_local dim3 blockDim{}, gridDim{};

namespace emulator {
namespace {

constexpr int kMaxWarps = kMaxBlockThreads / kLanes;
constexpr int kNobody = -1;
constexpr int kFinishAll = -1;

std::atomic<Order> chosen_order{Order::kForward};
std::atomic<uint64_t> chosen_seed{1};
std::atomic<uint64_t> choices{0};  // calls of set_order

// xorshift64*
struct Random {
  uint64_t state = 1;
  uint64_t next() noexcept {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
  }
  uint64_t below(uint64_t n) noexcept { return (next() >> 32) * n >> 32; }  // n < 2^32
};

struct Copy {
  void* to;
  const void* from;
  int64_t group;
};

// One thread of a block.
struct Thread {
  Context context;
  uint3 index{};
  bool returned = false;
  bool at_barrier = false;
  Where barrier{};  // while at_barrier
  std::vector<Copy> copies;
  int64_t copy_groups = 0;  // ended ones
};

struct Warp {
  uint32_t lanes = 0;     // that exist
  uint32_t returned = 0;  // lanes that have returned
  uint32_t waiting = 0;   // lanes that have come to an operation which is not finished
  WarpRequest* requests[kLanes] = {};
};

bool same_place(const Where& a, const Where& b) noexcept {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

// The blocks that a thread of the host runs, one at a time.
class Executor {
 public:
  Executor() = default;
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void run_grid(const dim3& grid, const dim3& block, size_t shared_bytes,
                const std::function<void()>& body);
  uint8_t* shared_memory() noexcept { return shared_.get(); }
  int meet_block(const char* name, bool condition, const Where& where);
  void meet_warp(WarpRequest& request);
  int lane() const noexcept { return current_ % kLanes; }
  void copy_later(void* shared, const void* global, const Where& where);
  void end_copy_group() { ++threads_[current_]->copy_groups; }
  void finish_copies(int64_t groups_left);
  [[noreturn]] void fail(const char* what, const Where* where = nullptr) const;

 private:
  static void thread_main() noexcept;
  void thread_loop() noexcept;
  void prepare(const dim3& block);
  void run_block();
  void leave_block();
  void finish_requests(Warp& warp, uint32_t mask, const WarpRequest& last);
  bool all_wait_for(const Warp& warp, uint32_t mask, const WarpRequest& request) const;
  void let_run(int warp, uint32_t lanes) noexcept {
    runnable_[warp / 2] |= static_cast<uint64_t>(lanes) << (warp % 2 * kLanes);
  }
  int next_thread() noexcept;
  void pass_on();
  void print_threads() const;

  std::vector<std::unique_ptr<Thread>> threads_;  // as many as any block had
  Warp warps_[kMaxWarps];
  Context caller_;

  Order order_ = Order::kForward;
  Random random_;
  uint64_t choice_ = ~uint64_t{0};  // the call of set_order that random_ comes from

  const std::function<void()>* body_ = nullptr;  // nullptr: no launch
  int count_ = 0;                                // threads of the block
  int words_ = 0;                                // of runnable_
  uint64_t runnable_[kMaxWarps / 2] = {};        // by thread; not the current one
  int current_ = 0;
  int returned_ = 0;

  const char* barrier_name_ = nullptr;
  Where barrier_{};
  int at_barrier_ = 0;
  int conditions_ = 0;      // of those who came to this barrier
  int all_conditions_ = 0;  // of the last barrier; it stays until all have come to the next

  struct Free {
    void operator()(uint8_t* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> shared_;
  size_t shared_bytes_ = 0;
};

// A plain pointer costs no check whether it is there already.
constinit thread_local Executor* executor = nullptr;

Executor& executor_of_host_thread() {
  static thread_local Executor mine;
  return mine;
}

Executor& running() {
  if (executor == nullptr) {
    std::fprintf(stderr, "emulator: a device function was called outside a kernel\n");
    std::abort();
  }
  return *executor;
}

Executor::~Executor() {
  for (const auto& thread : threads_) close_fiber(thread->context);
}

// ---- Threads take turns ------------------------------------------------------------------------

void Executor::thread_main() noexcept {
  Executor& self = *executor;
  // The caller starts the first one, the others start each other.
  Context from;
  entered_fiber(from);
  if (self.caller_.stack == nullptr) {
    self.caller_.stack = from.stack;
    self.caller_.stack_bytes = from.stack_bytes;
  }
  self.thread_loop();
}

// A fiber is one thread of every block: it waits between blocks for the next.
void Executor::thread_loop() noexcept {
  for (;;) {
    (*body_)();
    leave_block();
  }
}

// The one that is to go on, which leaves the runnable ones; kNobody if there is none.
int Executor::next_thread() noexcept {
  const auto take = [this](int word, int bit) {
    runnable_[word] &= ~(uint64_t{1} << bit);
    return 64 * word + bit;
  };
  switch (order_) {
    case Order::kForward:
      for (int word = 0; word < words_; ++word) {
        if (runnable_[word] != 0) return take(word, __builtin_ctzll(runnable_[word]));
      }
      break;
    case Order::kBackward:
      for (int word = words_ - 1; word >= 0; --word) {
        if (runnable_[word] != 0) return take(word, 63 - __builtin_clzll(runnable_[word]));
      }
      break;
    case Order::kShuffled: {
      // The first one from a random place on, round the end: not every one equally often, but every
      // one at some time.
      const int start = static_cast<int>(random_.below(static_cast<uint64_t>(64 * words_)));
      int word = start / 64;
      const uint64_t later = runnable_[word] & (~uint64_t{0} << start % 64);
      if (later != 0) return take(word, __builtin_ctzll(later));
      for (int i = 0; i < words_; ++i) {
        word = word + 1 == words_ ? 0 : word + 1;
        if (runnable_[word] != 0) return take(word, __builtin_ctzll(runnable_[word]));
      }
      break;
    }
  }
  return kNobody;
}

// Lets another thread go on, or this one if its turn has come again.
void Executor::pass_on() {
  const int next = next_thread();
  if (next == kNobody) fail("threads wait for each other and none can go on");
  if (next == current_) return;
  Context& from = threads_[current_]->context;
  current_ = next;
  threadIdx = threads_[next]->index;
  switch_context(from, threads_[next]->context);
}

void Executor::leave_block() {
  finish_copies(kFinishAll);
  Thread& thread = *threads_[current_];
  thread.returned = true;
  ++returned_;
  Warp& warp = warps_[current_ / kLanes];
  const uint32_t bit = uint32_t{1} << lane();
  warp.returned |= bit;
  for (uint32_t left = warp.waiting; left != 0; left &= left - 1) {
    const WarpRequest& request = *warp.requests[__builtin_ctz(left)];
    if (request.mask & bit) fail("a thread returned that its warp waits for", &request.where);
  }
  if (returned_ == count_) return switch_context(thread.context, caller_);
  pass_on();
}

// ---- Threads meet ------------------------------------------------------------------------------

int Executor::meet_block(const char* name, bool condition, const Where& where) {
  if (at_barrier_ == 0) {
    barrier_name_ = name;
    barrier_ = where;
    conditions_ = 0;
  }
  Thread& thread = *threads_[current_];
  thread.at_barrier = true;
  thread.barrier = where;
  if (std::strcmp(name, barrier_name_) != 0 || !same_place(where, barrier_)) {
    fail("threads of a block meet at different barriers", &where);
  }
  conditions_ += condition;
  if (++at_barrier_ == count_) {
    at_barrier_ = 0;
    all_conditions_ = conditions_;
    for (int i = 0; i < count_; ++i) threads_[i]->at_barrier = false;
    for (int w = 0; kLanes * w < count_; ++w) let_run(w, warps_[w].lanes);
  }
  pass_on();
  return all_conditions_;
}

// Whether all lanes of mask have come for what request is about.
bool Executor::all_wait_for(const Warp& warp, uint32_t mask, const WarpRequest& request) const {
  if ((warp.waiting & mask) != mask) return false;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const WarpRequest& other = *warp.requests[__builtin_ctz(left)];
    if (other.mask != request.mask) return false;  // it comes later, after another operation
    if (other.finish != request.finish || std::strcmp(other.name, request.name) != 0 ||
        (request.one_place && !same_place(other.where, request.where))) {
      fail("lanes of a warp meet in different operations", &request.where);
    }
  }
  return true;
}

void Executor::meet_warp(WarpRequest& request) {
  const int w = current_ / kLanes;
  Warp& warp = warps_[w];
  const uint32_t bit = uint32_t{1} << lane();
  // As on the device, a mask may name lanes that a short last warp does not have.
  const uint32_t mask = request.mask & warp.lanes;
  warp.requests[lane()] = &request;
  warp.waiting |= bit;
  if ((mask & bit) == 0) fail("a lane is not in its own mask", &request.where);
  if (mask & warp.returned) fail("a warp waits for a thread that returned", &request.where);
  if (request.whole_warp && mask != ~uint32_t{0}) {
    fail("the operation needs all 32 lanes", &request.where);
  }
  if (all_wait_for(warp, mask, request)) {
    if (request.finish) request.finish(warp.requests, mask);
    warp.waiting &= ~mask;
    let_run(w, mask);
  }
  pass_on();
}

// ---- Copies ------------------------------------------------------------------------------------

constexpr size_t kCopyBytes = 16;

void Executor::copy_later(void* shared, const void* global, const Where& where) {
  check_alignment(shared, kCopyBytes, where);
  check_alignment(global, kCopyBytes, where);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(shared_.get());
  const uintptr_t to = reinterpret_cast<uintptr_t>(shared);
  if (to < begin || to + kCopyBytes > begin + shared_bytes_) {
    fail("a copy goes to a place outside shared memory", &where);
  }
  std::memset(shared, kUnwritten, kCopyBytes);
  Thread& thread = *threads_[current_];
  thread.copies.push_back({shared, global, thread.copy_groups});
}

// All but those of the last ended groups and of the one that has not ended; kFinishAll: these, too.
void Executor::finish_copies(int64_t groups_left) {
  Thread& thread = *threads_[current_];
  if (thread.copies.empty()) return;
  const auto finished = [&](const Copy& copy) {
    return groups_left == kFinishAll || copy.group < thread.copy_groups - groups_left;
  };
  auto copy = thread.copies.begin();
  for (; copy != thread.copies.end() && finished(*copy); ++copy) {
    std::memcpy(copy->to, copy->from, kCopyBytes);
  }
  thread.copies.erase(thread.copies.begin(), copy);
}

// ---- Grids -------------------------------------------------------------------------------------

void Executor::prepare(const dim3& block) {
  count_ = static_cast<int>(block.x * block.y * block.z);
  words_ = (count_ + 63) / 64;
  while (static_cast<int>(threads_.size()) < count_) {
    auto thread = std::make_unique<Thread>();
    thread->context = open_fiber(thread_main, static_cast<int>(threads_.size()));
    threads_.push_back(std::move(thread));
  }
  int i = 0;
  for (unsigned z = 0; z < block.z; ++z) {
    for (unsigned y = 0; y < block.y; ++y) {
      for (unsigned x = 0; x < block.x; ++x) threads_[i++]->index = {x, y, z};
    }
  }
  order_ = chosen_order.load();
  const uint64_t choice = choices.load();
  if (choice != choice_) {
    choice_ = choice;
    random_.state = chosen_seed.load() * 0x9e3779b97f4a7c15u | 1;
  }
}

void Executor::run_block() {
  if (shared_bytes_ != 0) std::memset(shared_.get(), kUnwritten, shared_bytes_);
  returned_ = at_barrier_ = 0;
  for (int i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    thread.returned = thread.at_barrier = false;
    thread.copy_groups = 0;
  }
  for (int w = 0; kLanes * w < count_; ++w) {
    const int lanes = std::min(count_ - kLanes * w, kLanes);
    warps_[w].lanes = ~uint32_t{0} >> (kLanes - lanes);
    warps_[w].returned = warps_[w].waiting = 0;
    let_run(w, warps_[w].lanes);
  }
  current_ = next_thread();
  threadIdx = threads_[current_]->index;
  switch_context(caller_, threads_[current_]->context);
}

void Executor::run_grid(const dim3& grid, const dim3& block, size_t shared_bytes,
                        const std::function<void()>& body) {
  if (body_ != nullptr) fail("a kernel launches a kernel");
  executor = this;
  body_ = &body;
  gridDim = grid;
  blockDim = block;
  prepare(block);
  // Of exactly this size, so that the address sanitizer sees what goes beyond.
  shared_.reset(static_cast<uint8_t*>(std::malloc(shared_bytes)));
  shared_bytes_ = shared_bytes;

  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  // Shuffled: steps of a length that has no divisor in common with their number come to every
  // block.
  uint64_t at = 0, step = 1;
  if (order_ == Order::kBackward) at = blocks - 1, step = blocks - 1;
  if (order_ == Order::kShuffled) {
    at = random_.next() % blocks;
    do {
      step = 1 + random_.next() % blocks;
    } while (std::gcd(step, blocks) != 1);
  }
  for (uint64_t i = 0; i < blocks; ++i, at = (at + step) % blocks) {
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    run_block();
  }

  shared_.reset();
  body_ = nullptr;
  executor = nullptr;
}

// ---- Messages ----------------------------------------------------------------------------------

// Where every thread is, threads at the same place together.
void Executor::print_threads() const {
  struct Group {
    const char* name;
    Where where;
    uint32_t mask;
    int first, count;
  };
  std::vector<Group> groups;
  for (int i = 0; i < count_; ++i) {
    const Thread& thread = *threads_[i];
    const Warp& warp = warps_[i / kLanes];
    Group group{"can go on or has not begun", {}, 0, i, 1};
    if (i == current_) group.name = "is running";
    if (thread.returned) group.name = "has returned";
    if (thread.at_barrier) {
      group.name = "waits for the block";
      group.where = thread.barrier;
    } else if (warp.waiting >> i % kLanes & 1) {
      const WarpRequest& request = *warp.requests[i % kLanes];
      group.name = request.name;
      group.where = request.where;
      group.mask = request.mask;
    }
    const auto known = std::find_if(groups.begin(), groups.end(), [&](const Group& other) {
      return std::strcmp(other.name, group.name) == 0 && other.mask == group.mask &&
             other.where.line == group.where.line && other.where.file == group.where.file;
    });
    if (known != groups.end()) {
      ++known->count;
    } else {
      groups.push_back(group);
    }
  }
  for (const Group& group : groups) {
    const uint3& index = threads_[group.first]->index;
    std::fprintf(stderr, "  thread (%u,%u,%u)", index.x, index.y, index.z);
    if (group.count > 1) std::fprintf(stderr, " and %d like it", group.count - 1);
    std::fprintf(stderr, ": %s", group.name);
    if (group.mask != 0) std::fprintf(stderr, " of 0x%08x", group.mask);
    if (group.where.file) {
      std::fprintf(stderr, ", in %s, %s:%d", group.where.function, group.where.file,
                   group.where.line);
    }
    std::fprintf(stderr, "\n");
  }
}

void Executor::fail(const char* what, const Where* where) const {
  std::fprintf(stderr, "emulator: %s\n  ", what);
  if (where) std::fprintf(stderr, "in %s, %s:%d; ", where->function, where->file, where->line);
  std::fprintf(stderr, "thread (%u,%u,%u) of block (%u,%u,%u)\n", threadIdx.x, threadIdx.y,
               threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
  print_threads();
  std::abort();
}

}  // namespace

// ---- What the headers declare ------------------------------------------------------------------

void set_order(Order order, uint64_t seed) {
  chosen_order = order;
  chosen_seed = seed;
  ++choices;
}

void run_grid(const dim3& grid, const dim3& block, size_t shared_bytes,
              const std::function<void()>& body) {
  executor_of_host_thread().run_grid(grid, block, shared_bytes, body);
}

uint8_t* shared_memory() {
  return running().shared_memory();
}
int meet_block(const char* name, bool condition, Where where) {
  return running().meet_block(name, condition, where);
}
void meet_warp(WarpRequest& request) {
  running().meet_warp(request);
}
int current_lane() {
  return running().lane();
}
void copy_later(void* shared, const void* global, Where where) {
  running().copy_later(shared, global, where);
}
void end_copy_group() {
  running().end_copy_group();
}
void finish_copies(int groups_left) {
  running().finish_copies(groups_left);
}

void check_alignment(const void* p, size_t alignment, Where where) {
  if (reinterpret_cast<uintptr_t>(p) % alignment != 0) running().fail("misaligned address", &where);
}

void finish_shuffle(WarpRequest* const* requests, uint32_t mask) {
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    WarpRequest& request = *requests[__builtin_ctz(left)];
    if ((mask >> request.source & 1) == 0) {
      running().fail("a lane takes a value from a lane that takes no part", &request.where);
    }
    request.result = requests[request.source]->value;
  }
}

void finish_ballot(WarpRequest* const* requests, uint32_t mask) {
  uint64_t votes = 0;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    votes |= requests[lane]->value << lane;
  }
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    requests[__builtin_ctz(left)]->result = votes;
  }
}

uint32_t ballot(const char* name, uint32_t mask, bool condition, Where where) {
  WarpRequest request{name, mask, where, finish_ballot};
  request.value = condition;
  meet_warp(request);
  return static_cast<uint32_t>(request.result);
}

}  // namespace emulator
