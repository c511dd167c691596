// GGUF v2/v3: bytes to metadata and named tensors, every field checked before it is believed.
//
// All views point into the bytes given to parse(); whoever owns those bytes must outlive them.
// Immutable after parsing: safe to share between threads.
// Source: design/formats.md section 1 (ggml-org/ggml docs/gguf.md).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"

namespace bitnet {

using Bytes = std::span<const uint8_t>;

// The ids of the file format (formats.md 1.4). Types we know by name and size; not all are
// readable.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ5_0 = 6,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ6_K = 14,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kI2_S = 36,
};
// "F32", "I2_S" …; "type 123" is written by the caller for unknown ones: nullptr here.
const char* tensor_type_name(TensorType type) noexcept;

enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

uint64_t scalar_bytes(ValueType type) noexcept;        // 0 for strings and arrays
const char* value_type_name(ValueType type) noexcept;  // "u32", "string" ...

// One metadata value, a view of the file. Gguf reads it by type.
struct Value {
  ValueType type;
  ValueType element;  // of an array
  uint64_t count;     // elements of an array; bytes of a string; else 1
  Bytes data;         // a scalar's bytes, a string's bytes, or an array's encoded elements
};

struct KeyValue {
  std::string_view key;
  Value value;
};

struct TensorInfo {
  std::string_view name;
  TensorType type;
  uint32_t dims;      // 1..4
  uint64_t shape[4];  // shape[0] is the contiguous row length; unused ones are 1
  uint64_t offset;    // from the start of the file
  Bytes data;         // exactly the tensor's bytes by its type's size rule (formats.md 1.2)

  uint64_t rows() const noexcept { return shape[1] * shape[2] * shape[3]; }
};
// Bytes the tensor's data takes by the rule of its type (formats.md 1.2), or why there is no such
// tensor. Extents must be 1 or more and their product below 2^63.
Result<uint64_t> tensor_bytes(const TensorInfo& tensor) noexcept;

class Gguf {
 public:
  static Result<Gguf> parse(Bytes file);

  uint32_t version() const noexcept { return version_; }
  std::span<const KeyValue> metadata() const noexcept { return metadata_; }
  std::span<const TensorInfo> tensors() const noexcept { return tensors_; }

  const Value* find(std::string_view key) const noexcept;  // nullptr: absent
  const TensorInfo* find_tensor(std::string_view name) const noexcept;

  // Typed reads. Absent key: the optional is empty. Wrong type or out of range: an error that
  // names the key, what the file has and what is expected.
  Result<std::optional<uint64_t>> integer(std::string_view key,
                                          uint64_t max) const;     // any int type
  Result<std::optional<double>> real(std::string_view key) const;  // f32 or f64
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string_view>> text(std::string_view key) const;
  Result<Vec<std::string_view>> texts(std::string_view key) const;  // empty when absent
  Result<Vec<float>> reals(std::string_view key) const;       // array of f32; empty when absent
  Result<Vec<int32_t>> integers(std::string_view key) const;  // array of i32/u32; empty when absent

 private:
  uint32_t version_ = 0;
  Vec<KeyValue> metadata_;
  Vec<TensorInfo> tensors_;
  // Positions sorted by name: lookups by bisection, so no choice of names can make them slow.
  Vec<uint32_t> key_order_, tensor_order_;

  friend class GgufParser;
};

}  // namespace bitnet
