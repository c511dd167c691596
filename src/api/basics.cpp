// Versions, status names, error objects.
#include "api/handles.h"
#include "tokens/utf8.h"

#define BITNET_TEXT_(x) #x
#define BITNET_TEXT(x) BITNET_TEXT_(x)

namespace bitnet {

// A sentence may quote what is not UTF-8 and may have been cut inside a character: what does not
// belong to a whole one becomes '?' or, at the end, is left out.
void report(const Status& status, bitnet_error* why) noexcept {
  constexpr size_t kHead = offsetof(bitnet_error, message);
  if (!why || why->size <= kHead) return;
  why->status = status.code();
  const size_t room = std::min(why->size - kHead, sizeof why->message) - 1;
  size_t n = 0;
  for (std::string_view rest = status.text(); !rest.empty();) {
    const Utf8Char c = first_char(rest);
    const size_t length = c.kind == Utf8Char::kWhole ? c.length : 1;
    if (c.kind == Utf8Char::kUnended || n + length > room) break;
    if (c.kind == Utf8Char::kWhole) {
      std::memcpy(why->message + n, rest.data(), length);
    } else {
      why->message[n] = '?';
    }
    n += length;
    rest.remove_prefix(length);
  }
  why->message[n] = 0;
}

String valid_utf8(std::string_view text) {
  String valid;
  while (!text.empty()) {
    const Utf8Char c = first_char(text);
    valid += c.kind == Utf8Char::kWhole ? text.substr(0, c.length) : kReplacement;
    text.remove_prefix(c.length);
  }
  return valid;
}

}  // namespace bitnet

extern "C" {

uint32_t bitnet_version(void) {
  return BITNET_VERSION_MAJOR << 16 | BITNET_VERSION_MINOR << 8 | BITNET_VERSION_PATCH;
}

const char* bitnet_version_string(void) {
  return BITNET_TEXT(BITNET_VERSION_MAJOR) "." BITNET_TEXT(BITNET_VERSION_MINOR) "." BITNET_TEXT(
      BITNET_VERSION_PATCH);
}

uint32_t bitnet_abi_version(void) {
  return BITNET_ABI_VERSION;
}

const char* bitnet_status_name(bitnet_status status) {
  switch (status) {
    case BITNET_OK:
      return "BITNET_OK";
    case BITNET_DONE:
      return "BITNET_DONE";
    case BITNET_E_ARGUMENT:
      return "BITNET_E_ARGUMENT";
    case BITNET_E_STATE:
      return "BITNET_E_STATE";
    case BITNET_E_MEMORY:
      return "BITNET_E_MEMORY";
    case BITNET_E_IO:
      return "BITNET_E_IO";
    case BITNET_E_FORMAT:
      return "BITNET_E_FORMAT";
    case BITNET_E_UNSUPPORTED:
      return "BITNET_E_UNSUPPORTED";
    case BITNET_E_CONTEXT_FULL:
      return "BITNET_E_CONTEXT_FULL";
    case BITNET_E_CANCELLED:
      return "BITNET_E_CANCELLED";
    case BITNET_E_BUFFER:
      return "BITNET_E_BUFFER";
    case BITNET_E_NOT_FOUND:
      return "BITNET_E_NOT_FOUND";
    case BITNET_E_DEVICE:
      return "BITNET_E_DEVICE";
    case BITNET_E_INTERNAL:
      return "BITNET_E_INTERNAL";
    case BITNET_STATUS_INT32:
      break;
  }
  return "unknown status";
}

}  // extern "C"
