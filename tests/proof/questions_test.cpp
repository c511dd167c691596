// The text is right: the small trained model answers its held-out questions through the public
// header, and word for word as the training-side reference (samples/models/evaluate.py) answers
// them, so that any fault anywhere between the file and the text shows.
//
// usage: questions_test MODEL QUESTIONS.jsonl [DEVICE]
#include <bitnet.h>
#include <cJSON.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Question {
  std::string id, kind, reference;
  std::vector<std::string> roles, contents, accept;
};

std::string text_of(const cJSON* object, const char* key) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsString(item) ? item->valuestring : "";
}

std::vector<Question> read_questions(const char* path) {
  std::vector<Question> questions;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(cJSON_Parse(line.c_str()),
                                                               cJSON_Delete);
    Question q{text_of(json.get(), "id"),
               text_of(json.get(), "kind"),
               text_of(json.get(), "reference"),
               {},
               {},
               {}};
    const cJSON* item = nullptr;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json.get(), "messages")) {
      q.roles.push_back(text_of(item, "role"));
      q.contents.push_back(text_of(item, "content"));
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json.get(), "accept")) {
      q.accept.push_back(item->valuestring);
    }
    if (q.id.empty() || q.roles.empty() || q.accept.empty() || q.reference.empty()) {
      std::fprintf(stderr, "questions: bad line: %s\n", line.c_str());
      std::exit(1);
    }
    questions.push_back(std::move(q));
  }
  return questions;
}

std::string answer(bitnet_ctx* ctx, const Question& q) {
  std::vector<bitnet_message> messages;
  for (size_t i = 0; i < q.roles.size(); ++i) {
    messages.push_back({q.roles[i].c_str(), q.contents[i].data(), q.contents[i].size()});
  }
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  options.messages = messages.data();
  options.message_count = messages.size();
  options.max_tokens = 128;
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_generator* generator = nullptr;
  if (bitnet_generate_open(ctx, &options, &generator, &why) != BITNET_OK) {
    return std::string("error: ") + why.message;
  }
  std::string reply;
  const char* piece;
  uint64_t bytes;
  bitnet_status status;
  while ((status = bitnet_generate_next(generator, &piece, &bytes, &why)) == BITNET_OK) {
    reply.append(piece, bytes);
  }
  if (status != BITNET_DONE) reply += std::string(" error: ") + why.message;
  bitnet_generate_close(generator);
  return reply;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    return std::fprintf(stderr, "usage: questions_test MODEL QUESTIONS [DEVICE]\n"), 2;
  }
  const std::vector<Question> questions = read_questions(argv[2]);
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model_options options = BITNET_MODEL_OPTIONS_INIT;
  options.device = argc > 3 ? argv[3] : nullptr;
  bitnet_model* model = nullptr;
  bitnet_ctx* ctx = nullptr;
  if (bitnet_model_open(argv[1], &options, &model, &why) != BITNET_OK ||
      bitnet_ctx_open(model, nullptr, &ctx, &why) != BITNET_OK) {
    return std::fprintf(stderr, "%s\n", why.message), 1;
  }
  struct Score {
    int asked = 0, right = 0, as_reference = 0;
  };
  std::map<std::string, Score> scores;
  Score all;
  for (const Question& q : questions) {
    const std::string reply = answer(ctx, q);
    bool right = false;
    for (const std::string& a : q.accept) right = right || a == reply;
    const bool as_reference = reply == q.reference;
    if (!as_reference) {
      std::printf("%s: \"%s\"\n  reference: \"%s\"\n", q.id.c_str(), reply.c_str(),
                  q.reference.c_str());
    } else if (!right) {
      std::printf("%s: \"%s\" -> \"%s\", accepted \"%s\"\n", q.id.c_str(),
                  q.contents.back().c_str(), reply.c_str(), q.accept[0].c_str());
    }
    for (Score* s : {&scores[q.kind], &all}) {
      s->asked += 1;
      s->right += right;
      s->as_reference += as_reference;
    }
  }
  for (const auto& [kind, s] : scores) {
    std::printf("%-14s %3d of %3d right, %3d as the reference\n", kind.c_str(), s.right, s.asked,
                s.as_reference);
  }
  std::printf(
      "%-14s %3d of %3d right (%.1f %%; at least 95 %% required), %d as the reference (all "
      "required)\n",
      "together", all.right, all.asked, 100.0 * all.right / all.asked, all.as_reference);
  bitnet_ctx_close(ctx);
  bitnet_model_close(model);
  return all.asked >= 300 && all.right * 100 >= all.asked * 95 && all.as_reference == all.asked ? 0
                                                                                                : 1;
}
