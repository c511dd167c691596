#include "forward/screened_head.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/float4.h"
#include "base/float_mode.h"

namespace bitnet {
namespace {

// THE BOUND of |logit - score| for a row e and a hidden state h
//
// The copy q of the row is scale * (code - 16), an exact product; the integers stand for
// x = scale_x * integer, exactly. Euclidean norms: r >= |e - q|, n >= |e|, H >= |h|, D >= |h - x|,
// so |q| <= n + r and |x| <= H + D. u = 2^-24, gamma(k) = k u / (1 - k u): the relative error of k
// roundings in a row, relative to the sum of the products' magnitudes, which Cauchy and Schwarz
// bound by the product of the norms.
//
//   e.h - q.x = (e - q).h + q.(h - x)          at most  r H + (n + r) D
//   score:  every product isum * scale goes through the conversion of isum, as many fma as there
//           are blocks, and the last product, scale_x * acc
//                                              at most  gamma(blocks + 2) (n + r) (H + D)
//   logit:  every product goes through up to 16 fma of its lane, 4 folds and the tree
//                                              at most  gamma(16 + 4 + depth of the tree) n H
//   underflow: scales are 0 or at least 2^-100 and have 8 bits, so nothing underflows before the
//           score's last product (2^-150); a logit's fma lose 2^-150 each, its additions nothing
//                                              at most  2^-150 (1 + cols) (1 + gamma), < 2^-149
//                                              (..)
//   overflow: there is none. n <= 2^50 and |h[i]| <= 2^60, so all partial sums stay below 2^127;
//           other rows are unknown, other hidden states unusable.
//
// Together r A + n B + C with
//   A = H + D + g (H + D)      B = D + g (H + D) + g' H      C = 2^-149 (cols + 1)
// in double, raised for its own rounding, then in float, raised for the rounding of r A + n B + C.
// low = score - bound rounded to nearest is at most the logit, because the logit is a float and
// rounding is monotone; the same for high.
//
// THE BOUND WITH THE REST. The rest p of the copy is step * (2 code - 3), r' >= |e - q - p|, so
// |q + p| <= n + r' and |p| <= r + r'.
//
//   e.h - (q + p).x                            at most  r' H + (n + r') D
//   score and logit as above
//   p.x:    2 code step and 3 step by themselves; sums of integers are exact; as many fma as there
//           are blocks, 4 folds, a sum, the last product. A step is at most 1/127 of the block's
//           largest number, 3 of them in 64 columns less than half of n
//                                              at most  gamma(blocks + 6) (r + r' + n) (H + D)
//   underflow: 2^-150 more, for p.x's last product
//   score:  where it was is the middle of low and high, each rounded
//                                              at most  u (|low| + |high|)
// In double throughout, which 2^-20 of the sum covers.
constexpr double kUnit = 0x1p-24;
constexpr double kMostNorm = 0x1p50;    // of a row
constexpr float kMostHidden = 0x1p60f;  // of a hidden state's numbers; 1/kMostHidden the least
constexpr float kInfinity = std::numeric_limits<float>::infinity();

double gamma(int64_t roundings) noexcept {
  const double k = static_cast<double>(roundings) * kUnit;
  return k / (1 - k);
}

int64_t blocks_of(int64_t cols) noexcept {
  return padded_cols(cols) / kScreenBlock;
}

// x >= 0, or NaN.
float rounded_up(double x) noexcept {
  const float nearest = static_cast<float>(x);
  if (!(static_cast<double>(nearest) < x)) return nearest;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) + 1);
}

float total(Float4 v) noexcept {
  return (v[0] + v[1]) + (v[2] + v[3]);
}
Float4 clamped(Float4 v, float low, float high) noexcept {
  v = v < high ? v : Float4{} + high;
  return v > low ? v : Float4{} + low;
}
Float4 magnitude(Float4 v) noexcept {
  return std::bit_cast<Float4>(std::bit_cast<Int4>(v) & 0x7fffffff);
}

// Scales below this are not used: their block stands for zeros.
constexpr float kLeastScale = 0x1p-100f;

