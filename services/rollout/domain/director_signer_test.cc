#include "services/rollout/domain/director_signer.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/status/errors.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/proof.h"
#include "common/trust/client.h"
#include "common/trust/consent_record.h"
#include "common/trust/reasons.h"
#include "common/trust/trusted_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

std::shared_ptr<const crypto::Signer> NewKey() {
  return std::make_shared<const crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
}

// The Director's signer before an image repository that vouches for what is in `approved`.
class DirectorSignerTest : public ::testing::Test {
 protected:
  DirectorSignerTest() {
    trust::TargetFile target;
    target.length = 100;
    target.sha256 = std::string(64, 'a');
    target.custom.version = "2.0.1";
    target.custom.release_counter = 4;
    target.custom.hardware_ids = {"t1-a", "t1-b"};
    approved_["acme/thermostat/2.bin"] = target;
  }

  DirectorSigner Signer() {
    return DirectorSigner(keys_, consent_->public_key(),
                          [this](absl::string_view path) -> absl::StatusOr<ApprovedImage> {
                            if (!image_repository_.ok()) return image_repository_;
                            const auto found = approved_.find(std::string(path));
                            if (found == approved_.end())
                              return trust::Refuse(trust::kTargetUnknown, "nobody");
                            ApprovedImage image = Logged(found->first, found->second);
                            if (alter_) alter_(image);
                            return image;
                          });
  }

  // What the repository answers about an image whose approval is in the log, as one of several entries.
  ApprovedImage Logged(const std::string& path, const trust::TargetFile& target) {
    const tlog::LogEntry entry{tlog::kPackageApproved, "acme", 7, std::string(64, 'e'), path,
                               target.sha256,          {}};
    tlog::MemoryLog log;
    for (const char* other : {"a", "b", "c"}) log.Append(other);
    log.Append(entry.ToLeaf());
    log.Append("d");
    tlog::OfflineProof proof;
    proof.extra = entry.ToLeaf();
    proof.index = 3;
    proof.hashes = *tlog::InclusionProof(3, 5, log.Nodes());
    proof.checkpoint = *tlog::SignCheckpoint(log.Head(5, "log.example"), *log_key_);
    return {target, Vkey(*log_key_), 7, proof.Format()};
  }
  static std::string Vkey(const crypto::Signer& signer) {
    return tlog::VerifierKey::Make("log.example", signer.public_key())->Format();
  }

  trust::ConsentRecord Record() {
    trust::ConsentRecord record;
    record.record_id = "rec-1";
    record.principal_id = "user-1";
    record.gateway_id = "gw-1";
    record.ecu_serial = "ecu-1";
    record.scope = trust::ConsentRecord::Scope::kOneUpdate;
    record.decision = trust::ConsentRecord::Decision::kGranted;
    record.kind = "SECURITY";
    record.image_sha256 = std::string(64, 'a');
    record.target_path = "acme/thermostat/2.bin";
    record.from_version = "1.0.0";
    record.to_version = "2.0.1";
    record.criticality = "HIGH";
    record.valid_from = kNow - absl::Hours(1);
    record.valid_until = kNow + absl::Hours(1);
    return record;
  }

  std::string Signed(const trust::ConsentRecord& record, const crypto::Signer& by) {
    trust::Envelope envelope = record.ToEnvelope();
    EXPECT_OK(envelope.Sign(by));
    return envelope.Serialise();
  }

  // One that everybody agreed to.
  DirectorCandidate Good() {
    DirectorCandidate candidate;
    candidate.assignment = {.gateway = "gw-1",
                            .ecu_serial = "ecu-1",
                            .rollout = "r1",
                            .hardware_id = "t1-a",
                            .from_release_counter = 3,
                            .state = AssignmentState::kAdmitted,
                            .signed_consent = Signed(Record(), *consent_)};
    candidate.release.name = "manufacturers/acme/releases/2";
    candidate.release.image = {"acme/thermostat/2.bin", 100, std::string(64, 'a')};
    candidate.release.version = "2.0.1";
    candidate.release.release_counter = 4;
    candidate.release.kind = "SECURITY";
    candidate.rollout_state = RolloutState::kRunning;
    candidate.launched_by = "operator/alice";
    return candidate;
  }

