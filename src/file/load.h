// A number out of a file's bytes, whatever its alignment. Little-endian, as all of our formats.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace bitnet {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

template <class T>
T load(const uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace bitnet
