// Finds any departure from the tokenizers that models were trained with: published cases and their
// ids, and longer texts that must come back as they were.
#include <sstream>

#include "support.h"

namespace bitnet::test {
namespace {

struct Case {
  std::string text;
  std::vector<int32_t> tokens;
};

// Cases end with a marker line; ids stand one case a line.
std::vector<Case> read_cases(const std::string& name) {
  const auto input = read_file(shared_path("ggml-vocab-" + name + ".gguf.inp"));
  const auto output = read_file(shared_path("ggml-vocab-" + name + ".gguf.out"));
  std::vector<Case> cases;
  if (!input || !output) return cases;
  const std::string marker = "\n__ggml_vocab_test__\n";
  std::istringstream lines(*output);
  for (size_t at = 0; at < input->size();) {
    const size_t end = input->find(marker, at);
    if (end == std::string::npos) break;
    Case c{input->substr(at, end - at), {}};
    std::string line;
    std::getline(lines, line);
    std::istringstream ids(line);
    for (int32_t id; ids >> id;) c.tokens.push_back(id);
    cases.push_back(std::move(c));
    at = end + marker.size();
  }
  return cases;
}

class Vectors : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    static std::string name;  // the one open now: opening costs more than most tests
    static std::shared_ptr<Opened> last;
    if (name != GetParam()) last = open_shared(name = GetParam());
    opened_ = last;
    if (!opened_) GTEST_SKIP() << "no vocabulary " << GetParam() << " in the shared data";
  }
  const Tokenizer& tokenizer() const { return *opened_->tokenizer; }
  std::shared_ptr<Opened> opened_;
};

TEST_P(Vectors, EncodesPublishedCases) {
  const auto cases = read_cases(GetParam());
  ASSERT_EQ(cases.size(), 46u);
  for (const Case& c : cases) EXPECT_EQ(tokens_of(tokenizer(), c.text), c.tokens) << c.text;
}

TEST_P(Vectors, DecodesPublishedCases) {
  for (const Case& c : read_cases(GetParam())) {
    EXPECT_EQ(text_of(tokenizer(), c.tokens), c.text);
  }
}

TEST_P(Vectors, AllCasesAsOneTextComeBack) {
  std::string text;
  for (const Case& c : read_cases(GetParam())) text += c.text;
  EXPECT_EQ(text_of(tokenizer(), tokens_of(tokenizer(), text)), text);
}

// Falcon's vocabulary lacks some bytes.
bool has_all_bytes(const Tokenizer& t) {
  for (int b = 0; b < 256; ++b) {
    const std::string byte(1, static_cast<char>(b));
    if (text_of(t, tokens_of(t, byte)) != byte) return false;
  }
  return true;
}

TEST_P(Vectors, RandomTextAndBytesComeBack) {
  if (!has_all_bytes(tokenizer())) GTEST_SKIP() << "this vocabulary has no tokens for some bytes";
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random, random() % 60);
    EXPECT_EQ(text_of(tokenizer(), tokens_of(tokenizer(), text)), text);
    const std::string bytes = random_bytes(random, random() % 60);
    EXPECT_EQ(text_of(tokenizer(), tokens_of(tokenizer(), bytes)), bytes);
  }
}

TEST_P(Vectors, TextNeverBecomesAControlToken) {
  for (int32_t id = 0; id < tokenizer().size(); ++id) {
    if (!tokenizer().is_control(id)) continue;
    const std::string text(tokenizer().piece(id, true).value());
    for (const int32_t token : tokens_of(tokenizer(), text)) {
      EXPECT_FALSE(tokenizer().is_control(token)) << text;
    }
    EXPECT_EQ(tokens_of(tokenizer(), text, false, true), std::vector<int32_t>{id});
  }
}

INSTANTIATE_TEST_SUITE_P(Published, Vectors,
                         testing::Values("llama-bpe", "gpt-2", "falcon", "llama-spm", "phi-3"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Llama3, MergesOfTheTextFormatAreThoseOfThePublishedModel) {
  const auto v = llama3_vocabulary();
  if (!v) GTEST_SKIP() << "no llama3-tokenizer.model in the shared data";
  EXPECT_EQ(v->tokens.size(), 128256u);
  EXPECT_EQ(v->merges.size(), 280147u);  // as in the 2B-4T file
}

TEST(Llama3, FileWithoutPreAndEotIsUnderstood) {
  auto v = llama3_vocabulary();
  if (!v) GTEST_SKIP() << "no llama3-tokenizer.model in the shared data";
  v->pre.clear();
  v->architecture = "bitnet-b1.58";
  Messages messages;
  auto opened = v->open(messages.log(), true);
  ASSERT_TRUE(opened.ok()) << opened.status().text();
  const Tokenizer& t = *opened.value();
  EXPECT_TRUE(messages.texts.empty());
  EXPECT_EQ(t.bos(), 128000);
  EXPECT_EQ(t.eos(), 128001);
  EXPECT_EQ(t.eot(), 128009);
  EXPECT_TRUE(t.add_bos());
  EXPECT_TRUE(t.is_end(128001) && t.is_end(128009));
  EXPECT_FALSE(t.is_end(128000) || t.is_end(0));
  // Three digits a word, contractions in any case: the splitter is Llama 3's.
  EXPECT_EQ(tokens_of(t, "1234567").size(), 3u);
  EXPECT_EQ(tokens_of(t, "Hello", true), (std::vector<int32_t>{128000, 9906}));
}

TEST(Llama3, SpecialTokensMarkedAsOrdinaryAreStillControl) {
  auto v = llama3_vocabulary();
  if (!v) GTEST_SKIP() << "no llama3-tokenizer.model in the shared data";
  v->kinds.assign(v->tokens.size(), kNormalToken);
  Messages messages;
  auto opened = v->open(messages.log());
  ASSERT_TRUE(opened.ok()) << opened.status().text();
  EXPECT_EQ(messages.texts.size(), 1u);
  EXPECT_TRUE(opened.value()->is_control(128000) && opened.value()->is_control(128255));
  EXPECT_FALSE(opened.value()->is_control(127999));
  EXPECT_EQ(v->open({}, true).status().code(), BITNET_E_FORMAT);
}

}  // namespace
}  // namespace bitnet::test
