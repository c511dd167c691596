// bitnet chat: a conversation at the terminal, from a pipe, or one question from the command line.
#include <iostream>

#include "commands.h"
#include "conversation.h"

namespace cli {
namespace {

constexpr const char* chat_help =
    "/reset          forget what was said\n"
    "/system TEXT    start anew under this system message (without TEXT: under none)\n"
    "/help           this list\n"
    "/exit           leave, as the end of input does\n"
    "Ctrl-C stops a reply; at the prompt it leaves.\n";

enum class Command { none, done, leave };

// Carries out a line that is a command; others are questions.
Command carry_out(const std::string& line, Conversation& conversation) {
  const size_t blank = line.find(' ');
  const std::string name = line.substr(0, blank);
  if (name == "/exit") return Command::leave;
  if (name == "/help") {
    note(chat_help);
  } else if (name == "/reset") {
    conversation.reset();
  } else if (name == "/system") {
    conversation.set_system(blank == std::string::npos ? "" : line.substr(blank + 1));
  } else {
    return Command::none;
  }
  return Command::done;
}

// The next line of standard input without its end; false at the end of input.
bool read_line(std::string& line) {
  if (is_terminal(Stream::input) && is_terminal(Stream::output)) {
    print("> ");
    flush();
  }
  if (!std::getline(std::cin, line)) return false;
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

// Answers each line. A question that fails does not end the chat, but shows in the exit status.
int answer_lines(Conversation& conversation) {
  int exit_status = 0;
  std::string line;
  while (read_line(line)) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const Command command = carry_out(line, conversation);
    if (command == Command::leave) return exit_status;
    if (command == Command::done) continue;
    try {
      conversation.answer(line);
    } catch (const Failure& failure) {
      note(format("bitnet: %s\n", failure.what()));
      exit_status = 1;
    }
  }
  if (is_terminal(Stream::input)) print("\n");
  flush();
  return exit_status;
}

}  // namespace

int chat(Arguments arguments) {
  constexpr int stopped_by_interrupt = 130;  // as shells say it
  Settings settings;
  GenerationSettings generation;
  std::string system, template_name;

  Options options("chat", "[QUESTION...] [options]",
                  "Answers a question and ends; or, without one, each line of standard input.\n"
                  "/help lists what else can be typed.",
                  "  bitnet chat\n"
                  "  bitnet chat What is the capital of France?\n"
                  "  bitnet chat -m model.gguf --system 'Answer in one word.' < questions.txt\n");
  options.value("--system", "TEXT", &system, "the system message");
  options.value("--template", "NAME", &template_name,
                "bitnet, llama-3, falcon3 or chatml, instead of the model's own");
  add_model_options(options, settings);
  add_threads(options, settings);
  add_context_options(options, settings);
  add_generation_options(options, generation);
  const auto words = options.parse(arguments);
  if (!words) return 0;

  const Model model = open_model(settings);
  const Context ctx = open_context(model.get(), settings);
  Conversation conversation(model.get(), ctx.get(), generation, template_name, system);
  if (words->empty()) {
    if (is_terminal(Stream::input)) {
      note(format("%s. /help lists the commands.\n",
                  printable(model_info(model.get()).name).c_str()));
    }
    return answer_lines(conversation);
  }
  std::string question;
  for (const std::string& word : *words) question += (question.empty() ? "" : " ") + word;
  return conversation.answer(question) ? 0 : stopped_by_interrupt;
}

}  // namespace cli
