// What a tensor type id means: its name and the bytes its data takes.
#include <iterator>

#include "file/gguf.h"
#include "file/show.h"

namespace bitnet {
namespace {

constexpr uint64_t kI2sBlock = 128, kI2sTail = 32;

// Bytes of a tensor = rows * (row_prefix + shape[0] / block * block_bytes), and for I2_S its own
// rule. Sources: formats.md 1.2, 1.4; block sizes of ggml-org/ggml src/ggml-common.h.
struct TypeSize {
  uint32_t id;
  const char* name;
  uint16_t block, block_bytes;
  uint16_t row_prefix;
};
constexpr TypeSize kTypes[] = {
    {0, "F32", 1, 4, 0},           {1, "F16", 1, 2, 0},         {2, "Q4_0", 32, 18, 0},
    {3, "Q4_1", 32, 20, 0},        {6, "Q5_0", 32, 22, 0},      {7, "Q5_1", 32, 24, 0},
    {8, "Q8_0", 32, 34, 0},        {9, "Q8_1", 32, 36, 0},      {10, "Q2_K", 256, 84, 0},
    {11, "Q3_K", 256, 110, 0},     {12, "Q4_K", 256, 144, 0},   {13, "Q5_K", 256, 176, 0},
    {14, "Q6_K", 256, 210, 0},     {15, "Q8_K", 256, 292, 0},   {16, "IQ2_XXS", 256, 66, 0},
    {17, "IQ2_XS", 256, 74, 0},    {18, "IQ3_XXS", 256, 98, 0}, {19, "IQ1_S", 256, 50, 0},
    {20, "IQ4_NL", 32, 18, 0},     {21, "IQ3_S", 256, 110, 0},  {22, "IQ2_S", 256, 82, 0},
    {23, "IQ4_XS", 256, 136, 0},   {24, "I8", 1, 1, 0},         {25, "I16", 1, 2, 0},
    {26, "I32", 1, 4, 0},          {27, "I64", 1, 8, 0},        {28, "F64", 1, 8, 0},
    {29, "IQ1_M", 256, 56, 0},     {30, "BF16", 1, 2, 0},       {34, "TQ1_0", 256, 54, 0},
    {35, "TQ2_0", 256, 66, 0},     {36, "I2_S", 1, 0, 0},       {39, "MXFP4", 32, 17, 0},
    {42, "Q2_0", 64, 18, 0},       {134, "IQ1_BN", 64, 13, 2},  {135, "IQ2_BN", 64, 16, 4},
    {335, "IQ2_BN_R4", 64, 16, 4},
};
constexpr uint32_t kIQ2_BN_R4 = 335;

const TypeSize* find_type(uint32_t id) noexcept {
  for (const TypeSize& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

}  // namespace

const char* tensor_type_name(TensorType type) noexcept {
  const TypeSize* known = find_type(static_cast<uint32_t>(type));
  return known ? known->name : nullptr;
}

Result<uint64_t> tensor_bytes(const TensorInfo& t) noexcept {
  const TypeSize* type = find_type(static_cast<uint32_t>(t.type));
  if (!type) {
    return Status::error(BITNET_E_FORMAT,
                         "tensor %s: type %" PRIu32 " is unknown, so is the size of its data",
                         shown(t.name).text, static_cast<uint32_t>(t.type));
  }
  if (t.type == TensorType::kI2_S) {
    const uint64_t elements = t.shape[0] * t.rows();
    if (elements % kI2sBlock != 0) {
      return Status::error(
          BITNET_E_FORMAT,
          "tensor %s: I2_S of shape %s has %" PRIu64 " elements, expected a multiple of %" PRIu64,
          shown(t.name).text, shown_shape(t.shape, t.dims).text, elements, kI2sBlock);
    }
    return elements / 4 + kI2sTail;
  }
  if (t.shape[0] % type->block != 0 || (type->id == kIQ2_BN_R4 && t.shape[1] % 4 != 0)) {
    return Status::error(
        BITNET_E_FORMAT, "tensor %s: shape %s does not divide into blocks of %s (%u elements)",
        shown(t.name).text, shown_shape(t.shape, t.dims).text, type->name, type->block);
  }
  uint64_t row_bytes, bytes;
  if (__builtin_mul_overflow(t.shape[0] / type->block, type->block_bytes, &row_bytes) ||
      __builtin_add_overflow(row_bytes, type->row_prefix, &row_bytes) ||
      __builtin_mul_overflow(row_bytes, t.rows(), &bytes)) {
    return Status::error(BITNET_E_FORMAT, "tensor %s: shape %s of %s exceeds 2^64 bytes",
                         shown(t.name).text, shown_shape(t.shape, t.dims).text, type->name);
  }
  return bytes;
}

}  // namespace bitnet
