// Every verb in plain C++: the definition of right (compute/ops.h). Written to be read; a faster
// body that differs in one bit is wrong.

#include <cstring>

#include "compute/dense_blocks.h"
#include "compute/ops.h"
#include "compute/pairwise_sum.h"
#include "compute/reference/math.h"
#include "compute/ternary_unpack.h"

namespace bitnet {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kBlock = 256;

int64_t at_most(int64_t n, int64_t limit) noexcept {
  return n < limit ? n : limit;
}
float magnitude(float x) noexcept {
  return float_of(bits_of(x) & 0x7fffffffu);
}

// One block of the canonical dot, n <= 256.
float block_dot(const float* a, const float* b, int64_t n) noexcept {
  float lane[kLanes] = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const bool inside = i + l < n;
      lane[l] = fused(inside ? a[i + l] : 0.0f, inside ? b[i + l] : 0.0f, lane[l]);
    }
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
  }
  return lane[0];
}

float dot(const float* a, const float* b, int64_t n) noexcept {
  PairwiseSum sum;
  for (int64_t i = 0; i < n; i += kBlock) sum.push(block_dot(a + i, b + i, at_most(n - i, kBlock)));
  return sum.total();
}

void rmsnorm(float* y, const float* x, const float* gamma, int64_t n, float eps) noexcept {
  const float r = 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] * r) * gamma[i];
}

void quantize(int8_t* q, float* scale, int32_t* sum, const float* x, int64_t n) noexcept {
  float maximum = 1e-5f;
  for (int64_t i = 0; i < n; ++i) {
    if (magnitude(x[i]) > maximum) maximum = magnitude(x[i]);
  }
  const float s = 127.0f / maximum;
  int32_t total = 0;
  for (int64_t i = 0; i < n; ++i) {
    float v = x[i] * s;  // |v| <= 127 and a rounding, so the clamp never acts; or NaN
    if (v != v) v = 0.0f;
    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even.
    v = (v + 12582912.0f) - 12582912.0f;
    q[i] = static_cast<int8_t>(v > 127.0f ? 127.0f : v < -128.0f ? -128.0f : v);
    total += q[i];
  }
  for (int64_t i = n; i < padded_cols(n); ++i) q[i] = 0;
  *scale = s;
  *sum = total;
}

// Code of byte i of a group, plane p, in a two-bit tile.
int two_bit_code(const uint8_t* tile, int64_t group, int64_t i, int64_t p) noexcept {
  return tile[kGroupBytes * group + i] >> (2 * p) & 3;
}

// The same in base 3 (ternary_unpack.h): five groups are four vectors of digits, the fifth group's
// planes being the highest digits of the four.
int base3_code(const uint8_t* tile, int64_t groups, int64_t group, int64_t i, int64_t p) noexcept {
  const int64_t set = group / 5;
  const uint8_t* vectors = tile + kGroupBytes * 4 * set;
  if (group >= groups / 5 * 5) return two_bit_code(vectors, group % 5, i, p);
  if (group % 5 == 4) return vectors[kGroupBytes * p + i] / kFifthStep;
  const int rest = vectors[kGroupBytes * (group % 5) + i] % kFifthStep;
  switch (p) {
    case 0:
      return rest % kFourthStep % 3;
    case 1:
      return rest % kFourthStep / 3 % 3;
    case 2:
      return rest % kFourthStep / 9;
    default:
      return rest / kFourthStep;
  }
}

// "col" of a kFileRows matrix counts in the order of permute_for_file_rows.
int code_at(const TernaryMatrix& w, int64_t row, int64_t col) noexcept {
  const int64_t group = col / kGroupCols, p = col % kGroupCols / 4;
  if (w.packing == Packing::kFileRows) {
    const int64_t offset = file_block_offset(w, col / kFileBlockCols);
    const uint8_t* block = w.tiles + row * w.row_bytes + offset;
    return block[4 * (group % 8) + col % 4] >> (2 * p) & 3;
  }
  const uint8_t* tile = w.tiles + row / kTileRows * tile_bytes(w.packing, w.cols);
  const int64_t i = 4 * (row % kTileRows) + col % 4;
  return w.packing == Packing::kTwoBit
             ? two_bit_code(tile, group, i, p)
             : base3_code(tile, padded_cols(w.cols) / kGroupCols, group, i, p);
}

void ternary_matmul(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                    int64_t last_row, const QuantizedRows& x, int64_t tokens, uint8_t*) noexcept {
  for (int64_t t = 0; t < tokens; ++t) {
    const int8_t* q = x.q + t * x.stride;
    const float factor = w.scale / x.scale[t];
    for (int64_t r = first_row; r < last_row; ++r) {
      int32_t sum = 0;
      for (int64_t c = 0; c < w.cols; ++c) sum += code_at(w, r, c) * q[c];
      y[t * y_stride + r] = static_cast<float>(sum - x.sum[t]) * factor;
    }
  }
}

