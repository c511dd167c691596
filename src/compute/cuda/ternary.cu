#include "compute/cuda/ternary.h"

#include <cstring>

namespace bitnet::cuda {

void arrange_tiles(uint8_t* out, const TernaryMatrix& w, int64_t first, int64_t last) noexcept {
  const int64_t groups = padded_cols(w.cols) / kGroupCols;
  for (int64_t tile = first; tile < last; ++tile) {
    const uint8_t* from = tile_stream(w, tile);
    for (int64_t chunk = 0; chunk < chunks_of(w.cols); ++chunk) {
      for (int64_t lane = 0; lane < kWarp; ++lane) {
        for (int64_t i = 0; i < 4; ++i, out += 4) {
          const int64_t row = lane / 4 + i % 2 * 8, group = 8 * chunk + lane % 4 * 2 + i / 2;
          if (group < groups) {
            std::memcpy(out, from + group * kGroupBytes + 4 * row, 4);
          } else {
            std::memset(out, 0x55, 4);  // zeros; their activations are zero as well
          }
        }
      }
    }
  }
}

namespace {

constexpr uint32_t kPlane = 0x03030303u;
constexpr int kFewThreads = 256;
// Chunks of a tile that a warp has under way before it may read its input: all of them, for the
// widths of 2B-4T.
template <int kTiles>
constexpr int kAhead = kTiles == 1 ? 7 : 5;

struct Place {
  int part, tile;
};

// Tile number `tile` of a job's parts laid end to end.
__device__ inline Place place_of(const TernaryJob& job, int tile) {
  int part = 0;
  for (; part + 1 < job.parts; ++part) {
    const int tiles = static_cast<int>(parts_of(job.part[part].rows, kTileRows));
    if (tile < tiles) break;
    tile -= tiles;
  }
  return {part, tile};
}

__device__ inline const uint8_t* codes_of(const TernaryJob& job, Place place) {
  const int64_t chunks = parts_of(job.cols, kChunkCols);
  return job.part[place.part].tiles + place.tile * chunks * kChunkBytes;
}

// y of one row and token from its integer sum.
__device__ inline float product_of(const TernaryPart& part, int32_t sum, float q_scale,
                                   int32_t q_sum) {
  const float y = static_cast<float>(sum - q_sum) * quotient(part.scale, q_scale);
  return part.output_scale == 1.0f ? y : y * part.output_scale;
}

__device__ inline void finish(const TernaryJob& job, const TernaryPart& part, int64_t row,
                              int64_t token, float y) {
  float* at = part.y + token * part.y_stride + row;
  *at = job.then == Then::kAdd ? *at + y : y;
}

// One lane's activations of a chunk: the words of planes 0..3, of its first and second 16 columns.
struct Activations {
  uint4 low, high;
};

__device__ inline uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Few tokens: weights stream past, a warp every so many chunks of the block's tiles; the warps'
// sums are added at the end. kTiles tiles at once (two: a gate's and an up's), kTokenTiles times 8
// tokens. Of 8 tokens or fewer the codes of plane p stay where they are in their bytes, which makes
// sums 4^p times too large, one for each plane, exactly.
template <int kTiles, int kTokenTiles, bool kNorm>
__global__ void __launch_bounds__(kFewThreads) ternary_few(TernaryJob job) {
  constexpr bool kInPlace = kTokenTiles == 1;
  constexpr int kSums = kInPlace ? 4 : 1, kTokens = 8 * kTokenTiles;
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int g = lane / 4, j = lane % 4;
  const int chunks = static_cast<int>(parts_of(job.cols, kChunkCols));
  const int padded = chunks * static_cast<int>(kChunkCols);

  Place place[kTiles];
  const uint8_t* codes[kTiles];
  for (int t = 0; t < kTiles; ++t) {
    const int tile = static_cast<int>(blockIdx.x);
    place[t] = kTiles == 1 ? place_of(job, tile) : Place{t, tile};
    codes[t] = codes_of(job, place[t]) + lane * 16;
  }
  uint4 ahead[kAhead<kTiles>][kTiles];
#pragma unroll
  for (int i = 0; i < kAhead<kTiles>; ++i) {
    const int chunk = warp + i * warps;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      if (chunk < chunks) ahead[i][t] = load_once(codes[t] + chunk * kChunkBytes);
    }
  }
  auto* sums = reinterpret_cast<int32_t*>(shared_memory());  // [warps][kTiles][16][kTokens]
  auto* own = reinterpret_cast<int8_t*>(sums + warps * kTiles * kTileRows * kTokens);
  const NormRoom room(reinterpret_cast<uint8_t*>(own) + padded, job.norm.n, true);
  Normed input = job.norm;
  if (kNorm) bring_gamma(room, input);
  let_next_begin();
  wait_for_previous();