// The scale whose lowest code stands for the number of largest magnitude, to the nearest bfloat16:
// of that sign there is one code more than of the other.
float block_scale(float largest) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(largest * (-1.0f / kScreenMiddle));
  const float scale = std::bit_cast<float>((bits + 0x8000u) & 0xffff0000u);
  return std::fabs(scale) >= kLeastScale ? scale : 0.0f;
}

uint16_t bfloat_bits(float x) noexcept {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
}

struct BlockSums {
  float squares, residual_squares, rest_residual_squares;
};

// codes of kScreenBlock numbers for the scale returned, and of their rest for an eighth of it. NaN
// and infinities give any codes, and squares that are no finite number.
float quantize_block(uint8_t* __restrict codes, uint8_t* __restrict rest, BlockSums& sums,
                     const float* __restrict e) noexcept {
  Float4 fours = {}, squares = {};
  for (int64_t i = 0; i < kScreenBlock; i += 4) {
    const Float4 v = load4<Float4>(e + i);
    fours = magnitude(v) > magnitude(fours) ? v : fours;
    squares += v * v;
  }
  float largest = 0;
  for (int l = 0; l < 4; ++l) {
    largest = std::fabs(fours[l]) > std::fabs(largest) ? fours[l] : largest;
  }
  const float scale = block_scale(largest);
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;

  // Adding 1.5 * 2^23 rounds to the nearest integer; 16 more puts the code into the lowest byte.
  constexpr float kRounder = 12582912.0f + kScreenMiddle;
  constexpr float kRestRounder = 12582912.0f + 2.0f;
  constexpr float kHighest = kScreenCodes - 1 - kScreenMiddle, kLowest = -kScreenMiddle;
  int32_t code_bits[kScreenBlock], rest_bits[kScreenBlock / 4];
  Float4 residual_squares = {}, rest_squares = {};
  for (int64_t i = 0; i < kScreenBlock / 4; i += 4) {
    Int4 rest_bytes = {};
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t at = kScreenBlock / 4 * j + i;
      const Float4 v = load4<Float4>(e + at), steps = v * inverse;
      const Float4 rounded = clamped(steps, kLowest, kHighest) + kRounder;
      store4(code_bits + at, rounded);
      const Float4 whole = rounded - kRounder, residual = v - whole * scale;
      residual_squares += residual * residual;
      // Quarters of a step, -2..1, each of which stands for its middle.
      const Float4 quarters = clamped((steps - whole) * 4 - 0.5f, -2.0f, 1.0f) + kRestRounder;
      rest_bytes |= (std::bit_cast<Int4>(quarters) & 3) << static_cast<int>(2 * j);
      const Float4 left = v - (whole + (quarters - kRestRounder + 0.5f) * 0.25f) * scale;
      rest_squares += left * left;
    }
    store4(rest_bits + i, rest_bytes);
  }
  for (int64_t i = 0; i < kScreenBlock; ++i) {
    codes[i] = static_cast<uint8_t>(code_bits[i] & (kScreenCodes - 1));
  }
  for (int64_t i = 0; i < kScreenBlock / 4; ++i) rest[i] = static_cast<uint8_t>(rest_bits[i]);
  sums = {total(squares), total(residual_squares), total(rest_squares)};
  return scale;
}

// The norm from its sum of squares. 2^-18 is more than what rounding took from float sums of 64
// (18 times 2^-24) and from sums in double; 2^-148 a number more than underflow took.
float norm_above(double squares, int64_t cols) noexcept {
  return rounded_up(std::sqrt(squares * (1 + 0x1p-18) + static_cast<double>(cols) * 0x1p-148) *
                    (1 + 0x1p-40));
}

