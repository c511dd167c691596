// The program as a person or another program holds it: at a terminal, and with signals.
//
// A reply must not be over before a signal comes that is sent at its first byte, however late this
// process gets its turn. So a pipe has room for its beginning only, and at a terminal it is made
// slow (the plainest instruction set) and long (--ignore-end). What a reply would have been is
// known from a run that nobody disturbs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Strings = std::vector<std::string>;
constexpr auto patience = std::chrono::seconds(60);

const char* program() {
  return std::getenv("BITNET");
}

[[noreturn]] void become(Strings arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

Strings command(Strings options) {
  options.insert(options.begin(), program());
  return options;
}

// A child process and the two ends we hold: with a terminal they are the same.
class Process {
 public:
  static Process in_terminal(const Strings& options) {
    Process process;
    int terminal = -1;
    process.pid_ = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (process.pid_ == 0) {
      signal(SIGINT, SIG_DFL);
      become(command(options));
    }
    process.give_up_without_child();
    process.input_ = process.output_ = terminal;
    return process;
  }

  // room: the bytes it can print before we read any; 0: as many as a pipe holds.
  static Process with_pipes(
      const Strings& options, size_t room = 0, void (*before)() = [] { signal(SIGINT, SIG_DFL); }) {
    int to[2], from[2];
    EXPECT_EQ(pipe(to), 0);
    EXPECT_EQ(pipe(from), 0);
    Process process;
    if (room > 0) process.filler_ = fill(from[1], room);
    process.pid_ = fork();
    if (process.pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (int end : {to[0], to[1], from[0], from[1]}) close(end);
      before();
      become(command(options));
    }
    process.give_up_without_child();
    close(to[0]);
    close(from[1]);
    process.input_ = to[1];
    process.output_ = from[0];
    return process;
  }

  Process(Process&& other) noexcept
      : pid_(other.pid_),
        input_(other.input_),
        output_(other.output_),
        filler_(other.filler_),
        seen_(other.seen_) {
    other.pid_ = 0;
  }
  ~Process() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    end_input();
    close(output_);
  }

  void type(const std::string& text) {
    EXPECT_EQ(write(input_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void interrupt() {
    if (pid_ > 0) kill(pid_, SIGINT);
  }
  void end_input() {
    if (input_ != output_ && input_ >= 0) close(input_);
    input_ = -1;
  }

  // Reads until `wanted` is there, not before position `from` of the output; returns where it ends.
  // Fails the test when it does not come.
  size_t wait_for(const std::string& wanted, size_t from = 0) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    size_t at;
    while ((at = seen_.find(wanted, from)) == std::string::npos) {
      if (read_some(deadline)) continue;
      ADD_FAILURE() << "'" << wanted << "' did not come; there is '" << seen_ << "'";
      return seen_.size();
    }
    return at + wanted.size();
  }
  // Waits until it has printed something, and reads nothing: a child that has little room stays
  // where it is.
  void wait_for_unread() {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (int unread = 0; unread <= static_cast<int>(filler_);) {
      if (ioctl(output_, FIONREAD, &unread) != 0 || std::chrono::steady_clock::now() > deadline) {
        return ADD_FAILURE() << "nothing came";
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // Reads until there is anything at all behind position `from`.
  void wait_for_more(size_t from = 0) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (seen_.size() <= from) {
      if (!read_some(deadline)) return ADD_FAILURE() << "nothing came after '" << seen_ << "'";
    }
  }
  // Everything up to the end of the process.
  const std::string& read_all() {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (read_some(deadline)) continue;
    return seen_;
  }

  // How the process ended: its exit status, or 1000 + the signal.
  int end() {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "it does not end";
        kill(pid_, SIGKILL);
        waitpid(pid_, &status, 0);
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    pid_ = 0;
    end_input();
    close(output_);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  Process() = default;

  bool read_some(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ready = {output_, POLLIN, 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    char block[4096];
    // A terminal whose process has ended reads as an error.
    const ssize_t got = read(output_, block, sizeof block);
    if (got <= 0) return false;
    const size_t ours = std::min(filler_, static_cast<size_t>(got));
    filler_ -= ours;
    seen_.append(block + ours, static_cast<size_t>(got) - ours);
    return true;
  }

  // Makes a pipe small and fills it but for some room; returns how much is in it.
  static size_t fill(int end, size_t room) {
    EXPECT_GT(fcntl(end, F_SETPIPE_SZ, 4096), 0);
    const std::string filler(static_cast<size_t>(fcntl(end, F_GETPIPE_SZ)) - room, '.');
    EXPECT_EQ(write(end, filler.data(), filler.size()), static_cast<ssize_t>(filler.size()));
    return filler.size();
  }

  // kill(-1) would reach every process there is.
  void give_up_without_child() {
    if (pid_ >= 0) return;
    ADD_FAILURE() << "no child process: " << std::strerror(errno);
    pid_ = 0;
  }

  pid_t pid_ = 0;
  int input_ = -1, output_ = -1;
  size_t filler_ = 0;  // what is still to be read before the child's own output
  std::string seen_;
};

const std::string question = "What is the capital of France?";
const std::string other = "Who are you?";
const Strings long_replies = {"chat", "--ignore-end", "-n", "48"};
constexpr size_t room_for_a_beginning = 40;  // a long reply has four times as many bytes

Strings with(Strings options, const Strings& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

// What chat prints for one question when nobody disturbs it.
std::string undisturbed(const std::string& asked, const Strings& options = long_replies) {
  Process process = Process::with_pipes(with(options, {asked}));
  const std::string reply = process.read_all();
  EXPECT_EQ(process.end(), 0);
  return reply;
}

TEST(Interrupt, StopsAReplyAndTheNextQuestionIsAnswered) {
  const std::string whole = undisturbed(question), next = undisturbed(other);
  Process chat = Process::with_pipes(long_replies, room_for_a_beginning);
  chat.type(question + "\n");
  chat.wait_for_unread();
  chat.interrupt();
  chat.type("/reset\n" + other + "\n");
  chat.end_input();
  const std::string said = chat.read_all();
  EXPECT_EQ(chat.end(), 0);

  ASSERT_GT(said.size(), next.size());
  const size_t second = said.size() - next.size();
  EXPECT_EQ(said.substr(second), next);
  ASSERT_EQ(said[second - 1], '\n');
  const std::string stopped = said.substr(0, second - 1);
  EXPECT_EQ(stopped, whole.substr(0, stopped.size()));
  EXPECT_LT(stopped.size(), whole.size() - 1) << "the reply was not stopped";
}

TEST(Interrupt, OfOneQuestionEndsAs130) {
  const std::string whole = undisturbed(question);
  Process chat = Process::with_pipes(with(long_replies, {question}), room_for_a_beginning);
  chat.wait_for_unread();
  chat.interrupt();
  EXPECT_LT(chat.read_all().size(), whole.size());
  EXPECT_EQ(chat.end(), 130);
}

TEST(Interrupt, BetweenRepliesEndsTheProgram) {
  const Strings options = {"chat", "-n", "2", "--ignore-end"};
  const std::string reply = undisturbed(question, options);
  Process chat = Process::with_pipes(options);
  chat.type(question + "\n");
  chat.wait_for(reply);
  chat.interrupt();
  EXPECT_EQ(chat.end(), 1000 + SIGINT);
}

TEST(Interrupt, StaysIgnoredInABackgroundJob) {
  const std::string whole = undisturbed(question);
  Process chat = Process::with_pipes(with(long_replies, {question}), room_for_a_beginning,
                                     [] { signal(SIGINT, SIG_IGN); });
  chat.wait_for_unread();
  chat.interrupt();
  EXPECT_EQ(chat.read_all(), whole);
  EXPECT_EQ(chat.end(), 0);
}

TEST(Terminal, PromptsAnswersStopsAndLeaves) {
  // Some 400 tokens take seconds, slowed down by us; a second would do.
  const Strings options = {"chat", "--ignore-end", "-n", "400"};
  const std::string control_c = "\x03", whole = undisturbed(question, options);
  Process chat = Process::in_terminal(with(options, {"--isa", "reference", "-t", "1"}));
  chat.wait_for("/help");
  size_t at = chat.wait_for("> ");

  // The terminal echoes the question, then the reply begins on a line of its own.
  chat.type(question + "\n");
  at = chat.wait_for("?\r\n", at);
  chat.wait_for_more(at);
  chat.type(control_c);
  const size_t reply = at;
  at = chat.wait_for("tokens/s]", at);
  EXPECT_LT(at - reply, whole.size()) << "the reply was not stopped";
  at = chat.wait_for("> ", at);

  chat.type("/help\n");
  at = chat.wait_for("/system", at);
  at = chat.wait_for("> ", at);
  chat.type(control_c);
  chat.read_all();
  EXPECT_EQ(chat.end(), 1000 + SIGINT);
}

TEST(Terminal, EndOfInputLeaves) {
  Process chat = Process::in_terminal({"chat"});
  chat.wait_for("> ");
  chat.type("\x04");
  chat.read_all();
  EXPECT_EQ(chat.end(), 0);
}

TEST(Terminal, ExitLeaves) {
  Process chat = Process::in_terminal({"chat"});
  chat.wait_for("> ");
  chat.type("/exit\n");
  chat.read_all();
  EXPECT_EQ(chat.end(), 0);
}

}  // namespace