  Quantization quantization = {};
  if (kNorm) {
    bring_row(room, &input);
    quantization = norm_and_quantize(own, padded, input, room, nullptr);
  }

  int32_t sum[kTiles][kTokenTiles][kSums][4] = {};
  const auto multiply = [&](int chunk, const uint4(&w)[kTiles]) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const int token = 8 * n + g;
      Activations x = {};
      if (token < job.tokens) {
        const int8_t* q = kNorm ? own : job.q + static_cast<int64_t>(token) * padded;
        const auto* at = reinterpret_cast<const uint4*>(q + chunk * kChunkCols + 32 * j);
        x = {at[0], at[1]};
      }
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
#pragma unroll
        for (int p = 0; p < 4; ++p) {
          uint32_t a[4];
          for (int i = 0; i < 4; ++i) {
            a[i] = kInPlace ? word_of(w[t], i) & (kPlane << (2 * p))
                            : (word_of(w[t], i) >> (2 * p)) & kPlane;
          }
          multiply_u8_s8(sum[t][n][kInPlace ? p : 0], a, word_of(x.low, p), word_of(x.high, p));
        }
      }
    }
  };
#pragma unroll
  for (int i = 0; i < kAhead<kTiles>; ++i) {
    if (warp + i * warps < chunks) multiply(warp + i * warps, ahead[i]);
  }
  for (int chunk = warp + kAhead<kTiles> * warps; chunk < chunks; chunk += warps) {
    uint4 w[kTiles];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) w[t] = load_once(codes[t] + chunk * kChunkBytes);
    multiply(chunk, w);
  }

#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int32_t total = sum[t][n][0][i];
        for (int p = 1; p < kSums; ++p) total += sum[t][n][p][i] >> (2 * p);
        const int row = g + 8 * (i / 2), token = 8 * n + 2 * j + i % 2;
        sums[((warp * kTiles + t) * kTileRows + row) * kTokens + token] = total;
      }
    }
  }
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < kTileRows * kTokens;
       at += static_cast<int>(blockDim.x)) {
    const int row = at / kTokens, token = at % kTokens;
    if (token >= job.tokens) continue;
    const float q_scale = kNorm ? quantization.scale : job.q_scale[token];
    const int32_t q_sum = kNorm ? quantization.sum : job.q_sum[token];
    float y[kTiles];
    for (int t = 0; t < kTiles; ++t) {
      int32_t total = 0;
      for (int w = 0; w < warps; ++w) {
        total += sums[((w * kTiles + t) * kTileRows + row) * kTokens + token];
      }
      y[t] = product_of(job.part[place[t].part], total, q_scale, q_sum);
    }
    const TernaryPart& part = job.part[place[0].part];
    const int64_t r = place[0].tile * kTileRows + row;
    if (r >= part.rows) continue;
    finish(job, part, r, token, kTiles == 2 ? gated(y[0], y[kTiles - 1], job.relu2) : y[0]);
  }
}

// Many tokens: a block computes some tiles for some tokens; its warps share the tokens'
// activations, which go through shared memory, kStages chunks under way, and each unpacks the codes
// of two tiles of its own. The 16 bytes `unit` of a token's 128 lie at unit ^ (token % 8), so that
// eight lanes that read two tokens meet no bank twice.
constexpr int kManyThreads = 256, kManyWarps = kManyThreads / kWarp, kStages = 3;
constexpr int kUnits = static_cast<int>(kChunkCols) / 16;

template <int kRowWarps, int kTokenTiles>
struct ManyShape {
  static constexpr int kTokens = kManyWarps / kRowWarps * kTokenTiles * 8;
  static constexpr int64_t kSharedBytes = int64_t{kStages} * kTokens * kChunkCols;
};