// A half of a block for the 16 rows of a tile, from their codes, the rows `stride` apart.
void pack_half(uint8_t* half, const uint8_t* codes, int64_t stride) noexcept {
  uint8_t groups[kScreenHalfGroups][64];
  for (int64_t r = 0; r < kTileRows; ++r) {
    for (int64_t g = 0; g < kScreenHalfGroups; ++g) {
      std::memcpy(groups[g] + 4 * r, codes + r * stride + 4 * g, 4);
    }
  }
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  const auto load = [&](int g, int64_t i) {
    Bytes bytes;
    std::memcpy(&bytes, groups[g] + i, sizeof bytes);
    return bytes;
  };
  for (int64_t i = 0; i < 64; i += 16) {
    Bytes upper = {};
    for (int g = 0; g < kScreenHalfGroups; g += 2) {
      const Bytes even = load(g, i), odd = load(g + 1, i);
      upper |= ((even >> 4) | (odd >> 4 << 1)) << g;
      const Bytes lower = (even & 15) | odd << 4;
      std::memcpy(half + 64 * (1 + g / 2) + i, &lower, sizeof lower);
    }
    std::memcpy(half + i, &upper, sizeof upper);
  }
}

constexpr int64_t kChunkRows = 512;  // rows between two steps of the progress, or of the bounds

}  // namespace

// ---- Making the copy ----------------------------------------------------------------------------

// One thread's rows on their way into a tile.
struct ScreenedHead::RowScratch {
  explicit RowScratch(int64_t cols)
      : numbers(static_cast<size_t>(padded_cols(cols))),
        codes(static_cast<size_t>(kTileRows * padded_cols(cols))) {}
  Vec<float> numbers;  // [padded cols], zeros behind cols
  Vec<uint8_t> codes;  // [kTileRows][padded cols]
};

ScreenedHead::ScreenedHead(const DenseMatrix& head, const Ops& ops)
    : head_(head),
      ops_(ops),
      tiles_(static_cast<size_t>(screen_bytes(head.rows, head.cols))),
      rest_(static_cast<size_t>(head.rows * screen_rest_row_bytes(head.cols))),
      residual_(static_cast<size_t>(head.rows) * sizeof(float)),
      rest_residual_(static_cast<size_t>(head.rows) * sizeof(float)),
      norm_(static_cast<size_t>(head.rows) * sizeof(float)) {}

uint64_t ScreenedHead::bytes_of(int64_t rows, int64_t cols) noexcept {
  return static_cast<uint64_t>(screen_bytes(rows, cols) + rows * screen_rest_row_bytes(cols)) +
         3 * static_cast<uint64_t>(rows) * sizeof(float);
}

void ScreenedHead::quantize_tile(int64_t tile, RowScratch& scratch) noexcept {
  const int64_t padded = padded_cols(head_.cols), blocks = blocks_of(head_.cols);
  uint8_t* scales = tiles_.data() + tile * screen_tile_bytes(head_.cols);
  std::memset(scales, 0, static_cast<size_t>(screen_scale_bytes(head_.cols)));
  std::memset(scratch.codes.data(), kScreenMiddle, scratch.codes.size());
  const int64_t first = tile * kTileRows, rows = std::min(head_.rows - first, kTileRows);
  for (int64_t r = 0; r < rows; ++r) {
    uint8_t* codes = scratch.codes.data() + r * padded;
    ops_.dense_row(scratch.numbers.data(), head_, first + r);
    uint8_t* rest = rest_.data() + (first + r) * screen_rest_row_bytes(head_.cols);
    uint8_t* steps = rest + kScreenBlock / 4 * blocks;
    double squares = 0, residual_squares = 0, rest_squares = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      BlockSums sums;
      const float scale =
          quantize_block(codes + kScreenBlock * block, rest + kScreenBlock / 4 * block, sums,
                         scratch.numbers.data() + kScreenBlock * block);
      squares += static_cast<double>(sums.squares);
      residual_squares += static_cast<double>(sums.residual_squares);
      rest_squares += static_cast<double>(sums.rest_residual_squares);
      const uint16_t bits = bfloat_bits(scale), step = bfloat_bits(scale / 8);
      std::memcpy(scales + 2 * (block * kTileRows + r), &bits, sizeof bits);
      std::memcpy(steps + 2 * block, &step, sizeof step);
    }
    float residual = norm_above(residual_squares, head_.cols);
    float norm = norm_above(squares, head_.cols);
    if (!(static_cast<double>(norm) <= kMostNorm)) {  // NaN included
      std::memset(codes, kScreenMiddle, static_cast<size_t>(padded));
      for (int64_t block = 0; block < blocks; ++block) {
        std::memset(scales + 2 * (block * kTileRows + r), 0, 2);
      }
      residual = kInfinity;
      norm = 0;
    }
    residual_.as<float>()[first + r] = residual;
    rest_residual_.as<float>()[first + r] = norm_above(rest_squares, head_.cols);
    norm_.as<float>()[first + r] = norm;
  }
  uint8_t* half = scales + screen_scale_bytes(head_.cols);
  constexpr int64_t kHalfCols = 4 * kScreenHalfGroups;
  for (int64_t c = 0; c < padded; c += kHalfCols, half += kScreenHalfBytes) {
    pack_half(half, scratch.codes.data() + c, padded);
  }
}

