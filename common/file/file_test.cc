#include "common/file/file.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "common/status/errors.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    ASSERT_OK(MakeDirectories(folder_ + "/deep"));
  }
  std::string folder_;
};

TEST_F(FileTest, WhatWasWrittenIsRead) {
  const std::string path = folder_ + "/deep/file";
  ASSERT_OK(WriteFileAtomically(path, std::string("old\0bytes", 9)));
  EXPECT_THAT(ReadFile(path), IsOkAndHolds(std::string("old\0bytes", 9)));
  ASSERT_OK(WriteFileAtomically(path, ""));
  EXPECT_THAT(ReadFile(path), IsOkAndHolds(""));
}

TEST_F(FileTest, AWriteLeavesNothingElseBehindAndSetsTheMode) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/deep/key", "secret", 0600));
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ + "/deep")) ++files;
  EXPECT_EQ(files, 1);
  struct stat info;
  ASSERT_EQ(::stat((folder_ + "/deep/key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(FileTest, AFailedWriteLeavesTheOldFileAndNoTemporary) {
  // A folder in the way of the rename.
  ASSERT_OK(MakeDirectories(folder_ + "/deep/taken/inside"));
  EXPECT_FALSE(WriteFileAtomically(folder_ + "/deep/taken", "x").ok());
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ + "/deep")) ++entries;
  EXPECT_EQ(entries, 1);
}

TEST_F(FileTest, AMissingFileIsNotFound) {
  EXPECT_THAT(ReadFile(folder_ + "/none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(WriteFileAtomically(folder_ + "/no/folder", "x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FileTest, AFileOverTheLimitIsRefused) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/f", std::string(100, 'x')));
  EXPECT_THAT(ReadFile(folder_ + "/f", 100), IsOk());
  EXPECT_THAT(ReadFile(folder_ + "/f", 99), StatusIs(absl::StatusCode::kResourceExhausted, "FILE_TOO_LARGE"));
}

TEST_F(FileTest, RemovingTwiceIsOk) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/f", "x"));
  EXPECT_OK(RemoveFile(folder_ + "/f"));
  EXPECT_OK(RemoveFile(folder_ + "/f"));
  EXPECT_THAT(ReadFile(folder_ + "/f"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign
