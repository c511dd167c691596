// The verbs of the forward pass and their numeric contract. A backend is a table of these
// functions; compute/reference/ is their definition, every other body must give the same bits
// (memcmp).
//
// THE CONTRACT
//   All float arithmetic is IEEE binary32, round to nearest even, no contraction by the compiler,
//   no flush to zero (PlainFloatMode of base/float_mode.h sees to that inside somebody else's
//   thread). "fma" is the fused operation, everywhere it is written and nowhere else.
//
//   Canonical sum of products (dot): elements in blocks of 256. In a block 16 lanes start at +0;
//   element i goes to lane i mod 16: lane = fma(a[i], b[i], lane), i ascending. If the number of
//   elements is not a multiple of 16, a and b are continued with +0 to the next multiple (this can
//   turn a lane's -0 into +0, nothing else). Lanes are folded 8-4-2-1: lane[l] += lane[l+8] for
//   l < 8, then +4, +2, +1. Block results are joined by the fixed pairwise tree below; a short last
//   block just has fewer steps. The dot of nothing is +0.
//   Pairwise tree over items 0..n-1: the node of size 2^k starting at a multiple of 2^k joins its
//   left half with its right half, left operand first; a missing right half is the identity (the
//   left half passes through unchanged). So the tree's shape depends on the index only. (A stack
//   that works like a binary counter computes it in one pass: compute/pairwise_sum.h.) Sum of
//   squares and sum of p_j are dots with b = a and b = 1 (fma(p, 1, lane)).
//
//   exp is our own polynomial (reference/math.h), the same operations in the same order everywhere.
//
//   Infinities and NaN: every body gives NaN where the reference does, but its sign and payload may
//   differ; no input whatever makes a verb trap, or read or write outside the stated ranges.
//
// All functions are pure (no state), noexcept, safe to call side by side on disjoint outputs.
// Pointers need only natural alignment unless said otherwise. Shapes are row-major. Outputs do not
// overlap inputs unless said otherwise. A count of zero is allowed and does nothing.
#pragma once

#include <cstdint>

