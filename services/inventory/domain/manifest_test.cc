#include "services/inventory/domain/manifest.h"

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::inventory::domain {
namespace {

using crypto::KeyType;
using crypto::PemSigner;

constexpr char kNonce[] = "00112233445566778899aabbccddeeff";
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

PemSigner NewSigner() { return *PemSigner::Generate(KeyType::kEd25519); }

VerificationKey KeyOf(const PemSigner& signer) { return *MakeVerificationKey(signer.public_key().Pem()); }

trust::VersionReport GoodReport(const std::string& serial) {
  trust::VersionReport report;
  report.ecu_serial = serial;
  report.hardware_id = "hw-1";
  report.filepath = "acme/thermostat/thermostat-1.0.0.bin";
  report.length = 1000;
  report.sha256 = std::string(64, 'a');
  report.version = "1.0.0";
  report.release_counter = 1;
  report.report_counter = 5;
  report.nonce = kNonce;
  return report;
}

trust::Envelope Signed(const trust::VersionReport& report, const PemSigner& signer) {
  trust::Envelope envelope = report.ToEnvelope();
  EXPECT_OK(envelope.Sign(signer));
  return envelope;
}

class ManifestTest : public ::testing::Test {
 protected:
  ManifestTest() {
    keys_.proxy_key = KeyOf(proxy_);
    keys_.components["SN-1"] = {"hw-1", "acme", "T1000", KeyOf(device_)};
    keys_.components["SN-2"] = {"hw-1", "acme", "T1000", std::nullopt};
  }

  trust::GatewayManifest ManifestOf(std::vector<absl::StatusOr<trust::Envelope>> reports) {
    trust::GatewayManifest manifest;
    manifest.gateway_id = "home-1";
    manifest.nonce = kNonce;
    manifest.manifest_counter = 7;
    manifest.time = kNow;
    manifest.reports = std::move(reports);
    return manifest;
  }

  CheckedReport Check(absl::StatusOr<trust::Envelope> report) {
    return CheckReports(ManifestOf({std::move(report)}), keys_, IsElsewhere).reports.at(0);
  }

  std::string ReasonFor(absl::StatusOr<trust::Envelope> report) {
    const CheckedReport checked = Check(std::move(report));
    return checked.refusal.has_value() ? checked.refusal->reason : "";
  }

  static bool IsElsewhere(absl::string_view serial) { return serial == "SN-of-another-home"; }

  PemSigner gateway_ = NewSigner();
  PemSigner proxy_ = NewSigner();
  PemSigner device_ = NewSigner();
  GatewayKeys keys_{"home-1", KeyOf(gateway_), std::nullopt, {}};
};

TEST_F(ManifestTest, AGatewaysOwnManifestIsRead) {
  trust::Envelope envelope = ManifestOf({Signed(GoodReport("SN-1"), device_)}).ToEnvelope();
  ASSERT_OK(envelope.Sign(gateway_));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope read, ReadManifest(envelope.Serialise()));
  ASSERT_OK_AND_ASSIGN(const trust::GatewayManifest manifest, CheckManifest(read, keys_));
  EXPECT_EQ(manifest.manifest_counter, 7);
  EXPECT_EQ(manifest.reports.size(), 1u);
}

TEST_F(ManifestTest, AManifestThatIsNotTheGatewaysWordIsRefused) {
  trust::Envelope forged = ManifestOf({}).ToEnvelope();
  ASSERT_OK(forged.Sign(device_));
  EXPECT_THAT(CheckManifest(forged, keys_),
              StatusIs(absl::StatusCode::kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));
  EXPECT_THAT(CheckManifest(ManifestOf({}).ToEnvelope(), keys_),
              StatusIs(absl::StatusCode::kInvalidArgument, "MANIFEST_SIGNATURE_INVALID"));

  trust::GatewayManifest other = ManifestOf({});
  other.gateway_id = "home-2";
  trust::Envelope of_another = other.ToEnvelope();
  ASSERT_OK(of_another.Sign(gateway_));
  EXPECT_THAT(CheckManifest(of_another, keys_),
              StatusIs(absl::StatusCode::kPermissionDenied, "GATEWAY_MISMATCH"));

  trust::Envelope report = Signed(GoodReport("SN-1"), gateway_);
  EXPECT_THAT(CheckManifest(report, keys_),
              StatusIs(absl::StatusCode::kInvalidArgument, "MANIFEST_MALFORMED"));
}

TEST_F(ManifestTest, NonsenseIsNoManifest) {
  for (const std::string& bytes : {std::string(), std::string("{"), std::string("[]"), std::string("null"),
                                   std::string("\xff\xfe"), std::string("{\"signed\":{},\"signatures\":[]}"),
                                   std::string("{\"signed\":{\"_type\":1},\"signatures\":[]}"),
                                   std::string(100000, '['), std::string(kMaxManifestBytes + 1, ' ')}) {
    EXPECT_THAT(ReadManifest(bytes), StatusIs(absl::StatusCode::kInvalidArgument, "MANIFEST_MALFORMED"))
        << bytes.substr(0, 50);
  }
}

// FOTA-D
TEST_F(ManifestTest, AReportIsAcceptedWithItsComponentsOwnSignature) {
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-1"), device_)), "");
}

// HOME-1
TEST_F(ManifestTest, AReportThatSomebodyElseSignedIsRefused) {
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-1"), NewSigner())), kReportSignatureInvalid);
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-1"), gateway_)), kReportSignatureInvalid);
  EXPECT_EQ(ReasonFor(GoodReport("SN-1").ToEnvelope()), kReportSignatureInvalid);

  nlohmann::json altered = Signed(GoodReport("SN-1"), device_).ToJson();
  altered["signed"]["version"] = "9.9.9";
  EXPECT_EQ(ReasonFor(*trust::Envelope::FromJson(altered)), kReportSignatureInvalid);
}

// FOTA-K
TEST_F(ManifestTest, TheProxyKeySpeaksForConstrainedComponentsAndForNoOther) {
  trust::VersionReport proxied = GoodReport("SN-2");
  proxied.proxied = true;
  EXPECT_EQ(ReasonFor(Signed(proxied, proxy_)), "");
  EXPECT_EQ(ReasonFor(Signed(proxied, gateway_)), kReportSignatureInvalid);
  EXPECT_EQ(ReasonFor(Signed(proxied, device_)), kReportSignatureInvalid);
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-2"), proxy_)), kNotProxied);

  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-1"), proxy_)), kReportSignatureInvalid);
  trust::VersionReport claimed = GoodReport("SN-1");
  claimed.proxied = true;
  EXPECT_EQ(ReasonFor(Signed(claimed, proxy_)), kNotProxied);
  EXPECT_EQ(ReasonFor(Signed(claimed, device_)), kNotProxied);

  keys_.proxy_key.reset();
  EXPECT_EQ(ReasonFor(Signed(proxied, proxy_)), kNotProxied);
}

TEST_F(ManifestTest, WhatStandsElsewhereOrNowhereIsRefused) {
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-of-another-home"), device_)), kOtherGateway);
  EXPECT_EQ(ReasonFor(Signed(GoodReport("SN-9"), device_)), kUnknownComponent);
}

TEST_F(ManifestTest, AComponentThatSaysItIsSomethingElseIsRefused) {
  trust::VersionReport report = GoodReport("SN-1");
  report.manufacturer = "acme";
  report.model = "T1000";
  EXPECT_EQ(ReasonFor(Signed(report, device_)), "");
  report.hardware_id = "hw-2";
  EXPECT_EQ(ReasonFor(Signed(report, device_)), kHardwareMismatch);
  report.hardware_id = "hw-1";
  report.model = "T2000";
  EXPECT_EQ(ReasonFor(Signed(report, device_)), kHardwareMismatch);
  report.model = "T1000";
  report.manufacturer = "other";
  EXPECT_EQ(ReasonFor(Signed(report, device_)), kHardwareMismatch);
}

TEST_F(ManifestTest, AReportThatCannotBeReadDoesNotStopTheOthers) {
  nlohmann::json broken = {{"_type", "version-report"}, {"ecu_serial", "SN-2"}};
  const CheckedManifest checked =
      CheckReports(ManifestOf({absl::InvalidArgumentError("no envelope"), trust::Envelope::Unsigned(broken),
                               Signed(GoodReport("SN-1"), device_), Signed(GoodReport("SN-1"), device_)}),
                   keys_, IsElsewhere);
  ASSERT_EQ(checked.reports.size(), 4u);
  EXPECT_EQ(checked.reports[0].refusal->reason, kReportMalformed);
  EXPECT_EQ(checked.reports[0].ecu_serial, "");
  EXPECT_EQ(checked.reports[0].Evidence(), "");
  EXPECT_EQ(checked.reports[1].refusal->reason, kReportMalformed);
  EXPECT_EQ(checked.reports[1].ecu_serial, "SN-2");
  EXPECT_NE(checked.reports[1].Evidence(), "");
  EXPECT_FALSE(checked.reports[2].refusal.has_value());
  EXPECT_EQ(checked.reports[3].refusal->reason, kReportMalformed) << "named twice";
}

TEST_F(ManifestTest, UnknownSerialsAreToldOnceEach) {
  EXPECT_EQ(
      UnknownSerials(ManifestOf({Signed(GoodReport("SN-1"), device_), Signed(GoodReport("SN-9"), device_),
                                 Signed(GoodReport("SN-9"), device_), absl::InvalidArgumentError("")}),
                     keys_),
      std::vector<std::string>{"SN-9"});
}

TEST(JudgeManifestTest, TheChallengeIsAnsweredOnceAndWithARisingCounter) {
  const CheckedManifest manifest{"home-1", kNonce, 7, {}};
  EXPECT_OK(JudgeManifest(manifest, {"", 0}));
  EXPECT_OK(JudgeManifest(manifest, {"00112233445566778899aabbccddeefe", 6}));

  const auto refused = [&](const GatewayProgress& progress, const std::string& reason) {
    EXPECT_THAT(JudgeManifest(manifest, progress), StatusIs(absl::StatusCode::kFailedPrecondition, reason));
  };
  refused({kNonce, 6}, kNonceMismatch);
  refused({std::string(32, 'f'), 6}, kNonceMismatch);
  refused({"", 7}, kCounterReplayed);
  refused({"", 8}, kCounterReplayed);
}

TEST(DigestOfWhatItSaysTest, EverythingCountsButTheCounterAndTheNonce) {
  const trust::VersionReport report = GoodReport("SN-1");
  const std::string digest = DigestOfWhatItSays(report);
  EXPECT_EQ(digest.size(), 16u);
  trust::VersionReport later = report;
  later.report_counter = 17;
  later.nonce = "another";
  EXPECT_EQ(DigestOfWhatItSays(later), digest);

  const std::vector<std::function<void(trust::VersionReport&)>> changes = {
      [](auto& r) { r.ecu_serial += "x"; },
      [](auto& r) { r.hardware_id += "x"; },
      [](auto& r) { r.manufacturer += "x"; },
      [](auto& r) { r.model += "x"; },
      [](auto& r) { r.filepath += "x"; },
      [](auto& r) { ++r.length; },
      [](auto& r) { r.sha256[0] = 'f'; },
      [](auto& r) { r.version += "x"; },
      [](auto& r) { r.software_versions["x"] = "1"; },
      [](auto& r) { r.software_versions["1"] = "x"; },
      [](auto& r) { ++r.release_counter; },
      [](auto& r) { r.attacks_detected += "x"; },
      [](auto& r) { r.proxied = true; },
      [](auto& r) { r.approval_result += "x"; },
      [](auto& r) { r.approval_override = true; },
      [](auto& r) { r.quarantined = true; },
  };
  std::set<std::string> digests = {digest};
  for (const auto& change : changes) {
    trust::VersionReport other = report;
    change(other);
    EXPECT_TRUE(digests.insert(DigestOfWhatItSays(other)).second) << digests.size();
  }
}

TEST_F(ManifestTest, AnAcceptedReportBringsTheStateUpToDate) {
  trust::VersionReport report = GoodReport("SN-1");
  report.software_versions = {{"bootloader", "3.1"}};
  report.attacks_detected = "two rollback attempts";
  ComponentStatus status;
  status.report_counter = 4;
  Verdict verdict = JudgeReport(Check(Signed(report, device_)), kNonce, kNow, &status);
  EXPECT_TRUE(verdict.accepted);
  EXPECT_TRUE(verdict.changed);
  EXPECT_EQ(status.state, State::kVerified);
  EXPECT_EQ(status.installed,
            (InstalledImage{"acme/thermostat/thermostat-1.0.0.bin", 1000, std::string(64, 'a'), "1.0.0", 1}));
  EXPECT_EQ(status.software_versions.at("bootloader"), "3.1");
  EXPECT_EQ(status.attacks_detected, "two rollback attempts");
  EXPECT_EQ(status.report_counter, 5);
  EXPECT_EQ(status.report_time, kNow);

  report.report_counter = 6;
  verdict = JudgeReport(Check(Signed(report, device_)), kNonce, kNow, &status);
  EXPECT_TRUE(verdict.accepted);
  EXPECT_FALSE(verdict.changed) << "it says the same";
  EXPECT_EQ(status.report_counter, 6);
}

// HOME-1
TEST_F(ManifestTest, AReportThatFailsItsProofMarksTheComponentCompromised) {
  ComponentStatus status;
  status.state = State::kVerified;
  status.report_counter = 5;
  const Verdict verdict = JudgeReport(Check(Signed(GoodReport("SN-1"), device_)), kNonce, kNow, &status);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.refusal->reason, kCounterReplayed);
  EXPECT_TRUE(verdict.changed);
  EXPECT_EQ(status.state, State::kCompromised);
  EXPECT_EQ(status.reason, kCounterReplayed);
  EXPECT_EQ(status.refused_reports, 1);
  EXPECT_EQ(status.report_counter, 5);
  EXPECT_EQ(status.installed, std::nullopt);
}

