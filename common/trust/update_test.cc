#include "common/trust/update.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/status_matchers.h"
#include "common/trust/director.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kPath[] = "acme/lamp/fw-2.bin";

class UpdateTest : public ::testing::Test {
 protected:
  UpdateTest()
      : images_(kNow),
        director_(kNow),
        image_fetcher_(&images_.files),
        director_fetcher_(&director_.files),
        image_client_(&image_fetcher_, &image_store_, images_.first_root),
        director_client_(&director_fetcher_, &director_store_, director_.first_root) {
    images_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    images_.AddManufacturer("acme-pending", {"pending/acme/*"});
    approved() = MakeTarget("image two", 2, {"lamp-a", "lamp-b"}, "2.0.0");
    ordered() = approved();
    ordered().custom.ecu_identifiers["ecu-1"] = {"lamp-a", "consent-1"};
  }

  TargetFile& approved() { return images_.delegated["acme"].targets[kPath]; }
  TargetFile& ordered() { return director_.targets.targets[kPath]; }

  absl::StatusOr<std::vector<VerifiedUpdate>> Verify() {
    images_.Raise({"acme", "acme-pending"});
    images_.Publish();
    director_.Raise({"targets"});
    director_.Publish();
    return VerifyUpdate(director_client_, image_client_, components_, kNow);
  }
  absl::StatusOr<std::optional<VerifiedUpdate>> VerifyForFirst() {
    return VerifyUpdateFor(director_client_, image_client_, components_[0], kNow);
  }

  TestRepository images_;
  TestRepository director_;
  MapFetcher image_fetcher_;
  MapFetcher director_fetcher_;
  MemoryStore image_store_;
  MemoryStore director_store_;
  RepositoryClient image_client_;
  RepositoryClient director_client_;
  std::vector<InstalledComponent> components_ = {{"ecu-1", "lamp-a", 1}, {"ecu-2", "lamp-b", 1}};
};

// HOME-8, FOTA-E
TEST_F(UpdateTest, WhatBothRepositoriesSayIsInstalled) {
  ordered().custom.ecu_identifiers["ecu-2"] = {"lamp-b", "consent-2"};
  ASSERT_OK_AND_ASSIGN(const std::vector<VerifiedUpdate> updates, Verify());
  ASSERT_EQ(updates.size(), 2u);
  EXPECT_EQ(updates[0].ecu_serial, "ecu-1");
  EXPECT_EQ(updates[0].path, kPath);
  EXPECT_EQ(updates[0].sha256, approved().sha256);
  EXPECT_EQ(updates[0].length, 9);
  EXPECT_EQ(updates[0].version, "2.0.0");
  EXPECT_EQ(updates[0].release_counter, 2);
  EXPECT_EQ(updates[0].consent_record_id, "consent-1");
  EXPECT_EQ(updates[1].consent_record_id, "consent-2");
  ASSERT_OK_AND_ASSIGN(const std::optional<VerifiedUpdate> mine, VerifyForFirst());
  ASSERT_TRUE(mine.has_value());
  EXPECT_EQ(mine->consent_record_id, "consent-1");
}

TEST_F(UpdateTest, WithNoOrderThereIsNothingToInstallAndTheImageRepositoryIsNotAsked) {
  director_.targets.targets.clear();
  director_.targets.prefetch[kPath] = approved();  // may be fetched, not installed
  ASSERT_OK(Verify());
  images_.files.clear();
  EXPECT_THAT(VerifyUpdate(director_client_, image_client_, components_, kNow), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const std::optional<VerifiedUpdate> mine, VerifyForFirst());
  EXPECT_FALSE(mine.has_value());
}

