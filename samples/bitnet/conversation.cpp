#include "conversation.h"

#include <algorithm>
#include <utility>

#include "interrupt.h"

namespace cli {

Conversation::Conversation(const bitnet_model* model, bitnet_ctx* ctx, GenerationSettings settings,
                           std::string template_name, std::string system)
    : model_(model),
      ctx_(ctx),
      settings_(std::move(settings)),
      template_name_(std::move(template_name)),
      system_(std::move(system)) {
  // A model that cannot chat fails here, not after the first question.
  prompt_tokens("");
}

void Conversation::set_system(const std::string& text) {
  system_ = text;
  reset();
}

std::vector<bitnet_message> Conversation::messages(const std::string& question) const {
  std::vector<bitnet_message> list;
  if (!system_.empty()) list.push_back({"system", system_.c_str(), system_.size()});
  for (const Turn& turn : turns_) {
    list.push_back({"user", turn.question.c_str(), turn.question.size()});
    list.push_back({"assistant", turn.reply.c_str(), turn.reply.size()});
  }
  list.push_back({"user", question.c_str(), question.size()});
  return list;
}

uint64_t Conversation::prompt_tokens(const std::string& question) const {
  const auto list = messages(question);
  return query_then_fill<std::vector<int32_t>>(
             [&](int32_t* tokens, uint64_t capacity, uint64_t* count, bitnet_error* why) {
               return bitnet_chat_tokenize(model_, list.data(), list.size(), template_name(),
                                           tokens, capacity, count, why);
             })
      .size();
}

// Drops the oldest turns until the prompt leaves a quarter of the context to the reply (less, if
// the reply is limited to less). A question too long for that alone is left to the library to
// judge.
void Conversation::make_room(const std::string& question) {
  const uint64_t positions = std::min(context_stats(ctx_).positions,
                                      static_cast<uint64_t>(model_info(model_).context_length));
  uint64_t room = positions / 4;
  if (settings_.max_tokens != 0) room = std::min(room, settings_.max_tokens);
  size_t dropped = 0;
  while (!turns_.empty() && prompt_tokens(question) + room > positions) {
    turns_.erase(turns_.begin());
    ++dropped;
  }
  if (dropped == 0) return;
  note(format("bitnet: the context is full: dropped the oldest %s\n",
              dropped == 1 ? "turn" : (std::to_string(dropped) + " turns").c_str()));
}

bool Conversation::answer(const std::string& question) {
  make_room(question);
  const auto list = messages(question);
  bitnet_generate_options prompt = BITNET_GENERATE_OPTIONS_INIT;
  prompt.messages = list.data();
  prompt.message_count = list.size();
  prompt.template_name = template_name();
  const Generator generator = open_generator(ctx_, settings_, prompt);

  std::string reply;
  const bool whole = print_reply(generator.get(), reply);
  print("\n");
  flush();
  if (generator_info(generator.get()).end_reason == BITNET_END_CONTEXT) {
    note("bitnet: the context is full: the reply ends early\n");
  }
  if (settings_.stats || is_terminal(Stream::error)) note_speed(generator.get());
  // Nothing said is nothing to remember.
  if (!reply.empty()) turns_.push_back({question, std::move(reply)});
  return whole;
}

bool Conversation::print_reply(bitnet_generator* generator, std::string& reply) {
  const Interrupt interrupt(ctx_);
  bitnet_error why = BITNET_ERROR_INIT;
  const char* piece = nullptr;
  uint64_t bytes = 0;
  for (;;) {
    const bitnet_status status = bitnet_generate_next(generator, &piece, &bytes, &why);
    if (status == BITNET_OK) {
      reply.append(piece, bytes);
      print({piece, bytes});
      flush();
    } else if (status == BITNET_DONE) {
      return true;
    } else if (status != BITNET_E_CANCELLED) {
      print("\n");
      check(status, why);
    } else if (interrupt.came()) {
      return false;
    }
    // Else a Ctrl-C that came too late for the reply before cancelled the first step of this one:
    // just go on.
  }
}

}  // namespace cli
