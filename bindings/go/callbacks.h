/* The callbacks of bitnet.h, each of which calls the Go function of callbacks.go with its name. */
#ifndef BITNET_GO_CALLBACKS_H
#define BITNET_GO_CALLBACKS_H

#include <bitnet.h>

void bitnet_go_log(void* user, bitnet_log_level level, const char* text);
int bitnet_go_progress(void* user, double done);
int bitnet_go_read_at(void* user, uint64_t offset, void* buffer, uint64_t bytes);
void bitnet_go_execute(void* user, void (*task)(void* argument, int32_t index), void* argument,
                       int32_t count);

/* Go cannot call a C function pointer. */
typedef void (*bitnet_go_task)(void* argument, int32_t index);
void bitnet_go_run_task(bitnet_go_task task, void* argument, int32_t index);

#endif