namespace bitnet {

// Functions in this header are static: it is also compiled for newer processors, and an inline
// function may reach the whole program in the copy that was compiled for the newest.

// Ternary matrix [rows][cols]. One scale per matrix: weight = scale * (code - 1), codes 0, 1, 2.
// How the codes lie:
//
// kTwoBit. Tile t holds rows 16t..16t+15 and is (padded_cols / 16) groups of 64 bytes, in column
//   order. In group g the byte at 4*r + b belongs to row 16t + r; its bits 2p..2p+1 ("plane" p =
//   0..3) are the code of column 16g + 4p + b. Padding rows and columns hold code 1.
//   So a 64-byte load is 16 rows x 16 columns, masked with 0x03 << 2p it lines up with the four
//   activations 16g+4p .. 16g+4p+3, broadcast: no horizontal sums, and one forward stream per
//   thread.
//
// kBase3. Five codes a byte, 1.6 bits a weight. Of a two-bit tile every 5 groups become 4 times 64
//   bytes (ternary_unpack.h says how), its last (groups mod 5) groups stay as they are.
//
// kFileRows. Where a file keeps them, row after row: row r starts at tiles + r * row_bytes and is
//   blocks of 32 bytes, each with 128 codes; after every second block 2 bytes may follow that are
//   none of ours (row_bytes says which of the two it is). The 4 bytes 4i..4i+3 of a block are to a
//   row what its 4 bytes are in group i of a tile. That puts the columns into another order than
//   the file's: activations must be brought into it first (permute_for_file_rows).
enum class Packing : int32_t { kTwoBit, kBase3, kFileRows };

// How one token reads tiles from memory, for bodies that know the difference; no bit depends on it.
// kPairs: two tiles abreast, every line asked for ahead of time, twice. kSingles: tile after tile,
// one forward stream that is asked for once and otherwise left to the processor's own prefetchers.
// With AVX-512, base 3, two threads: Sapphire Rapids likes pairs (31.8 to 30.3 GB/s), Zen 5 likes
// singles (44.9 to 39.4): so whoever packs the weights tries both.
enum class Reading : int32_t { kPairs, kSingles };

constexpr int64_t kTileRows = 16;
constexpr int64_t kGroupCols = 16;   // columns of one group of a tile
constexpr int64_t kGroupBytes = 64;  // kTileRows x kGroupCols codes of 2 bits
constexpr int64_t kColumnPad = 64;   // padded_cols is cols rounded up to this
constexpr int64_t kFileBlockCols = 128, kFileBlockBytes = 32;
static constexpr int64_t padded_cols(int64_t cols) noexcept {
  return (cols + kColumnPad - 1) / kColumnPad * kColumnPad;
}
// Bytes of one tile; not for kFileRows, which has none.
static constexpr int64_t tile_bytes(Packing packing, int64_t cols) noexcept {
  const int64_t groups = padded_cols(cols) / kGroupCols;
  return (packing == Packing::kBase3 ? groups / 5 * 4 + groups % 5 : groups) * kGroupBytes;
}
static constexpr int64_t packed_bytes(Packing packing, int64_t rows, int64_t cols) noexcept {
  return (rows + kTileRows - 1) / kTileRows * tile_bytes(packing, cols);
}
struct TernaryMatrix {
  const uint8_t* tiles;  // 64-byte aligned, packed_bytes(packing, rows, cols); kFileRows: any
                         // alignment, rows * row_bytes
  int64_t rows, cols;    // kFileRows: cols is a multiple of kFileBlockCols
  float scale;           // finite, may be negative
  Packing packing = Packing::kTwoBit;
  int64_t row_bytes = 0;  // kFileRows: cols/4 (I2_S "128"), or cols/256 * 66 (TQ2_0)
  Reading reading = Reading::kPairs;
};
// Where tile t begins: weights are read forward from there.
static constexpr const uint8_t* tile_stream(const TernaryMatrix& w, int64_t t) noexcept {
  const bool rows = w.packing == Packing::kFileRows;
  return w.tiles + t * (rows ? kTileRows * w.row_bytes : tile_bytes(w.packing, w.cols));
}

// A two-bit tile of `groups` groups to base 3: out [tile_bytes(kBase3, 16 * groups)]. Codes must be
// 0, 1 or 2.
void pack_base3(uint8_t* out, const uint8_t* two_bit_tile, int64_t groups) noexcept;

// Which of a block's 32 columns are in a byte's two lowest bits: the last (I2_S "128": byte j holds
// columns j, 32+j, 64+j, 96+j from its top bits down), or the first (TQ2_0: from its low bits up).
enum class FileOrder : int32_t { kTopDown, kBottomUp };
// The activations of one token in the column order of a kFileRows matrix. cols is a multiple of
// kFileBlockCols.
void permute_for_file_rows(int8_t* q, const int8_t* canonical, int64_t cols,
                           FileOrder order) noexcept;

// Two tiles of two bits, and 32 rows of one byte a weight.
static constexpr int64_t ternary_scratch_bytes(int64_t cols) noexcept {
  return 2 * tile_bytes(Packing::kTwoBit, cols) + 2 * kTileRows * padded_cols(cols);
}
constexpr int64_t kMaxTernaryCols = 131072;

// Activations of some tokens, quantized per token (BitLinear, formats.md 3.1).
//   q[t*stride + c], c < cols in -128..127; zero from cols to padded_cols(cols); stride is a
//   multiple of kColumnPad; q is 64-byte aligned.
struct QuantizedRows {
  const int8_t* q;
  int64_t stride;
  const float* scale;  // [tokens] s = 127 / max(max|x|, 1e-5)
  const int32_t* sum;  // [tokens] sum of q
};

// A dense matrix [rows][cols] in 5 bits, made to be streamed: weight ~ scale * (code - 16), with a
// scale per row and block of kScreenBlock columns (forward/screened_head.h says what for).
//
//   tile t holds rows 16t..16t+15: the scales, bfloat16 [blocks][16], completed with zeros to a
//   multiple of 64 bytes; then two halves of each block. A half has 32 columns, as 8 groups of 4:
//   64 bytes with the upper bits, then 4 times 64 bytes with the lower four. Byte 4*r + b of a
//   group is row 16t + r, column 4*group + b of the half; there
//     bit g of the upper bits is bit 4 of the code in group g,
//     the lower half of the byte in vector v is bits 0..3 of the code in group 2v, the upper in
//     group 2v + 1.
//   Padding rows and columns hold code 16, padding rows scale 0.
constexpr int64_t kScreenBlock = kColumnPad;
constexpr int32_t kScreenCodes = 32;                 // a code is below
constexpr int32_t kScreenMiddle = kScreenCodes / 2;  // and stands for nothing
constexpr int kScreenHalfGroups = 8;                 // of 4 columns
constexpr int64_t kScreenHalfBytes = 64 * (1 + kScreenHalfGroups / 2);
static constexpr int64_t screen_scale_bytes(int64_t cols) noexcept {
  return (padded_cols(cols) / kScreenBlock * kTileRows * 2 + 63) / 64 * 64;
}
static constexpr int64_t screen_tile_bytes(int64_t cols) noexcept {
  return screen_scale_bytes(cols) + padded_cols(cols) / kScreenBlock * 2 * kScreenHalfBytes;
}
static constexpr int64_t screen_bytes(int64_t rows, int64_t cols) noexcept {
  return (rows + kTileRows - 1) / kTileRows * screen_tile_bytes(cols);
}
struct ScreenMatrix {
  const uint8_t* tiles;  // 64-byte aligned, screen_bytes(rows, cols)
  int64_t rows, cols;
};

// What the screen's copy leaves of each row, in 2 bits, to be read where it matters: number ~ step
// * (2 * code - 3), with a step per row and block of kScreenBlock columns.
//
//   a row is: per block 16 bytes, of which bits 2j..2j+1 of byte i are the code of column
//   64*block + 16j + i; the steps, bfloat16 [blocks]; zeros up to a multiple of 64 bytes.
struct ScreenRest {
  const uint8_t* rows;  // 64-byte aligned
  int64_t cols;
};
static constexpr int64_t screen_rest_row_bytes(int64_t cols) noexcept {
  return (padded_cols(cols) / kScreenBlock * (kScreenBlock / 4 + 2) + 63) / 64 * 64;
}

// Activations of some tokens as integers x of 16 bits, |x| <= kScreenLargest, zero from cols to
// padded_cols(cols), in the forms different processors like. Token t starts at t*stride; stride is
// a multiple of kScreenBlock; the arrays are 64-byte aligned.
constexpr int32_t kScreenLargest = 127 * 256 + 127;
struct ScreenInput {
  const int8_t* high;    // x = 256 * high + low, low in -128..127; so high is in -127..127
  const int8_t* low;     //
  const int16_t* pairs;  // x of columns 4g, 4g + 2, 4g + 1, 4g + 3
  const int32_t* sum;    // [tokens][stride / kScreenBlock] of x in the block
  const float* offsets;  // [tokens][stride / kScreenBlock] -3 times that sum
  const float* scale;    // [tokens]
  int64_t stride;
};

// Numbers a dense matrix may be stored as (embedding tables, heads, projections that are not
// ternary). A stored number becomes a float as formats.md 2.6 says, each product and difference
// rounded by itself, d and dmin converted to float first: Q8_0 d*q, Q4_0 d*(q-8), Q5_0 d*(q-16),
// Q4_K (d*sc)*q - dmin*m, Q6_K (d*sc)*(q-32).
enum class DenseType : int32_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ5_0, kQ4_K, kQ6_K };
struct DenseMatrix {
  const uint8_t* data;  // rows of row_bytes, no alignment guaranteed
  DenseType type;
  int64_t rows, cols, row_bytes;
};
// Bytes of one row; 0 if cols is not a multiple of the type's block.
int64_t dense_row_bytes(DenseType type, int64_t cols) noexcept;

enum class RopeStyle : int32_t { kNeox, kNorm };  // pairs (i, i + pairs) or (2i, 2i + 1)

constexpr int64_t kPagePositions = 64;  // positions in one page of the KV cache

// Where number i of the key of position j lies in a page's [kPagePositions][head_dim] keys: 16 keys
// side by side, number by number, so that a register holds the same number of 16 keys.
static constexpr int64_t key_place(int64_t j, int64_t i, int64_t head_dim) noexcept {
  return (j / 16 * head_dim + i) * 16 + j % 16;
}

struct Ops {
  // "reference"; "baseline", "avx2", "avxvnni", "avx512", "avx512vbmi"; "neon", "dotprod", "i8mm"
  const char* name;

  // y = x * (1 / sqrt(dot(x,x)/n + eps)) * gamma, as: r = 1.0f / sqrtf(sum / float(n) + eps);
  // y[i] = (x[i] * r) * gamma[i].  y may be x.
  void (*rmsnorm)(float* y, const float* x, const float* gamma, int64_t n, float eps) noexcept;

  // BitLinear activations (formats.md 3.1): a = max(max|x|, 1e-5f), s = 127.0f / a,
  // q = clamp(rint(x*s), -128, 127), ties to even. NaN in x counts as 0 for the maximum and gives q
  // = 0; an infinity in x gives s = 0 and q = 0 throughout. Fills q[n .. padded_cols(n)) with
  // zeros.
  void (*quantize)(int8_t* q, float* scale, int32_t* sum, const float* x, int64_t n) noexcept;

