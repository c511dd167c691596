/* A libmimalloc.so.2 for tests: the program that loads the library decides which allocation fails,
 * so every allocation of a scenario can be failed in turn without a hook in the product. Found by
 * LD_LIBRARY_PATH; serves from the C library. */
#define _POSIX_C_SOURCE 200809L

#include <stddef.h>
#include <stdlib.h>

/* The program's: 0 makes this allocation fail; and how many blocks there are more (1) or less (-1).
 */
extern int fault_may_allocate(size_t bytes) __attribute__((weak));
extern void fault_count_blocks(int change) __attribute__((weak));

void* mi_malloc_aligned(size_t bytes, size_t alignment) {
  void* block = NULL;
  if (fault_may_allocate && !fault_may_allocate(bytes)) return NULL;
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  if (posix_memalign(&block, alignment, bytes) != 0) return NULL;
  if (fault_count_blocks) fault_count_blocks(1);
  return block;
}

void mi_free(void* block) {
  if (!block) return;
  if (fault_count_blocks) fault_count_blocks(-1);
  free(block);
}
