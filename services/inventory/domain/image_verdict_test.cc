#include "services/inventory/domain/image_verdict.h"

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

const std::string kA(64, 'a');
const std::string kB(64, 'b');
const std::string kC(64, 'c');

PublishedImage Published(const std::string& sha256, bool revoked = false) {
  return {"acme/t/t-1.0.0.bin", "1.0.0", sha256, revoked};
}

// FOTA-R2
TEST(ImageVerdictTest, TheDigestSaysWhatAnImageIs) {
  const InstalledImage image{"", 10, kA, "1.0.0", 1};
  EXPECT_EQ(JudgeImage(image, "", {}), ImageVerdict::kUnknown);
  EXPECT_EQ(JudgeImage(image, "", {Published(kA)}), ImageVerdict::kPublished);
  EXPECT_EQ(JudgeImage(image, "", {Published(kB), Published(kA)}), ImageVerdict::kPublished)
      << "one that fits is enough";
  EXPECT_EQ(JudgeImage(image, "", {Published(kB)}), ImageVerdict::kDiffers);
  EXPECT_EQ(JudgeImage(image, "", {Published(kA, true)}), ImageVerdict::kRevoked);
  EXPECT_EQ(JudgeImage(image, "", {Published(kA, true), Published(kA)}), ImageVerdict::kPublished);
  EXPECT_EQ(JudgeImage(image, "", {{"acme/other.bin", "9.9.9", kA, false}}), ImageVerdict::kPublished)
      << "a version is a name only";
}

TEST(ImageVerdictTest, ADeclaredFactoryImageIsKnown) {
  const InstalledImage image{"", 10, kA, "1.0.0", 0};
  EXPECT_EQ(JudgeImage(image, kA, {}), ImageVerdict::kFactory);
  EXPECT_EQ(JudgeImage(image, kA, {Published(kB)}), ImageVerdict::kFactory);
  EXPECT_EQ(JudgeImage(image, kA, {Published(kA, true)}), ImageVerdict::kRevoked)
      << "what the authority took back it took back from the factory too";
  EXPECT_EQ(JudgeImage(image, kC, {}), ImageVerdict::kUnknown);
}

TEST(ImageVerdictTest, APathThatWasPublishedWithOtherBytesDiffers) {
  const InstalledImage image{"acme/t/t-1.0.0.bin", 10, kA, "1.0.0-custom", 1};
  EXPECT_EQ(JudgeImage(image, "", {Published(kB)}), ImageVerdict::kDiffers);
  // No path is no path that differs.
  EXPECT_EQ(JudgeImage({"", 10, kA, "7", 1}, "", {{"", "8", kB, false}}), ImageVerdict::kUnknown);
}

TEST(ImageVerdictTest, AnUnknownImageIsAFaultWhereTheFactoryImageWasDeclaredOrThePolicySaysSo) {
  EXPECT_EQ(ModifiedReason(ImageVerdict::kUnknown, "", false), "");
  EXPECT_EQ(ModifiedReason(ImageVerdict::kUnknown, "", true), "IMAGE_UNKNOWN");
  EXPECT_EQ(ModifiedReason(ImageVerdict::kUnknown, kA, false), "IMAGE_UNKNOWN");
  EXPECT_EQ(ModifiedReason(ImageVerdict::kDiffers, "", false), "IMAGE_DIFFERS");
  EXPECT_EQ(ModifiedReason(ImageVerdict::kRevoked, kA, false), "IMAGE_REVOKED");
  for (ImageVerdict verdict : {ImageVerdict::kNone, ImageVerdict::kPublished, ImageVerdict::kFactory}) {
    EXPECT_EQ(ModifiedReason(verdict, kA, true), "");
  }
}

// Every state, with a reason and without: the state afterwards.
TEST(ImageVerdictTest, OnlyWhatProvedItselfIsSettled) {
  for (State state : kAllStates) {
    const bool proved = state == State::kVerified || state == State::kProxied || state == State::kModified;
    for (const bool constrained : {false, true}) {
      ComponentStatus status;
      status.state = state;
      EXPECT_EQ(SettleImage("IMAGE_DIFFERS", constrained, status), proved) << StateName(state);
      EXPECT_EQ(status.state, proved ? State::kModified : state);
      EXPECT_EQ(status.reason, proved ? "IMAGE_DIFFERS" : "");
      EXPECT_FALSE(SettleImage("IMAGE_DIFFERS", constrained, status)) << "twice is once";

      status = ComponentStatus();
      status.state = state;
      EXPECT_EQ(SettleImage("", constrained, status), state == State::kModified);
      if (state == State::kModified) {
        EXPECT_EQ(status.state, constrained ? State::kProxied : State::kVerified);
      } else {
        EXPECT_EQ(status.state, state);
      }
    }
  }
}

// FOTA-R3
TEST(ImageVerdictTest, APolicyNamesManufacturersAndModels) {
  const auto policy = QuarantinePolicy::Parse({"acme/T1000", "zenith/*", "*/TV-4"});
  ASSERT_OK(policy);
  EXPECT_EQ(policy->manufacturers(), (std::vector<std::string>{"acme", "zenith", ""}));
  EXPECT_EQ(policy->models(), (std::vector<std::string>{"T1000", "", "TV-4"}));
  EXPECT_TRUE(QuarantinePolicy::Parse({})->empty());
  for (const char* wrong : {"", "acme", "/T1000", "acme/", "/"}) {
    EXPECT_THAT(QuarantinePolicy::Parse({wrong}),
                StatusIs(absl::StatusCode::kInvalidArgument, "POLICY_INVALID"))
        << wrong;
  }
}

}  // namespace
}  // namespace countersign::inventory::domain