// What is fetched ahead of a consent is what could be installed after it, and nothing that could not.
TEST_F(UpdateTest, OnlyWhatBothRepositoriesSayIsFetchedAhead) {
  TargetFile ahead = ordered();
  ahead.custom.ecu_identifiers["ecu-1"].bundle = "bundle-1";
  director_.targets.targets.clear();
  director_.targets.prefetch[kPath] = ahead;
  director_.targets.prefetch["acme/lamp/unknown.bin"] = ahead;
  images_.delegated["acme-pending"].targets["pending/acme/fw.bin"] = approved();
  director_.targets.prefetch["pending/acme/fw.bin"] = ahead;
  TargetFile& other = images_.delegated["acme"].targets["acme/lamp/fw-3.bin"] = approved();
  other.custom.release_counter = 3;
  director_.targets.prefetch["acme/lamp/fw-3.bin"] = ahead;
  EXPECT_THAT(Verify(), IsOkAndHolds(IsEmpty()));
  const auto prefetch = [&] { return VerifyPrefetch(director_client_, image_client_, components_, kNow); };
  ASSERT_OK_AND_ASSIGN(std::vector<VerifiedUpdate> updates, prefetch());
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].path, kPath);
  EXPECT_EQ(updates[0].bundle, "bundle-1");
  components_[0].release_counter = 5;
  EXPECT_THAT(prefetch(), IsOkAndHolds(IsEmpty()));
}

// Attack: stolen Director key. It cannot make images.
TEST_F(UpdateTest, AnImageThatTheImageRepositoryDoesNotKnowIsRefused) {
  director_.targets.targets["acme/lamp/evil.bin"] = ordered();
  director_.targets.targets.erase(kPath);
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
  EXPECT_THAT(VerifyForFirst(), StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
}

// Attack: stolen Director key. The two must agree byte for byte.
TEST_F(UpdateTest, AnyDifferenceBetweenTheRepositoriesIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, kTargetMismatch);
  const TargetFile good = ordered();
  ordered().sha256 = std::string(64, 'a');
  EXPECT_THAT(Verify(), refused);
  ordered() = good;
  ordered().length = 10;
  EXPECT_THAT(Verify(), refused);
  ordered() = good;
  ordered().custom.release_counter = 3;
  EXPECT_THAT(Verify(), refused);
  EXPECT_THAT(VerifyForFirst(), refused);
  ordered() = good;
  ordered().custom.hardware_ids = {"lamp-a"};
  EXPECT_THAT(Verify(), refused);
  ordered() = good;
  ordered().custom.version = "3.0.0";
  EXPECT_THAT(Verify(), refused);
  ordered() = good;
  ordered().custom.release_counter.reset();
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kInvalidArgument, kReleaseCounterMissing));
}

// Attack: arbitrary software. A Director that is stolen, or wrong, orders what was never approved.
TEST_F(UpdateTest, AnUnapprovedImageCannotBeOrdered) {
  images_.delegated["acme-pending"].targets["pending/acme/fw.bin"] = approved();
  director_.targets.targets["pending/acme/fw.bin"] = ordered();
  director_.targets.targets.erase(kPath);
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kNotApproved));
  EXPECT_THAT(VerifyForFirst(), StatusIs(absl::StatusCode::kFailedPrecondition, kNotApproved));
}