  // Signs `candidate` alone: it must be refused for `reason`, and not be in what was signed.
  void ExpectRefused(const DirectorCandidate& candidate, absl::string_view reason) {
    const absl::StatusOr<DirectorSigner::Result> result =
        Signer().Sign("gw-1", {1, 1, 1}, {&candidate, 1}, {}, kNow);
    ASSERT_OK(result);
    ASSERT_THAT(result->refused, SizeIs(1)) << reason;
    EXPECT_EQ(ReasonOf(result->refused[0].why), std::string(reason)) << result->refused[0].why;
    EXPECT_THAT(TargetsIn(result->metadata).targets, IsEmpty()) << reason;
  }

  trust::Targets TargetsIn(const DirectorMetadata& metadata) {
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(metadata.targets);
    EXPECT_OK(envelope);
    EXPECT_OK(envelope->VerifyBy(keys_.targets->public_key()));
    const absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(*envelope);
    EXPECT_OK(targets);
    return *targets;
  }

  trust::Root Root() {
    trust::Root root;
    root.expires = kNow + absl::Hours(24 * 365);
    root.AddKey("root", root_->public_key());
    root.AddKey("targets", keys_.targets->public_key());
    root.AddKey("snapshot", keys_.snapshot->public_key());
    root.AddKey("timestamp", keys_.timestamp->public_key());
    return root;
  }

  DirectorSigner::Keys keys_{NewKey(), NewKey(), NewKey()};
  std::shared_ptr<const crypto::Signer> consent_ = NewKey();
  std::shared_ptr<const crypto::Signer> root_ = NewKey();
  std::map<std::string, trust::TargetFile> approved_;
  absl::Status image_repository_;
  std::shared_ptr<const crypto::Signer> log_key_ = NewKey();
  std::function<void(ApprovedImage&)> alter_;  // what the repository answers
};

TEST_F(DirectorSignerTest, WhatEverybodyAgreedToIsSigned) {
  const DirectorCandidate candidate = Good();
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {3, 4, 5}, {&candidate, 1}, {}, kNow));
  EXPECT_THAT(result.refused, IsEmpty());
  const trust::Targets targets = TargetsIn(result.metadata);
  EXPECT_EQ(targets.version, 3);
  ASSERT_THAT(targets.targets, SizeIs(1));
  const auto& [path, target] = *targets.targets.begin();
  EXPECT_EQ(path, "acme/thermostat/2.bin");
  EXPECT_EQ(target.sha256, std::string(64, 'a'));
  EXPECT_EQ(target.length, 100);
  EXPECT_EQ(target.custom.release_counter, 4);
  EXPECT_THAT(target.custom.ecu_identifiers, ElementsAre(Pair("ecu-1", (trust::EcuTarget{"t1-a", "rec-1"}))));
}

TEST_F(DirectorSignerTest, ATufClientAcceptsWhatIsSigned) {
  const DirectorCandidate candidate = Good();
  const DirectorSigner signer = Signer();
  ASSERT_OK_AND_ASSIGN(auto result, signer.Sign("gw-1", {1, 1, 1}, {&candidate, 1}, {}, kNow));
  trust::Envelope root = Root().ToEnvelope();
  ASSERT_OK(root.Sign(*root_));
  std::map<std::string, std::string> files = {{"timestamp.json", result.metadata.timestamp},
                                              {"1.snapshot.json", result.metadata.snapshot},
                                              {"1.targets.json", result.metadata.targets}};
  trust::MapFetcher fetcher(&files);
  trust::MemoryStore store;
  trust::RepositoryClient client(&fetcher, &store, root.Serialise());
  ASSERT_OK(client.Refresh(kNow));
  EXPECT_OK(client.FindTarget("acme/thermostat/2.bin", kNow));

  // A later timestamp alone, when the old one is about to expire.
  const absl::Time later = kNow + absl::Minutes(40);
  ASSERT_OK(signer.SignTimestamp(2, result.metadata, later));
  files["timestamp.json"] = result.metadata.timestamp;
  EXPECT_OK(client.Refresh(later));
  EXPECT_EQ(client.timestamp().version, 2);
}