Result<Ptr<const ScreenedHead>> ScreenedHead::prepare(const DenseMatrix& head, const Ops& ops,
                                                      ThreadPool& pool, const Progress& progress) {
  Ptr<ScreenedHead> screened = make<ScreenedHead>(head, ops);
  Vec<RowScratch> scratch;
  scratch.reserve(static_cast<size_t>(pool.size()));
  for (int worker = 0; worker < pool.size(); ++worker) scratch.emplace_back(head.cols);
  const int64_t tiles = (head.rows + kTileRows - 1) / kTileRows;
  constexpr int64_t kChunk = kChunkRows / kTileRows;
  std::atomic<int64_t> next{0};
  std::atomic<bool> cancelled{false};
  pool.run([&](int worker) {
    int64_t reported = 0;
    for (int64_t first; !cancelled.load(std::memory_order_relaxed) &&
                        (first = next.fetch_add(kChunk, std::memory_order_relaxed)) < tiles;) {
      for (int64_t tile = first; tile < std::min(first + kChunk, tiles); ++tile) {
        screened->quantize_tile(tile, scratch[static_cast<size_t>(worker)]);
      }
      if (worker == 0 && (first - reported) * 100 >= tiles) {
        reported = first;
        if (!progress.report(static_cast<double>(first) / static_cast<double>(tiles))) {
          cancelled = true;
        }
      }
    }
  });
  if (cancelled || !progress.report(1.0)) {
    return Status::error(BITNET_E_CANCELLED, "the progress callback cancelled the opening");
  }
  return Ptr<const ScreenedHead>(std::move(screened));
}

// ---- Screening ----------------------------------------------------------------------------------

void ScreenScratch::reserve(int64_t tokens, int64_t cols, int threads) {
  if (tokens <= tokens_ && cols <= cols_ && threads <= threads_) return;
  tokens = std::max(tokens, tokens_);
  cols = std::max(padded_cols(cols), cols_);
  threads = std::max(threads, threads_);
  const size_t numbers = static_cast<size_t>(tokens * cols);
  Buffer high(numbers), low(numbers), pairs(2 * numbers);
  Buffer sum(numbers / kScreenBlock * sizeof(int32_t)),
      offsets(numbers / kScreenBlock * sizeof(float));
  Buffer scale(static_cast<size_t>(tokens) * sizeof(float));
  bounds_.resize(static_cast<size_t>(tokens));
  spreads_.resize(static_cast<size_t>(tokens * threads));
  high_ = std::move(high);
  low_ = std::move(low);
  pairs_ = std::move(pairs);
  sum_ = std::move(sum);
  offsets_ = std::move(offsets);
  scale_ = std::move(scale);
  tokens_ = tokens;
  cols_ = cols;
  threads_ = threads;
}

uint64_t ScreenScratch::bytes_of(int64_t tokens, int64_t cols, int threads) noexcept {
  const uint64_t numbers = static_cast<uint64_t>(tokens * padded_cols(cols));
  return numbers * 4 + numbers / kScreenBlock * (sizeof(int32_t) + sizeof(float)) +
         static_cast<uint64_t>(tokens) * (sizeof(float) + sizeof(Bound)) +
         static_cast<uint64_t>(tokens * threads) * sizeof(Spread);
}

