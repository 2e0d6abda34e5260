// Offline packages at a gateway whose services are away: the same checks, and each lie is refused (SC-ALT).
#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/offline/collect.h"
#include "common/offline/package.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/proof.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/gateway/fake_device.h"
#include "tools/gateway/updater.h"

namespace countersign::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kPath[] = "acme/lamp/fw-2.bin";
constexpr char kPending[] = "pending/acme/fw-3.bin";
constexpr char kLog[] = "log.example";

class OfflineTest : public ::testing::Test {
 protected:
  OfflineTest() : images_(clock_.Now()), director_(clock_.Now()) {
    std::string folder = "/tmp/offline-XXXXXX";  // short: a socket's path has at most 107 characters
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(MakeDirectories(lan()));
    images_.root.log_key = tlog::VerifierKey::Make(kLog, log_key_.public_key())->Format();
    images_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    images_.AddManufacturer("acme-pending", {"pending/acme/*"});
    images_.delegated["acme"].targets[kPath] = trust::MakeTarget(image_, 2, {"t1-a"}, "2.0.0");
    images_.delegated["acme-pending"].targets[kPending] = trust::MakeTarget(image_, 2, {"t1-a"}, "2.0.0");
    director_.targets.targets[kPath] = trust::MakeTarget(image_, 2, {"t1-a"}, "2.0.0");
    director_.targets.targets[kPath].custom.ecu_identifiers["ecu-1"] = {"t1-a", "consent-1"};
    Publish();
    images_.first_root = trust::SignedBytes(images_.root.ToEnvelope(), images_.RootSigners());
    images_.files["1.root.json"] = images_.first_root;
    key_ = std::make_shared<crypto::PemSigner>(trust::NewSigner());
    device_ = std::make_unique<FakeDevice>(
        lan(), "lamp",
        std::map<std::string, FakeComponent>{{"ecu-1", {.key = key_}}, {"ecu-2", {.key = key_}}});
    Start();
  }
  ~OfflineTest() override {
    device_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string lan() const { return folder_ + "/lan"; }
  std::string File() const { return folder_ + "/p.bundle"; }
  std::string Sha() const { return crypto::Sha256Hex(image_); }

  void Publish() {
    images_.Raise({"acme", "acme-pending"});
    images_.Publish();
    director_.Raise({"targets"});
    director_.Publish();
  }

  // The gateway, without any service: nobody listens at port 1.
  void Start() {
    updater_.reset();
    state_.reset();
    ASSERT_OK_AND_ASSIGN(state_, State::Open(folder_ + "/state", clock_));
    const auto nowhere = grpc::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials());
    UpdaterOptions options;
    options.gateway_id = "home-1";
    options.director_root = director_.first_root;
    options.image_root = images_.first_root;
    updater_ = std::make_unique<Updater>(options, nowhere, nowhere, &incidents_, state_.get());
    present_ = SurveyDevices(*ListSockets(lan()), {}, "alone", nullptr, incidents_).components;
    ASSERT_THAT(present_, SizeIs(2));
  }

  std::string Proof(const std::string& path, const std::string& sha256) {
    const tlog::LogEntry entry{tlog::kPackageApproved, "acme", 7, std::string(64, 'e'), path, sha256, {}};
    tlog::MemoryLog log;
    for (const char* other : {"a", "b", "c"}) log.Append(other);
    log.Append(entry.ToLeaf());
    tlog::OfflineProof proof;
    proof.extra = entry.ToLeaf();
    proof.index = 3;
    proof.hashes = *tlog::InclusionProof(3, 4, log.Nodes());
    proof.checkpoint = *tlog::SignCheckpoint(log.Head(4, kLog), log_key_);
    return proof.Format();
  }

  offline::CollectOptions Ordered() {
    return {.gateway_id = "home-1", .director_root = director_.first_root, .image_root = images_.first_root};
  }