// SC-USE-7: what only the manufacturer vouches for is for a device's user to decide, and for this component.
TEST_F(UpdateTest, WhatIsPendingIsVerifiedAsFarAsAnybodyVouchesForIt) {
  images_.delegated["acme-pending"].targets["pending/acme/fw.bin"] = approved();
  ASSERT_OK(Verify());
  const auto pending = [&](absl::string_view path, const InstalledComponent& component) {
    return VerifyPendingFor(image_client_, path, component, kNow);
  };
  ASSERT_OK_AND_ASSIGN(const VerifiedUpdate update, pending("pending/acme/fw.bin", components_[0]));
  EXPECT_EQ(update.sha256, approved().sha256);
  EXPECT_THAT(pending("pending/acme/other.bin", components_[0]),
              StatusIs(absl::StatusCode::kNotFound, kTargetUnknown));
  EXPECT_THAT(pending(kPath, components_[0]), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_THAT(pending("pending/acme/fw.bin", {"ecu-1", "kettle", 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition, kHardwareMismatch));
  EXPECT_THAT(pending("pending/acme/fw.bin", {"ecu-1", "lamp-a", 9}),
              StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
}

// Attack: image rollback.
TEST_F(UpdateTest, AnOlderImageThanTheInstalledIsRefused) {
  components_[0].release_counter = 3;
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
  EXPECT_THAT(VerifyForFirst(), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
  components_[0].release_counter = 2;  // the same again is no step back
  EXPECT_OK(Verify());
}

// Attack: wrong hardware.
TEST_F(UpdateTest, AnImageForOtherHardwareIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, kHardwareMismatch);
  ordered().custom.ecu_identifiers["ecu-1"].hardware_id = "lamp-b";
  EXPECT_THAT(Verify(), refused);  // the Director means other hardware
  ordered().custom.ecu_identifiers["ecu-1"].hardware_id = "plug";
  components_[0].hardware_id = "plug";
  EXPECT_THAT(Verify(), refused);  // the image does not fit
  EXPECT_THAT(VerifyForFirst(), refused);
}

// Attack: wrong device.
TEST_F(UpdateTest, AnOrderForAComponentThatIsNotHereIsRefused) {
  ordered().custom.ecu_identifiers = {{"ecu-9", {"lamp-a", "consent-9"}}};
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kUnknownEcu));
  ASSERT_OK_AND_ASSIGN(const std::optional<VerifiedUpdate> mine, VerifyForFirst());
  EXPECT_FALSE(mine.has_value());
  ordered().custom.ecu_identifiers.clear();
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kUnknownEcu));
}

TEST_F(UpdateTest, TwoImagesForOneComponentAreRefused) {
  images_.delegated["acme"].targets["acme/lamp/fw-3.bin"] = approved();
  director_.targets.targets["acme/lamp/fw-3.bin"] = ordered();
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kDuplicateEcu));
  EXPECT_THAT(VerifyForFirst(), StatusIs(absl::StatusCode::kFailedPrecondition, kDuplicateEcu));
}

TEST_F(UpdateTest, ADirectorMayNotDelegate) {
  director_.AddManufacturer("acme", {"acme/*"});
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kDirectorDelegates));
}

// Attack: partial bundle.
TEST_F(UpdateTest, OneBadEntryRefusesTheWholeBundle) {
  ordered().custom.ecu_identifiers["ecu-2"] = {"lamp-b", "consent-2"};
  components_[1].release_counter = 9;
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
}

// Attack: freeze, of either repository.
TEST_F(UpdateTest, StaleMetadataOfEitherRepositoryIsRefused) {
  ASSERT_OK(Verify());
  director_.timestamp.expires = kNow;
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kExpired));
  director_.timestamp.expires = kNow + absl::Hours(1);
  images_.timestamp.expires = kNow;
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kExpired));
}

// FOTA-R1. Attack: endless data; altered on its way.
TEST(ImageCheckTest, TheImageMustBeThePromisedBytes) {
  const TargetFile target = MakeTarget("firmware", 1, {"h"});
  ImageCheck good(target.length, target.sha256);
  EXPECT_OK(good.Update("firm"));
  EXPECT_OK(good.Update("ware"));
  EXPECT_OK(good.Finish());
  ImageCheck altered(target.length, target.sha256);
  EXPECT_OK(altered.Update("firmwarf"));
  EXPECT_THAT(altered.Finish(), StatusIs(absl::StatusCode::kInvalidArgument, kDigestMismatch));
  ImageCheck shorter(target.length, target.sha256);
  EXPECT_OK(shorter.Update("firm"));
  EXPECT_THAT(shorter.Finish(), StatusIs(absl::StatusCode::kInvalidArgument, kLengthMismatch));
  ImageCheck endless(target.length, target.sha256);
  EXPECT_OK(endless.Update("firmware"));
  EXPECT_THAT(endless.Update("x"), StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded));
  EXPECT_THAT(endless.Finish(), StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded));
}

