#include "session/stop.h"

#include <algorithm>

namespace bitnet {
namespace {

// Bytes of the UTF-8 sequence at the start of text, 0 if there is no valid one (Unicode 15, table
// 3-7).
size_t sequence_bytes(std::string_view text) noexcept {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const auto within = [&](size_t i, uint8_t low, uint8_t high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint8_t lead = byte(0);
  if (text.empty()) return 0;
  if (lead < 0x80) return 1;
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  const size_t bytes = within(0, 0xc2, 0xdf)   ? 2
                       : within(0, 0xe0, 0xef) ? 3
                       : within(0, 0xf0, 0xf4) ? 4
                                               : 0;
  if (bytes == 0 || !within(1, low, high)) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if (!within(i, 0x80, 0xbf)) return 0;
  }
  return bytes;
}

Status check(std::string_view stop, size_t index) {
  if (stop.empty()) {
    return Status::error(BITNET_E_ARGUMENT, "stop text %zu is empty, must have a character", index);
  }
  for (size_t at = 0; at < stop.size();) {
    const size_t bytes = sequence_bytes(stop.substr(at));
    if (bytes == 0) {
      return Status::error(BITNET_E_ARGUMENT, "stop text %zu: byte %zu (0x%02x) is not UTF-8",
                           index, at, static_cast<unsigned>(static_cast<uint8_t>(stop[at])));
    }
    at += bytes;
  }
  return {};
}

}  // namespace

Result<StopMatcher> StopMatcher::open(std::span<const String> stops) {
  StopMatcher matcher;
  size_t longest = 0;
  for (size_t i = 0; i < stops.size(); ++i) {
    BITNET_TRY(check(stops[i], i));
    longest = std::max(longest, stops[i].size());
  }
  matcher.stops_.assign(stops.begin(), stops.end());
  matcher.held_.reserve(longest);
  return matcher;
}

bool StopMatcher::push(std::string_view piece, String& out) {
  if (stopped_) return true;
  const size_t from = out.size();
  out.reserve(from + held_.size() + piece.size());  // now or never: what follows cannot fail
  out.append(held_).append(piece);
  held_.clear();
  return release(from, false, out);
}

bool StopMatcher::finish(String& out) {
  if (stopped_) return true;
  const size_t from = out.size();
  out.append(held_);
  held_.clear();
  return release(from, true, out);
}

// Decides on out[from..), position by position: gone over, a stop text (the rest is dropped), or
// perhaps the beginning of one (the rest is held, unless it is the last there will be).
bool StopMatcher::release(size_t from, bool last, String& out) {
  for (size_t at = from; at < out.size(); ++at) {
    const std::string_view rest = std::string_view(out).substr(at);
    bool begun = false;
    for (const String& stop : stops_) {
      if (rest.starts_with(stop)) {
        out.resize(at);
        return stopped_ = true;
      }
      begun |= !last && std::string_view(stop).starts_with(rest);
    }
    if (begun) {
      held_.assign(rest);
      out.resize(at);
      return false;
    }
  }
  return false;
}

}  // namespace bitnet
