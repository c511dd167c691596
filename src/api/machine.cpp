// Instruction sets and devices by name, and what the machine can do at best.
#include <chrono>

#include "api/handles.h"
#include "base/threads.h"
#include "session/devices.h"

namespace bitnet {
namespace {

// Larger than any last-level cache, so that reading it is reading memory.
constexpr int64_t kStreamBytes = int64_t{512} << 20;
constexpr int kRuns = 3;  // the best of them: a limit is what was reached undisturbed

double now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Best rate of `kRuns` runs of body() -> work done, in work per second.
template <class Body>
double best_rate(Body&& body) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const double started = now();
    const double work = body();
    best = std::max(best, work / (now() - started));
  }
  return best;
}

double measure_stream(const Ops& ops, ThreadPool& pool) {
  Buffer memory(static_cast<size_t>(kStreamBytes));
  Vec<uint64_t> sums(static_cast<size_t>(pool.size()));
  const auto part_of = [&](int worker) {
    return share_of(kStreamBytes, 4096, worker, pool.size());
  };
  pool.run([&](int worker) {  // first touched by the thread that reads it
    const Share part = part_of(worker);
    std::memset(memory.data() + part.first, worker + 1,
                static_cast<size_t>(part.last - part.first));
  });
  const auto rate = [&](Reading reading) {
    return best_rate([&] {
      pool.run([&](int worker) {
        const Share part = part_of(worker);
        sums[static_cast<size_t>(worker)] +=
            ops.read_stream(memory.data() + part.first, part.last - part.first, reading);
      });
      return static_cast<double>(kStreamBytes);
    });
  };
  return std::max(rate(Reading::kPairs), rate(Reading::kSingles));
}

double measure_int8(const Ops& ops, ThreadPool& pool) {
  // As many as take a tenth of a second: instruction sets differ by a factor of a hundred.
  uint64_t count = uint64_t{1} << 22;
  for (;; count *= 2) {
    const double started = now();
    ops.int8_multiply_adds(count);
    if (now() - started >= 0.1) break;
  }
  Vec<uint64_t> done(static_cast<size_t>(pool.size()));
  return best_rate([&] {
    pool.run(
        [&](int worker) { done[static_cast<size_t>(worker)] = ops.int8_multiply_adds(count); });
    double sum = 0;
    for (uint64_t d : done) sum += static_cast<double>(d);
    return sum;
  });
}

}  // namespace
}  // namespace bitnet

using namespace bitnet;

extern "C" {

int32_t bitnet_isa_count(void) {
  int count = 0;
  usable_isas(&count);
  return count;
}

const char* bitnet_isa_name(int32_t index) {
  int count = 0;
  const char* const* names = usable_isas(&count);
  return index >= 0 && index < count ? names[index] : nullptr;
}

int32_t bitnet_device_count(void) {
  int32_t count = 0;
  guarded(nullptr, [&]() -> Status {
    count = static_cast<int32_t>(list_devices().size());
    return {};
  });
  return count;
}

bitnet_status bitnet_device_get_info(int32_t index, bitnet_device_info* info, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(info, "info is NULL");
    const Vec<bitnet_device_info> list = list_devices();
    if (index < 0 || static_cast<size_t>(index) >= list.size()) {
      return Status::error(BITNET_E_NOT_FOUND, "device %d: there are %zu", index, list.size());
    }
    return write_struct(list[static_cast<size_t>(index)], info, "bitnet_device_info");
  });
}

bitnet_status bitnet_machine_measure(bitnet_machine_limits* limits, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(limits, "limits is NULL");
    bitnet_machine_limits l = BITNET_MACHINE_LIMITS_INIT;
    BITNET_TRY(read_options(limits, &l, "bitnet_machine_limits"));
    if (l.threads < 0 || l.threads > 1024) {
      return Status::error(BITNET_E_ARGUMENT, "threads is %d, not in 0..1024", l.threads);
    }
    const Ops* ops = select_ops(l.isa);
    if (!ops) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "instruction set \"%s\" cannot be run here; bitnet_isa_name lists those "
                           "that can",
                           l.isa);
    }
    const int threads = l.threads > 0 ? l.threads : std::min(usable_cores(), 1024);
    BITNET_LET(Ptr<ThreadPool> pool, ThreadPool::open(threads));
    l.threads = threads;
    l.isa = ops->name;
    l.stream_gb_per_s = measure_stream(*ops, *pool) / 1e9;
    l.int8_gmac_per_s = measure_int8(*ops, *pool) / 1e9;
    return write_struct(l, limits, "bitnet_machine_limits");
  });
}

}  // extern "C"
