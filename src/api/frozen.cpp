// Calls that bitnet.h no longer declares, for programs built with a version that did.
//
// In 0.1 the ..._init functions were calls. A library cannot know how large its caller's struct is,
// so these fill what 0.1 had and nothing behind it; since 0.2 they are inline in the header, where
// each caller's own struct is known. Not compiled with the header, which now has other functions of
// these names.
#include <cstdint>
#include <cstring>

// No system with other pointers had 0.1.
#if UINTPTR_MAX == UINT64_MAX

#define BITNET_FROZEN_INIT(type, bytes)                                              \
  struct type;                                                                       \
  extern "C" __attribute__((visibility("default"))) void type##_init(type* object) { \
    constexpr uint32_t size = bytes;                                                 \
    if (!object) return;                                                             \
    std::memset(static_cast<void*>(object), 0, size);                                \
    std::memcpy(static_cast<void*>(object), &size, sizeof size);                     \
  }

BITNET_FROZEN_INIT(bitnet_error, 512)
BITNET_FROZEN_INIT(bitnet_model_options, 72)
BITNET_FROZEN_INIT(bitnet_source, 32)
BITNET_FROZEN_INIT(bitnet_model_info, 144)
BITNET_FROZEN_INIT(bitnet_tensor_info, 72)
BITNET_FROZEN_INIT(bitnet_ctx_options, 40)
BITNET_FROZEN_INIT(bitnet_ctx_stats, 88)
BITNET_FROZEN_INIT(bitnet_estimate, 48)
BITNET_FROZEN_INIT(bitnet_sampler_options, 56)
BITNET_FROZEN_INIT(bitnet_generate_options, 104)
BITNET_FROZEN_INIT(bitnet_generate_info, 56)
BITNET_FROZEN_INIT(bitnet_machine_limits, 32)

#endif
