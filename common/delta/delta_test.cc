#include "common/delta/delta.h"

#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::delta {
namespace {

using ::testing::AnyOf;

constexpr int64_t kMiB = 1 << 20;

std::string TempPath(absl::string_view name) { return absl::StrCat(getenv("TEST_TMPDIR"), "/", name); }

// An unnamed file.
class TempFile {
 public:
  TempFile() : file_(tmpfile()) {}
  ~TempFile() { fclose(file_); }
  int descriptor() const { return fileno(file_); }
  std::string Content() const {
    std::string content(lseek(descriptor(), 0, SEEK_END), '\0');
    EXPECT_EQ(pread(descriptor(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
    return content;
  }

 private:
  FILE* const file_;
};

absl::StatusOr<std::string> Make(absl::string_view base, absl::string_view target,
                                 int64_t max_bytes = kMaxImageBytes) {
  std::string delta;
  const absl::StatusOr<int64_t> length = Create(
      base, target, max_bytes,
      [&](absl::string_view bytes) {
        delta.append(bytes.data(), bytes.size());
        return absl::OkStatus();
      },
      [] { return absl::OkStatus(); });
  if (!length.ok()) return length.status();
  EXPECT_EQ(*length, static_cast<int64_t>(delta.size()));
  return delta;
}

// The delta given in pieces of `step` bytes.
absl::StatusOr<std::string> Apply(absl::string_view base, absl::string_view delta, int64_t length,
                                  int64_t max_window_bytes = kMaxImageBytes, size_t step = 1000) {
  const TempFile file;
  absl::StatusOr<std::unique_ptr<Applier>> applier =
      Applier::Open(base, file.descriptor(), length, max_window_bytes);
  if (!applier.ok()) return applier.status();
  for (; !delta.empty(); delta.remove_prefix(std::min(step, delta.size()))) {
    if (const absl::Status status = (*applier)->Append(delta.substr(0, step)); !status.ok()) return status;
  }
  if (const absl::Status status = (*applier)->Finish(); !status.ok()) return status;
  return file.Content();
}

// An image, and a later version of it: changed in places, with something put in and something taken out.
struct Versions {
  std::string base, target;
};
Versions MakeVersions(size_t size) {
  Versions versions;
  versions.base = crypto::RandomBytes(size);
  versions.target = versions.base;
  for (size_t at = 100; at < size; at += size / 7 + 1) versions.target[at] ^= 1;
  versions.target.insert(size / 3, "something new in the middle");
  versions.target.erase(size / 2, 1000);
  return versions;
}

// Ends the test when the program fails.
void RunProgram(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process;
  ASSERT_EQ(posix_spawnp(&process, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
  int status = -1;
  waitpid(process, &status, 0);
  ASSERT_EQ(status, 0) << arguments[0];
}

TEST(DeltaTest, ADeltaOfTwoVersionsIsSmallAndGivesTheNewOneInPiecesOfAnySize) {
  for (const size_t size : {2000, 128 << 10, 3 << 20}) {
    const Versions versions = MakeVersions(size);
    ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
    EXPECT_LT(delta.size(), size / 2);
    for (const size_t step : {size_t{1}, size_t{17}, delta.size()}) {
      EXPECT_THAT(Apply(versions.base, delta, versions.target.size(), kMaxImageBytes, step),
                  IsOkAndHolds(versions.target));
    }
  }
}

TEST(DeltaTest, ImagesOfVeryDifferentLengthsHaveDeltasBothWays) {
  const std::string large = crypto::RandomBytes(5 << 20);
  const std::string small = large.substr(4 << 20, 3000);
  ASSERT_OK_AND_ASSIGN(const std::string shrink, Make(large, small));
  EXPECT_LT(shrink.size(), 200);
  EXPECT_THAT(Apply(large, shrink, small.size()), IsOkAndHolds(small));
  ASSERT_OK_AND_ASSIGN(const std::string grow, Make(small, large));
  EXPECT_THAT(Apply(small, grow, large.size()), IsOkAndHolds(large));
}

TEST(DeltaTest, TheSameImagesGiveTheSameDelta) {
  const Versions versions = MakeVersions(100 << 10);
  EXPECT_EQ(*Make(versions.base, versions.target), *Make(versions.base, versions.target));
}

// Whoever has the zstd program can check what we make, and use it.
TEST(DeltaTest, TheZstdProgramReadsOurDeltasAndWeReadItsOwn) {
  for (const size_t size : {3000, 300 << 10, 6 << 20}) {
    const Versions versions = MakeVersions(size);
    const std::string base = TempPath("base"), target = TempPath("target"), delta = TempPath("delta.zst");
    ASSERT_OK(WriteFileAtomically(base, versions.base));
    ASSERT_OK(WriteFileAtomically(target, versions.target));

    ASSERT_OK_AND_ASSIGN(const std::string ours, Make(versions.base, versions.target));
    ASSERT_OK(WriteFileAtomically(delta, ours));
    const std::string result = TempPath("result");
    RunProgram({"zstd", "-q", "-f", "-d", "--patch-from=" + base, delta, "-o", result});
    EXPECT_THAT(ReadFile(result, 1 << 30), IsOkAndHolds(versions.target));

    for (const char* level : {"-3", "-19"}) {
      RunProgram({"zstd", "-q", "-f", level, "--patch-from=" + base, target, "-o", delta});
      ASSERT_OK_AND_ASSIGN(const std::string theirs, ReadFile(delta, 1 << 30));
      EXPECT_THAT(Apply(versions.base, theirs, versions.target.size()), IsOkAndHolds(versions.target));
    }
  }
}

TEST(DeltaTest, MakingOneEndsAsSoonAsItIsTooLongOrNotWanted) {
  const std::string base = crypto::RandomBytes(8 << 20), target = crypto::RandomBytes(8 << 20);
  EXPECT_THAT(Make(base, target, kMiB), StatusIs(absl::StatusCode::kOutOfRange, "DELTA_TOO_LONG"));
  int asked = 0;
  EXPECT_THAT(Create(
                  base, target, kMaxImageBytes, [](absl::string_view) { return absl::OkStatus(); },
                  [&] { return ++asked == 3 ? absl::CancelledError("no longer") : absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(asked, 3);
}

TEST(DeltaTest, ADeltaForAnotherBaseIsRefused) {
  const Versions versions = MakeVersions(1 << 20);
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
  EXPECT_THAT(Apply(crypto::RandomBytes(1 << 20), delta, versions.target.size()),
              StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_MALFORMED"));
  EXPECT_THAT(Apply("short", delta, versions.target.size()),
              StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_MALFORMED"));
  EXPECT_THAT(Apply("", delta, versions.target.size()),
              StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_MALFORMED"));
}

TEST(DeltaTest, ACutDeltaIsTruncatedWhereverItWasCut) {
  const Versions versions = MakeVersions(300 << 10);
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
  for (size_t size = 0; size < delta.size(); size += delta.size() / 50 + 1) {
    EXPECT_THAT(Apply(versions.base, absl::string_view(delta).substr(0, size), versions.target.size()),
                StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_TRUNCATED"))
        << size;
  }
}

// Endless data: what comes out is what the metadata promise, or an error.
TEST(DeltaTest, ABombEndsAtTheLengthThatTheImageHas) {
  const std::string zeros(64 << 20, '\0');
  ASSERT_OK_AND_ASSIGN(const std::string bomb, Make("base", zeros));
  EXPECT_LT(bomb.size(), 64 << 10);
  for (const int64_t length : {int64_t{1}, int64_t{1000}, kMiB, int64_t{64 << 20} - 1}) {
    EXPECT_THAT(Apply("base", bomb, length), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"))
        << length;
  }
  // One that does not say how much it has: as a stream is compressed.
  const std::string path = TempPath("zeros");
  ASSERT_OK(WriteFileAtomically(path, zeros));
  RunProgram({"sh", "-c", absl::StrCat("zstd -q -f --long=20 -o ", path, ".zst < ", path)});
  ASSERT_OK_AND_ASSIGN(const std::string stream, ReadFile(path + ".zst"));
  EXPECT_THAT(Apply("base", stream, 1000), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"));
  EXPECT_THAT(Apply("base", stream, 63 << 20),
              StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"));
  EXPECT_THAT(Apply("base", stream, zeros.size()), IsOkAndHolds(zeros));
}

TEST(DeltaTest, ADeltaThatGivesFewerBytesThanTheImageHasIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make("base", "target"));
  EXPECT_THAT(Apply("base", delta, 7), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_MISMATCH"));
}

TEST(DeltaTest, AWindowBeyondTheLimitIsRefused) {
  const Versions versions = MakeVersions(3 << 20);
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
  for (const size_t step : {size_t{1}, delta.size()}) {
    EXPECT_THAT(Apply(versions.base, delta, versions.target.size(), kMiB, step),
                StatusIs(absl::StatusCode::kInvalidArgument, "WINDOW_TOO_LARGE"));
  }
  EXPECT_THAT(Apply(versions.base, delta, versions.target.size(), 3 << 20), IsOkAndHolds(versions.target));
}

TEST(DeltaTest, WhatFollowsTheDeltaOrStandsBeforeItIsRefused) {
  const Versions versions = MakeVersions(10 << 10);
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
  const int64_t length = versions.target.size();
  EXPECT_THAT(Apply(versions.base, delta + "x", length),
              StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_MALFORMED"));
  EXPECT_THAT(Apply(versions.base, delta + delta, length, kMaxImageBytes, 1 << 20),
              StatusIs(absl::StatusCode::kInvalidArgument, "DELTA_MALFORMED"));
  // A skippable frame of four bytes.
  const std::string skippable("\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
  EXPECT_FALSE(Apply(versions.base, skippable + delta, length).ok());
  EXPECT_FALSE(Apply(versions.base, skippable, length).ok());
}

TEST(DeltaTest, AnImageBeyondTheLimitHasNoDelta) {
  const TempFile file;
  EXPECT_THAT(Applier::Open("base", file.descriptor(), kMaxImageBytes + 1, kMaxImageBytes),
              StatusIs(absl::StatusCode::kInvalidArgument, "IMAGE_TOO_LARGE"));
  ASSERT_EQ(ftruncate(file.descriptor(), kMaxImageBytes + 1), 0);
  EXPECT_THAT(Mapping::OfFile(file.descriptor()),
              StatusIs(absl::StatusCode::kInvalidArgument, "IMAGE_TOO_LARGE"));
}

TEST(DeltaTest, AFileIsMappedAsItIs) {
  const std::string path = TempPath("mapped");
  ASSERT_OK(WriteFileAtomically(path, "content"));
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_OK_AND_ASSIGN(const Mapping mapping, Mapping::OfFile(descriptor));
  close(descriptor);
  EXPECT_EQ(mapping.bytes(), "content");
  const TempFile empty;
  ASSERT_OK_AND_ASSIGN(const Mapping nothing, Mapping::OfFile(empty.descriptor()));
  EXPECT_EQ(nothing.bytes(), "");
}

// Damaged in any way, a delta gives an error or as many bytes as the image has: never more, never a crash.
TEST(DeltaTest, DamagedDeltasGiveErrorsOrOtherBytesAndNothingWorse) {
  std::mt19937 random(20261121);
  const Versions versions = MakeVersions(20 << 10);
  const int64_t length = versions.target.size();
  ASSERT_OK_AND_ASSIGN(const std::string delta, Make(versions.base, versions.target));
  const auto any = [&](size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random); };
  int refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string damaged = delta;
    for (size_t changes = 1 + any(4); changes > 0; --changes) {
      switch (any(4)) {
        case 0:
          damaged[any(damaged.size())] ^= 1 << any(8);
          break;
        case 1:
          damaged.erase(any(damaged.size()), 1 + any(20));
          break;
        case 2:
          damaged.insert(any(damaged.size()), crypto::RandomBytes(1 + any(20)));
          break;
        default:
          // The header: what it says of window and length.
          damaged[4 + any(8)] = static_cast<char>(any(256));
      }
      if (damaged.size() < 20) damaged = delta;
    }
    const absl::StatusOr<std::string> result = Apply(versions.base, damaged, length, kMiB, 1 + any(500));
    if (result.ok()) {
      EXPECT_EQ(static_cast<int64_t>(result->size()), length);
    } else {
      EXPECT_THAT(ReasonOf(result.status()), AnyOf("DELTA_MALFORMED", "DELTA_TRUNCATED", "WINDOW_TOO_LARGE",
                                                   "LENGTH_EXCEEDED", "LENGTH_MISMATCH"));
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  for (int round = 0; round < 500; ++round) {
    const std::string noise = crypto::RandomBytes(1 + any(3000));
    EXPECT_FALSE(Apply(versions.base, noise, length).ok());
    EXPECT_FALSE(Apply(versions.base, delta.substr(0, 12) + noise, length).ok());
  }
}

// Bytes that this process has allocated: what is mapped from files does not count.
int64_t Allocated() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks) + static_cast<int64_t>(info.hblkhd);
}

TEST(DeltaTest, MemoryDoesNotGrowWithTheImages) {
  for (const int64_t size : {int64_t{31 << 20}, int64_t{127 << 20}, int64_t{200 << 20}}) {
    const TempFile base_file, target_file, result;
    {
      const std::string piece = crypto::RandomBytes(1 << 20);
      for (int64_t at = 0; at < size; at += piece.size()) {
        ASSERT_EQ(pwrite(base_file.descriptor(), piece.data(), piece.size(), at),
                  static_cast<ssize_t>(piece.size()));
        ASSERT_EQ(pwrite(target_file.descriptor(), piece.data(), piece.size(), at + 100),
                  static_cast<ssize_t>(piece.size()));
      }
    }
    ASSERT_OK_AND_ASSIGN(const Mapping base, Mapping::OfFile(base_file.descriptor()));
    ASSERT_OK_AND_ASSIGN(const Mapping target, Mapping::OfFile(target_file.descriptor()));
    const int64_t before = Allocated();
    int64_t most = 0;
    std::string delta;
    ASSERT_OK(Create(
        base.bytes(), target.bytes(), size,
        [&](absl::string_view bytes) {
          delta.append(bytes.data(), bytes.size());
          return absl::OkStatus();
        },
        [&] {
          most = std::max(most, Allocated() - before);
          return absl::OkStatus();
        }));
    EXPECT_LE(most, kMaxCreateMemory) << size;

    ASSERT_OK_AND_ASSIGN(auto applier,
                         Applier::Open(base.bytes(), result.descriptor(), size + 100, size + 100));
    ASSERT_OK(applier->Append(delta));
    EXPECT_LE(Allocated() - before, 2 * kMiB + static_cast<int64_t>(delta.capacity())) << size;
    ASSERT_OK(applier->Finish());
    ASSERT_OK_AND_ASSIGN(const Mapping applied, Mapping::OfFile(result.descriptor()));
    EXPECT_EQ(crypto::Sha256(applied.bytes()), crypto::Sha256(target.bytes())) << size;
  }
}

}  // namespace
}  // namespace countersign::delta
