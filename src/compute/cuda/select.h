// Of rows of logits, or of bounds of theirs, the few that a pick can depend on
// (compute/device.h, DeviceSelection), each computed if it was not.
#pragma once

#include "compute/cuda/dense.h"
#include "compute/cuda/launch.h"
#include "compute/device.h"

namespace bitnet::cuda {

// A row is cut into so many chunks at most, whose largest numbers set the mark for all.
constexpr int kSelectChunks = 512;
constexpr int64_t select_chunk(int64_t vocabulary) {
  return rounded_up(parts_of(vocabulary, kSelectChunks), 64);
}

// What is known of a row's chunks: the largest low and high end, infinite where one is NaN; and in
// a draw the most that a chunk is sure to reach, in the units of select.cu.
struct SelectRoom {
  float low[kSelectChunks], high[kSelectChunks], reached[kSelectChunks];
};
struct Selected {
  int32_t count;  // found; beyond kDeviceSelected they are not listed
  int32_t unused;
  DeviceLogit logit[kDeviceSelected];
};

struct SelectJob {
  DeviceSelection selection;
  const float *low, *high;  // [rows][stride]; the same: these are the logits
  int64_t stride;
  DeviceDense head;
  const float* hidden;  // [rows][head.cols], what the logits are computed from
  SelectRoom* room;     // [rows]
  Selected* selected;   // [rows]
};
void select_rows(Stream& stream, const SelectJob& job, int64_t rows);

}  // namespace bitnet::cuda