TEST_F(DirectorSignerTest, TwoComponentsMayGetTheSameImage) {
  DirectorCandidate second = Good();
  second.assignment.ecu_serial = "ecu-2";
  trust::ConsentRecord record = Record();
  record.record_id = "rec-2";
  record.ecu_serial = "ecu-2";
  second.assignment.signed_consent = Signed(record, *consent_);
  const std::vector<DirectorCandidate> both = {Good(), second};
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {1, 1, 1}, both, {}, kNow));
  EXPECT_THAT(result.refused, IsEmpty());
  EXPECT_THAT(TargetsIn(result.metadata).targets.begin()->second.custom.ecu_identifiers, SizeIs(2));
}

// What waits for its consent may be fetched, and stands nowhere that a stock client looks.
TEST_F(DirectorSignerTest, WhatWaitsForConsentIsOnlyToBeFetchedAhead) {
  DirectorCandidate ahead = Good();
  ahead.ahead = true;
  ahead.assignment.state = AssignmentState::kAwaitingConsent;
  ahead.assignment.signed_consent.clear();
  const auto sign = [&](const DirectorCandidate& candidate) {
    const auto result = Signer().Sign("gw-1", {1, 1, 1}, {&candidate, 1}, {}, kNow);
    EXPECT_OK(result);
    EXPECT_THAT(result->refused, IsEmpty());
    EXPECT_THAT(TargetsIn(result->metadata).targets, IsEmpty());
    return TargetsIn(result->metadata).prefetch;
  };
  const auto prefetch = sign(ahead);
  ASSERT_THAT(prefetch, SizeIs(1));
  EXPECT_THAT(prefetch.begin()->second.custom.ecu_identifiers,
              ElementsAre(Pair("ecu-1", (trust::EcuTarget{"t1-a", ""}))));

  DirectorCandidate bad = ahead;
  bad.launched_by.clear();
  EXPECT_THAT(sign(bad), IsEmpty());
  bad = ahead;
  bad.assignment.gateway = "gw-2";
  EXPECT_THAT(sign(bad), IsEmpty());
  bad = ahead;
  bad.assignment.state = AssignmentState::kCancelled;
  EXPECT_THAT(sign(bad), IsEmpty());
  bad = ahead;
  bad.release.image.sha256 = std::string(64, 'b');
  EXPECT_THAT(sign(bad), IsEmpty());
  alter_ = [](ApprovedImage& image) { image.log_proof.clear(); };
  EXPECT_THAT(sign(ahead), IsEmpty());
  alter_ = nullptr;
  approved_.clear();
  EXPECT_THAT(sign(ahead), IsEmpty());
}