  // Packs what there is, made wrong by `alter`.
  void Pack(
      const offline::CollectOptions& options,
      const std::function<void(offline::Contents&)>& alter = [](offline::Contents&) {}) {
    trust::MapFetcher director(&director_.files), images(&images_.files);
    const auto collected = offline::Collect(options, director, images, clock_.Now());
    ASSERT_OK(collected);
    offline::Contents contents = *collected;
    std::map<std::string, std::string> files;
    for (offline::Target& target : contents.targets) {
      target.approval_statement = "statement";
      target.log_proof = Proof(target.path, target.sha256);
      ASSERT_OK(WriteFileAtomically(folder_ + "/image", image_));
    }
    alter(contents);
    for (const offline::Target& target : contents.targets) files[target.sha256] = folder_ + "/image";
    ASSERT_OK(offline::WritePackage(File(), contents, files));
  }

  auto Install() { return updater_->InstallPackage(File(), present_); }
  // Nothing of it reached the device, nor what the gateway believes of the repositories.
  void ExpectUntouched() {
    EXPECT_EQ(device_->Get("ecu-1").transfers, 0);
    EXPECT_EQ(*state_->director().Load("timestamp"), std::nullopt);
    EXPECT_EQ(*state_->images().Load("timestamp"), std::nullopt);
  }

  FakeClock clock_;
  std::string folder_;
  const std::string image_ = "the second image";
  const crypto::PemSigner log_key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  trust::TestRepository images_;
  trust::TestRepository director_;
  std::shared_ptr<const crypto::Signer> key_;
  std::unique_ptr<FakeDevice> device_;
  Incidents incidents_;
  std::unique_ptr<State> state_;
  std::unique_ptr<Updater> updater_;
  std::map<std::string, PresentComponent> present_;
};

TEST_F(OfflineTest, WhatIsOrderedIsInstalledWithoutAnyService) {
  Pack(Ordered());
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, Install());
  EXPECT_THAT(lines, ElementsAre(HasSubstr("the device restarts into it")));
  const FakeComponent component = device_->Get("ecu-1");
  EXPECT_EQ(component.content, image_);
  EXPECT_EQ(device_->Get("ecu-2").transfers, 0);
  // The device gets all that it needs to verify for itself.
  EXPECT_EQ(component.header.approval_statement(), "statement");
  EXPECT_FALSE(component.header.log_proof().empty());
  EXPECT_GE(component.header.director_metadata_size(), 3);
  // The server is told when it is there: the outcome waits on disk, over a power cut too.
  Start();
  EXPECT_THAT(updater_->Settle(present_), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_NE(state_->FindAttempt("ecu-1"), nullptr);
  EXPECT_EQ(state_->FindAttempt("ecu-1")->phase, common::v1::UPDATE_PHASE_VERIFYING);
  EXPECT_FALSE(state_->FindAttempt("ecu-1")->reported);
  EXPECT_TRUE(updater_->TakeChanged());
}

TEST_F(OfflineTest, ThePackagerFindsWhatAGatewayWouldFind) {
  Pack(Ordered());
  const auto verify = [&] {
    const auto package = offline::Package::Open(File());
    EXPECT_OK(package);
    return offline::VerifyPackage(*package, director_.first_root, images_.first_root, clock_.Now());
  };
  ASSERT_OK_AND_ASSIGN(const offline::PackageVerdict verdict, verify());
  ASSERT_THAT(verdict.updates, SizeIs(1));
  EXPECT_EQ(verdict.updates[0].ecu_serial, "ecu-1");
  EXPECT_EQ(verdict.valid_until, clock_.Now() + absl::Hours(24));
  Pack(Ordered(), [](offline::Contents& contents) { contents.targets[0].log_proof.clear(); });
  EXPECT_THAT(verify().status(), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_IN_LOG"));
  clock_.Advance(absl::Hours(25));
  EXPECT_THAT(verify().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kExpired));
  trust::MapFetcher director(&director_.files), images(&images_.files);
  offline::CollectOptions unknown = Ordered();
  unknown.target_paths = {"acme/lamp/other.bin"};
  clock_.Advance(-absl::Hours(25));
  EXPECT_THAT(offline::Collect(unknown, director, images, clock_.Now()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOTHING_ORDERED"));
}

// Each lie by itself, with its own reason.
TEST_F(OfflineTest, OtherBytesAreRefused) {
  Pack(Ordered());
  std::string bytes = *ReadFile(File());
  bytes[bytes.rfind(image_)] ^= 1;
  ASSERT_OK(WriteFileAtomically(File(), bytes));
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kDigestMismatch));
  ExpectUntouched();
}