int32_t screen_code(const uint8_t* codes, int64_t row, int64_t col) noexcept {
  const int64_t group = col / 4 % kScreenHalfGroups, byte = 4 * row + col % 4;
  const uint8_t* upper = codes + col / (4 * kScreenHalfGroups) * kScreenHalfBytes;
  const uint8_t* lower = upper + 64 * (1 + group / 2);
  return (upper[byte] >> group & 1) << 4 | (lower[byte] >> group % 2 * 4 & 15);
}

void screen_matmul(float* y, int64_t y_stride, const ScreenMatrix& w, int64_t first_row,
                   int64_t last_row, const ScreenInput& x, int64_t tokens) noexcept {
  const int64_t blocks = padded_cols(w.cols) / kScreenBlock;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = first_row; r < last_row; ++r) {
      const uint8_t* tile = w.tiles + r / kTileRows * screen_tile_bytes(w.cols);
      const uint8_t* codes = tile + screen_scale_bytes(w.cols);
      float acc = 0.0f;
      for (int64_t block = 0; block < blocks; ++block) {
        int32_t isum = 0;
        for (int64_t c = kScreenBlock * block; c < kScreenBlock * (block + 1); ++c) {
          isum += (screen_code(codes, r % kTileRows, c) - kScreenMiddle) *
                  (256 * x.high[t * x.stride + c] + x.low[t * x.stride + c]);
        }
        float scale;
        decode_bf16(&scale, tile + 2 * (block * kTileRows + r % kTileRows), 1);
        acc = fused(static_cast<float>(isum), scale, acc);
      }
      y[t * y_stride + r] = x.scale[t] * acc;
    }
  }
}

void screen_rest(float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                 const ScreenInput& x, int64_t token) noexcept {
  const int64_t blocks = padded_cols(w.cols) / kScreenBlock;
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* row = w.rows + rows[i] * screen_rest_row_bytes(w.cols);
    float acc[16] = {}, rest[16] = {};
    for (int64_t block = 0; block < blocks; ++block) {
      float step;
      decode_bf16(&step, row + 16 * blocks + 2 * block, 1);
      for (int64_t l = 0; l < 16; ++l) {
        int32_t isum = 0;
        for (int64_t j = 0; j < 4; ++j) {
          const int64_t c = 4 * l + j, at = token * x.stride + kScreenBlock * block + c;
          const int32_t code = row[16 * block + c % 16] >> c / 16 * 2 & 3;
          isum += code * (256 * x.high[at] + x.low[at]);
        }
        acc[l] = fused(static_cast<float>(isum), step, acc[l]);
      }
      const float offset = x.offsets[token * (x.stride / kScreenBlock) + block];
      rest[block % 16] = fused(step, offset, rest[block % 16]);
    }
    for (int64_t apart = 8; apart > 0; apart /= 2) {
      for (int64_t l = 0; l < apart; ++l) {
        acc[l] += acc[l + apart];
        rest[l] += rest[l + apart];
      }
    }
    y[i] = x.scale[token] * (2 * acc[0] + rest[0]);
  }
}

// Elements [first, first + n) of a stored row, n <= kBlock.
void decode(float* y, DenseType type, const uint8_t* row, int64_t first, int64_t n) noexcept {
  switch (type) {
    case DenseType::kF32:
      return decode_f32(y, row + 4 * first, n);
    case DenseType::kF16:
      return decode_f16(y, row + 2 * first, n);
    case DenseType::kBF16:
      return decode_bf16(y, row + 2 * first, n);
    default:
      break;
  }
  Unpacked u;
  unpack(u, type, row, first, n);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = u.step[i / kCodesPerStep] * static_cast<float>(u.q[i]) - u.offset[i / kCodesPerStep];
  }
}

void dense_matmul(float* y, int64_t y_stride, const DenseMatrix& w, int64_t first_row,
                  int64_t last_row, const float* x, int64_t x_stride, int64_t tokens) noexcept {
  for (int64_t r = first_row; r < last_row; ++r) {
    const uint8_t* row = w.data + r * w.row_bytes;
    for (int64_t t = 0; t < tokens; ++t) {
      PairwiseSum sum;
      for (int64_t c = 0; c < w.cols; c += kBlock) {
        float weights[kBlock];
        const int64_t n = at_most(w.cols - c, kBlock);
        decode(weights, w.type, row, c, n);
        sum.push(block_dot(weights, x + t * x_stride + c, n));
      }
      y[t * y_stride + r] = sum.total();
    }
  }
}

void dense_row(float* y, const DenseMatrix& w, int64_t row) noexcept {
  for (int64_t c = 0; c < w.cols; c += kBlock) {
    decode(y + c, w.type, w.data + row * w.row_bytes, c, at_most(w.cols - c, kBlock));
  }
}

void rope(float* x, int64_t heads, int64_t head_dim, int64_t pairs, RopeStyle style,
          const float* cosine, const float* sine) noexcept {
  const int64_t step = style == RopeStyle::kNeox ? 1 : 2;          // from pair to pair
  const int64_t distance = style == RopeStyle::kNeox ? pairs : 1;  // inside a pair
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < pairs; ++i) {
      float* pair = x + h * head_dim + i * step;
      const float a = pair[0], b = pair[distance];
      pair[0] = fused(a, cosine[i], -(b * sine[i]));
      pair[distance] = fused(b, cosine[i], a * sine[i]);
    }
  }
}

