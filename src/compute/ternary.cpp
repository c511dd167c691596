// The other direction of ternary_unpack.h, done once at load or once a token; for any processor.

#include <cstring>

#include "compute/ops.h"
#include "compute/ternary_unpack.h"

namespace bitnet {
namespace {

uint8_t plane(uint8_t byte, int p) noexcept {
  return static_cast<uint8_t>(byte >> (2 * p) & 3);
}

}  // namespace

void pack_base3(uint8_t* out, const uint8_t* groups, int64_t count) noexcept {
  for (; count >= 5; count -= 5, groups += 5 * kGroupBytes) {
    const uint8_t* fifth_group = groups + 4 * kGroupBytes;
    for (int k = 0; k < 4; ++k, out += kGroupBytes) {
      const uint8_t* from = groups + kGroupBytes * k;
      for (int i = 0; i < kGroupBytes; ++i) {
        out[i] = static_cast<uint8_t>(plane(from[i], 0) + 3 * plane(from[i], 1) +
                                      9 * plane(from[i], 2) + kFourthStep * plane(from[i], 3) +
                                      kFifthStep * plane(fifth_group[i], k));
      }
    }
  }
  std::memcpy(out, groups, static_cast<size_t>(count * kGroupBytes));
}

void permute_for_file_rows(int8_t* q, const int8_t* canonical, int64_t cols,
                           FileOrder order) noexcept {
  for (int64_t block = 0; block < cols; block += kFileBlockCols) {
    for (int64_t i = 0; i < 8; ++i) {
      for (int64_t p = 0; p < 4; ++p) {
        const int64_t quarter = order == FileOrder::kTopDown ? 3 - p : p;
        std::memcpy(q + block + kGroupCols * i + 4 * p, canonical + block + 32 * quarter + 4 * i,
                    4);
      }
    }
  }
}

}  // namespace bitnet