// Attack: partial bundle.
TEST_F(DirectorSignerTest, OfABundleAllIsSignedOrNothing) {
  DirectorCandidate first = Good();
  DirectorCandidate second = Good();
  second.assignment.ecu_serial = "ecu-2";  // the consent is not for it
  DirectorCandidate alone = Good();
  alone.assignment.ecu_serial = "ecu-3";
  trust::ConsentRecord record = Record();
  record.ecu_serial = "ecu-3";
  alone.assignment.signed_consent = Signed(record, *consent_);
  first.bundle = second.bundle = "bundle-1";
  std::vector<DirectorCandidate> all = {first, second, alone};
  ASSERT_OK_AND_ASSIGN(auto result, Signer().Sign("gw-1", {1, 1, 1}, all, {}, kNow));
  ASSERT_THAT(result.refused, SizeIs(1));
  EXPECT_EQ(result.refused[0].candidate, 1u);
  EXPECT_THAT(TargetsIn(result.metadata).targets.at("acme/thermostat/2.bin").custom.ecu_identifiers,
              ElementsAre(Pair("ecu-3", (trust::EcuTarget{"t1-a", "rec-1"}))));

  record.ecu_serial = "ecu-2";
  all[1].assignment.signed_consent = Signed(record, *consent_);
  ASSERT_OK_AND_ASSIGN(result, Signer().Sign("gw-1", {1, 1, 1}, all, {}, kNow));
  EXPECT_THAT(result.refused, IsEmpty());
  const auto ecus = TargetsIn(result.metadata).targets.at("acme/thermostat/2.bin").custom.ecu_identifiers;
  ASSERT_THAT(ecus, SizeIs(3));
  EXPECT_EQ(ecus.at("ecu-1").bundle, "bundle-1");
  EXPECT_EQ(ecus.at("ecu-2").bundle, "bundle-1");
  EXPECT_EQ(ecus.at("ecu-3").bundle, "");
}

TEST_F(DirectorSignerTest, AGatewayWithoutAssignmentsGetsEmptyTargets) {
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {1, 1, 1}, {}, {}, kNow));
  EXPECT_THAT(TargetsIn(result.metadata).targets, IsEmpty());
}

// PLUS-3: nothing is rolled out that the log does not show to everybody.
TEST_F(DirectorSignerTest, WhatIsNotProvenToBeInTheLogIsRefused) {
  ASSERT_OK_AND_ASSIGN(const tlog::OfflineProof good,
                       tlog::OfflineProof::Parse(
                           Logged("acme/thermostat/2.bin", approved_.at("acme/thermostat/2.bin")).log_proof));
  const std::vector<std::function<void(ApprovedImage&)>> alterations = {
      [](ApprovedImage& image) { image.log_proof.clear(); },
      [](ApprovedImage& image) { image.log_key.clear(); },
      [](ApprovedImage& image) { image.log_key = Vkey(*NewKey()); },
      [](ApprovedImage& image) { image.role_version = 8; },
      [&](ApprovedImage& image) {
        tlog::OfflineProof proof = good;
        proof.hashes[0][0] ^= 1;
        image.log_proof = proof.Format();
      },
      [&](ApprovedImage& image) {
        tlog::OfflineProof proof = good;
        proof.index = 2;
        image.log_proof = proof.Format();
      },
      // True proofs, of something else.
      [this](ApprovedImage& image) {
        image.log_proof = Logged("acme/thermostat/1.bin", image.target).log_proof;
      },
      [this](ApprovedImage& image) {
        trust::TargetFile other = image.target;
        other.sha256 = std::string(64, 'b');
        image.log_proof = Logged("acme/thermostat/2.bin", other).log_proof;
      },
      // The entry is right, and not in the log.
      [&](ApprovedImage& image) {
        tlog::OfflineProof proof = good;
        tlog::LogEntry entry = *tlog::LogEntry::Parse(proof.extra);
        entry.metadata_sha256 = std::string(64, 'f');
        proof.extra = entry.ToLeaf();
        image.log_proof = proof.Format();
      },
  };
  for (const auto& alteration : alterations) {
    alter_ = alteration;
    ExpectRefused(Good(), kNotInLog);
  }
}

// PLUS-1: what the rollout's own client of the image repository does not find with both signatures.
TEST_F(DirectorSignerTest, WhatNobodyApprovedIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.release.image.target_path = "acme/thermostat/unknown.bin";
  ExpectRefused(candidate, trust::kNotApproved);
  approved_.clear();
  ExpectRefused(Good(), trust::kNotApproved);
}