template <int kRowWarps, int kTokenTiles>
__global__ void __launch_bounds__(kManyThreads, kTokenTiles > 4 ? 1 : 2)
    ternary_many(TernaryJob job) {
  using Shape = ManyShape<kRowWarps, kTokenTiles>;
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, j = lane % 4;
  const int chunks = static_cast<int>(parts_of(job.cols, kChunkCols));
  const int64_t padded = static_cast<int64_t>(chunks) * kChunkCols;
  const int first_token = static_cast<int>(blockIdx.x) * Shape::kTokens;
  const int row_warp = warp % kRowWarps;
  const int warp_token = warp / kRowWarps * kTokenTiles * 8;  // in the block

  // A warp's two tiles: a gate's and an up's, or neighbours. Past the end: the last one again.
  Place place[2];
  bool there[2];
  const uint8_t* codes[2];
  int tiles = 0;
  for (int part = 0; part < job.parts; ++part) {
    tiles += static_cast<int>(parts_of(job.part[part].rows, kTileRows));
  }
  const int pair = static_cast<int>(blockIdx.y) * kRowWarps + row_warp;
  for (int t = 0; t < 2; ++t) {
    if (job.then == Then::kGate) {
      there[t] = 2 * pair < tiles;
      place[t] = {t, min(pair, tiles / 2 - 1)};
    } else {
      there[t] = 2 * pair + t < tiles;
      place[t] = place_of(job, min(2 * pair + t, tiles - 1));
    }
    codes[t] = codes_of(job, place[t]) + lane * 16;
  }
  uint4 next[2] = {load_once(codes[0]), load_once(codes[1])};
  let_next_begin();
  wait_for_previous();

  uint8_t* stages = shared_memory();  // [kStages][kTokens][kChunkCols]
  const auto bring = [&](int chunk) {
    if (chunk < chunks) {
      uint8_t* stage = stages + chunk % kStages * Shape::kTokens * kChunkCols;
      for (int i = static_cast<int>(threadIdx.x); i < Shape::kTokens * kUnits; i += kManyThreads) {
        const int token = i / kUnits, unit = i % kUnits;
        const int64_t from = min(first_token + token, job.tokens - 1) * padded + chunk * kChunkCols;
        copy_async(stage + token * kChunkCols + (unit ^ (token % 8)) * 16,
                   job.q + from + unit * 16);
      }
    }
    copy_async_commit();
  };
  for (int chunk = 0; chunk < kStages - 1; ++chunk) bring(chunk);

  int32_t sum[2][kTokenTiles][4] = {};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // this chunk is there, and nobody reads the stage that is filled next
    bring(chunk + kStages - 1);
    uint32_t a[2][4][4];
#pragma unroll
    for (int t = 0; t < 2; ++t) {
#pragma unroll
      for (int p = 0; p < 4; ++p) {
#pragma unroll
        for (int i = 0; i < 4; ++i) a[t][p][i] = (word_of(next[t], i) >> (2 * p)) & kPlane;
      }
      if (chunk + 1 < chunks) next[t] = load_once(codes[t] + (chunk + 1) * kChunkBytes);
    }
    const uint8_t* stage = stages + chunk % kStages * Shape::kTokens * kChunkCols;
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const int token = warp_token + 8 * n + g;
      const uint8_t* at = stage + token * kChunkCols;
      const uint4 low = *reinterpret_cast<const uint4*>(at + ((2 * j) ^ (token % 8)) * 16);
      const uint4 high = *reinterpret_cast<const uint4*>(at + ((2 * j + 1) ^ (token % 8)) * 16);
#pragma unroll
      for (int p = 0; p < 4; ++p) {
#pragma unroll
        for (int t = 0; t < 2; ++t) {
          multiply_u8_s8(sum[t][n], a[t][p], word_of(low, p), word_of(high, p));
        }
      }
    }
  }

