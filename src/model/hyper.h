// The numbers and rules of a model's family, read from metadata and bounded
// (formats.md 1.3, 4.0, 4.1).
#pragma once

#include <string_view>

#include "base/status.h"
#include "file/gguf.h"
#include "model/model.h"

namespace bitnet {

// What distinguishes the families we know; everything else about them is equal.
struct Family {
  std::string_view name;  // general.architecture
  RopeStyle rope;
  bool sub_norms;  // norms before the output and the down projection
};

// The file's family, or an error that lists those there are.
Result<const Family*> read_family(const Gguf& file);

Result<HyperParameters> read_hyper_parameters(const Gguf& file, const Family& family);

// formats.md 4.1, "Activation rule". gate: the caller's choice, -1 for none.
Result<GateFunction> choose_gate(const Gguf& file, const Family& family,
                                 const HyperParameters& hyper, int gate);

// Only unscaled rotations and those that rope_freqs.weight states are computed: refuses the rest.
Status check_rope_scaling(const Gguf& file, const Family& family);

}  // namespace bitnet
