#include "callbacks.h"

#include "_cgo_export.h"

void bitnet_go_log(void* user, bitnet_log_level level, const char* text) {
  goLog(user, level, (char*)text);
}

int bitnet_go_progress(void* user, double done) {
  return goProgress(user, done);
}

int bitnet_go_read_at(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
  return goReadAt(user, offset, buffer, bytes);
}

void bitnet_go_execute(void* user, void (*task)(void* argument, int32_t index), void* argument,
                       int32_t count) {
  goExecute(user, task, argument, count);
}

void bitnet_go_run_task(bitnet_go_task task, void* argument, int32_t index) {
  task(argument, index);
}