TEST_F(DirectorSignerTest, OtherBytesThanTheApprovedOnesAreRefused) {
  DirectorCandidate candidate = Good();
  candidate.release.image.sha256 = std::string(64, 'b');
  ExpectRefused(candidate, trust::kTargetMismatch);
  candidate = Good();
  candidate.release.image.length = 101;
  ExpectRefused(candidate, trust::kTargetMismatch);
  candidate = Good();
  candidate.release.release_counter = 5;
  ExpectRefused(candidate, trust::kTargetMismatch);
}

TEST_F(DirectorSignerTest, OtherHardwareIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.assignment.hardware_id = "t2-a";
  ExpectRefused(candidate, trust::kHardwareMismatch);
}

TEST_F(DirectorSignerTest, AnImageThatIsOlderThanTheInstalledOneIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.assignment.from_release_counter = 5;
  ExpectRefused(candidate, trust::kRollbackAttempt);
}

// PLUS-2, HOME-8: attempts to go around the user.
TEST_F(DirectorSignerTest, NoConsentIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.assignment.signed_consent.clear();
  ExpectRefused(candidate, trust::kNoConsent);
}

TEST_F(DirectorSignerTest, AConsentThatTheRolloutForgedIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.assignment.signed_consent = Signed(Record(), *keys_.targets);
  ExpectRefused(candidate, trust::kUnknownKey);
  candidate.assignment.signed_consent = "{}";
  ExpectRefused(candidate, trust::kMalformed);
}

TEST_F(DirectorSignerTest, AConsentThatWasAlteredAfterItsSignatureIsRefused) {
  DirectorCandidate candidate = Good();
  trust::ConsentRecord record = Record();
  record.decision = trust::ConsentRecord::Decision::kDenied;
  std::string bytes = Signed(record, *consent_);
  bytes.replace(bytes.find("DENIED"), 6, "GRANTED");
  candidate.assignment.signed_consent = bytes;
  ExpectRefused(candidate, trust::kSignatureInvalid);
}

TEST_F(DirectorSignerTest, AConsentThatDoesNotGrantIsRefused) {
  using Decision = trust::ConsentRecord::Decision;
  for (const Decision decision :
       {Decision::kDenied, Decision::kDeferred, Decision::kWithdrawn, Decision::kExpired}) {
    trust::ConsentRecord record = Record();
    record.decision = decision;
    DirectorCandidate candidate = Good();
    candidate.assignment.signed_consent = Signed(record, *consent_);
    ExpectRefused(candidate, trust::kNoConsent);
  }
}

TEST_F(DirectorSignerTest, AConsentToSomethingElseIsRefused) {
  const auto refused = [&](auto change) {
    trust::ConsentRecord record = Record();
    change(record);
    DirectorCandidate candidate = Good();
    candidate.assignment.signed_consent = Signed(record, *consent_);
    ExpectRefused(candidate, trust::kConsentMismatch);
  };
  refused([](trust::ConsentRecord& r) { r.ecu_serial = "ecu-2"; });
  refused([](trust::ConsentRecord& r) { r.gateway_id = "gw-2"; });
  refused([](trust::ConsentRecord& r) { r.image_sha256 = std::string(64, 'b'); });
  refused([](trust::ConsentRecord& r) { r.target_path = "acme/thermostat/3.bin"; });
}

TEST_F(DirectorSignerTest, AConsentOutsideItsTimeIsRefused) {
  const auto refused = [&](auto change) {
    trust::ConsentRecord record = Record();
    change(record);
    DirectorCandidate candidate = Good();
    candidate.assignment.signed_consent = Signed(record, *consent_);
    ExpectRefused(candidate, trust::kConsentExpired);
  };
  refused([](trust::ConsentRecord& r) { r.valid_until = kNow; });
  refused([](trust::ConsentRecord& r) { r.valid_from = kNow + absl::Seconds(1); });
}

