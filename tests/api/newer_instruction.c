/* Executes one instruction that not every x86-64 has: shows that the emulator of x86_processors.sh
 * refuses what a processor lacks. usage: newer_instruction ssse3|avx|avx512 */
#include <string.h>

int main(int argc, char** argv) {
  const char* which = argc > 1 ? argv[1] : "";
  if (strcmp(which, "ssse3") == 0) {
    __asm__ volatile("pabsb %%xmm0, %%xmm0" : : : "xmm0");
  } else if (strcmp(which, "avx") == 0) {
    __asm__ volatile("vpxor %%xmm0, %%xmm0, %%xmm0" : : : "xmm0");
  } else if (strcmp(which, "avx512") == 0) {
    __asm__ volatile("vpxord %%zmm0, %%zmm0, %%zmm0" : : : "xmm0");
  } else {
    return 2;
  }
  return 0;
}
