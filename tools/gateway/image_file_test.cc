#include "tools/gateway/image_file.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::gateway {
namespace {

// FOTA-E
class ImageFileTest : public ::testing::Test {
 protected:
  ImageFileTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_OK(MakeDirectories(folder_));
  }
  ~ImageFileTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ImageFile> Open() {
    auto file = ImageFile::Open(folder_, sha256_, static_cast<int64_t>(image_.size()));
    EXPECT_OK(file);
    return *std::move(file);
  }
  absl::Status Check() { return CheckImage(folder_, sha256_, static_cast<int64_t>(image_.size())); }

  const std::string folder_;
  const std::string image_ = std::string(300000, 'x') + "the end";
  const std::string sha256_ = crypto::Sha256Hex(image_);
};

TEST_F(ImageFileTest, ADownloadThatIsCutGoesOnWhereItStopped) {
  ASSERT_OK(Open()->Append(image_.substr(0, 270000)));
  const auto file = Open();
  EXPECT_EQ(file->offset(), 270000);
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(file->Append(image_.substr(270000)));
  ASSERT_OK(file->Finish());
  EXPECT_OK(Check());
  EXPECT_EQ(*ReadFile(ImagePath(folder_, sha256_)), image_);
}

TEST_F(ImageFileTest, EndlessDataIsCutOff) {
  const auto file = Open();
  ASSERT_OK(file->Append(image_));
  EXPECT_THAT(file->Append("!"), StatusIs(absl::StatusCode::kResourceExhausted, trust::kLengthExceeded));
  EXPECT_EQ(Open()->offset(), 0);
}

TEST_F(ImageFileTest, OtherBytesAreRemoved) {
  std::string other = image_;
  other[5] = 'y';
  const auto file = Open();
  ASSERT_OK(file->Append(other));
  EXPECT_THAT(file->Finish(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kDigestMismatch));
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Open()->offset(), 0);
}

TEST_F(ImageFileTest, MissingBytesCanStillCome) {
  const auto file = Open();
  ASSERT_OK(file->Append("xx"));
  EXPECT_THAT(file->Finish(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kLengthMismatch));
  EXPECT_EQ(Open()->offset(), 2);
}

TEST_F(ImageFileTest, APartThatIsTooLongBeginsAnew) {
  ASSERT_OK(WriteFileAtomically(absl::StrCat(folder_, "/", sha256_, ".partial"), image_ + "more"));
  EXPECT_EQ(Open()->offset(), 0);
}

TEST_F(ImageFileTest, AnImageThatTheDiskHasChangedIsNotThereAnyMore) {
  ASSERT_OK(WriteFileAtomically(ImagePath(folder_, sha256_), image_));
  ASSERT_OK(Check());
  ASSERT_OK(WriteFileAtomically(ImagePath(folder_, sha256_), image_.substr(1) + "x"));
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(ImagePath(folder_, sha256_)));
}

TEST_F(ImageFileTest, OnlyWhatIsWantedIsKept) {
  const std::string delta = crypto::Sha256Hex("delta");
  for (const std::string& name :
       {std::string("a"), std::string("a.partial"), "a." + delta, "a." + delta + ".partial", std::string("b"),
        std::string("b.partial"), "b." + delta, "b." + delta + ".partial", std::string("b.patched")}) {
    ASSERT_OK(WriteFileAtomically(absl::StrCat(folder_, "/", name), "x"));
  }
  ASSERT_OK(RemoveOtherImages(folder_, {"a"}));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    left.push_back(entry.path().filename());
  }
  EXPECT_THAT(left,
              ::testing::UnorderedElementsAre("a", "a.partial", "a." + delta, "a." + delta + ".partial"));
}

TEST_F(ImageFileTest, AFileBecomesTheImageOnlyWithItsBytes) {
  const std::string path = folder_ + "/made";
  const auto adopt = [&] { return AdoptImage(path, folder_, sha256_, static_cast<int64_t>(image_.size())); };
  ASSERT_OK(WriteFileAtomically(path, image_ + "more"));
  EXPECT_THAT(adopt(), StatusIs(absl::StatusCode::kResourceExhausted, trust::kLengthExceeded));
  ASSERT_OK(WriteFileAtomically(path, image_.substr(1)));
  EXPECT_THAT(adopt(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kLengthMismatch));
  ASSERT_OK(WriteFileAtomically(path, image_.substr(1) + "x"));
  EXPECT_THAT(adopt(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kDigestMismatch));
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(std::filesystem::exists(path));
  ASSERT_OK(WriteFileAtomically(path, image_));
  EXPECT_OK(adopt());
  EXPECT_OK(Check());
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace countersign::gateway