  // y[t*y_stride + r] = float(acc) * (w.scale / x.scale[t]), acc = sum_c code*q - sum[t], exact
  // int32; for rows first_row <= r < last_row (first_row a multiple of kTileRows) and t < tokens.
  // cols <= kMaxTernaryCols, so that |acc| <= 2^24 converts exactly. For w.packing kFileRows x.q is
  // in the order of permute_for_file_rows. scratch: ternary_scratch_bytes(w.cols), 64-byte aligned,
  // of any content before and after; calls side by side each need their own.
  void (*ternary_matmul)(float* y, int64_t y_stride, const TernaryMatrix& w, int64_t first_row,
                         int64_t last_row, const QuantizedRows& x, int64_t tokens,
                         uint8_t* scratch) noexcept;

  // y[t*y_stride + r] = dot(float(w[r]), x[t]) in canonical order for first_row <= r < last_row,
  // t < tokens; each stored number is first converted to float (DenseType).
  void (*dense_matmul)(float* y, int64_t y_stride, const DenseMatrix& w, int64_t first_row,
                       int64_t last_row, const float* x, int64_t x_stride, int64_t tokens) noexcept;

  // y[t*y_stride + r] = x.scale[t] * acc; over the blocks of columns, ascending, from +0:
  // acc = fma(float(isum), scale of row and block, acc), isum = sum_c (code - 16) * x[t][c] exact
  // in int32 (64 * 31 * kScreenLargest < 2^31, even before the 16 is taken off); for rows
  // first_row <= r < last_row (first_row a multiple of kTileRows) and t < tokens.
  void (*screen_matmul)(float* y, int64_t y_stride, const ScreenMatrix& w, int64_t first_row,
                        int64_t last_row, const ScreenInput& x, int64_t tokens) noexcept;

  // y[i] = x.scale[token] * (2 * fold(acc) + fold(rest)) for row rows[i], i < count; in 16 lanes,
  // over the blocks b, ascending, from +0: acc[l] = fma(isum[l], step of row and block, acc[l]),
  // isum[l] = sum_c code * x[c] over the block's columns 4l..4l+3, exact;
  // rest[b % 16] = fma(step, x.offsets of the block, rest[b % 16]); fold adds lanes 8, 4, 2, 1
  // apart.
  void (*screen_rest)(float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                      const ScreenInput& x, int64_t token) noexcept;

  // One stored row as floats: y[0..w.cols).
  void (*dense_row)(float* y, const DenseMatrix& w, int64_t row) noexcept;

