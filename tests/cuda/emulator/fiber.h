// A stack of its own for each thread of a block, and the way from one to another.
#pragma once

#include <cstddef>

namespace emulator {

// Where a flow of control can be left and entered again. What the host's thread runs on is one,
// too.
struct Context {
  void* stack_pointer = nullptr;
  // For the address sanitizer, which has to know what is a stack.
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;
};

// Leaves `from` and goes on where `to` was left; returns when something switches back. `from`
// becomes what is left, and its stack is learned if it was not known.
void switch_context(Context& from, Context& to) noexcept;

// A context that begins with entry(), which never returns, in the pages of a new stack with an
// inaccessible one below. number: staggers the stacks, so that those of a block do not lie in the
// same lines of the cache.
Context open_fiber(void (*entry)(), int number);
// Nothing runs in it any more.
void close_fiber(Context& fiber) noexcept;

// The first thing in entry(); from: what was left.
void entered_fiber(Context& from) noexcept;

}  // namespace emulator