TEST_F(OfflineTest, ARoleThatLacksTheAuthoritysSignatureIsRefused) {
  Pack(Ordered(), [&](offline::Contents& contents) {
    for (auto& [name, content] : contents.images) {
      if (!absl::EndsWith(name, ".acme.json")) continue;
      trust::Envelope envelope = images_.delegated["acme"].ToEnvelope();
      content = trust::SignedBytes(envelope, {&images_.manufacturer});
    }
  });
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet));
  ExpectUntouched();
}

TEST_F(OfflineTest, AnExpiredPackageIsRefused) {
  Pack(Ordered());
  clock_.Advance(absl::Hours(25));
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kExpired));
  ExpectUntouched();
}

// Attack: freeze, by a clock that was set back.
TEST_F(OfflineTest, AClockThatWasSetBackDoesNotMakeAPackageGoodAgain) {
  Pack(Ordered());
  ASSERT_OK(state_->time().Raise(clock_.Now() + absl::Hours(25)));
  Start();
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kExpired));
  ExpectUntouched();
}

TEST_F(OfflineTest, APackageForAnotherGatewayIsRefused) {
  Pack(Ordered(), [](offline::Contents& contents) { contents.gateway_id = "home-2"; });
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, "PACKAGE_NOT_FOR_HERE"));
  ExpectUntouched();
}

// Attack: freeze. Another home's Director metadata are as well signed, and newer than ours will be for long.
TEST_F(OfflineTest, AnotherHomesDirectorMetadataAreRefusedAndLeaveNoTrace) {
  auto& ecus = director_.targets.targets[kPath].custom.ecu_identifiers;
  ecus = {{"ecu-of-another-home", {"t1-a", "consent-1"}}};
  for (int i = 0; i < 50; ++i) director_.Raise({"targets"});
  director_.Publish();
  Pack(Ordered());
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kUnknownEcu));
  ExpectUntouched();
  // With nothing ordered in them they are for nobody.
  director_.targets.targets[kPath].custom.ecu_identifiers = {{"ecu-1", {"t1-a", "consent-1"}}};
  Pack(Ordered(), [&](offline::Contents& contents) {
    director_.targets.targets.clear();
    director_.Raise({"targets"});
    director_.Publish();
    contents.director = director_.files;
  });
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, "PACKAGE_NOT_FOR_HERE"));
  ExpectUntouched();
}

// Attack: metadata rollback.
TEST_F(OfflineTest, AnOlderPackageThanWhatWasSeenIsRefused) {
  Pack(Ordered());
  std::filesystem::copy_file(File(), folder_ + "/old");
  Publish();
  Pack(Ordered());
  ASSERT_OK(Install());
  std::filesystem::rename(folder_ + "/old", File());
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kMetadataRollback));
}

// Attack: image rollback.
TEST_F(OfflineTest, AnOlderImageThanTheInstalledIsRefused) {
  device_->With([](auto& all) { all["ecu-1"].release_counter = 9; });
  Start();
  Pack(Ordered());
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kRollbackAttempt));
  ExpectUntouched();
}

// PLUS-3
TEST_F(OfflineTest, WhatIsNotProvenToBeInTheLogIsRefused) {
  const auto not_in_log = StatusIs(absl::StatusCode::kFailedPrecondition, kNotInLog);
  Pack(Ordered(), [](offline::Contents& contents) { contents.targets[0].log_proof.clear(); });
  EXPECT_THAT(Install().status(), not_in_log);
  Pack(Ordered(), [&](offline::Contents& contents) {
    contents.targets[0].log_proof = Proof(kPath, std::string(64, 'a'));
  });
  EXPECT_THAT(Install().status(), not_in_log);
  Pack(Ordered(), [&](offline::Contents& contents) {
    contents.targets[0].log_proof = Proof("acme/lamp/fw-9.bin", contents.targets[0].sha256);
  });
  EXPECT_THAT(Install().status(), not_in_log);
  ExpectUntouched();
}

