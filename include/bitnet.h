/* bitnet.h: skeleton while the full header is being written; codes and log types are settled. */
#ifndef BITNET_H
#define BITNET_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define BITNET_VERSION_MAJOR 0
#define BITNET_VERSION_MINOR 1
#define BITNET_VERSION_PATCH 0
#define BITNET_ABI_VERSION 0
typedef enum bitnet_status {
  BITNET_OK = 0,
  BITNET_DONE = 1,
  BITNET_E_ARGUMENT = -1,
  BITNET_E_STATE = -2,
  BITNET_E_MEMORY = -3,
  BITNET_E_IO = -4,
  BITNET_E_FORMAT = -5,
  BITNET_E_UNSUPPORTED = -6,
  BITNET_E_CONTEXT_FULL = -7,
  BITNET_E_CANCELLED = -8,
  BITNET_E_BUFFER = -9,
  BITNET_E_NOT_FOUND = -10,
  BITNET_E_DEVICE = -11,
  BITNET_E_INTERNAL = -12,
  BITNET_STATUS_INT32 = 0x7fffffff
} bitnet_status;
typedef struct bitnet_error {
  uint32_t size;
  int32_t status;
  char message[504];
} bitnet_error;
typedef enum bitnet_log_level {
  BITNET_LOG_ERROR = 1, BITNET_LOG_WARNING = 2, BITNET_LOG_INFO = 3, BITNET_LOG_INT32 = 0x7fffffff
} bitnet_log_level;
typedef void (*bitnet_log_fn)(void *user, bitnet_log_level level, const char *text);
#ifdef __cplusplus
}
#endif
#endif
