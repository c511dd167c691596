#include "compute/cuda/screen.h"

#include <cmath>

#include "compute/cuda/dense_row.h"

namespace bitnet::cuda {
namespace {

constexpr int kScreenThreads = 256, kScreenWarps = kScreenThreads / kWarp;

// THE BOUND of |logit - score| for a row e and a hidden state h, as forward/screened_head.cpp
// derives it. The copy is q, its integers of h stand for x exactly. Euclidean norms: r >= |e - q|,
// n >= |e|, H >= |h|, D >= |h - x|. u = 2^-24, gamma(k) = k u / (1 - k u).
//
//   e.h - q.x = (e - q).h + q.(h - x)                         at most  r H + (n + r) D
//   score:  a block's sum of integers is exact (64 * 127 * 32639 < 2^31); its conversion, as many
//           fma as there are blocks, the product with x's scale
//                                                             at most  gamma(blocks + 2) (n+r)(H+D)
//   logit:  up to 16 fma of a lane, 4 folds, the tree         at most  gamma(16 + 4 + depth) n H
//   underflow: scales are 0 or at least 2^-100 with 8 bits, so only the score's last product can
//           (2^-150), and a logit's fma by 2^-150 each        at most  2^-149 (1 + cols)
//   overflow: none. n <= 2^50, |h[i]| <= 2^60.
//
// Together r A + n B + C, computed in double and raised for its own rounding and for that of the
// float expression. low = score - bound, rounded, is at most the logit: that is a float, and
// rounding is monotone.
constexpr int kLargest = 127 * 256 + 127;  // of the integers: both bytes are signed
constexpr float kMostHidden = 0x1p60f;
constexpr double kMostNorm = 0x1p50;
constexpr float kLeastScale = 0x1p-100f;
constexpr double kDoubles = 1 + 0x1p-30;  // more than sums of doubles lose
constexpr double kFloats = 1 + 0x1p-20;   // more than three roundings of floats do

// x >= 0, or NaN.
__device__ inline float raised(double x) {
  const float nearest = static_cast<float>(x);
  return static_cast<double>(nearest) < x ? float_of(bits_of(nearest) + 1) : nearest;
}

__device__ inline int nearest_integer(float x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23
  return static_cast<int>((x + kRounder) - kRounder);
}

__device__ inline double warp_sum(double x) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(kAll, x, apart);
  return x;
}

__device__ inline uint32_t byte_of(int x, int place) {
  return (static_cast<uint32_t>(x) & 0xffu) << (8 * place);
}

// ---- The copy ----------------------------------------------------------------------------------

// The scale whose code 127 stands for the number of largest magnitude, to the nearest bfloat16.
__device__ inline float scale_for(float largest) {
  const uint32_t bits = bits_of(largest * (1.0f / 127.0f));
  const float scale = float_of((bits + 0x8000u) & 0xffff0000u);
  return scale >= kLeastScale ? scale : 0.0f;
}

// Where in a tile the four codes from column 4 * four on of a row are, and a block's scale of it.
__device__ inline int64_t codes_place(int row, int block, int four) {
  const int g = row % 8, step = four / 8, j = four % 4, i = row / 8 + 2 * (four / 4 % 2);
  return block * kScreenBlockBytes + (step * kWarp + g * 4 + j) * 16 + i * 4;
}
__device__ inline int64_t scale_place(int row, int block) {
  return block * kScreenBlockBytes + kScreenCodeBytes + row % 8 * 4 + row / 8 * 2;
}

// A warp a row, half a warp a block of columns, a lane four of them.
__global__ void __launch_bounds__(kScreenThreads) copy_rows(DeviceDense head, DeviceScreen to) {
  wait_for_previous();
  let_next_begin();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, half = lane / kLanes;
  const int four = lane % kLanes;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kScreenWarps + threadIdx.x / kWarp;
  if (row >= rounded_up(head.rows, kScreenRows)) return;
  const int blocks = static_cast<int>(screen_blocks(head.cols)),
            in_tile = static_cast<int>(row % kScreenRows);
  const int64_t number_bytes = head.type == Stored::kF32 ? 4 : 2;
  const uint8_t* numbers = head.data + row * dense_padded(head.cols) * number_bytes;
  uint8_t* tile = to.tiles + row / kScreenRows * (blocks * kScreenBlockBytes);

  double squares = 0.0, lost_squares = 0.0;
  bool known = true;
  for (int first = 0; first < blocks; first += 2) {
    const int block = first + half;
    float x[4];
    uint32_t most = 0;  // magnitudes of floats are ordered like their bits, NaN the largest
    for (int i = 0; i < 4; ++i) {
      const int column = block * kScreenCols + 4 * four + i;
      const bool there = row < head.rows && column < head.cols;
      x[i] = there ? number_at(head.type, numbers, dense_place(column, number_bytes)) : 0.0f;
      most = max(most, bits_of(magnitude(x[i])));
    }
    for (int apart = kLanes / 2; apart > 0; apart /= 2) {
      most = max(most, __shfl_xor_sync(kAll, most, apart));
    }
    const bool finite = most < bits_of(kInfinity);
    known &= finite;
    const float scale = finite ? scale_for(float_of(most)) : 0.0f;
    const float inverse = scale > 0.0f ? quotient(1.0f, scale) : 0.0f;
    uint32_t codes = 0;
    for (int i = 0; i < 4; ++i) {
      const int code = scale > 0.0f ? min(max(nearest_integer(x[i] * inverse), -127), 127) : 0;
      codes |= byte_of(code, i);
      const double exact = static_cast<double>(x[i]);
      const double lost = exact - static_cast<double>(scale) * code;
      squares += exact * exact;
      lost_squares += lost * lost;
    }
    if (block >= blocks) continue;
    *reinterpret_cast<uint32_t*>(tile + codes_place(in_tile, block, four)) = codes;
    if (four == 0) {
      *reinterpret_cast<uint16_t*>(tile + scale_place(in_tile, block)) =
          static_cast<uint16_t>(bits_of(scale) >> 16);
    }
  }
  const float norm = raised(sqrt(warp_sum(squares)) * kDoubles);
  const float residual = raised(sqrt(warp_sum(lost_squares)) * kDoubles);
  const bool usable =
      __all_sync(kAll, known) != 0 && static_cast<double>(norm) <= kMostNorm;  // no NaN
  __syncwarp();  // the scales above are other lanes'
  if (!usable) {
    for (int block = lane; block < blocks; block += kWarp) {
      *reinterpret_cast<uint16_t*>(tile + scale_place(in_tile, block)) = 0;
    }
  }
  if (lane != 0 || row >= head.rows) return;
  to.residual[row] = usable ? residual : kInfinity;
  to.norm[row] = usable ? norm : 0.0f;
}

// ---- Hidden states -----------------------------------------------------------------------------

// What a block of threads adds up and compares.
struct InputRoom {
  double squares[kScreenWarps], lost[kScreenWarps];
  uint32_t most[kScreenWarps];
};

__device__ inline double gamma_of(int roundings) {
  const double k = roundings * 0x1p-24;
  return k / (1 - k);
}

__device__ inline int tree_depth(int items) {
  int depth = 0;
  while ((1 << depth) < items) ++depth;
  return depth;
}

__device__ inline ScreenToken token_of(float scale, double squares, double lost_squares, int cols) {
  const double norm = sqrt(squares) * kDoubles, lost = sqrt(lost_squares) * kDoubles;
  const int blocks = static_cast<int>(screen_blocks(cols)),
            depth = tree_depth(static_cast<int>(parts_of(cols, kBlock)));
  const double score = gamma_of(blocks + 2) * (norm + lost);
  const double logit = gamma_of(16 + 4 + depth) * norm;
  return {scale, raised((norm + lost + score) * kFloats + 0x1p-120),
          raised((lost + score + logit) * kFloats),
          raised(static_cast<double>(cols + 1) * 0x1p-149 * kFloats + 0x1p-140)};
}

// A block of threads a hidden state.
__global__ void __launch_bounds__(kScreenThreads)
    split_hidden(const float* hidden, int32_t cols, ScreenInput to) {
  wait_for_previous();
  let_next_begin();
  auto& room = *reinterpret_cast<InputRoom*>(shared_memory());
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  const int token = static_cast<int>(blockIdx.x);
  const float* h = hidden + static_cast<int64_t>(token) * cols;
  const int blocks = static_cast<int>(screen_blocks(cols));

  uint32_t most = 0;
  for (int i = static_cast<int>(threadIdx.x); i < cols; i += kScreenThreads) {
    most = max(most, bits_of(magnitude(h[i])));
  }
  most = __reduce_max_sync(kAll, most);
  if (lane == 0) room.most[warp] = most;
  __syncthreads();
  for (int w = 0; w < kScreenWarps; ++w) most = max(most, room.most[w]);
  const float largest = float_of(most);
  const bool usable =
      largest <= kMostHidden && (largest == 0.0f || largest >= 1.0f / kMostHidden);  // no NaN
  const float scale = usable ? quotient(largest, static_cast<float>(kLargest)) : 0.0f;
  // |h * inverse| <= kLargest (1 + 2u), which rounds to kLargest at most.
  const float inverse = scale > 0.0f ? quotient(static_cast<float>(kLargest), largest) : 0.0f;

  double squares = 0.0, lost_squares = 0.0;
  uint8_t* own = to.bytes + static_cast<int64_t>(token / 8) * blocks * (kWarp * 32);
  for (int four = static_cast<int>(threadIdx.x); four < blocks * (kScreenCols / 4);
       four += kScreenThreads) {
    uint32_t high = 0, low = 0;
    for (int i = 0; i < 4; ++i) {
      const int column = 4 * four + i;
      const float number = usable && column < cols ? h[column] : 0.0f;
      const int x = nearest_integer(number * inverse), upper = (x + 128) >> 8;
      high |= byte_of(upper, i);
      low |= byte_of(x - 256 * upper, i);
      const double exact = static_cast<double>(number);
      const double lost = exact - static_cast<double>(scale) * x;
      squares += exact * exact;
      lost_squares += lost * lost;
    }
    // Word `four / 4 % 2` of step `four / 8 % 2` of the lane that holds column token % 8.
    const int block = four / 16, step = four / 8 % 2, word = four / 4 % 2, j = four % 4;
    auto* words = reinterpret_cast<uint32_t*>(own + (block * kWarp + token % 8 * 4 + j) * 32);
    words[step * 4 + word] = high;
    words[step * 4 + 2 + word] = low;
  }
  squares = warp_sum(squares);
  lost_squares = warp_sum(lost_squares);
  if (lane == 0) {
    room.squares[warp] = squares;
    room.lost[warp] = lost_squares;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  squares = lost_squares = 0.0;
  for (int w = 0; w < kScreenWarps; ++w) {
    squares += room.squares[w];
    lost_squares += room.lost[w];
  }
  // of_residual is never 0: the infinite residual of an unknown row must give an infinite bound.
  to.token[token] = usable ? token_of(scale, squares, lost_squares, cols)
                           : ScreenToken{0.0f, 1.0f, 0.0f, kInfinity};
}

// ---- Scores ------------------------------------------------------------------------------------

struct ScreenJob {
  DeviceScreen screen;
  ScreenInput input;
  int32_t tokens;
  float *low, *high;
  int64_t stride;
};

// Blocks of columns that a warp has under way: one such group is computed while the next comes.
template <int kTokenTiles>
constexpr int kGroup = kTokenTiles <= 2   ? 4
                       : kTokenTiles == 4 ? 2
                                          : 1;

template <int kBlocks>
struct Codes {
  uint4 w[kBlocks][2];
  uint32_t scales[kBlocks];

  // Blocks first .. first + kBlocks - 1 of a tile; beyond its `blocks`, or without one, nothing.
  __device__ void load(const uint8_t* tile, int first, int blocks, int lane) {
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      if (!tile || first + i >= blocks) continue;
      const uint8_t* at = tile + (first + i) * kScreenBlockBytes;
      w[i][0] = load_once(at + lane * 16);
      w[i][1] = load_once(at + (kWarp + lane) * 16);
      scales[i] = reinterpret_cast<const uint32_t*>(at + kScreenCodeBytes)[lane / 4];
    }
  }
};

__device__ inline void multiply(int32_t (&sum)[4], const uint4& w, uint32_t b0, uint32_t b1) {
  const uint32_t a[4] = {w.x, w.y, w.z, w.w};
  multiply_s8_s8(sum, a, b0, b1);
}

// A warp a tile of 16 rows, for all tokens, 8 to a tile.
template <int kTokenTiles>
__global__ void __launch_bounds__(kScreenThreads, 2) screen_rows(ScreenJob job) {
  constexpr int kBlocks = kGroup<kTokenTiles>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, j = lane % 4;
  const int blocks = static_cast<int>(screen_blocks(job.screen.cols));
  const int64_t tile_bytes = blocks * kScreenBlockBytes;
  const int tiles = static_cast<int>(parts_of(job.screen.rows, kScreenRows));
  const int stride = static_cast<int>(gridDim.x) * kScreenWarps;
  int tile = static_cast<int>(blockIdx.x * kScreenWarps + threadIdx.x / kWarp), first = 0;
  const auto tile_at = [&](int t) {
    return t < tiles ? job.screen.tiles + t * tile_bytes : nullptr;
  };
  Codes<kBlocks> next = {};
  next.load(tile_at(tile), 0, blocks, lane);
  let_next_begin();
  wait_for_previous();

  float score[kTokenTiles][4] = {};
  while (tile < tiles) {
    const Codes<kBlocks> now = next;
    const bool last = first + kBlocks >= blocks;
    next.load(last ? tile_at(tile + stride) : tile_at(tile), last ? 0 : first + kBlocks, blocks,
              lane);
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      const int block = first + i;
      if (block >= blocks) continue;
      const float scale[2] = {float_of(now.scales[i] << 16), float_of(now.scales[i] & 0xffff0000u)};
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        uint4 x[2] = {};
        if (8 * n + g < job.tokens) {
          const auto* at = reinterpret_cast<const uint4*>(job.input.bytes) +
                           ((static_cast<int64_t>(n) * blocks + block) * kWarp + lane) * 2;
          x[0] = at[0];
          x[1] = at[1];
        }
        int32_t high[4] = {}, low[4] = {};
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          multiply(high, now.w[i][step], x[step].x, x[step].y);
          multiply(low, now.w[i][step], x[step].z, x[step].w);
        }
#pragma unroll
        for (int s = 0; s < 4; ++s) {
          score[n][s] =
              fused(static_cast<float>(256 * high[s] + low[s]), scale[s / 2], score[n][s]);
        }
      }
    }
    first += kBlocks;
    if (!last) continue;
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const int token = 8 * n + 2 * j + s % 2;
        const int64_t row = static_cast<int64_t>(tile) * kScreenRows + g + 8 * (s / 2);
        if (token < job.tokens && row < job.screen.rows) {
          const ScreenToken t = job.input.token[token];
          const float middle = score[n][s] * t.scale;
          const float bound =
              (job.screen.residual[row] * t.of_residual + job.screen.norm[row] * t.of_norm) +
              t.constant;
          job.low[token * job.stride + row] = middle - bound;
          job.high[token * job.stride + row] = middle + bound;
        }
        score[n][s] = 0.0f;
      }
    }
    tile += stride;
    first = 0;
  }
}

