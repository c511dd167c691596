// Tokens per second of replies, drafts off and on in turns; the texts must be the same.
//
// usage: generate_bench MODEL [TOKENS [ROUNDS [THREADS [DRAFTS...]]]]      (DRAFTS: 0 is automatic)
//
// The replies of a random model, which hardly ever repeats itself ("noise": the worst for drafts),
// and of the same model held to a few tokens by a bias, which soon goes round in circles ("loop":
// the best) or nearly so ("words").
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "session/generator.h"
#include "session/loaded_model.h"

namespace {

using namespace bitnet;

struct Text {
  const char* name;
  float temperature;
  int32_t words;  // tokens that can be picked; 0: all
};
constexpr Text kTexts[] = {{"loop", 0, 4}, {"words", 0.5f, 4}, {"noise", 1, 0}};

struct Reply {
  double tokens_per_second = 0, cpu_ms = 0;  // of the processor, a token
  uint64_t drafted = 0, accepted = 0, passes = 0;
  std::vector<int32_t> tokens;
};

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Reply reply_of(const LoadedModel& model, Context& context, const Text& text, uint64_t tokens,
               int32_t drafts) {
  Generator::Options options;
  options.vocabulary = model.tokenizer().size();
  for (int32_t i = 0; i < 64; ++i) options.prompt.push_back((i * 7919 + 11) % options.vocabulary);
  options.max_tokens = tokens;
  options.ignore_end = true;
  options.sampling.temperature = text.temperature;
  std::vector<LogitBias> bias;
  for (int32_t i = 0; i < text.words; ++i) bias.push_back({100 + i, 1e4f});
  options.sampling.bias = bias;
  options.draft_tokens = drafts;
  context.cache().truncate(0, 0);
  const uint64_t batches = context.stats().batches;
  const Ptr<Generator> generator =
      std::move(Generator::open(context, model.tokenizer(), options).value());
  (void)generator->next();
  const double cpu = cpu_seconds();
  while (true) {
    const auto piece = generator->next();
    if (!piece.ok() || piece.value().empty()) break;
  }
  const Generator::Info& info = generator->info();
  Reply reply;
  reply.tokens.assign(generator->tokens().begin(), generator->tokens().end());
  reply.tokens_per_second = static_cast<double>(reply.tokens.size() - 1) / info.decode_seconds;
  reply.cpu_ms = 1e3 * (cpu_seconds() - cpu) / static_cast<double>(reply.tokens.size() - 1);
  reply.drafted = info.drafted;
  reply.accepted = info.accepted;
  reply.passes = context.stats().batches - batches - 1;
  return reply;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: generate_bench MODEL [TOKENS [ROUNDS [THREADS]]]"), 2;
  const auto number = [&](int index, int otherwise) {
    return argc > index ? std::atoi(argv[index]) : otherwise;
  };
  const uint64_t tokens = static_cast<uint64_t>(number(2, 100));
  const int rounds = number(3, 3), threads = number(4, usable_cores());
  std::vector<int32_t> drafts = {-1};
  for (int i = 5; i < argc; ++i) drafts.push_back(std::atoi(argv[i]));
  if (drafts.size() == 1) drafts.push_back(0);

  LoadedModel::Options how;
  how.threads = threads;
  const auto model = LoadedModel::open_path(argv[1], how);
  if (!model.ok()) return std::puts(model.status().text()), 1;
  Context::Options options = {};
  options.positions = static_cast<int64_t>(tokens) + 128;
  options.sequences = 1;
  options.batch = 128;
  options.threads = threads;
  const auto context = Context::open(*model.value()->weights(), options);
  if (!context.ok()) return std::puts(context.status().text()), 1;

  bool same = true;
  for (const Text& text : kTexts) {
    std::vector<Reply> best(drafts.size());
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < drafts.size(); ++i) {
        Reply reply = reply_of(*model.value(), *context.value(), text, tokens, drafts[i]);
        if (round > 0) reply.cpu_ms = std::min(reply.cpu_ms, best[i].cpu_ms);
        best[i].cpu_ms = reply.cpu_ms;
        if (reply.tokens_per_second > best[i].tokens_per_second) best[i] = std::move(reply);
      }
    }
    for (size_t i = 0; i < drafts.size(); ++i) {
      const Reply& r = best[i];
      same &= r.tokens == best[0].tokens;
      std::printf(
          "%-6s drafts %2d: %8.2f tokens/s (x %.3f), %.3f ms of processor (x %.3f); %llu tokens in "
          "%llu passes, %llu of %llu "
          "drafts right%s\n",
          text.name, drafts[i], r.tokens_per_second,
          r.tokens_per_second / best[0].tokens_per_second, r.cpu_ms, best[0].cpu_ms / r.cpu_ms,
          static_cast<unsigned long long>(r.tokens.size()),
          static_cast<unsigned long long>(r.passes), static_cast<unsigned long long>(r.accepted),
          static_cast<unsigned long long>(r.drafted),
          r.tokens == best[0].tokens ? "" : "  DIFFERENT TEXT");
    }
  }
  std::printf("ms a pass by width:");
  for (int64_t w : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}) {
    std::printf("  %lld: %.2f", static_cast<long long>(w),
                1e3 * context.value()->pass_costs().seconds(w));
  }
  std::printf("\n");
  return same ? 0 : 1;
}