#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = first_token + warp_token + 8 * n + 2 * j + i % 2;
      if (token >= job.tokens) continue;
      const int row = g + 8 * (i / 2);
      float y[2];
      for (int t = 0; t < 2; ++t) {
        y[t] =
            product_of(job.part[place[t].part], sum[t][n][i], job.q_scale[token], job.q_sum[token]);
      }
      if (job.then == Then::kGate) {
        const int64_t r = place[0].tile * kTileRows + row;
        if (there[0] && r < job.part[0].rows)
          finish(job, job.part[0], r, token, gated(y[0], y[1], job.relu2));
        continue;
      }
      for (int t = 0; t < 2; ++t) {
        const TernaryPart& part = job.part[place[t].part];
        const int64_t r = place[t].tile * kTileRows + row;
        if (there[t] && r < part.rows) finish(job, part, r, token, y[t]);
      }
    }
  }
}

int64_t tiles_of(const TernaryJob& job) {
  int64_t tiles = 0;
  for (int part = 0; part < job.parts; ++part) tiles += parts_of(job.part[part].rows, kTileRows);
  return job.then == Then::kGate ? tiles / 2 : tiles;
}

// A gate's blocks are many, with twice the loads a warp; half the warps keep them all resident.
template <int kTiles>
constexpr int64_t kThreadsOf = kTiles == 2 ? kFewThreads / 2 : kFewThreads;

template <int kTiles, int kTokenTiles, bool kNorm>
int64_t few_shared_bytes(int64_t cols) {
  const int64_t sums = kThreadsOf<kTiles> / kWarp * kTiles * kTileRows * 8 * kTokenTiles * 4;
  if (!kNorm) return sums;
  return sums + chunks_of(cols) * kChunkCols + NormRoom::bytes(cols, true);
}

template <int kTiles, int kTokenTiles, bool kNorm>
void few(Stream& stream, const TernaryJob& job) {
  launch(stream, ternary_few<kTiles, kTokenTiles, kNorm>, grid(tiles_of(job)), kThreadsOf<kTiles>,
         few_shared_bytes<kTiles, kTokenTiles, kNorm>(job.cols), job);
}

template <int kTiles>
void few_of(Stream& stream, const TernaryJob& job) {
  if (job.norm.x) return few<kTiles, 1, true>(stream, job);
  if (job.tokens <= 8) return few<kTiles, 1, false>(stream, job);
  if (job.tokens <= 16) return few<kTiles, 2, false>(stream, job);
  if (job.tokens <= 32) return few<kTiles, 4, false>(stream, job);
  few<kTiles, 8, false>(stream, job);
}

template <int kRowWarps, int kTokenTiles>
void many(Stream& stream, const TernaryJob& job) {
  using Shape = ManyShape<kRowWarps, kTokenTiles>;
  const int64_t pairs = job.then == Then::kGate ? tiles_of(job) : parts_of(tiles_of(job), 2);
  launch(stream, ternary_many<kRowWarps, kTokenTiles>,
         grid(parts_of(job.tokens, Shape::kTokens), parts_of(pairs, kRowWarps)), kManyThreads,
         Shape::kSharedBytes, job);
}

constexpr int64_t kFewTokens = 64;

}  // namespace

void ternary_products(Stream& stream, const TernaryJob& job) {
  if (job.tokens <= kFewTokens) {
    return job.then == Then::kGate ? few_of<2>(stream, job) : few_of<1>(stream, job);
  }
  // Large blocks read each activation less often; small ones fill all processors.
  const int64_t pairs = job.then == Then::kGate ? tiles_of(job) : parts_of(tiles_of(job), 2);
  const int64_t large = parts_of(pairs, 4) * parts_of(job.tokens, 128);
  if (large >= stream.processors) return many<4, 8>(stream, job);
  many<2, 4>(stream, job);
}

int64_t ternary_shared_bytes(int64_t cols) {
  return few_shared_bytes<2, 1, true>(cols);
}

cudaError_t prepare_ternary_kernels(int shared_bytes) {
  for (const void* kernel : {reinterpret_cast<const void*>(&ternary_few<1, 1, true>),
                             reinterpret_cast<const void*>(&ternary_few<2, 1, true>),
                             reinterpret_cast<const void*>(&ternary_many<2, 4>),
                             reinterpret_cast<const void*>(&ternary_many<4, 8>)}) {
    const cudaError_t error = allow_shared(kernel, shared_bytes);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace bitnet::cuda
