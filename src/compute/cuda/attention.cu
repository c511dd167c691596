#include "compute/cuda/attention.h"

#include <algorithm>

namespace bitnet::cuda {
namespace {

constexpr int kAttentionThreads = 128, kAttentionWarps = kAttentionThreads / kWarp;
constexpr int kPage = static_cast<int>(kPagePositions);
constexpr int kMostQueries = 32, kMostPerThread = 16, kBlockTokens = 8;
constexpr int kPending = 2;  // unfinished nodes of the tree over a group's pages

// A block of threads computes the queries of some tokens and heads over a group of pages. For
// scores a warp takes a query, a lane two keys; for values a thread takes two numbers of the head
// (a pair) and kPer queries: the threads of one turn, head_dim / 2 of them, share their queries.
struct Turns {
  int pairs, count;  // threads of a turn, turns
  __host__ __device__ explicit Turns(int head_dim)
      : pairs(head_dim / 2), count(kAttentionThreads / pairs) {}
};

struct Shared {
  uint16_t *keys, *values;
  float *q, *p, *maxima, *sums, *left, *right;
  int* positions;

  // In bytes, of the whole; p is [kPage][slots], slots = turns * kPer.
  __host__ __device__ static int64_t key_run(int head_dim) {
    return head_dim * 16 + 16;
  }  // 16 keys, a gap
  __host__ __device__ static int64_t bytes(int head_dim, int slots) {
    return kPage / 16 * key_run(head_dim) * 2 + int64_t{kPage} * head_dim * 2 +
           int64_t{slots} * head_dim * 4 + int64_t{kPage} * slots * 4 +
           (2 * (kPending + 1) + 2) * int64_t{slots} * 4 + int64_t{slots} * 4;
  }
  __device__ Shared(uint8_t* at, int head_dim, int slots) {
    const auto take = [&](int64_t bytes) {
      uint8_t* here = at;
      at += bytes;
      return here;
    };
    keys = reinterpret_cast<uint16_t*>(take(kPage / 16 * key_run(head_dim) * 2));
    values = reinterpret_cast<uint16_t*>(take(int64_t{kPage} * head_dim * 2));
    q = reinterpret_cast<float*>(take(int64_t{slots} * head_dim * 4));
    p = reinterpret_cast<float*>(take(int64_t{kPage} * slots * 4));
    maxima = reinterpret_cast<float*>(take((kPending + 1) * int64_t{slots} * 4));
    sums = reinterpret_cast<float*>(take((kPending + 1) * int64_t{slots} * 4));
    left = reinterpret_cast<float*>(take(int64_t{slots} * 4));
    right = reinterpret_cast<float*>(take(int64_t{slots} * 4));
    positions = reinterpret_cast<int*>(take(int64_t{slots} * 4));
  }
};

__device__ inline int lane_of() {
  return static_cast<int>(threadIdx.x) % kWarp;
}

// Where pair i of a head has its two numbers.
struct PairPlace {
  int first, second;
};
__device__ inline PairPlace pair_place(RopeStyle style, int pairs, int i) {
  return style == RopeStyle::kNeox ? PairPlace{i, i + pairs} : PairPlace{2 * i, 2 * i + 1};
}

struct Pair {
  float a, b;
};
__device__ inline Pair rotated(Pair x, float cosine, float sine) {
  return {fused(x.a, cosine, -(x.b * sine)), fused(x.b, cosine, x.a * sine)};
}

// Number i of a token's key after rotation.
__device__ inline float key_number(const AttentionJob& job, int64_t token, const float* k, int i) {
  if (i >= 2 * job.rope_pairs) return k[i];
  const bool neox = job.rope == RopeStyle::kNeox;
  const int pair = neox ? i % job.rope_pairs : i / 2;
  const PairPlace at = pair_place(job.rope, job.rope_pairs, pair);
  const Pair r = rotated({k[at.first], k[at.second]}, job.cosine[token * job.rope_pairs + pair],
                         job.sine[token * job.rope_pairs + pair]);
  return i == at.first ? r.a : r.b;
}

__device__ inline uint16_t* cache_block(const AttentionJob& job, int64_t page, int64_t kv_head) {
  return job.cache +
         ((page * job.layers + job.layer) * job.kv_heads + kv_head) * 2 * kPage * job.head_dim;
}

// A block per token and KV head.
__global__ void store_keys_and_values(AttentionJob job) {
  wait_for_previous();
  let_next_begin();
  const int64_t token = blockIdx.x, head = blockIdx.y, d = job.head_dim;
  const int position = job.position[token], slot = position % kPage;
  uint16_t* keys = cache_block(job, job.pages[job.page_list[token] + position / kPage], head);
  const float* k = job.k + (token * job.kv_heads + head) * d;
  const float* v = job.v + (token * job.kv_heads + head) * d;
  for (int i = static_cast<int>(threadIdx.x); i < d; i += static_cast<int>(blockDim.x)) {
    keys[key_place(slot, i, d)] = float_to_half(key_number(job, token, k, i));
    keys[kPage * d + slot * d + i] = float_to_half(v[i]);
  }
}

// Starts copying the page's block of the cache into shared memory. The numbers of 16 keys follow
// each other as in the cache, with a gap behind, so that a warp that reads 64 keys meets every bank
// once.
__device__ inline void begin_page(const Shared& s, const uint16_t* block, int d) {
  const int run_units = d * 2;  // 16 bytes each
  for (int i = static_cast<int>(threadIdx.x); i < kPage / 16 * run_units; i += kAttentionThreads) {
    copy_async(s.keys + i / run_units * Shared::key_run(d) + i % run_units * 8, block + i * 8);
  }
  const uint16_t* values = block + kPage * d;
  for (int i = static_cast<int>(threadIdx.x); i < kPage * d / 8; i += kAttentionThreads) {
    copy_async(s.values + i * 8, values + i * 8);
  }
  copy_async_commit();
}
// Until it is there, for the whole block.
__device__ inline void end_page() {
  copy_async_wait<0>();
  __syncthreads();
}

template <int kHalf>
__device__ inline void fold(float (&lanes)[kLanes]) {
#pragma unroll
  for (int l = 0; l < kHalf; ++l) lanes[l] += lanes[l + kHalf];
}

// Scores of one query with keys 2 * lane and 2 * lane + 1, kQueries queries at once.
template <int kQueries>
__device__ inline void scores(float (&out)[kQueries][2], const Shared& s,
                              const float* const (&q)[kQueries], int d) {
  const int lane = lane_of();
  const uint16_t* keys = s.keys + lane / 8 * Shared::key_run(d) + lane % 8 * 2;
  float sum[kQueries][2][kLanes] = {};
  for (int first = 0; first < d; first += kLanes) {
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      const bool inside = first + l < d;
      const uint32_t two = inside ? *reinterpret_cast<const uint32_t*>(keys + (first + l) * 16) : 0;
      const float a = half_to_float(static_cast<uint16_t>(two & 0xffffu));
      const float b = half_to_float(static_cast<uint16_t>(two >> 16));
#pragma unroll
      for (int n = 0; n < kQueries; ++n) {
        const float x = inside ? q[n][first + l] : 0.0f;
        sum[n][0][l] = fused(x, a, sum[n][0][l]);
        sum[n][1][l] = fused(x, b, sum[n][1][l]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kQueries; ++n) {
#pragma unroll
    for (int key = 0; key < 2; ++key) {
      fold<8>(sum[n][key]);
      fold<4>(sum[n][key]);
      fold<2>(sum[n][key]);
      fold<1>(sum[n][key]);
      out[n][key] = sum[n][key][0];
    }
  }
}

// From scores of a query to its exponentials in p, maximum and sum. The whole warp.
__device__ inline void weigh(const Shared& s, float (&score)[2], int query, int slots,
                             float scale) {
  const int lane = lane_of(), positions = s.positions[query];
  float most = -__builtin_inff();
#pragma unroll
  for (int key = 0; key < 2; ++key) {
    score[key] = score[key] * scale;
    if (2 * lane + key < positions && score[key] > most) most = score[key];
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const float other = __shfl_xor_sync(kAll, most, apart);
    if (other > most) most = other;
  }
  most = most + 0.0f;
#pragma unroll
  for (int key = 0; key < 2; ++key) {
    const bool there = 2 * lane + key < positions;
    s.p[(2 * lane + key) * slots + query] = there ? contract_exp(score[key] - most) : 0.0f;
  }
  __syncwarp();
  float sum = 0.0f;
  for (int step = 0; step < kPage / kLanes; ++step) {
    sum = fused(s.p[(step * kLanes + lane % kLanes) * slots + query], 1.0f, sum);
  }
  sum = fold_half_warp(sum);
  if (lane == 0) {
    s.maxima[query] = most;
    s.sums[query] = sum;
  }
}

// Joins maximum and sum of part b into part a, one query: what the values of each are multiplied
// with. (attend_join of compute/ops.h)
struct Join {
  float maximum, sum, left, right;
  __device__ Join(float a_maximum, float a_sum, float b_maximum, float b_sum) {
    maximum = a_maximum > b_maximum ? a_maximum : b_maximum;
    left = contract_exp(a_maximum - maximum);
    right = contract_exp(b_maximum - maximum);
    sum = fused(a_sum, left, b_sum * right);
  }
};

// What a block of threads works on.
struct Item {
  QueryBlock block;
  int kv_head, group;
  int first_head, heads;  // of this slice, and how many
  int queries;
  int64_t key;  // of (block, KV head, slice)

  // Query i: token i / heads of the block, head first_head + i % heads.
  __device__ int64_t head_row(const AttentionJob& job, int i) const {
    return static_cast<int64_t>(block.row + i / heads) * job.heads + first_head + i % heads;
  }
};

// Loads and rotates the queries.
__device__ inline void bring_queries(const Shared& s, const AttentionJob& job, const Item& item) {
  const int d = job.head_dim, pairs = job.rope_pairs;
  for (int i = static_cast<int>(threadIdx.x); i < item.queries * d; i += kAttentionThreads) {
    s.q[i] = job.q[item.head_row(job, i / d) * d + i % d];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < item.queries * pairs; i += kAttentionThreads) {
    const int query = i / pairs, pair = i % pairs;
    const int64_t token = item.block.row + query / item.heads;
    const PairPlace at = pair_place(job.rope, pairs, pair);
    float* q = s.q + query * d;
    const Pair r = rotated({q[at.first], q[at.second]}, job.cosine[token * pairs + pair],
                           job.sine[token * pairs + pair]);
    q[at.first] = r.a;
    q[at.second] = r.b;
  }
  __syncthreads();
}

// The only token's key and value into the page in shared memory and into the cache.
__device__ inline void put_own_key(const Shared& s, const AttentionJob& job, const Item& item,
                                   uint16_t* block) {
  const int d = job.head_dim, slot = job.position[item.block.row] % kPage;
  const int64_t at = (static_cast<int64_t>(item.block.row) * job.kv_heads + item.kv_head) * d;
  for (int i = static_cast<int>(threadIdx.x); i < d; i += kAttentionThreads) {
    const uint16_t key = float_to_half(key_number(job, item.block.row, job.k + at, i));
    const uint16_t value = float_to_half(job.v[at + i]);
    s.keys[slot / 16 * Shared::key_run(d) + i * 16 + slot % 16] = key;
    s.values[slot * d + i] = value;
    block[key_place(slot, i, d)] = key;
    block[kPage * d + slot * d + i] = value;
  }
  __syncthreads();
}

// Floats of a group's part: maxima, sums, values of kMostQueries queries.
__host__ __device__ constexpr int64_t part_floats(int head_dim) {
  return int64_t{kMostQueries} * (2 + head_dim);
}

// Joining the parts of all groups: some groups at a time, whose maxima and sums come into shared
// memory and are joined there by the tree, which gives the factors of each join; then a thread
// joins some numbers of the values side by side, so many groups' in flight. What some groups gave
// takes the place of the first of them, until one part is left.
constexpr int kMergeGroups = 64, kMergeLoads = 8, kMergeNumbers = 4;
constexpr int kMergeLevels = 3;  // of the tree over kMergeGroups / kMergeLoads nodes

struct MergeRoom {
  float2* factors;       // [queries][groups]: of the join whose right part begins at this group
  float *maxima, *sums;  // [queries][groups]
  int groups;            // at once, a power of two

  __device__ MergeRoom(uint8_t* at, int64_t bytes, int queries) {
    groups = kMergeGroups;  // 16 at least: a query's p alone has 256 bytes
    while (groups > 1 && int64_t{16} * groups * queries > bytes) groups /= 2;
    factors = reinterpret_cast<float2*>(at);
    maxima = reinterpret_cast<float*>(factors + groups * queries);
    sums = maxima + groups * queries;
  }
};

// The whole block.
__device__ inline void join_maxima(const MergeRoom& room, int queries, int count) {
  for (int apart = 1; apart < count; apart *= 2) {
    const int joins = (count + apart - 1) / (2 * apart);
    for (int i = static_cast<int>(threadIdx.x); i < queries * joins; i += kAttentionThreads) {
      const int right = i / joins * room.groups + apart + i % joins * 2 * apart;
      const int left = right - apart;
      const Join join(room.maxima[left], room.sums[left], room.maxima[right], room.sums[right]);
      room.maxima[left] = join.maximum;
      room.sums[left] = join.sum;
      room.factors[right] = make_float2(join.left, join.right);
    }
    __syncthreads();
  }
}

// The joined values of `count` groups for numbers first, first + threads, ... of all queries'
// heads: from(group)[i] is a group's number i.
template <class From>
__device__ inline void join_values(float (&value)[kMergeNumbers], const MergeRoom& room, int count,
                                   int first, int numbers, int d, From&& from) {
  float pending[kMergeLevels][kMergeNumbers] = {};
  int query[kMergeNumbers], at[kMergeNumbers];
#pragma unroll
  for (int n = 0; n < kMergeNumbers; ++n) {
    at[n] = min(first + n * kAttentionThreads, numbers - 1);
    query[n] = at[n] / d * room.groups;
  }
  const auto joined = [&](int n, float left, float right, int begin) {
    const float2 factor = room.factors[query[n] + begin];
    return fused(left, factor.x, right * factor.y);
  };
  const int loads = (count + kMergeLoads - 1) / kMergeLoads;
  for (int load = 0; load < loads; ++load) {
    const int begin = load * kMergeLoads;
    float v[kMergeLoads][kMergeNumbers];
#pragma unroll
    for (int g = 0; g < kMergeLoads; ++g) {
      const float* part = from(min(begin + g, count - 1));
#pragma unroll
      for (int n = 0; n < kMergeNumbers; ++n) v[g][n] = load_fresh(part + at[n]);
    }
#pragma unroll
    for (int apart = 1; apart < kMergeLoads; apart *= 2) {
#pragma unroll
      for (int right = apart; right < kMergeLoads; right += 2 * apart) {
        if (begin + right >= count) continue;
#pragma unroll
        for (int n = 0; n < kMergeNumbers; ++n) {
          v[right - apart][n] = joined(n, v[right - apart][n], v[right][n], begin + right);
        }
      }
    }
    bool kept = false;
#pragma unroll
    for (int level = 0; level < kMergeLevels; ++level) {
      const bool join = (load >> level & 1) != 0;
#pragma unroll
      for (int n = 0; n < kMergeNumbers; ++n) {
        if (kept) continue;
        if (join) {
          v[0][n] = joined(n, pending[level][n], v[0][n], (load >> level << level) * kMergeLoads);
        } else {
          pending[level][n] = v[0][n];
        }
      }
      kept = kept || !join;
    }
#pragma unroll
    for (int n = 0; n < kMergeNumbers; ++n) value[n] = v[0][n];
  }
  // The last node is in `value`; larger ones wait.
  bool any = loads % (1 << kMergeLevels) == 0;
#pragma unroll
  for (int level = 0; level < kMergeLevels; ++level) {
    if (!(loads >> level & 1)) continue;
#pragma unroll
    for (int n = 0; n < kMergeNumbers; ++n) {
      if (any) {
        value[n] = joined(n, pending[level][n], value[n], (loads >> level << level) * kMergeLoads);
      }
    }
    any = true;
  }
}

// All groups of the item have left their parts: joins them by the tree and finishes.
__device__ inline void merge(const AttentionJob& job, const Item& item, int groups, float* parts,
                             uint8_t* shared, int64_t shared_bytes) {
  const int d = job.head_dim, numbers = item.queries * d;
  const MergeRoom room(shared, shared_bytes, item.queries);
  const auto part_of = [&](int64_t group) { return parts + group * part_floats(d); };
  int count = groups;
  for (int64_t apart = 1;; apart *= room.groups) {  // from part to part
    const bool finishing = count <= room.groups;
    for (int begin = 0; begin < count; begin += room.groups) {
      const int here = min(room.groups, count - begin);
      for (int i = static_cast<int>(threadIdx.x); i < item.queries * here; i += kAttentionThreads) {
        const float* part = part_of((begin + i % here) * apart);
        const int query = i / here, at = query * room.groups + i % here;
        room.maxima[at] = load_fresh(part + query);
        room.sums[at] = load_fresh(part + kMostQueries + query);
      }
      __syncthreads();
      join_maxima(room, item.queries, here);
      for (int first = static_cast<int>(threadIdx.x); first < numbers;
           first += kMergeNumbers * kAttentionThreads) {
        float value[kMergeNumbers] = {};
        join_values(value, room, here, first, numbers, d,
                    [&](int group) { return part_of((begin + group) * apart) + 2 * kMostQueries; });
#pragma unroll
        for (int n = 0; n < kMergeNumbers; ++n) {
          const int i = first + n * kAttentionThreads, query = i / d;
          if (i >= numbers) continue;
          if (finishing) {
            const float sum = room.sums[query * room.groups];
            job.attended[item.head_row(job, query) * d + i % d] = quotient(value[n], sum);
          } else {
            part_of(begin * apart)[2 * kMostQueries + i] = value[n];
          }
        }
      }
      if (finishing) return;
      for (int query = static_cast<int>(threadIdx.x); query < item.queries;
           query += kAttentionThreads) {
        part_of(begin * apart)[query] = room.maxima[query * room.groups];
        part_of(begin * apart)[kMostQueries + query] = room.sums[query * room.groups];
      }
      __threadfence();
      __syncthreads();
    }
    count = static_cast<int>(parts_of(count, room.groups));
  }
}

// What position j adds to kPer queries' values: two numbers of the head, and how much of them.
template <int kPer>
struct Weighed {
  float a, b;
  float p[kPer];

  __device__ Weighed(const Shared& s, int j, int slots, int first_query, int i, int d) {
    const uint32_t two = *reinterpret_cast<const uint32_t*>(s.values + j * d + i);
    a = half_to_float(static_cast<uint16_t>(two & 0xffffu));
    b = half_to_float(static_cast<uint16_t>(two >> 16));
    const auto* at = reinterpret_cast<const float2*>(s.p + j * slots + first_query);
#pragma unroll
    for (int n = 0; n < kPer / 2; ++n) {
      p[2 * n] = at[n].x;
      p[2 * n + 1] = at[n].y;
    }
  }
};

template <int kPer>
__global__ void __launch_bounds__(kAttentionThreads)
    attend_pages(AttentionJob job, int slices, int slice_heads, bool own_key) {
  constexpr int kAtOnce = kPer > 2 ? 2 : 1;
  const int d = job.head_dim, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Turns turns(d);
  const int slots = turns.count * kPer;
  const Shared s(shared_memory(), d, slots);
  __shared__ bool last;

  Item item;
  item.block = job.blocks[blockIdx.z];
  item.group = static_cast<int>(blockIdx.x);
  item.kv_head = static_cast<int>(blockIdx.y) / slices;
  const int per_kv = job.heads / job.kv_heads, slice = static_cast<int>(blockIdx.y) % slices;
  item.first_head = item.kv_head * per_kv + slice * slice_heads;
  item.heads = min(slice_heads, per_kv - slice * slice_heads);
  item.queries = item.block.tokens * item.heads;
  item.key = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  const int first_page = item.group * job.group_pages;
  const int last_page = min(first_page + job.group_pages - 1, item.block.page);
  const auto page_of = [&](int page) {
    return cache_block(job, job.pages[item.block.page_list + page], item.kv_head);
  };
  // With one token in the batch, earlier pages are what earlier batches left; so are, at any rate,
  // the numbers that this batch was sent up with.
  const bool early = own_key && first_page < item.block.page;
  if (early) begin_page(s, page_of(first_page), d);
  let_next_begin();
  wait_for_previous();
  if (first_page > item.block.page) return;
  bring_queries(s, job, item);

  // The thread's two numbers of the head, and its queries.
  const int pair = static_cast<int>(threadIdx.x) % turns.pairs,
            turn = static_cast<int>(threadIdx.x) / turns.pairs;
  const int first_query = turn * kPer;
  const bool works = turn < turns.count;
  float pending[kPending][kPer][2];
  float value[kPer][2];
  int depth = 0;
  const auto join_top = [&] {  // the two youngest nodes
    __syncthreads();
    for (int query = static_cast<int>(threadIdx.x); query < item.queries;
         query += kAttentionThreads) {
      const int a = (depth - 1) * slots + query, b = depth * slots + query;
      const Join join(s.maxima[a], s.sums[a], s.maxima[b], s.sums[b]);
      s.left[query] = join.left;
      s.right[query] = join.right;
      s.maxima[a] = join.maximum;
      s.sums[a] = join.sum;
    }
    __syncthreads();
    if (works) {
#pragma unroll
      for (int n = 0; n < kPer; ++n) {
        if (first_query + n >= item.queries) break;
        const float left = s.left[first_query + n], right = s.right[first_query + n];
        for (int i = 0; i < 2; ++i)
          value[n][i] = fused(pending[depth - 1][n][i], left, value[n][i] * right);
      }
    }
    --depth;
  };

  for (int page = first_page; page <= last_page; ++page) {
    uint16_t* block = page_of(page);
    if (!early || page > first_page) begin_page(s, block, d);
    end_page();
    const bool newest = page == item.block.page;
    if (newest && own_key) put_own_key(s, job, item, block);
    for (int query = static_cast<int>(threadIdx.x); query < item.queries;
         query += kAttentionThreads) {
      s.positions[query] =
          newest ? job.position[item.block.row + query / item.heads] + 1 - page * kPage : kPage;
    }
    __syncthreads();

    Shared here = s;  // maxima and sums of the node this page becomes
    here.maxima += depth * slots;
    here.sums += depth * slots;
    for (int first = warp * kAtOnce; first < item.queries; first += kAttentionWarps * kAtOnce) {
      const float* q[kAtOnce];
      for (int n = 0; n < kAtOnce; ++n) q[n] = s.q + min(first + n, item.queries - 1) * d;
      float score[kAtOnce][2];
      scores<kAtOnce>(score, s, q, d);
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (first + n < item.queries) weigh(here, score[n], first + n, slots, job.scale);
      }
    }
    __syncthreads();

    if (works) {
#pragma unroll
      for (int n = 0; n < kPer; ++n) value[n][0] = value[n][1] = 0.0f;
      // All of the thread's queries see the positions before `all`, the last one those before
      // `end`.
      const int all = newest ? s.positions[min(first_query, item.queries - 1)] : kPage;
      const int end = newest ? s.positions[min(first_query + kPer, item.queries) - 1] : kPage;
      int j = 0;
#pragma unroll 8
      for (; j < all; ++j) {
        const Weighed<kPer> at(s, j, slots, first_query, 2 * pair, d);
#pragma unroll
        for (int n = 0; n < kPer; ++n) {
          value[n][0] = fused(at.p[n], at.a, value[n][0]);
          value[n][1] = fused(at.p[n], at.b, value[n][1]);
        }
      }
      for (; j < end; ++j) {
        const Weighed<kPer> at(s, j, slots, first_query, 2 * pair, d);
#pragma unroll
        for (int n = 0; n < kPer; ++n) {
          if (first_query + n >= item.queries || j >= s.positions[first_query + n]) continue;
          value[n][0] = fused(at.p[n], at.a, value[n][0]);
          value[n][1] = fused(at.p[n], at.b, value[n][1]);
        }
      }
    }
    for (int carry = page - first_page + 1; carry % 2 == 0; carry /= 2) join_top();
    if (page == last_page) break;
    if (works) {
#pragma unroll
      for (int n = 0; n < kPer; ++n) {
        for (int i = 0; i < 2; ++i) pending[depth][n][i] = value[n][i];
      }
    }
    ++depth;
    __syncthreads();  // before the page's room is filled anew
  }
  while (depth > 0) join_top();

  const int groups = item.block.page / job.group_pages + 1;
  if (groups == 1) {
    __syncthreads();
    for (int n = 0; works && n < kPer && first_query + n < item.queries; ++n) {
      const int query = first_query + n;
      float* out = job.attended + item.head_row(job, query) * d + 2 * pair;
      out[0] = quotient(value[n][0], s.sums[query]);
      out[1] = quotient(value[n][1], s.sums[query]);
    }
    return;
  }
  float* part = job.parts + (item.key * job.groups + item.group) * part_floats(d);
  __syncthreads();
  for (int query = static_cast<int>(threadIdx.x); query < item.queries;
       query += kAttentionThreads) {
    part[query] = s.maxima[query];
    part[kMostQueries + query] = s.sums[query];
  }
  for (int n = 0; works && n < kPer && first_query + n < item.queries; ++n) {
    float* out = part + 2 * kMostQueries + (first_query + n) * d + 2 * pair;
    out[0] = value[n][0];
    out[1] = value[n][1];
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(job.arrived + item.key, 1u) == static_cast<uint32_t>(groups - 1);
    if (last) job.arrived[item.key] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  merge(job, item, groups, job.parts + item.key * job.groups * part_floats(d), shared_memory(),
        Shared::bytes(d, slots));
}

// Queries a thread computes the values of, as kernels are made for.
int64_t per_thread_of(int64_t queries, int64_t head_dim) {
  const int64_t needed = parts_of(queries, Turns(static_cast<int>(head_dim)).count);
  return needed <= 2 ? 2 : needed <= 4 ? 4 : kMostPerThread;
}

int turns_of(int64_t head_dim) {
  return Turns(static_cast<int>(head_dim)).count;
}

template <int kPer>
void attend_slice(Stream& stream, const AttentionJob& job, const AttentionShape& shape,
                  bool own_key) {
  const int64_t bytes = Shared::bytes(job.head_dim, turns_of(job.head_dim) * kPer);
  launch(stream, attend_pages<kPer>, grid(job.groups, job.kv_heads * shape.slices, job.block_count),
         kAttentionThreads, bytes, job, static_cast<int>(shape.slices),
         static_cast<int>(shape.slice_heads), own_key);
}

}  // namespace

AttentionShape::AttentionShape(int64_t heads, int64_t kv_heads, int64_t head_dim) noexcept {
  const int64_t per_kv = heads / kv_heads;
  const int64_t most =
      std::min<int64_t>(kMostQueries, int64_t{turns_of(head_dim)} * kMostPerThread);
  slices = parts_of(per_kv, most);
  slice_heads = parts_of(per_kv, slices);
  tokens = std::clamp<int64_t>(most / slice_heads, 1, kBlockTokens);
}

int64_t attention_part_floats(int64_t heads, int64_t kv_heads, int64_t head_dim) noexcept {
  return kv_heads * AttentionShape(heads, kv_heads, head_dim).slices *
         part_floats(static_cast<int>(head_dim));
}

void attend(Stream& stream, const AttentionJob& job) {
  const AttentionShape shape(job.heads, job.kv_heads, job.head_dim);
  const bool own_key = job.tokens == 1 && shape.slices == 1;
  if (!own_key) {
    launch(stream, store_keys_and_values, grid(job.tokens, job.kv_heads), kAttentionThreads, 0,
           job);
  }
  const int64_t queries = (job.block_count == job.tokens ? 1 : shape.tokens) * shape.slice_heads;
  const int64_t per_thread = per_thread_of(queries, job.head_dim);
  AttentionJob slice = job;
  // As many blocks of queries at once as there is room for their groups' parts.
  const int64_t at_once = std::max<int64_t>(job.part_groups / job.groups, 1);
  for (int64_t first = 0; first < job.block_count; first += at_once) {
    slice.blocks = job.blocks + first;
    slice.block_count = static_cast<int32_t>(std::min(at_once, job.block_count - first));
    if (per_thread == 2) {
      attend_slice<2>(stream, slice, shape, own_key);
    } else if (per_thread == 4) {
      attend_slice<4>(stream, slice, shape, own_key);
    } else {
      attend_slice<kMostPerThread>(stream, slice, shape, own_key);
    }
  }
}

int64_t attention_shared_bytes(int64_t heads, int64_t kv_heads, int64_t head_dim) {
  const AttentionShape shape(heads, kv_heads, head_dim);
  const int64_t per_thread = per_thread_of(shape.tokens * shape.slice_heads, head_dim);
  return Shared::bytes(static_cast<int>(head_dim),
                       turns_of(head_dim) * static_cast<int>(per_thread));
}

cudaError_t prepare_attention_kernels(int shared_bytes) {
  for (const void* kernel : {reinterpret_cast<const void*>(&attend_pages<2>),
                             reinterpret_cast<const void*>(&attend_pages<4>),
                             reinterpret_cast<const void*>(&attend_pages<kMostPerThread>)}) {
    const cudaError_t error = allow_shared(kernel, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace bitnet::cuda
