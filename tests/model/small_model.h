// A whole model of any family as a GGUF writer, small enough to build hundreds of: every test bends
// one thing of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/ternary_encoders.h"
#include "support/gguf_writer.h"

namespace bitnet::test {

// Ids of the file format.
enum : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kI2_S = 36
};

struct SmallModel {
  std::string family = "bitnet-b1.58";
  uint64_t layers = 2, width = 256, ff_width = 512, heads = 4, kv_heads = 2, head_dim = 64,
           vocab = 24;
  uint32_t projection_type = kI2_S;
  bool tied = true;

  bool sub_norms() const { return family != "llama"; }
};

inline uint64_t elements(const std::vector<uint64_t>& shape) {
  uint64_t n = 1;
  for (const uint64_t extent : shape) n *= extent;
  return n;
}

// Harmless data of the right size: norms and scales 1, codes random.
inline ByteVector data_for(uint32_t type, const std::vector<uint64_t>& shape) {
  const uint64_t n = elements(shape);
  const auto codes = [&] {
    return random_codes(1, static_cast<int64_t>(n), static_cast<uint32_t>(n));
  };
  switch (type) {
    case kF32:
      return bytes_of(std::vector<float>(n, 1.0f));
    case kF16:
      return bytes_of(std::vector<uint16_t>(n, kHalfOne));
    case kBF16:
      return bytes_of(std::vector<uint16_t>(n, 0x3f80));
    case kQ4_0:
      return ByteVector(n / 32 * 18, 0x3c);
    case kQ5_1:
      return ByteVector(n / 32 * 24, 0x3c);
    case kQ8_0:
      return ByteVector(n / 32 * 34, 0x3c);
    case kTQ1_0:
      return encode_tq1(codes(), kHalfOne);
    case kTQ2_0:
      return encode_tq2(codes(), kHalfOne);
    default:  // I2_S: in the normal layout no row of another starts inside a block
      return encode_i2s(codes(), static_cast<int64_t>(shape[0]), I2sLayout::k128, 1.25f);
  }
}

inline GgufWriter small_model(const SmallModel& m = {}) {
  GgufWriter w;
  const std::string a = m.family + ".";
  w.text("general.architecture", m.family);
  w.text("general.name", "small");
  w.u32(a + "block_count", static_cast<uint32_t>(m.layers));
  w.u32(a + "context_length", 512);
  w.u32(a + "embedding_length", static_cast<uint32_t>(m.width));
  w.u32(a + "feed_forward_length", static_cast<uint32_t>(m.ff_width));
  w.u32(a + "attention.head_count", static_cast<uint32_t>(m.heads));
  w.u32(a + "attention.head_count_kv", static_cast<uint32_t>(m.kv_heads));
  if (m.width != m.heads * m.head_dim) {
    w.u32(a + "attention.key_length", static_cast<uint32_t>(m.head_dim));
  }
  w.f32(a + "attention.layer_norm_rms_epsilon", 1e-5f);
  w.f32(a + "rope.freq_base", 500000.0f);
  w.u32(a + "vocab_size", static_cast<uint32_t>(m.vocab));

  const auto add = [&](const std::string& name, uint32_t type, const std::vector<uint64_t>& shape) {
    w.tensor(name, type, shape, data_for(type, shape));
  };
  const uint64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
  const uint32_t type = m.projection_type;
  add("token_embd.weight", kF16, {m.width, m.vocab});
  for (uint64_t n = 0; n < m.layers; ++n) {
    const std::string blk = "blk." + std::to_string(n) + ".";
    add(blk + "attn_norm.weight", kF32, {m.width});
    add(blk + "attn_q.weight", type, {m.width, q});
    add(blk + "attn_k.weight", type, {m.width, kv});
    add(blk + "attn_v.weight", type, {m.width, kv});
    if (m.sub_norms()) add(blk + "attn_sub_norm.weight", kF32, {q});
    add(blk + "attn_output.weight", type, {q, m.width});
    add(blk + "ffn_norm.weight", kF32, {m.width});
    add(blk + "ffn_gate.weight", type, {m.width, m.ff_width});
    add(blk + "ffn_up.weight", type, {m.width, m.ff_width});
    if (m.sub_norms()) add(blk + "ffn_sub_norm.weight", kF32, {m.ff_width});
    add(blk + "ffn_down.weight", type, {m.ff_width, m.width});
  }
  add("output_norm.weight", kF32, {m.width});
  if (!m.tied) add("output.weight", kF16, {m.width, m.vocab});
  return w;
}

}  // namespace bitnet::test
