// A chat: what was said so far, within the room the context has.
#pragma once

#include <string>
#include <vector>

#include "generate.h"

namespace cli {

class Conversation {
 public:
  // template_name: empty for the model's own. Failure if there is no template.
  Conversation(const bitnet_model* model, bitnet_ctx* ctx, GenerationSettings settings,
               std::string template_name, std::string system);

  // Prints the reply piece by piece. Ctrl-C ends it early; false then. After a Failure the question
  // counts as not asked.
  bool answer(const std::string& question);

  // Forgets what was said; the system message stays.
  void reset() { turns_.clear(); }
  // Starts anew under this system message; empty: none.
  void set_system(const std::string& text);

 private:
  struct Turn {
    std::string question, reply;
  };

  const char* template_name() const {
    return template_name_.empty() ? nullptr : template_name_.c_str();
  }
  // The texts belong to the conversation and to question.
  std::vector<bitnet_message> messages(const std::string& question) const;
  uint64_t prompt_tokens(const std::string& question) const;
  void make_room(const std::string& question);
  bool print_reply(bitnet_generator* generator, std::string& reply);

  const bitnet_model* model_;
  bitnet_ctx* ctx_;
  GenerationSettings settings_;
  std::string template_name_, system_;
  std::vector<Turn> turns_;
};

}  // namespace cli