ScreenScratch::Errors ScreenedHead::prepare_input(const float* h, int64_t token,
                                                  ScreenScratch& scratch) const noexcept {
  const int64_t cols = head_.cols, padded = padded_cols(cols);
  int8_t* high = scratch.high_.as<int8_t>() + token * padded;
  int8_t* low = scratch.low_.as<int8_t>() + token * padded;
  int16_t* pairs = scratch.pairs_.as<int16_t>() + token * padded;
  int32_t* sum = scratch.sum_.as<int32_t>() + token * (padded / kScreenBlock);
  float* offsets = scratch.offsets_.as<float>() + token * (padded / kScreenBlock);

  // Magnitudes of floats are ordered like their bits; infinities and NaN come last.
  int32_t largest_bits = 0;
  for (int64_t c = 0; c < cols; ++c) {
    largest_bits = std::max(largest_bits, std::bit_cast<int32_t>(h[c]) & 0x7fffffff);
  }
  const float largest = std::bit_cast<float>(largest_bits);
  const bool usable = largest <= kMostHidden && (largest == 0 || largest >= 1 / kMostHidden);
  const float scale = usable ? largest / static_cast<float>(kScreenLargest) : 0;
  // |h * inverse| <= kScreenLargest (1 + 2u), which rounds to kScreenLargest at most.
  const float inverse = scale > 0 ? static_cast<float>(kScreenLargest) / largest : 0;
  scratch.scale_.as<float>()[token] = scale;

  double squares = 0, lost_squares = 0;
  for (int64_t first = 0; first < padded; first += kScreenBlock) {
    float numbers[kScreenBlock] = {};
    if (usable && first < cols) {
      std::copy_n(h + first, std::min(kScreenBlock, cols - first), numbers);
    }
    int32_t x[kScreenBlock], total = 0;
    for (int i = 0; i < kScreenBlock; ++i) {
      constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23 rounds to the nearest integer
      x[i] = static_cast<int32_t>((numbers[i] * inverse + kRounder) - kRounder);
      total += x[i];
    }
    sum[first / kScreenBlock] = total;
    offsets[first / kScreenBlock] = static_cast<float>(-3 * total);
    for (int i = 0; i < kScreenBlock; ++i) {
      const int32_t upper = (x[i] + 128) >> 8;
      high[first + i] = static_cast<int8_t>(upper);
      low[first + i] = static_cast<int8_t>(x[i] - 256 * upper);
    }
    for (int i = 0; i < kScreenBlock; i += 4) {
      pairs[first + i] = static_cast<int16_t>(x[i]);
      pairs[first + i + 1] = static_cast<int16_t>(x[i + 2]);
      pairs[first + i + 2] = static_cast<int16_t>(x[i + 1]);
      pairs[first + i + 3] = static_cast<int16_t>(x[i + 3]);
    }
    double squares_of[4] = {}, lost_of[4] = {};
    for (int i = 0; i < kScreenBlock; i += 4) {
      for (int l = 0; l < 4; ++l) {
        const double exact = static_cast<double>(numbers[i + l]);
        const double lost = exact - static_cast<double>(scale) * x[i + l];  // exact product
        squares_of[l] += exact * exact;
        lost_of[l] += lost * lost;
      }
    }
    squares += (squares_of[0] + squares_of[1]) + (squares_of[2] + squares_of[3]);
    lost_squares += (lost_of[0] + lost_of[1]) + (lost_of[2] + lost_of[3]);
  }

  // of_residual is never 0: the infinite residual of an unknown row must give an infinite bound.
  ScreenScratch::Bound& bound = scratch.bounds_[static_cast<size_t>(token)];
  if (!usable) {
    bound = {1.0f, 0.0f, kInfinity};
    return {};
  }
  constexpr double kDoubles = 1 + 0x1p-30;  // more than sums of 131072 doubles lose
  const double norm = std::sqrt(squares) * kDoubles, lost = std::sqrt(lost_squares) * kDoubles;
  const int64_t summed = (cols + 255) / 256;
  const int64_t depth = std::bit_width(static_cast<uint64_t>(summed > 0 ? summed - 1 : 0));
  const double screen_error = gamma(blocks_of(cols) + 2) * (norm + lost);
  const double rest_error = gamma(blocks_of(cols) + 6) * (norm + lost);
  const double logit_error = gamma(16 + 4 + depth) * norm;
  const double underflow = static_cast<double>(cols + 4) * 0x1p-149;
  constexpr double kFloats = 1 + 0x1p-20;  // r A + n B + C in float: 3 roundings; and these lines
  bound.of_residual = rounded_up((norm + lost + screen_error) * kFloats + 0x1p-120);
  bound.of_norm = rounded_up((lost + screen_error + logit_error) * kFloats);
  bound.constant = rounded_up(underflow * kFloats + 0x1p-140);
  return {norm, lost, screen_error, rest_error, logit_error, underflow};
}