  // Rotates the first 2*pairs numbers of each head of x [heads][head_dim] in place:
  // (a, b) -> (a*cos - b*sin, b*cos + a*sin), computed as a' = fma(a, c, -(b*s)), b' = fma(b, c,
  // a*s). cosine, sine: [pairs].
  void (*rope)(float* x, int64_t heads, int64_t head_dim, int64_t pairs, RopeStyle style,
               const float* cosine, const float* sine) noexcept;

  // IEEE binary16, round to nearest even (overflow to infinity, subnormals kept, NaN stays NaN).
  void (*to_half)(uint16_t* y, const float* x, int64_t n) noexcept;

  // Attention of `queries` query heads that share one KV head over one page.
  //   q [queries][head_dim]; v [kPagePositions][head_dim] f16, k the same numbers placed by
  //   key_place(); of v positions 1..64 are read, of k these and those up to the next multiple of
  //   16, whose numbers do not matter.
  //   score_j = dot(q, float(k_j)) * scale;  maximum = max_j score_j (a zero is +0);
  //   p_j = exp(score_j - maximum);
  //   sum = canonical sum of p_j;  value[i] = over j ascending from +0: fma(p_j, float(v_j[i]),
  //   value[i]). maximum, sum: [queries]; value: [queries][head_dim].
  //   next: the keys of the page that is attended next, which may be brought near meanwhile; or
  //   nullptr. Nothing depends on it.
  void (*attend_page)(float* maximum, float* sum, float* value, const float* q, const uint16_t* k,
                      const uint16_t* v, int64_t queries, int64_t head_dim, int64_t positions,
                      float scale, const uint16_t* next) noexcept;
  // Joins part b (later pages) into part a, one head: m = am > bm ? am : bm; x = exp(am - m),
  // y = exp(bm - m);
  // sum = fma(as, x, bs*y); value[i] = fma(av[i], x, bv[i]*y).
  void (*attend_join)(float* a_maximum, float* a_sum, float* a_value, const float* b_maximum,
                      const float* b_sum, const float* b_value, int64_t head_dim) noexcept;
  // y[i] = value[i] / sum.
  void (*attend_finish)(float* y, const float* sum, const float* value, int64_t head_dim) noexcept;

  // u[i] = (g*g) * up[i], g = gate[i] > 0 ? gate[i] : +0.   u may be gate.
  void (*relu2_gate)(float* u, const float* gate, const float* up, int64_t n) noexcept;
  // u[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i].         u may be gate.
  void (*silu_gate)(float* u, const float* gate, const float* up, int64_t n) noexcept;
  // x[i] = x[i] + d[i].
  void (*add)(float* x, const float* d, int64_t n) noexcept;
  // x[i] = x[i] * factor.
  void (*scale)(float* x, float factor, int64_t n) noexcept;

  // For measuring the machine, not for the forward pass. read_stream returns the sum modulo 2^64 of
  // the data as little-endian 64-bit words (the last one completed with zero bytes), as fast as one
  // forward stream can be read, with hints as kPairs has them or without; int8_multiply_adds runs
  // about `count` int8 multiply-adds from registers at the highest rate this ISA has and returns
  // how many it really did.
  uint64_t (*read_stream)(const uint8_t* data, int64_t bytes, Reading reading) noexcept;
  uint64_t (*int8_multiply_adds)(uint64_t count) noexcept;
};

// The definition of every verb: always there.
const Ops& reference_ops() noexcept;

// select_ops(nullptr) is the best table the processor can run (AVX2 only with FMA and F16C, AVX-512
// only with BW, VL, DQ and VNNI, its VBMI table only with GFNI too, each only if the operating
// system saves its registers); a name asks for that one: nullptr if this build or this processor
// lacks it (usable_isas() says what would work).
const Ops* select_ops(const char* isa) noexcept;
// Names of the tables this processor can run, from "reference" up to the best, nullptr-terminated;
// how many in *count, which may be null.
const char* const* usable_isas(int* count) noexcept;

}  // namespace bitnet