TEST_F(ManifestTest, AnAnswerToAnOlderChallengeSaysNothingAboutTheComponent) {
  ComponentStatus status;
  status.state = State::kVerified;
  const Verdict verdict = JudgeReport(Check(Signed(GoodReport("SN-1"), device_)), "another", kNow, &status);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.refusal->reason, kNonceMismatch);
  EXPECT_FALSE(verdict.changed);
  EXPECT_EQ(status.state, State::kVerified);
  EXPECT_EQ(status.refused_reports, 1);
}

TEST_F(ManifestTest, ReportsAboutWhatIsNotTheGatewaysTouchNothing) {
  const Verdict verdict =
      JudgeReport(Check(Signed(GoodReport("SN-of-another-home"), device_)), kNonce, kNow, /*status=*/nullptr);
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.refusal->reason, kOtherGateway);
  EXPECT_FALSE(verdict.changed);
}

TEST_F(ManifestTest, AQuarantinedComponentStaysSoWhateverItReports) {
  ComponentStatus status;
  status.state = State::kQuarantined;
  EXPECT_TRUE(JudgeReport(Check(Signed(GoodReport("SN-1"), device_)), kNonce, kNow, &status).accepted);
  EXPECT_EQ(status.state, State::kQuarantined);
  EXPECT_FALSE(JudgeReport(Check(Signed(GoodReport("SN-1"), NewSigner())), kNonce, kNow, &status).changed);
  EXPECT_EQ(status.state, State::kQuarantined);
  EXPECT_EQ(status.reason, "");
}

TEST(RefusalTest, EveryReasonEitherFailsTheProofOrSaysNothing) {
  std::vector<std::string> failing;
  for (absl::string_view reason : kRefusalReasons) {
    if (FailsProof(reason)) failing.emplace_back(reason);
  }
  EXPECT_EQ(failing, (std::vector<std::string>{kReportSignatureInvalid, kCounterReplayed, kHardwareMismatch,
                                               kNotProxied}));
}

}  // namespace
}  // namespace countersign::inventory::domain
