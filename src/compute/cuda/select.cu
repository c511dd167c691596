#include "compute/cuda/select.h"

#include <cmath>

#include "base/philox.h"
#include "compute/cuda/dense_row.h"

namespace bitnet::cuda {
namespace {

constexpr int kSelectThreads = 256, kSelectWarps = kSelectThreads / kWarp;
constexpr float kLog2E = 0x1.715476p+0f;

// A DRAW in bits. A token's score is logit / T + noise, noise = -log(-log u); in units of log 2 and
// from a mark X on it is
//
//   (logit - X) log2(e) / T - log2(-log u)
//
// Of u the high word h of 32 bits is at hand (sample/gumbel.h): with c = 2^32 - h
//   1 - u  lies between (c - 1) / 2^32, at least 2^-53, and v = c / 2^32
//   -log u lies between 1 - u and, where v <= 1/2, v + v^2 = v (1 + v), log2(1 + v) <= v log2(e)
// so what a score reaches and cannot pass are known without a logarithm of double precision. 1e-5
// of the first term is more than its two roundings and that of log2(e) / T; 1e-3 more than those of
// the second term and log2f (CUDA C++ Programming Guide, 1 ulp); 1e-15 |X| log2(e) / T more than
// what the sampler's doubles lose in logit / T.
struct Draw {
  float mark, per_logit, slack;
  uint64_t seed, draw;

  __device__ Draw(const DeviceSelection& s, float mark_)
      : mark(mark_), per_logit(kLog2E / s.temperature), seed(s.seed), draw(s.draw) {
    slack = 1e-3f + magnitude(mark) * per_logit * 1e-15f;
  }
  // 2^32 - 1 - h.
  __device__ uint32_t rest(int token) const {
    const auto group = static_cast<uint32_t>(token) / 4;
    const PhiloxBlock block = philox4x32_10(
        {{static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32), group, 0}}, seed);
    const int word = token % 4;
    return ~(word == 0   ? block.word[0]
             : word == 1 ? block.word[1]
             : word == 2 ? block.word[2]
                         : block.word[3]);
  }
  __device__ float term(float logit) const { return (logit - mark) * per_logit; }
  // -infinity where nothing is sure.
  __device__ float reached(int token, float low) const {
    const uint32_t below = rest(token);
    if (below >= 0x80000000u || low == -kInfinity) return -kInfinity;
    const float c = static_cast<float>(below) + 1.0f, t = term(low);
    return t - magnitude(t) * 1e-5f + (32.0f - log2f(c) - c * 0x1p-32f * 1.4427f) - slack;
  }
  __device__ float not_passed(int token, float high) const {
    const uint32_t below = rest(token);
    const float c = below == 0 ? 0x1p-21f : static_cast<float>(below), t = term(high);
    return t + magnitude(t) * 1e-5f + (32.0f - log2f(c)) + slack;
  }
};

__device__ inline float larger(float a, float b) {
  return b > a ? b : a;
}

// The largest over a block's threads, of none -infinity; room: [kSelectWarps]. NaN are passed over.
__device__ inline float block_largest(float mine, float* room) {
  mine = larger(-kInfinity, mine);
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    mine = larger(mine, __shfl_xor_sync(kAll, mine, apart));
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = mine;
  __syncthreads();
  for (int w = 0; w < kSelectWarps; ++w) mine = larger(mine, room[w]);
  return mine;
}

__device__ inline float largest_of_chunks(const float* chunk, int chunks, float* room) {
  float most = -kInfinity;
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kSelectThreads) {
    most = larger(most, chunk[i]);
  }
  return block_largest(most, room);
}

// Chunks and rows are the grid's x and y.
struct Chunk {
  int64_t first, last;
  const float *low, *high;
  SelectRoom& room;

  __device__ Chunk(const SelectJob& job)
      : first(blockIdx.x * size(job)),
        last(min(first + size(job), job.selection.vocabulary)),
        low(job.low + blockIdx.y * job.stride),
        high(job.high + blockIdx.y * job.stride),
        room(job.room[blockIdx.y]) {}
  __device__ static int64_t size(const SelectJob& job) {
    return rounded_up(parts_of(job.selection.vocabulary, kSelectChunks), 64);
  }
};

__global__ void __launch_bounds__(kSelectThreads) mark_chunks(SelectJob job) {
  wait_for_previous();
  let_next_begin();
  auto* room = reinterpret_cast<float*>(shared_memory());
  const Chunk chunk(job);
  float low = -kInfinity, high = -kInfinity;
  for (int64_t i = chunk.first + threadIdx.x; i < chunk.last; i += kSelectThreads) {
    low = larger(low, chunk.low[i]);
    const float end = chunk.high[i];
    high = end != end ? kInfinity : larger(high, end);
  }
  low = block_largest(low, room);
  high = block_largest(high, room);
  if (threadIdx.x != 0) return;
  chunk.room.low[blockIdx.x] = low;
  chunk.room.high[blockIdx.x] = high;
  if (blockIdx.x == 0) job.selected[blockIdx.y].count = 0;
}

// What a draw's tokens are measured by: the mark, and the least logits that min_p surely keeps and
// may keep. 1e-12 of the magnitudes is more than the sampler's doubles and these lose.
struct CutOff {
  float mark;
  double kept, cut;

