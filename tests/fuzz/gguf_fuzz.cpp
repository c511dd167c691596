// libFuzzer: any bytes as a model file, through the parser, the description and the packing of
// every ternary projection. Build with clang and -Dfuzzers=true (see tests/file/meson.build).
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "file/gguf.h"
#include "model/model.h"

namespace {

void check(bool promise) {
  if (!promise) std::abort();
}

void pack(const bitnet::Projection& p) {
  bitnet::Buffer tiles(
      static_cast<size_t>(bitnet::packed_bytes(bitnet::Packing::kTwoBit, p.rows, p.cols)));
  bitnet::Buffer codes(static_cast<size_t>(p.rows * p.cols));
  const auto packed = bitnet::pack_tiles(p, 0, p.rows, tiles.data());
  const auto unpacked = bitnet::unpack_codes(p, 0, p.rows, codes.data());
  check(packed.ok() == unpacked.ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const auto file = bitnet::Gguf::parse({data, bytes});
  if (!file.ok()) {
    check(file.status().text()[0] != 0);
    return 0;
  }
  for (const bitnet::TensorInfo& t : file.value().tensors()) {
    check(t.data.data() >= data && t.data.data() + t.data.size() <= data + bytes);
  }
  for (int layout = 0; layout < 3; ++layout) {
    bitnet::ModelDescription::Options options;
    options.i2s_layout = static_cast<bitnet::I2sLayout>(layout);
    const auto model = bitnet::ModelDescription::open(file.value(), options);
    if (!model.ok()) {
      check(model.status().text()[0] != 0);
      continue;
    }
    for (const bitnet::Layer& layer : model.value()->layers) {
      for (const auto member : bitnet::kProjections) {
        if ((layer.*member).ternary) pack(layer.*member);
      }
    }
  }
  return 0;
}
