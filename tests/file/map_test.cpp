// Files through the system: what is mapped is what was written, and every failure names path and
// reason. Meant to find: hangs on pipes, silent short reads, lost reasons, double frees after
// moves.
#include "file/map.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bitnet {
namespace {

class MapTest : public testing::Test {
 protected:
  MapTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "bitnet-map-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~MapTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  static std::string text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::string folder_;
};

TEST_F(MapTest, MapsAndReadsTheSameBytes) {
  std::string content(100'000, 0);
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 3);
  const std::string file = write("mod\xc3\xa8le.gguf", content);
  const auto mapped = Mapping::open(file.c_str());
  const auto copied = Mapping::read(file.c_str());
  ASSERT_TRUE(mapped.ok()) << mapped.status().text();
  ASSERT_TRUE(copied.ok()) << copied.status().text();
  EXPECT_EQ(text(mapped.value().bytes()), content);
  EXPECT_EQ(text(copied.value().bytes()), content);
}

TEST_F(MapTest, ACopyIsImmuneToTruncation) {
  const std::string file = write("x", std::string(10'000, 'a'));
  const auto copied = Mapping::read(file.c_str());
  ASSERT_TRUE(copied.ok());
  std::filesystem::resize_file(file, 0);
  EXPECT_EQ(text(copied.value().bytes()), std::string(10'000, 'a'));
}

TEST_F(MapTest, OutlivesTheDirectoryEntry) {
  const std::string file = write("x", "still here");
  const auto mapped = Mapping::open(file.c_str());
  ASSERT_TRUE(mapped.ok());
  std::filesystem::remove(file);
  EXPECT_EQ(text(mapped.value().bytes()), "still here");
}

TEST_F(MapTest, MovesKeepTheBytesInPlace) {
  const std::string a = write("a", "first"), b = write("b", "second");
  auto one = Mapping::open(a.c_str());
  auto two = Mapping::read(b.c_str());
  ASSERT_TRUE(one.ok() && two.ok());
  const uint8_t* first = one.value().bytes().data();
  const uint8_t* second = two.value().bytes().data();
  Mapping x = std::move(one.value());
  Mapping y = std::move(two.value());
  EXPECT_EQ(x.bytes().data(), first);
  EXPECT_EQ(y.bytes().data(), second);
  x = std::move(y);
  EXPECT_EQ(text(x.bytes()), "second");
}

TEST_F(MapTest, HintsChangeNothing) {
  const std::string content(50'000, 'z');
  const std::string file = write("x", content);
  for (const auto& opened : {Mapping::open(file.c_str()), Mapping::read(file.c_str())}) {
    ASSERT_TRUE(opened.ok());
    const Mapping& m = opened.value();
    m.advise_sequential();
    m.advise_needed(m.bytes());
    m.advise_needed(m.bytes().subspan(4097, 1));
    m.advise_needed({});
    m.advise_done(m.bytes().subspan(1, 10));
    m.advise_done(m.bytes().subspan(100, 20'000));
    m.advise_done(m.bytes());
    EXPECT_EQ(text(m.bytes()), content);
  }
}

TEST_F(MapTest, FailuresNameThePathAndTheReason) {
  const auto expect = [](const std::string& file, bitnet_status code, const std::string& sentence) {
    for (const auto& opened : {Mapping::open(file.c_str()), Mapping::read(file.c_str())}) {
      ASSERT_FALSE(opened.ok()) << file;
      EXPECT_EQ(opened.status().code(), code);
      EXPECT_EQ(opened.status().text(), sentence);
    }
  };
  expect(path("none"), BITNET_E_IO, path("none") + ": cannot open: no such file");
  expect(folder_, BITNET_E_IO, folder_ + ": cannot read: is a directory");
  expect(write("empty", ""), BITNET_E_FORMAT, path("empty") + ": the file is empty");
  expect(write("file", "x") + "/below", BITNET_E_IO,
         path("file/below") + ": cannot open: a part of the path is not a directory");
  expect(path(std::string(300, 'n')), BITNET_E_IO,
         path(std::string(300, 'n')) + ": cannot open: the path is too long");
  expect("", BITNET_E_IO, ": cannot open: no such file");
}

TEST_F(MapTest, APipeIsRefusedWithoutWaitingForItsOtherEnd) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const auto opened = Mapping::open(path("pipe").c_str());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().text(), path("pipe") + ": cannot read: not a regular file");
}

TEST_F(MapTest, AnUnreadableFileIsRefused) {
  const std::string file = write("secret", "x");
  ASSERT_EQ(::chmod(file.c_str(), 0), 0);
  // The superuser may read everything, so be somebody else for the call.
  const bool superuser = ::geteuid() == 0;
  ASSERT_EQ(superuser ? ::seteuid(65534) : 0, 0);
  const auto opened = Mapping::open(file.c_str());
  ASSERT_EQ(superuser ? ::seteuid(0) : 0, 0);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().text(), file + ": cannot open: permission denied");
}

TEST_F(MapTest, LongPathsKeepTheirEndAndTheReason) {
  std::string deep = folder_;
  for (int i = 0; i < 200; ++i) deep += "/\xc3\xa9";
  deep += "/model.gguf";
  const auto opened = Mapping::open(deep.c_str());
  ASSERT_FALSE(opened.ok());
  const std::string sentence = opened.status().text();
  EXPECT_TRUE(sentence.starts_with("...")) << sentence;
  EXPECT_NE(sentence[3] & 0xc0, 0x80) << "cut inside a character: " << sentence;
  EXPECT_TRUE(sentence.ends_with("/model.gguf: cannot open: no such file")) << sentence;
}

// Bytes of a file of 40 MiB: their position, hashed.
uint8_t source_byte(uint64_t position) {
  return static_cast<uint8_t>(position * 0x9e3779b97f4a7c15 >> 56);
}

struct Calls {
  std::vector<std::pair<uint64_t, uint64_t>> made;
  size_t fail_at = SIZE_MAX;

  static int read_at(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
    auto* calls = static_cast<Calls*>(user);
    if (calls->made.size() == calls->fail_at) return 42;
    calls->made.emplace_back(offset, bytes);
    for (uint64_t i = 0; i < bytes; ++i) static_cast<uint8_t*>(buffer)[i] = source_byte(offset + i);
    return 0;
  }
};

TEST(ByteSource, ReadsAscendingPiecesThatCoverTheFileOnce) {
  Calls calls;
  const uint64_t size = 2 * ByteSource::kPiece + 5;
  const auto read = ByteSource{Calls::read_at, &calls, size}.read();
  ASSERT_TRUE(read.ok()) << read.status().text();
  ASSERT_EQ(read.value().bytes(), size);
  for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(read.value().data()[i], source_byte(i)) << i;
  const std::vector<std::pair<uint64_t, uint64_t>> expected = {
      {0, ByteSource::kPiece}, {ByteSource::kPiece, ByteSource::kPiece}, {size - 5, 5}};
  EXPECT_EQ(calls.made, expected);
}

TEST(ByteSource, AFailingCallbackIsToldWithPlaceAndNumber) {
  Calls calls;
  calls.fail_at = 1;
  const auto read = ByteSource{Calls::read_at, &calls, ByteSource::kPiece + 7}.read();
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), BITNET_E_IO);
  EXPECT_STREQ(read.status().text(),
               "byte source: reading 7 bytes at offset 16777216 of 16777223 failed, the callback "
               "returned 42");
}

TEST(ByteSource, SizesThatCannotBeAreRefusedBeforeAnyCall) {
  Calls calls;
  const auto empty = ByteSource{Calls::read_at, &calls, 0}.read();
  EXPECT_EQ(empty.status().code(), BITNET_E_FORMAT);
  const auto huge = ByteSource{Calls::read_at, &calls, UINT64_MAX}.read();
  EXPECT_EQ(huge.status().code(), BITNET_E_MEMORY);
  EXPECT_TRUE(calls.made.empty());
}

}  // namespace
}  // namespace bitnet