class DirectorTest : public ::testing::Test {
 protected:
  DirectorTest() : consent_service_(NewSigner()), approved_(MakeTarget("image", 2, {"lamp-a"}, "2.0")) {
    entry_.gateway_id = "gw-1";
    entry_.ecu_serial = "ecu-1";
    entry_.hardware_id = "lamp-a";
    entry_.kind = "SECURITY";
    entry_.path = kPath;
    entry_.target = approved_;
    entry_.target.custom.ecu_identifiers["ecu-1"] = {"lamp-a", "consent-1"};
    entry_.installed_release_counter = 1;
    record_.record_id = "consent-1";
    record_.principal_id = "user-1";
    record_.gateway_id = "gw-1";
    record_.ecu_serial = "ecu-1";
    record_.scope = ConsentRecord::Scope::kOneUpdate;
    record_.decision = ConsentRecord::Decision::kGranted;
    record_.kind = "SECURITY";
    record_.image_sha256 = approved_.sha256;
    record_.target_path = kPath;
    record_.valid_from = kNow;
    record_.valid_until = kNow + absl::Hours(1);
  }

  absl::Status Check() {
    Envelope consent = record_.ToEnvelope();
    if (absl::Status status = consent.Sign(consent_service_); !status.ok()) return status;
    return CheckEntry(entry_, &approved_, &consent, consent_service_.public_key(), kNow);
  }

  crypto::PemSigner consent_service_;
  TargetFile approved_;
  DirectorEntry entry_;
  ConsentRecord record_;
};

TEST_F(DirectorTest, AnApprovedImageWithConsentMayBeOrdered) { EXPECT_OK(Check()); }

// SC-MA. Attack: arbitrary software.
TEST_F(DirectorTest, WithoutApprovalNothingIsOrdered) {
  Envelope consent = record_.ToEnvelope();
  ASSERT_OK(consent.Sign(consent_service_));
  EXPECT_THAT(CheckEntry(entry_, nullptr, &consent, consent_service_.public_key(), kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, kNotApproved));
  entry_.path = "pending/acme/fw-2.bin";
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kFailedPrecondition, kNotApproved));
}

TEST_F(DirectorTest, TheEntryMustSayWhatWasApproved) {
  entry_.target.sha256 = std::string(64, 'a');
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kFailedPrecondition, kTargetMismatch));
}

TEST_F(DirectorTest, HardwareAndCounterAreChecked) {
  entry_.hardware_id = "plug";
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kFailedPrecondition, kHardwareMismatch));
  entry_.hardware_id = "lamp-a";
  entry_.installed_release_counter = 3;
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kFailedPrecondition, kRollbackAttempt));
}

// PLUS-2. Attack: consent bypass.
TEST_F(DirectorTest, WithoutConsentNothingIsOrdered) {
  EXPECT_THAT(CheckEntry(entry_, &approved_, nullptr, consent_service_.public_key(), kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, kNoConsent));
  record_.decision = ConsentRecord::Decision::kWithdrawn;
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kFailedPrecondition, kNoConsent));
}

// PLUS-2. Attack: consent bypass, with a consent for something else, of someone else, or made up.
TEST_F(DirectorTest, AConsentMustBeTheRightOne) {
  const auto mismatch = StatusIs(absl::StatusCode::kFailedPrecondition, kConsentMismatch);
  entry_.target.custom.ecu_identifiers["ecu-1"].consent_record_id = "consent-2";
  EXPECT_THAT(Check(), mismatch);
  entry_.target.custom.ecu_identifiers["ecu-1"].consent_record_id = "consent-1";
  entry_.gateway_id = "gw-2";
  EXPECT_THAT(Check(), mismatch);
  entry_.gateway_id = "gw-1";
  Envelope forged = record_.ToEnvelope();
  ASSERT_OK(forged.Sign(NewSigner()));
  EXPECT_THAT(CheckEntry(entry_, &approved_, &forged, consent_service_.public_key(), kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, kUnknownKey));
}

}  // namespace
}  // namespace countersign::trust
