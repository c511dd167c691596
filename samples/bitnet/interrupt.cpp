#include "interrupt.h"

#include <atomic>

namespace cli {
namespace {

// A signal handler reaches nothing but globals.
std::atomic<const bitnet_ctx*> replying = nullptr;
std::atomic<bool> interrupted = false;
static_assert(std::atomic<const bitnet_ctx*>::is_always_lock_free);

void on_interrupt(int) {
  interrupted = true;
  if (const bitnet_ctx* ctx = replying) bitnet_ctx_cancel(ctx);
}

}  // namespace

Interrupt::Interrupt(const bitnet_ctx* ctx) {
  replying = ctx;
  interrupted = false;
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler == SIG_IGN) return;
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;  // a write that is under way goes on
  sigaction(SIGINT, &action, nullptr);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &before_, nullptr);
  replying = nullptr;
}

bool Interrupt::came() const {
  return interrupted;
}

}  // namespace cli
