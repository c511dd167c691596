// The small model inside this program, so that every command works without a file.
#pragma once

#include <cstddef>
#include <span>

// embedded_model.S: both are addresses in the program's read-only data.
extern "C" const std::byte bitnet_embedded_model[];
extern "C" const std::byte bitnet_embedded_model_end[];

namespace cli {

inline std::span<const std::byte> embedded_model() {
  return {bitnet_embedded_model, bitnet_embedded_model_end};
}

}  // namespace cli