// Rows [first, last), whose scores are in high.
void ScreenedHead::finish_rows(float* low, float* high, int64_t first, int64_t last,
                               const ScreenScratch::Bound& bound,
                               ScreenScratch::Spread& spread) const noexcept {
  const float* residual = residual_.as<float>();
  const float* norm = norm_.as<float>();
  const auto finish = [&](auto score, auto r, auto n) {
    const auto b = (r * bound.of_residual + n * bound.of_norm) + bound.constant;
    struct Ends {
      decltype(score) low, high, bound;
    };
    return Ends{score - b, score + b, b};
  };
  Float4 sum = {}, squares = {}, widest = {};
  int64_t i = first;
  for (; i + 4 <= last; i += 4) {
    const Float4 score = load4<Float4>(high + i);
    const auto ends = finish(score, load4<Float4>(residual + i), load4<Float4>(norm + i));
    store4(low + i, ends.low);
    store4(high + i, ends.high);
    sum += score;
    squares += score * score;
    const Float4 finite = ends.bound < Float4{} + kInfinity ? ends.bound : Float4{};
    widest = finite > widest ? finite : widest;
  }
  spread.sum += static_cast<double>(total(sum));
  spread.squares += static_cast<double>(total(squares));
  spread.rows += static_cast<double>(i - first);
  for (int l = 0; l < 4; ++l) spread.widest = std::max(spread.widest, widest[l]);
  for (; i < last; ++i) {
    const auto ends = finish(high[i], residual[i], norm[i]);
    low[i] = ends.low;
    high[i] = ends.high;
  }
}

double ScreenedHead::screen(float* low, float* high, int64_t stride, const float* h,
                            int64_t h_stride, int64_t tokens, int64_t vocabulary,
                            ScreenScratch& scratch, ThreadPool& pool) const noexcept {
  const PlainFloatMode mode;
  for (int64_t t = 0; t < tokens; ++t) prepare_input(h + t * h_stride, t, scratch);
  const ScreenMatrix w = {tiles_.data(), head_.rows, head_.cols};
  const ScreenInput x = input_of(scratch, head_.cols);
  std::fill(scratch.spreads_.begin(), scratch.spreads_.end(), ScreenScratch::Spread{});
  pool.run_chunks((vocabulary + kChunkRows - 1) / kChunkRows, [&](int worker, int64_t chunk) {
    ScreenScratch::Spread* spreads = scratch.spreads_.data() + worker * tokens;
    const int64_t first = chunk * kChunkRows, last = std::min(first + kChunkRows, vocabulary);
    ops_.screen_matmul(high, stride, w, first, last, x, tokens);
    for (int64_t t = 0; t < tokens; ++t) {
      finish_rows(low + t * stride, high + t * stride, first, last,
                  scratch.bounds_[static_cast<size_t>(t)], spreads[t]);
    }
  });
  double widest = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    ScreenScratch::Spread all{};
    for (int worker = 0; worker < pool.size(); ++worker) {
      const ScreenScratch::Spread& s = scratch.spreads_[static_cast<size_t>(worker * tokens + t)];
      all.sum += s.sum;
      all.squares += s.squares;
      all.rows += s.rows;
      all.widest = std::max(all.widest, s.widest);
    }
    const double variance = all.rows * all.squares - all.sum * all.sum;  // times rows squared
    if (variance > 0)
      widest = std::max(widest, static_cast<double>(all.widest) * all.rows / std::sqrt(variance));
  }
  return widest;
}