template <int kTokenTiles>
void launch_rows(Stream& stream, const ScreenJob& job) {
  const int64_t blocks = parts_of(parts_of(job.screen.rows, kScreenRows), kScreenWarps);
  const int64_t most = 2 * static_cast<int64_t>(stream.processors);
  launch(stream, screen_rows<kTokenTiles>, grid(blocks < most ? blocks : most), kScreenThreads, 0,
         job);
}

}  // namespace

void make_screen(Stream& stream, const DeviceDense& head, const DeviceScreen& screen) {
  launch(stream, copy_rows, grid(parts_of(rounded_up(head.rows, kScreenRows), kScreenWarps)),
         kScreenThreads, 0, head, screen);
}

void screen(Stream& stream, const DeviceScreen& screen, const float* hidden, int64_t tokens,
            const ScreenInput& input, float* low, float* high, int64_t stride) {
  for (int64_t first = 0; first < tokens; first += kScreenTokens) {
    const int64_t now = tokens - first < kScreenTokens ? tokens - first : kScreenTokens;
    launch(stream, split_hidden, grid(now), kScreenThreads, sizeof(InputRoom),
           hidden + first * screen.cols, screen.cols, input);
    const ScreenJob job = {
        screen, input, static_cast<int32_t>(now), low + first * stride, high + first * stride,
        stride};
    if (now <= 8) {
      launch_rows<1>(stream, job);
    } else if (now <= 16) {
      launch_rows<2>(stream, job);
    } else if (now <= 32) {
      launch_rows<4>(stream, job);
    } else {
      launch_rows<8>(stream, job);
    }
  }
}

}  // namespace bitnet::cuda
