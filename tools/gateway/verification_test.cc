#include "tools/gateway/verification.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::gateway {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kLamp[] = "acme/lamp/fw-2.bin";
constexpr char kFan[] = "acme/fan/fw-2.bin";

class VerificationTest : public ::testing::Test {
 protected:
  VerificationTest()
      : images_(kNow),
        director_(kNow),
        folder_(absl::StrCat(::testing::TempDir(), "/",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    images_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    images_.AddManufacturer("other", {"other/*", "other/*/*"});
    Name(kLamp, "L-1", "lamp-a", "lamp image");
    Name(kFan, "F-1", "fan-a", "fan image");
    Publish();
    auto state = State::Open(folder_);
    EXPECT_OK(state);
    state_ = *std::move(state);
    verification_ = std::make_unique<Verification>(&director_files_, director_.first_root, &image_files_,
                                                   images_.first_root, state_.get());
  }
  ~VerificationTest() override { std::filesystem::remove_all(folder_); }

  void Name(const std::string& path, const std::string& serial, const std::string& hardware,
            absl::string_view image) {
    images_.delegated["acme"].targets[path] = trust::MakeTarget(image, 2, {hardware});
    director_.targets.targets[path] = trust::MakeTarget(image, 2, {hardware});
    director_.targets.targets[path].custom.ecu_identifiers[serial] = {.hardware_id = hardware};
  }
  void Publish() {
    images_.Raise({"acme"});
    images_.Publish();
    director_.Raise({"targets"});
    director_.Publish();
  }
  Verdict Verify(absl::Time now = kNow) { return verification_->Verify(components_, now); }

  trust::TestRepository images_;
  trust::TestRepository director_;
  const std::string folder_;
  trust::MapFetcher image_files_{&images_.files};
  trust::MapFetcher director_files_{&director_.files};
  std::vector<trust::InstalledComponent> components_ = {{"L-1", "lamp-a", 1}, {"F-1", "fan-a", 1}};
  std::unique_ptr<State> state_;
  std::unique_ptr<Verification> verification_;
};

// FOTA-E
TEST_F(VerificationTest, WhatBothRepositoriesSayIsInstalledAndADeviceCanVerifyItFromTheHeader) {
  const Verdict verdict = Verify();
  ASSERT_OK(verdict.status);
  EXPECT_EQ(verdict.director_version, director_.targets.version);
  ASSERT_THAT(verdict.updates, SizeIs(2));
  const auto header = verification_->HeaderFor(verdict.updates[1]);
  ASSERT_OK(header);
  EXPECT_EQ(header->image().target_path(), kLamp);
  std::vector<std::string> names;
  for (const auto& file : header->image_metadata()) {
    names.push_back(file.file_name());
    EXPECT_EQ(file.content(), images_.files.at(file.file_name()));
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "timestamp.json", absl::StrCat(images_.snapshot.version, ".snapshot.json"),
                         absl::StrCat(images_.targets.version, ".targets.json"),
                         absl::StrCat(images_.delegated["acme"].version, ".acme.json")));
}

TEST_F(VerificationTest, ADeviceGetsTheRootsSinceTheFirst) {
  trust::Root next = director_.root;
  next.version = 2;
  director_.RotateRoot(next, director_.RootSigners());
  Publish();
  const Verdict verdict = Verify();
  ASSERT_OK(verdict.status);
  const auto header = verification_->HeaderFor(verdict.updates[0]);
  ASSERT_OK(header);
  int roots = 0;
  for (const auto& file : header->director_metadata()) {
    roots += file.file_name() == "2.root.json";
    EXPECT_NE(file.file_name(), "1.root.json");
  }
  EXPECT_EQ(roots, 1);
}

// Each attack, the reason that it is refused for, and who is to blame.
TEST_F(VerificationTest, RefusalsNameTheirReasonAndTheEntriesToBlame) {
  struct Case {
    std::string name;
    std::function<void()> attack;
    std::string reason;
    std::vector<std::string> blamed;
  };
  const std::vector<Case> cases = {
      {"other bytes than the image repository's",
       [&] { director_.targets.targets[kLamp].sha256 = std::string(64, 'a'); },
       trust::kTargetMismatch,
       {"L-1"}},
      {"nobody vouches",
       [&] { images_.delegated["acme"].targets.erase(kLamp); },
       trust::kTargetUnknown,
       {"L-1"}},
      {"wrong hardware",
       [&] { director_.targets.targets[kFan].custom.ecu_identifiers["F-1"].hardware_id = "fan-b"; },
       trust::kHardwareMismatch,
       {"F-1"}},
      {"another home's component",
       [&] { director_.targets.targets[kFan].custom.ecu_identifiers["Z-1"] = {.hardware_id = "fan-a"}; },
       trust::kUnknownEcu,
       {"Z-1"}},
      {"an older image", [&] { components_[0].release_counter = 3; }, trust::kRollbackAttempt, {"L-1"}},
  };
  const trust::Targets good_director = director_.targets;
  const trust::Targets good_images = images_.delegated["acme"];
  const auto good_components = components_;
  for (const Case& attacked : cases) {
    SCOPED_TRACE(attacked.name);
    attacked.attack();
    Publish();
    const Verdict verdict = Verify();
    EXPECT_EQ(ReasonOf(verdict.status), attacked.reason);
    EXPECT_TRUE(IsRefusal(verdict.status));
    EXPECT_THAT(verdict.updates, IsEmpty());
    std::vector<std::string> blamed;
    for (const RefusedEntry& entry : verdict.refused) blamed.push_back(entry.ecu_serial);
    EXPECT_EQ(blamed, attacked.blamed);
    director_.targets.targets = good_director.targets;
    images_.delegated["acme"].targets = good_images.targets;
    components_ = good_components;
    Publish();
    EXPECT_OK(Verify().status);
  }
}

TEST_F(VerificationTest, ADirectorThatCannotBeVerifiedBlamesNobodyAndWhatWasVerifiedStays) {
  ASSERT_OK(Verify().status);
  const std::string before = **state_->director().Load("targets");
  const auto good = director_.files;
  Name(kLamp, "L-1", "lamp-a", "evil image");
  director_.targets_signer = trust::NewSigner();
  Publish();
  const Verdict verdict = Verify();
  EXPECT_EQ(ReasonOf(verdict.status), trust::kThresholdNotMet);
  EXPECT_THAT(verdict.refused, IsEmpty());
  EXPECT_EQ(**state_->director().Load("targets"), before);
}

TEST_F(VerificationTest, OldMetadataAreRefused) {
  const auto old = director_.files;
  Publish();
  ASSERT_OK(Verify().status);
  director_.files = old;
  EXPECT_EQ(ReasonOf(Verify().status), trust::kMetadataRollback);
  EXPECT_EQ(ReasonOf(Verify(kNow + absl::Hours(48)).status), trust::kMetadataRollback);
}

TEST_F(VerificationTest, FrozenMetadataAreRefused) {
  EXPECT_EQ(ReasonOf(Verify(kNow + absl::Hours(48)).status), trust::kExpired);
}

TEST_F(VerificationTest, WhatIsNotThereIsNoVerdict) {
  director_.files.erase("timestamp.json");
  const Verdict verdict = Verify();
  EXPECT_THAT(verdict.status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(IsRefusal(verdict.status));
  EXPECT_THAT(verdict.refused, IsEmpty());
}

}  // namespace
}  // namespace countersign::gateway