  __device__ CutOff(const SelectJob& job, const SelectRoom& chunks, float* room) {
    const int count = static_cast<int>(gridDim.x);
    mark = largest_of_chunks(chunks.low, count, room);
    kept = cut = -static_cast<double>(kInfinity);
    const double log_min_p = job.selection.log_min_p;
    if (log_min_p == cut) return;
    const double most = largest_of_chunks(chunks.high, count, room), least = mark;
    kept = most + log_min_p + (fabs(most) - log_min_p) * 1e-12;
    cut = least + log_min_p - (fabs(least) - log_min_p) * 1e-12;
  }
};

__global__ void __launch_bounds__(kSelectThreads) reach_of_chunks(SelectJob job) {
  wait_for_previous();
  let_next_begin();
  auto* room = reinterpret_cast<float*>(shared_memory());
  const Chunk chunk(job);
  const CutOff limits(job, chunk.room, room);
  const Draw draw(job.selection, limits.mark);
  float most = -kInfinity;
  for (int64_t i = chunk.first + threadIdx.x; i < chunk.last; i += kSelectThreads) {
    const float low = chunk.low[i];
    if (static_cast<double>(low) >= limits.kept)
      most = larger(most, draw.reached(static_cast<int>(i), low));
  }
  most = block_largest(most, room);
  if (threadIdx.x == 0) chunk.room.reached[blockIdx.x] = most;
}

// What the threads of settle_chunks share.
struct SettleRoom {
  float most[kSelectWarps];
  float mark;
  int32_t count;
  int32_t token[kSelectThreads];
  float lows[kSelectChunks];
};

// A number that at least `first` of the lows reach: the first-th largest of the chunks' largest.
__device__ inline float mark_of_first(const float* lows, int chunks, int first, SettleRoom& room) {
  if (first > chunks) return -kInfinity;
  if (first == 1) return largest_of_chunks(lows, chunks, room.most);
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kSelectThreads)
    room.lows[i] = lows[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kSelectThreads) {
    const float own = room.lows[i];
    int before = 0;
    for (int k = 0; k < chunks; ++k) {
      before += room.lows[k] > own || (room.lows[k] == own && k < i) ? 1 : 0;
    }
    if (before == first - 1) room.mark = own;
  }
  __syncthreads();
  return room.mark;
}

// Lists what reaches the mark: by a block of threads what a chunk has of it. Rows of the head are
// computed by a warp each.
__global__ void __launch_bounds__(kSelectThreads) settle_chunks(SelectJob job) {
  wait_for_previous();
  let_next_begin();
  auto& room = *reinterpret_cast<SettleRoom*>(shared_memory());
  const Chunk chunk(job);
  const bool draws = job.selection.first == 0;
  const int chunks = static_cast<int>(gridDim.x);
  float mark = 0.0f, reached = 0.0f;
  double cut = -static_cast<double>(kInfinity);
  if (draws) {
    const CutOff limits(job, chunk.room, room.most);
    mark = limits.mark;
    cut = limits.cut;
    reached = largest_of_chunks(chunk.room.reached, chunks, room.most);
  } else {
    mark = mark_of_first(chunk.room.low, chunks, job.selection.first, room);
    if (chunk.room.high[blockIdx.x] < mark) return;
  }
  const Draw draw(job.selection, mark);
  const bool by_largest = cut > -static_cast<double>(kInfinity);  // min_p's mark is the largest
  // NaN, which no comparison holds for, counts.
  const auto matters = [&](int64_t i) {
    const float high = chunk.high[i];
    if (!draws) return !(high < mark);
    if (by_largest && !(high < mark)) return true;
    return high != -kInfinity && !(static_cast<double>(high) < cut) &&
           !(draw.not_passed(static_cast<int>(i), high) < reached);
  };

  Selected& selected = job.selected[blockIdx.y];
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t first = chunk.first; first < chunk.last; first += kSelectThreads) {
    __syncthreads();
    if (threadIdx.x == 0) room.count = 0;
    __syncthreads();
    const int64_t own = first + threadIdx.x;
    if (own < chunk.last && matters(own))
      room.token[atomicAdd(&room.count, 1)] = static_cast<int32_t>(own);
    __syncthreads();
    const int count = room.count;
    for (int i = warp; i < count; i += kSelectWarps) {
      const int32_t token = room.token[i];
      int32_t place = lane == 0 ? atomicAdd(&selected.count, 1) : 0;
      place = __shfl_sync(kAll, place, 0);
      if (place >= kDeviceSelected) break;  // too many: nobody will read them
      const float logit =
          job.low == job.high
              ? chunk.low[token]
              : row_product(job.head, token,
                            job.hidden + blockIdx.y * static_cast<int64_t>(job.head.cols));
      if (lane == 0) selected.logit[place] = {token, logit};
    }
  }
}

}  // namespace

void select_rows(Stream& stream, const SelectJob& job, int64_t rows) {
  const int64_t vocabulary = job.selection.vocabulary;
  const dim3 chunks = grid(parts_of(vocabulary, select_chunk(vocabulary)), rows);
  constexpr int64_t kMaxima = kSelectWarps * sizeof(float);
  launch(stream, mark_chunks, chunks, kSelectThreads, kMaxima, job);
  if (job.selection.first == 0) {
    launch(stream, reach_of_chunks, chunks, kSelectThreads, kMaxima, job);
  }
  launch(stream, settle_chunks, chunks, kSelectThreads, sizeof(SettleRoom), job);
}

}  // namespace bitnet::cuda
