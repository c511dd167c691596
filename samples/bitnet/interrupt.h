// Ctrl-C that stops a reply instead of the program.
#pragma once

#include <bitnet.h>

#include <csignal>

namespace cli {

// While it lives, SIGINT cancels what the context decodes; before and after, it does what it did.
// One at a time in the program. Where SIGINT is ignored (a job in the background) it stays ignored.
class Interrupt {
 public:
  explicit Interrupt(const bitnet_ctx* ctx);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool came() const;

 private:
  struct sigaction before_;
};

}  // namespace cli
