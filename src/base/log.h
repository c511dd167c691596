// Messages for the host, through its own callback; silent without one. Never stdout or stderr.
#pragma once

#include <cstdarg>
#include <cstdio>

#include "bitnet.h"

namespace bitnet {

struct Log {
  bitnet_log_fn callback = nullptr;
  void* user = nullptr;

  [[gnu::format(printf, 3, 4)]] void operator()(bitnet_log_level level, const char* format,
                                                ...) const noexcept {
    if (!callback) return;
    char text[1024];
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    callback(user, level, text);
  }
};

}  // namespace bitnet