ScreenInput ScreenedHead::input_of(const ScreenScratch& scratch, int64_t cols) noexcept {
  return {scratch.high_.as<int8_t>(), scratch.low_.as<int8_t>(),    scratch.pairs_.as<int16_t>(),
          scratch.sum_.as<int32_t>(), scratch.offsets_.as<float>(), scratch.scale_.as<float>(),
          padded_cols(cols)};
}

void ScreenedHead::narrow(float* low, float* high, std::span<const int32_t> rows, const float* h,
                          ScreenScratch& scratch, ThreadPool& pool) const noexcept {
  const PlainFloatMode mode;
  const ScreenScratch::Errors errors = prepare_input(h, 0, scratch);
  const ScreenScratch::Bound& bound = scratch.bounds_[0];
  const ScreenInput x = input_of(scratch, head_.cols);
  const auto narrow_row = [&](int32_t row, float rest) {
    const double residual = static_cast<double>(residual_.as<float>()[row]);
    const double left = static_cast<double>(rest_residual_.as<float>()[row]);
    const double norm = static_cast<double>(norm_.as<float>()[row]);
    const double least = static_cast<double>(low[row]), most = static_cast<double>(high[row]);
    // Of rows whose ends are not the screen's any more the middle is not their score: those are
    // told by their width, and no row is narrowed by less.
    const double narrower = 1.5 * (residual * static_cast<double>(bound.of_residual) +
                                   norm * static_cast<double>(bound.of_norm));
    if (!(most - least > narrower)) return;
    const double middle = least + (most - least) / 2 + static_cast<double>(rest);
    const double half = (left * (errors.hidden + errors.lost + errors.rest) +
                         norm * (errors.lost + errors.score + errors.rest + errors.logit) +
                         residual * (errors.score + errors.rest) + 2 * errors.underflow +
                         kUnit * (std::fabs(least) + std::fabs(most))) *
                        (1 + 0x1p-20);
    if (!(2 * half < narrower)) return;
    low[row] = std::max(low[row], static_cast<float>(middle - half));
    high[row] = std::min(high[row], static_cast<float>(middle + half));
  };
  pool.run([&](int worker) {
    const Share share = share_of(static_cast<int64_t>(rows.size()), 1, worker, pool.size());
    constexpr int64_t kRows = 64;
    for (int64_t i = share.first; i < share.last; i += kRows) {
      const std::span<const int32_t> some = rows.subspan(
          static_cast<size_t>(i), static_cast<size_t>(std::min(kRows, share.last - i)));
      float rests[kRows];
      ops_.screen_rest(rests, {rest_.data(), head_.cols}, some.data(),
                       static_cast<int64_t>(some.size()), x, 0);
      for (size_t j = 0; j < some.size(); ++j) narrow_row(some[j], rests[j]);
    }
  });
}

// ---- The real head ------------------------------------------------------------------------------

void ScreenedHead::rescore(float* logits, std::span<const int32_t> rows, const float* h,
                           ThreadPool& pool) const noexcept {
  const int64_t count = static_cast<int64_t>(rows.size());
  const auto compute = [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      if (i + 1 < last) {
        const uint8_t* next = head_.data + rows[static_cast<size_t>(i) + 1] * head_.row_bytes;
        for (int64_t b = 0; b < head_.row_bytes; b += 64) __builtin_prefetch(next + b, 0, 2);
      }
      ops_.dense_matmul(logits, 0, head_, row, row + 1, h, 0, 1);
    }
  };
  constexpr int64_t kInlineRows = 16;  // not worth waking the pool for
  if (count <= kInlineRows) {
    const PlainFloatMode mode;
    return compute(0, count);
  }
  pool.run([&](int worker) {
    const Share share = share_of(count, 1, worker, pool.size());
    compute(share.first, share.last);
  });
}

void ScreenedHead::full_pass(float* logits, int64_t vocabulary, const float* h,
                             ThreadPool& pool) const noexcept {
  pool.run_chunks((vocabulary + kChunkRows - 1) / kChunkRows, [&](int, int64_t chunk) {
    const int64_t first = chunk * kChunkRows, last = std::min(first + kChunkRows, vocabulary);
    ops_.dense_matmul(logits, 0, head_, first, last, h, 0, 1);
  });
}

}  // namespace bitnet
