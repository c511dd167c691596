// Stop texts over a stream: text is let through as soon as it can no longer be the beginning of a
// stop text; at a match the text before it is, and the rest of the stream is dropped.
#pragma once

#include <span>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"

namespace bitnet {

// Of all places where a stop text occurs in the whole stream, the first one ends it; which of
// several stop texts starts there makes no difference to the text let through. push() says so as
// early as it is certain: at once when the occurrence is complete and no other one can have begun
// before it.
//
// The text let through does not depend on how the stream is cut into pieces, and its parts end on
// whole UTF-8 sequences if the pieces do (a stop text, being UTF-8, cannot begin inside a
// sequence).
//
// One per stream, not thread-safe.
class StopMatcher {
 public:
  // Copies the texts. Fails with BITNET_E_ARGUMENT on one that is empty or not UTF-8.
  static Result<StopMatcher> open(std::span<const String> stops);

  // Appends what is let through to out; true once the stream is at an end, then and ever after.
  // Allocates only in out, at most held() + piece.size() bytes.
  bool push(std::string_view piece, String& out);

  // The stream is over: appends what was held back, up to a stop text that is complete in it, if
  // any; true then or if push() was.
  bool finish(String& out);

  // Bytes held back: fewer than the longest stop text has.
  size_t held() const noexcept { return held_.size(); }

 private:
  StopMatcher() = default;
  bool release(size_t from, bool last, String& out);

  Vec<String> stops_;
  String held_;  // capacity: the longest stop text; begins where a stop text may begin
  bool stopped_ = false;
};

}  // namespace bitnet
