#include "common/trust/report.h"

#include <string>
#include <utility>

#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const auto kIsMalformed = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);

class ReportTest : public ::testing::Test {
 protected:
  ReportTest() : device_(NewSigner()), gateway_(NewSigner()) {
    report_.ecu_serial = "ecu-1";
    report_.hardware_id = "lamp-a";
    report_.manufacturer = "acme";
    report_.model = "Lamp 3";
    report_.filepath = "acme/lamp/fw.bin";
    report_.length = 1000;
    report_.sha256 = std::string(64, 'a');
    report_.version = "1.2.3";
    report_.software_versions = {{"kernel", "6.1"}, {"ui", "3"}};
    report_.release_counter = 4;
    report_.report_counter = 7;
    report_.nonce = "challenge";
  }

  Envelope Signed(const crypto::Signer& signer) {
    Envelope envelope = report_.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope;
  }
  ExpectedReporter Expected(const crypto::Signer& signer) {
    return {.ecu_serial = "ecu-1",
            .key_id = KeyId(signer.public_key()),
            .key = signer.public_key(),
            .last_report_counter = 6,
            .nonce = "challenge"};
  }

  crypto::PemSigner device_;
  crypto::PemSigner gateway_;
  VersionReport report_;
};

// HOME-1, FOTA-D
TEST_F(ReportTest, ASignedReportIsTheComponentsWord) {
  ASSERT_OK_AND_ASSIGN(const Envelope read, Envelope::Parse(Signed(device_).Serialise()));
  ASSERT_OK_AND_ASSIGN(const VersionReport report, VerifyReport(read, Expected(device_)));
  EXPECT_EQ(report.ToEnvelope().canonical(), report_.ToEnvelope().canonical());
  EXPECT_EQ(report.software_versions, report_.software_versions);
  EXPECT_EQ(report.version, "1.2.3");
}

// SC-GEN-11, FOTA-R3: written only when there is something to say, for servers that do not know the words.
TEST_F(ReportTest, TheApprovalAndAQuarantineAreToldOnlyWhenThereIsSomethingToTell) {
  const nlohmann::json silent = report_.ToEnvelope().content();
  for (const char* field : {"approval_result", "approval_override", "quarantined"}) {
    EXPECT_FALSE(silent.contains(field)) << field;
  }
  report_.approval_result = "CARD_ABSENT";
  report_.approval_override = true;
  report_.quarantined = true;
  ASSERT_OK_AND_ASSIGN(const VersionReport report, VerifyReport(Signed(device_), Expected(device_)));
  EXPECT_EQ(report.approval_result, "CARD_ABSENT");
  EXPECT_TRUE(report.approval_override);
  EXPECT_TRUE(report.quarantined);
}