void to_half(uint16_t* y, const float* x, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = float_to_half(x[i]);
}

// dot of a query with key j of a page.
float score(const float* q, const uint16_t* k, int64_t j, int64_t head_dim) noexcept {
  PairwiseSum sum;
  for (int64_t i = 0; i < head_dim; i += kBlock) {
    float block[kBlock];
    const int64_t count = at_most(head_dim - i, kBlock);
    for (int64_t n = 0; n < count; ++n) block[n] = half_to_float(k[key_place(j, i + n, head_dim)]);
    sum.push(block_dot(q + i, block, count));
  }
  return sum.total();
}

void attend_page(float* maximum, float* sum, float* value, const float* q, const uint16_t* k,
                 const uint16_t* v, int64_t queries, int64_t head_dim, int64_t positions,
                 float scale, const uint16_t*) noexcept {
  float ones[kPagePositions];
  for (float& one : ones) one = 1.0f;
  for (int64_t query = 0; query < queries; ++query) {
    float p[kPagePositions];
    float m = -__builtin_inff();
    for (int64_t j = 0; j < positions; ++j) {
      p[j] = score(q + query * head_dim, k, j, head_dim) * scale;
      if (p[j] > m) m = p[j];
    }
    m = m + 0.0f;  // -0 becomes +0: which of two zeros is the maximum would depend on the order
    for (int64_t j = 0; j < positions; ++j) p[j] = contract_exp(p[j] - m);
    maximum[query] = m;
    sum[query] = dot(p, ones, positions);
    float* out = value + query * head_dim;
    for (int64_t i = 0; i < head_dim; ++i) {
      float total = 0.0f;
      for (int64_t j = 0; j < positions; ++j) {
        total = fused(p[j], half_to_float(v[j * head_dim + i]), total);
      }
      out[i] = total;
    }
  }
}

void attend_join(float* a_maximum, float* a_sum, float* a_value, const float* b_maximum,
                 const float* b_sum, const float* b_value, int64_t head_dim) noexcept {
  const float m = *a_maximum > *b_maximum ? *a_maximum : *b_maximum;
  const float x = contract_exp(*a_maximum - m), y = contract_exp(*b_maximum - m);
  *a_maximum = m;
  *a_sum = fused(*a_sum, x, *b_sum * y);
  for (int64_t i = 0; i < head_dim; ++i) a_value[i] = fused(a_value[i], x, b_value[i] * y);
}

void attend_finish(float* y, const float* sum, const float* value, int64_t head_dim) noexcept {
  for (int64_t i = 0; i < head_dim; ++i) y[i] = value[i] / *sum;
}

void relu2_gate(float* u, const float* gate, const float* up, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i] > 0.0f ? gate[i] : 0.0f;
    u[i] = (g * g) * up[i];
  }
}

void silu_gate(float* u, const float* gate, const float* up, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) u[i] = (gate[i] / (1.0f + contract_exp(-gate[i]))) * up[i];
}

void add(float* x, const float* d, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] + d[i];
}

void scale(float* x, float factor, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] * factor;
}

uint64_t read_stream(const uint8_t* data, int64_t bytes, Reading) noexcept {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    for (int64_t b = 0; b < 8 && i + b < bytes; ++b) word |= uint64_t{data[i + b]} << (8 * b);
    sum += word;
  }
  return sum;
}

uint64_t int8_multiply_adds(uint64_t count) noexcept {
  volatile int8_t source = 3;
  const int8_t a = source, b = source;
  uint32_t sum = 0;  // wraps around
  for (uint64_t i = 0; i < count; ++i) {
    sum += static_cast<uint32_t>(a * b);
    asm volatile("" : "+r"(sum));  // keeps the compiler from multiplying once
  }
  source = static_cast<int8_t>(sum & 1);
  return count;
}

constexpr Ops kReference = {
    .name = "reference",
    .rmsnorm = rmsnorm,
    .quantize = quantize,
    .ternary_matmul = ternary_matmul,
    .dense_matmul = dense_matmul,
    .screen_matmul = screen_matmul,
    .screen_rest = screen_rest,
    .dense_row = dense_row,
    .rope = rope,
    .to_half = to_half,
    .attend_page = attend_page,
    .attend_join = attend_join,
    .attend_finish = attend_finish,
    .relu2_gate = relu2_gate,
    .silu_gate = silu_gate,
    .add = add,
    .scale = scale,
    .read_stream = read_stream,
    .int8_multiply_adds = int8_multiply_adds,
};

}  // namespace

const Ops& reference_ops() noexcept {
  return kReference;
}

int64_t dense_row_bytes(DenseType type, int64_t cols) noexcept {
  const Block block = block_of(type);
  return cols % block.elements == 0 ? cols / block.elements * block.bytes : 0;
}

}  // namespace bitnet