TEST_F(DirectorSignerTest, MetadataDoesNotOutliveTheConsentInIt) {
  const DirectorCandidate candidate = Good();
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {1, 1, 1}, {&candidate, 1}, {}, kNow));
  EXPECT_EQ(TargetsIn(result.metadata).expires, kNow + absl::Hours(1));
  EXPECT_EQ(result.metadata.refresh_targets, kNow + absl::Hours(1));
}

// HOME-6: nobody but an operator who launched it.
TEST_F(DirectorSignerTest, WhatNobodyLaunchedIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.launched_by.clear();
  ExpectRefused(candidate, "NOT_LAUNCHED");
  candidate = Good();
  candidate.rollout_state = RolloutState::kReady;
  ExpectRefused(candidate, "NOT_LAUNCHED");
}

TEST_F(DirectorSignerTest, WhatIsNotLetInOrIsOverIsRefused) {
  for (const AssignmentState state : kAllAssignmentStates) {
    if (IsActive(state)) continue;
    DirectorCandidate candidate = Good();
    candidate.assignment.state = state;
    ExpectRefused(candidate, "NOT_ADMITTED");
  }
}

// FOTA-B: firmware reaches only the right gateway.
TEST_F(DirectorSignerTest, AnotherGatewaysComponentIsRefused) {
  DirectorCandidate candidate = Good();
  candidate.assignment.gateway = "gw-2";
  ExpectRefused(candidate, "OTHER_GATEWAY");
}

TEST_F(DirectorSignerTest, OneRefusalDoesNotStopTheOthers) {
  DirectorCandidate bad = Good();
  bad.assignment.ecu_serial = "ecu-2";
  const std::vector<DirectorCandidate> both = {bad, Good()};
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {1, 1, 1}, both, {}, kNow));
  ASSERT_THAT(result.refused, SizeIs(1));
  EXPECT_EQ(result.refused[0].candidate, 0u);
  EXPECT_THAT(TargetsIn(result.metadata).targets.begin()->second.custom.ecu_identifiers, SizeIs(1));
}

TEST_F(DirectorSignerTest, NothingIsSignedWhileTheImageRepositoryCannotBeAsked) {
  image_repository_ = absl::UnavailableError("no route");
  const DirectorCandidate candidate = Good();
  EXPECT_THAT(Signer().Sign("gw-1", {1, 1, 1}, {&candidate, 1}, {}, kNow),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(Signer().Sign("gw-1", {1, 1, 1}, {}, {}, kNow)) << "nothing has to be verified";
}

// FOTA-R3
TEST_F(DirectorSignerTest, WhatIsOrderedToStopIsSignedWithoutAnyUpdate) {
  ASSERT_OK_AND_ASSIGN(const auto result, Signer().Sign("gw-1", {1, 1, 1}, {}, {"b", "a"}, kNow));
  EXPECT_EQ(TargetsIn(result.metadata).quarantine, (std::set<std::string>{"a", "b"}));
  EXPECT_THAT(TargetsIn(result.metadata).targets, IsEmpty());
}

TEST_F(DirectorSignerTest, ARootMustNameTheOnlineKeysAlone) {
  EXPECT_OK(Signer().CheckRoot(Root()));
  for (const char* role : {"targets", "snapshot", "timestamp"}) {
    trust::Root root = Root();
    root.roles[role] = {};
    root.AddKey(role, NewKey()->public_key());
    EXPECT_THAT(Signer().CheckRoot(root), StatusIs(absl::StatusCode::kInvalidArgument, "ONLINE_KEY_MISSING"));
    root = Root();
    root.AddKey(role, NewKey()->public_key());
    root.roles[role].threshold = 2;
    EXPECT_THAT(Signer().CheckRoot(root), StatusIs(absl::StatusCode::kInvalidArgument, "ONLINE_KEY_MISSING"));
  }
}

}  // namespace
}  // namespace countersign::rollout
