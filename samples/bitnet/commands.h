// The commands: each takes the arguments behind its name and returns the exit status.
#pragma once

#include "options.h"

namespace cli {

int run(Arguments arguments);
int chat(Arguments arguments);
int logits(Arguments arguments);
int tokenize(Arguments arguments);
int detokenize(Arguments arguments);
int inspect(Arguments arguments);
int bench(Arguments arguments);
int devices(Arguments arguments);

}  // namespace cli
