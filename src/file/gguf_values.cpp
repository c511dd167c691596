// Typed reads of metadata. Values lie within the file and have the size of their type: parse() saw
// to it.
#include <cstring>
#include <iterator>
#include <limits>

#include "file/gguf.h"
#include "file/load.h"
#include "file/show.h"

namespace bitnet {

uint64_t scalar_bytes(ValueType type) noexcept {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      return 0;
  }
  return 0;
}

const char* value_type_name(ValueType type) noexcept {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  const auto id = static_cast<uint32_t>(type);
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

namespace {

std::string_view string_of(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Status wrong_type(std::string_view key, const Value& value, const char* expected) noexcept {
  if (value.type == ValueType::kArray) {
    return Status::error(BITNET_E_FORMAT, "%s: file has an array of %s, expected %s",
                         shown(key).text, value_type_name(value.element), expected);
  }
  return Status::error(BITNET_E_FORMAT, "%s: file has %s, expected %s", shown(key).text,
                       value_type_name(value.type), expected);
}

Result<std::optional<uint64_t>> non_negative(std::string_view key, int64_t number, uint64_t max) {
  if (number < 0) {
    return Status::error(BITNET_E_FORMAT, "%s: file has %" PRId64 ", expected 0 to %" PRIu64,
                         shown(key).text, number, max);
  }
  return std::optional<uint64_t>(static_cast<uint64_t>(number));
}

Result<std::optional<uint64_t>> any_integer(std::string_view key, const Value& value,
                                            uint64_t max) {
  const uint8_t* p = value.data.data();
  switch (value.type) {
    case ValueType::kU8:
      return std::optional<uint64_t>(load<uint8_t>(p));
    case ValueType::kU16:
      return std::optional<uint64_t>(load<uint16_t>(p));
    case ValueType::kU32:
      return std::optional<uint64_t>(load<uint32_t>(p));
    case ValueType::kU64:
      return std::optional<uint64_t>(load<uint64_t>(p));
    case ValueType::kI8:
      return non_negative(key, load<int8_t>(p), max);
    case ValueType::kI16:
      return non_negative(key, load<int16_t>(p), max);
    case ValueType::kI32:
      return non_negative(key, load<int32_t>(p), max);
    case ValueType::kI64:
      return non_negative(key, load<int64_t>(p), max);
    default:
      return wrong_type(key, value, "an integer");
  }
}

bool is_array_of(const Value& value, ValueType element) noexcept {
  return value.type == ValueType::kArray && value.element == element;
}

}  // namespace

Result<std::optional<uint64_t>> Gguf::integer(std::string_view key, uint64_t max) const {
  const Value* value = find(key);
  if (!value) return std::optional<uint64_t>();
  BITNET_LET(const auto number, any_integer(key, *value, max));
  if (*number > max) {
    return Status::error(BITNET_E_FORMAT, "%s: file has %" PRIu64 ", expected 0 to %" PRIu64,
                         shown(key).text, *number, max);
  }
  return number;
}

Result<std::optional<double>> Gguf::real(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::optional<double>();
  if (value->type == ValueType::kF32) {
    return std::optional<double>(static_cast<double>(load<float>(value->data.data())));
  }
  if (value->type == ValueType::kF64) {
    return std::optional<double>(load<double>(value->data.data()));
  }
  return wrong_type(key, *value, "f32 or f64");
}

Result<std::optional<bool>> Gguf::boolean(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::optional<bool>();
  if (value->type != ValueType::kBool) return wrong_type(key, *value, "bool");
  const uint8_t byte = value->data[0];
  if (byte > 1) {
    return Status::error(BITNET_E_FORMAT, "%s: file has a bool of value %u, expected 0 or 1",
                         shown(key).text, byte);
  }
  return std::optional<bool>(byte == 1);
}

Result<std::optional<std::string_view>> Gguf::text(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::optional<std::string_view>();
  if (value->type != ValueType::kString) return wrong_type(key, *value, "a string");
  return std::optional<std::string_view>(string_of(value->data));
}

Result<Vec<std::string_view>> Gguf::texts(std::string_view key) const {
  Vec<std::string_view> texts;
  const Value* value = find(key);
  if (!value) return texts;
  if (!is_array_of(*value, ValueType::kString)) return wrong_type(key, *value, "array of string");
  texts.reserve(static_cast<size_t>(value->count));
  // Lengths were checked by parse().
  Bytes rest = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto length = static_cast<size_t>(load<uint64_t>(rest.data()));
    texts.push_back(string_of(rest.subspan(8, length)));
    rest = rest.subspan(8 + length);
  }
  return texts;
}

Result<Vec<float>> Gguf::reals(std::string_view key) const {
  Vec<float> numbers;
  const Value* value = find(key);
  if (!value) return numbers;
  if (!is_array_of(*value, ValueType::kF32)) return wrong_type(key, *value, "array of f32");
  numbers.resize(static_cast<size_t>(value->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), value->data.data(), value->data.size());
  return numbers;
}

Result<Vec<int32_t>> Gguf::integers(std::string_view key) const {
  Vec<int32_t> numbers;
  const Value* value = find(key);
  if (!value) return numbers;
  if (!is_array_of(*value, ValueType::kI32) && !is_array_of(*value, ValueType::kU32)) {
    return wrong_type(key, *value, "array of i32 or u32");
  }
  numbers.resize(static_cast<size_t>(value->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), value->data.data(), value->data.size());
  if (value->element == ValueType::kI32) return numbers;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] < 0) {
      return Status::error(BITNET_E_FORMAT, "%s: element %zu is %" PRIu32 ", expected 0 to %d",
                           shown(key).text, i, static_cast<uint32_t>(numbers[i]),
                           std::numeric_limits<int32_t>::max());
    }
  }
  return numbers;
}

}  // namespace bitnet