TEST_F(OfflineTest, APackageThatIsCutOffOrNoneIsRefused) {
  Pack(Ordered());
  std::filesystem::resize_file(File(), std::filesystem::file_size(File()) / 2);
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kInvalidArgument, offline::kMalformed));
  EXPECT_THAT(updater_->InstallPackage(folder_ + "/none", present_).status(),
              StatusIs(absl::StatusCode::kNotFound));
  ExpectUntouched();
}

// What the approval is worth is for the device to say, wherever the package comes from (SC-GEN-11).
TEST_F(OfflineTest, ADeviceThatRefusesAPackageIsHeard) {
  device_->With([](auto& all) { all["ecu-1"].refusal = common::v1::FAILURE_REASON_NOT_APPROVED; });
  Pack(Ordered());
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, Install());
  EXPECT_THAT(lines, ElementsAre(HasSubstr("NOT_APPROVED: not with me")));
  EXPECT_EQ(device_->Get("ecu-1").content, "factory");
}

class PendingTest : public OfflineTest {
 protected:
  offline::CollectOptions Pending() {
    offline::CollectOptions options = Ordered();
    options.pending[kPending] = {"ecu-1"};
    return options;
  }
};

// SC-USE-7
TEST_F(PendingTest, WhatNobodyApprovedIsInstalledOnlyWhenItsUserInsists) {
  device_->With([](auto& all) { all["ecu-1"].asks_user = true; });
  Pack(Pending());
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, Install());
  EXPECT_THAT(lines, ElementsAre(HasSubstr("wants your confirmation (NO_STATEMENT)")));
  EXPECT_EQ(device_->Get("ecu-1").activations, 0);
  // The question outlives a power cut.
  Start();
  ASSERT_THAT(updater_->confirmations(), SizeIs(1));
  EXPECT_EQ(updater_->confirmations()[0].target_path, kPending);
  EXPECT_EQ(updater_->confirmations()[0].approval_result, "NO_STATEMENT");
  updater_->Settle(present_).IgnoreError();
  EXPECT_EQ(device_->Get("ecu-1").activations, 0);
  EXPECT_OK(updater_->Answer({"ecu-1", Sha(), true, "alice"}));
  EXPECT_EQ(device_->Get("ecu-1").confirmed_by, "alice");
  EXPECT_EQ(device_->Get("ecu-1").content, image_);
  EXPECT_THAT(updater_->confirmations(), IsEmpty());
}

TEST_F(PendingTest, WhatTheUserDeclinesIsNotInstalled) {
  device_->With([](auto& all) { all["ecu-1"].asks_user = true; });
  Pack(Pending());
  ASSERT_OK(Install());
  EXPECT_OK(updater_->Answer({"ecu-1", Sha(), false, "alice"}));
  EXPECT_EQ(device_->Get("ecu-1").activations, 0);
  EXPECT_EQ(state_->FindAttempt("ecu-1")->reason, common::v1::FAILURE_REASON_USER_REJECTED);
}

// Attack: arbitrary software, at a device that does not look.
TEST_F(PendingTest, ADeviceThatDoesNotAskIsNotGivenWhatNobodyApproved) {
  Pack(Pending());
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, Install());
  EXPECT_THAT(lines, ElementsAre(HasSubstr("NOT_APPROVED")));
  EXPECT_EQ(device_->Get("ecu-1").activations, 0);
}

TEST_F(PendingTest, WhatIsPendingIsForTheComponentsAndTheHardwareThatItIsFor) {
  Pack(Pending(), [](offline::Contents& contents) { contents.targets[0].ecu_serials = {"ecu-9"}; });
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kUnknownEcu));
  Pack(Pending(), [](offline::Contents& contents) { contents.targets[0].ecu_serials.clear(); });
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, "PACKAGE_NOT_FOR_HERE"));
  images_.delegated["acme-pending"].targets[kPending].custom.hardware_ids = {"kettle"};
  Publish();
  Pack(Pending());
  EXPECT_THAT(Install().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kHardwareMismatch));
  ExpectUntouched();
}

}  // namespace
}  // namespace countersign::gateway
