// bitnet: BitNet language models at the command line, on nothing but bitnet.h.
#include <bitnet.h>

#include <csignal>
#include <new>

#include "commands.h"
#include "io.h"

namespace cli {
namespace {

struct Command {
  std::string_view name;
  int (*carry_out)(Arguments);
  const char* purpose;
};

constexpr Command commands[] = {
    {"chat", chat, "answers a question, or holds a conversation"},
    {"run", run, "continues a text"},
    {"inspect", inspect, "shows what a model file says about itself"},
    {"tokenize", tokenize, "text to the ids of its tokens"},
    {"detokenize", detokenize, "ids of tokens to their text"},
    {"logits", logits, "writes what the model computes for each token to a file"},
    {"bench", bench, "measures speed"},
    {"devices", devices, "lists what --device may name"},
};

std::string help() {
  std::string text =
      "usage: bitnet COMMAND [options]\n\n"
      "Runs BitNet b1.58 language models. Without -m, the small model built in.\n\n"
      "commands:\n";
  for (const Command& command : commands) {
    text += format("  %-12s%s\n", command.name.data(), command.purpose);
  }
  text +=
      "\nbitnet COMMAND --help tells more. bitnet --version prints the version.\n"
      "The exit status is 0, 1 when something failed, 2 for a wrong command line.\n\n"
      "examples:\n"
      "  bitnet chat What is the capital of France?\n"
      "  bitnet run -m model.gguf -p 'Once upon a time' -n 64\n\n"
      "instruction sets of this machine, for --isa:";
  for (int32_t i = 0; i < bitnet_isa_count(); ++i) text += std::string(" ") + bitnet_isa_name(i);
  return text + "\n";
}

// Two versions if the library found is not the one this was compiled for.
std::string version() {
  const std::string compiled =
      format("%d.%d.%d", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR, BITNET_VERSION_PATCH);
  const std::string found = bitnet_version_string();
  return "bitnet " + compiled + (found == compiled ? "" : " with library " + found) + "\n";
}

int carry_out(const Command& command, Arguments arguments) {
  try {
    return command.carry_out(arguments);
  } catch (const UsageError& error) {
    throw UsageError(format("%s; see bitnet %s --help", error.what(), command.name.data()));
  }
}

int dispatch(Arguments arguments) {
  if (arguments.empty()) throw UsageError("which command? See bitnet --help");
  const std::string_view name = arguments[0];
  for (const Command& command : commands) {
    if (name == command.name) return carry_out(command, arguments.subspan(1));
  }
  if (name == "--help" || name == "-h" || name == "help") {
    print(help());
  } else if (name == "--version") {
    print(version());
  } else {
    throw UsageError("unknown " + std::string(name.starts_with('-') ? "option " : "command ") +
                     std::string(name) + "; see bitnet --help");
  }
  flush();
  return 0;
}

}  // namespace
}  // namespace cli

int main(int argument_count, char** arguments) {
  constexpr int failed = 1, wrong_usage = 2;
  const cli::Arguments all(arguments, static_cast<size_t>(argument_count));
  try {
    const int status = cli::dispatch(all.empty() ? all : all.subspan(1));
    cli::flush();
    return status;
  } catch (const cli::UsageError& error) {
    cli::note(cli::format("bitnet: %s\n", error.what()));
    return wrong_usage;
  } catch (const cli::Failure& failure) {
    cli::note(cli::format("bitnet: %s\n", failure.what()));
    return failed;
  } catch (const cli::ReaderGone&) {
    return 128 + SIGPIPE;  // as if SIGPIPE were not ignored
  } catch (const std::bad_alloc&) {
    cli::note("bitnet: there is no memory\n");
    return failed;
  }
}