// Attack: report forgery.
TEST_F(ReportTest, AnotherKeyOrAlteredWordsAreRefused) {
  EXPECT_THAT(VerifyReport(Signed(gateway_), Expected(device_)),
              StatusIs(absl::StatusCode::kInvalidArgument, kUnknownKey));
  const Envelope genuine = Signed(device_);
  report_.version = "9.9.9";
  Envelope forged = report_.ToEnvelope();
  forged.AddSignature(genuine.signatures()[0]);
  EXPECT_THAT(VerifyReport(forged, Expected(device_)),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

// Attack: report replay.
TEST_F(ReportTest, AnOldReportIsRefused) {
  ExpectedReporter expected = Expected(device_);
  expected.nonce = "another";
  EXPECT_THAT(VerifyReport(Signed(device_), expected),
              StatusIs(absl::StatusCode::kFailedPrecondition, kNonceMismatch));
  expected = Expected(device_);
  expected.last_report_counter = 7;
  EXPECT_THAT(VerifyReport(Signed(device_), expected),
              StatusIs(absl::StatusCode::kFailedPrecondition, kCounterNotRising));
}

// Attack: report forgery, by another device of the home.
TEST_F(ReportTest, AKeySpeaksForItsOwnComponentOnly) {
  report_.ecu_serial = "ecu-2";
  EXPECT_THAT(VerifyReport(Signed(device_), Expected(device_)),
              StatusIs(absl::StatusCode::kFailedPrecondition, kWrongIdentity));
}

// FOTA-K
TEST_F(ReportTest, TheServerKnowsWhoseWordItHas) {
  report_.proxied = true;
  EXPECT_THAT(VerifyReport(Signed(device_), Expected(device_)),
              StatusIs(absl::StatusCode::kFailedPrecondition, kWrongIdentity));
  ExpectedReporter expected = Expected(gateway_);
  expected.proxied = true;
  EXPECT_OK(VerifyReport(Signed(gateway_), expected));
  report_.proxied = false;
  EXPECT_THAT(VerifyReport(Signed(gateway_), expected),
              StatusIs(absl::StatusCode::kFailedPrecondition, kWrongIdentity));
}

TEST_F(ReportTest, FaultyFieldsAreRefused) {
  const nlohmann::json good = report_.ToEnvelope().content();
  const struct {
    const char* pointer;
    nlohmann::json value;
  } kCases[] = {
      {"/_type", "other"},
      {"/ecu_serial", ""},
      {"/ecu_serial", std::string(257, 'x')},
      {"/hardware_id", 5},
      {"/installed_image", "x"},
      {"/installed_image/fileinfo/length", -1},
      {"/installed_image/fileinfo/hashes/sha256", "abc"},
      {"/report_counter", 0},
      {"/report_counter", "7"},
      {"/proxied", "yes"},
      {"/attacks_detected", std::string(1025, 'x')},
      {"/software_versions/ui", 3},
  };
  EXPECT_OK(VersionReport::Parse(Envelope::Unsigned(good)));
  for (const auto& c : kCases) {
    nlohmann::json content = good;
    content[nlohmann::json::json_pointer(c.pointer)] = c.value;
    EXPECT_THAT(VersionReport::Parse(Envelope::Unsigned(content)), kIsMalformed) << c.pointer;
  }
  nlohmann::json content = good;
  for (int i = 0; i < 40; ++i) content["software_versions"][std::to_string(i)] = "1";
  EXPECT_THAT(VersionReport::Parse(Envelope::Unsigned(content)), kIsMalformed);
}

class ManifestTest : public ReportTest {
 protected:
  ManifestTest() {
    manifest_.gateway_id = "gw-1";
    manifest_.nonce = "challenge";
    manifest_.manifest_counter = 5;
    manifest_.time = kNow;
    manifest_.reports.push_back(Signed(device_));
    report_.ecu_serial = "ecu-2";
    manifest_.reports.push_back(Signed(gateway_));
  }
  std::string Bytes() {
    Envelope envelope = manifest_.ToEnvelope();
    EXPECT_OK(envelope.Sign(gateway_));
    return envelope.Serialise();
  }
  absl::StatusOr<GatewayManifest> Verify(absl::string_view gateway = "gw-1",
                                         absl::string_view nonce = "challenge", int64_t last_counter = 4,
                                         const ManifestLimits& limits = {}) {
    absl::StatusOr<Envelope> envelope = ParseManifestEnvelope(Bytes(), limits);
    if (!envelope.ok()) return envelope.status();
    return VerifyManifest(*envelope, gateway, gateway_.public_key(), nonce, last_counter, limits);
  }
  GatewayManifest manifest_;
};

// HOME-2
TEST_F(ManifestTest, AManifestCarriesTheReportsAsTheyWereSigned) {
  ASSERT_OK_AND_ASSIGN(const GatewayManifest manifest, Verify());
  EXPECT_EQ(manifest.gateway_id, "gw-1");
  EXPECT_EQ(manifest.time, kNow);
  EXPECT_TRUE(manifest.incidents.empty());
  EXPECT_FALSE(manifest_.ToEnvelope().content().contains("incidents"));
  ASSERT_EQ(manifest.reports.size(), 2u);
  ASSERT_OK(manifest.reports[0]);
  EXPECT_OK(VerifyReport(*manifest.reports[0], Expected(device_)));
}

// FOTA-R5
TEST_F(ManifestTest, WhatTheGatewayNoticedStandsInItsManifest) {
  manifest_.incidents = {
      {.reason = "DEVICE_NONSENSE", .device_id = "lamp", .detail = "no message", .count = 3},
      {.reason = "METADATA_ROLLBACK"}};
  ASSERT_OK_AND_ASSIGN(const GatewayManifest manifest, Verify());
  EXPECT_EQ(manifest.incidents, manifest_.incidents);
  nlohmann::json content = manifest_.ToEnvelope().content();
  content["incidents"][0]["detail"] = std::string(513, 'x');
  EXPECT_THAT(GatewayManifest::Parse(Envelope::Unsigned(content)), kIsMalformed);
  manifest_.incidents.resize(GatewayManifest::kMaxIncidents + 1, {.reason = "X"});
  EXPECT_THAT(Verify(), kIsMalformed);
}

// Attack: a gateway speaks for another home.
TEST_F(ManifestTest, AGatewaySpeaksForItselfOnly) {
  EXPECT_THAT(Verify("gw-2"), StatusIs(absl::StatusCode::kFailedPrecondition, kWrongIdentity));
  ASSERT_OK_AND_ASSIGN(const Envelope envelope, ParseManifestEnvelope(Bytes()));
  EXPECT_THAT(VerifyManifest(envelope, "gw-1", device_.public_key(), "challenge", 4),
              StatusIs(absl::StatusCode::kInvalidArgument, kUnknownKey));
}

// Attack: replay.
TEST_F(ManifestTest, AnOldManifestIsRefused) {
  EXPECT_THAT(Verify("gw-1", "other"), StatusIs(absl::StatusCode::kFailedPrecondition, kNonceMismatch));
  EXPECT_THAT(Verify("gw-1", "challenge", 5),
              StatusIs(absl::StatusCode::kFailedPrecondition, kCounterNotRising));
}

TEST_F(ManifestTest, OneBrokenReportDoesNotSilenceTheHome) {
  nlohmann::json content = manifest_.ToEnvelope().content();
  content["reports"].push_back("nonsense");
  content["reports"].push_back({{"signatures", nlohmann::json::array()}, {"signed", {{"x", 1}}}});
  ASSERT_OK_AND_ASSIGN(const GatewayManifest manifest, GatewayManifest::Parse(Envelope::Unsigned(content)));
  ASSERT_EQ(manifest.reports.size(), 4u);
  EXPECT_OK(manifest.reports[1]);
  EXPECT_THAT(manifest.reports[2], kIsMalformed);
  EXPECT_THAT(manifest.reports[3], kIsMalformed);
}

TEST_F(ManifestTest, LimitsHold) {
  EXPECT_THAT(Verify("gw-1", "challenge", 4, {.max_reports = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  EXPECT_THAT(Verify("gw-1", "challenge", 4, {.max_bytes = 100}),
              StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded));
  manifest_.reports.assign(256, Signed(device_));
  EXPECT_OK(Verify());
}

TEST_F(ManifestTest, EveryFlippedByteIsRefusedAndNoneIsFatal) {
  const std::string bytes = Bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    const absl::StatusOr<Envelope> envelope = ParseManifestEnvelope(flipped);
    if (!envelope.ok()) continue;
    // A hex digit of a key id, or of case, aside, nothing may change what was signed.
    const absl::StatusOr<GatewayManifest> manifest =
        VerifyManifest(*envelope, "gw-1", gateway_.public_key(), "challenge", 4);
    EXPECT_FALSE(manifest.ok()) << "byte " << i;
  }
}

}  // namespace
}  // namespace countersign::trust
