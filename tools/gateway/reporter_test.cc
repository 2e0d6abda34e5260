#include "tools/gateway/reporter.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/gateway/fake_device.h"

namespace countersign::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr char kNonce[] = "00112233445566778899aabbccddeeff";
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

std::shared_ptr<const crypto::Signer> NewKey() {
  return std::make_shared<crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
}

class ReporterTest : public ::testing::Test {
 protected:
  ReporterTest() {
    std::string folder = "/tmp/reporter-XXXXXX";  // short: a socket's path has at most 107 characters
    lan_ = mkdtemp(folder.data());
  }
  ~ReporterTest() override { std::filesystem::remove_all(lan_); }

  Survey Ask() {
    const auto sockets = ListSockets(lan_);
    EXPECT_OK(sockets);
    return SurveyDevices(*sockets, known_, kNonce, proxy_.get(), incidents_);
  }

  // Why the gateway tells of each device.
  std::map<std::string, std::string> Noted() {
    std::map<std::string, std::string> noted;
    for (const trust::Incident& one : incidents_.pending()) noted[one.device_id] = one.reason;
    return noted;
  }

  std::string lan_;
  std::set<std::string> known_ = {"a", "b", "c"};
  Incidents incidents_;
  const std::shared_ptr<const crypto::Signer> key_ = NewKey();
  const std::shared_ptr<const crypto::Signer> proxy_ = NewKey();
};

// HOME-1
TEST_F(ReporterTest, ADeviceIsAnnouncedWithTheKeysThatItSignsWith) {
  FakeDevice lamp(lan_, "lamp", {{"L-1", {.key = key_}}, {"L-2", {}}});
  const Survey survey = Ask();
  const inventory::v1::Device device = AnnouncementOf("home-1", "lamp", survey.descriptions.at("lamp"));
  EXPECT_EQ(device.name(), "gateways/home-1/devices/lamp");
  ASSERT_EQ(device.components_size(), 2);
  EXPECT_EQ(device.components(0).ecu_serial(), "L-1");
  EXPECT_EQ(device.components(0).public_key_pem(), key_->public_key().Pem());
  EXPECT_FALSE(device.components(0).constrained());
  EXPECT_TRUE(device.components(1).constrained());
  EXPECT_EQ(device.components(1).public_key_pem(), "");
}

// HOME-1, FOTA-D, FOTA-K
TEST_F(ReporterTest, AManifestHoldsWhatTheDevicesSignedAndWhatTheGatewaySignedForThem) {
  FakeDevice lamp(lan_, "lamp", {{"L-1", {.key = key_}}, {"L-2", {}}});
  const Survey survey = Ask();
  EXPECT_THAT(survey.components, SizeIs(2));
  EXPECT_TRUE(survey.components.at("L-2").constrained);
  const auto bytes = PackManifest(survey, incidents_.pending(), "home-1", kNonce, 5, kNow, *key_);
  ASSERT_OK(bytes);
  const auto envelope = trust::ParseManifestEnvelope(*bytes);
  ASSERT_OK(envelope);
  const auto manifest = trust::VerifyManifest(*envelope, "home-1", key_->public_key(), kNonce, 4);
  ASSERT_OK(manifest);
  ASSERT_THAT(manifest->reports, SizeIs(2));
  const auto own = trust::VerifyReport(
      *manifest->reports[0], {"L-1", trust::KeyId(key_->public_key()), key_->public_key(), false, 0, kNonce});
  EXPECT_OK(own);
  const auto proxied = trust::VerifyReport(*manifest->reports[1], {"L-2", trust::KeyId(proxy_->public_key()),
                                                                   proxy_->public_key(), true, 0, kNonce});
  EXPECT_OK(proxied);
}

// HOME-2
TEST_F(ReporterTest, DevicesComeAndGoAndWhoeverStartsAgainIsSeen) {
  EXPECT_THAT(Ask().sockets, IsEmpty());
  auto lamp = std::make_unique<FakeDevice>(lan_, "lamp",
                                           std::map<std::string, FakeComponent>{{"L-1", {.key = key_}}});
  const Survey first = Ask();
  ASSERT_THAT(first.sockets, SizeIs(1));
  lamp.reset();
  EXPECT_THAT(Ask().sockets, IsEmpty());
  lamp = std::make_unique<FakeDevice>(lan_, "lamp",
                                      std::map<std::string, FakeComponent>{{"L-1", {.key = key_}}});
  const Survey again = Ask();
  ASSERT_THAT(again.sockets, SizeIs(1));
  EXPECT_NE(again.sockets[0].instance, first.sockets[0].instance);
}

TEST_F(ReporterTest, NonsenseIsLeftOutAndSilencesNobody) {
  FakeDevice good(lan_, "good", {{"G-1", {.key = key_}}});
  FakeDevice liar(lan_, "liar", {{"X-1", {.key = key_}}});
  liar.called = "good";
  FakeDevice babbler(lan_, "babbler", {{"B-1", {.key = key_}}});
  babbler.raw_reports = {"", "{}", "\xff", "[[[[[[",
                         R"({"signatures": [], "signed": {"_type": "version-report"}})"};
  FakeDevice flood(lan_, "flood", {{"F-1", {.key = key_}}});
  flood.raw_reports = std::vector<std::string>(kMaxComponents + 1, "{}");
  FakeDevice bloat(lan_, "bloat", {{"H-1", {.key = key_}}});
  bloat.raw_reports = {std::string(kMaxReportBytes + 1, ' ')};
  std::map<std::string, FakeComponent> many;
  for (int i = 0; i <= kMaxComponents; ++i) many[std::to_string(i)] = {.key = key_};
  FakeDevice hydra(lan_, "hydra", many);
  const Survey survey = Ask();
  EXPECT_THAT(survey.components, ElementsAre(Pair("G-1", ::testing::_)));
  EXPECT_THAT(survey.reports, SizeIs(1));
  // The server is told of whom this is, and why.
  EXPECT_THAT(Noted(), ElementsAre(Pair("babbler", "MALFORMED_METADATA"), Pair("bloat", "DEVICE_NONSENSE"),
                                   Pair("flood", "DEVICE_NONSENSE"), Pair("hydra", "DEVICE_NONSENSE"),
                                   Pair("liar", "DEVICE_NONSENSE")));
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       PackManifest(survey, incidents_.pending(), "home-1", kNonce, 5, kNow, *key_));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::ParseManifestEnvelope(bytes));
  ASSERT_OK_AND_ASSIGN(const trust::GatewayManifest manifest, trust::GatewayManifest::Parse(envelope));
  EXPECT_THAT(manifest.incidents, SizeIs(5));
}

// Attack: forged devices fill the manifest before the real ones are asked.
TEST_F(ReporterTest, WhoWasReportedBeforeIsAskedFirst) {
  std::vector<std::unique_ptr<FakeDevice>> forged;
  for (int i = 0; i < 9; ++i) {
    std::map<std::string, FakeComponent> many;
    for (int j = 0; j < kMaxComponents; ++j) many[absl::StrCat("X-", i, "-", j)] = {.key = key_};
    forged.push_back(std::make_unique<FakeDevice>(lan_, absl::StrCat("0-", i), many));
  }
  FakeDevice real(lan_, "z-real", {{"Z-1", {.key = key_}}});
  known_ = {"z-real"};
  const Survey survey = Ask();
  EXPECT_THAT(survey.reports, SizeIs(trust::ManifestLimits().max_reports));
  EXPECT_EQ(survey.components.count("Z-1"), 1u);
  EXPECT_EQ(survey.components.at("Z-1").report, 0u);
}

// An image that may yet go back with its bundle is not reported as what runs.
TEST_F(ReporterTest, AProvisionalImageIsNotReported) {
  FakeDevice lamp(lan_, "lamp", {{"L-1", {.key = key_, .provisional = true}}, {"L-2", {.key = key_}}});
  const Survey survey = Ask();
  EXPECT_TRUE(survey.components.at("L-1").provisional);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, PackManifest(survey, {}, "home-1", kNonce, 5, kNow, *key_));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::ParseManifestEnvelope(bytes));
  ASSERT_OK_AND_ASSIGN(const trust::GatewayManifest manifest, trust::GatewayManifest::Parse(envelope));
  ASSERT_THAT(manifest.reports, SizeIs(1));
  EXPECT_EQ(trust::VersionReport::Parse(*manifest.reports[0])->ecu_serial, "L-2");
}

TEST_F(ReporterTest, WhatTheInventoryWouldNotReadIsNotPutIntoTheManifest) {
  trust::VersionReport report;
  report.ecu_serial = "B-1";
  report.hardware_id = "t1-a";
  report.sha256 = std::string(64, 'a');
  report.report_counter = 1;
  const auto with = [&](const std::string& extra) {
    trust::Envelope envelope = report.ToEnvelope();
    std::string bytes = envelope.Serialise();
    return bytes.replace(bytes.find("\"signed\":{"), 10, "\"signed\":{\"_extra\":" + extra + ",");
  };
  FakeDevice good(lan_, "good", {{"G-1", {.key = key_}}});
  FakeDevice odd(lan_, "bad", {{"B-1", {.key = key_}}});
  odd.raw_reports = {with("0")};
  EXPECT_THAT(Ask().reports, SizeIs(2));
  std::string values = "[0";
  for (int i = 0; i < 200; ++i) values += ",0";
  odd.raw_reports = {with(std::string(14, '[') + std::string(14, ']')), with(values + "]")};
  const Survey survey = Ask();
  EXPECT_THAT(survey.reports, SizeIs(1));
  const auto bytes = PackManifest(survey, incidents_.pending(), "home-1", kNonce, 5, kNow, *key_);
  ASSERT_OK(bytes);
  EXPECT_OK(trust::ParseManifestEnvelope(*bytes));
}

TEST_F(ReporterTest, AComponentIsClaimedOnce) {
  FakeDevice first(lan_, "a", {{"L-1", {.key = key_}}});
  FakeDevice second(lan_, "b", {{"L-1", {.key = key_}}});
  const Survey survey = Ask();
  EXPECT_THAT(survey.reports, SizeIs(1));
  EXPECT_EQ(survey.components.at("L-1").socket.device_id, "a");
}

TEST_F(ReporterTest, AComponentThatTwoClaimIsTheOnesWhoProvesItself) {
  const auto stranger = NewKey();
  FakeDevice forged(lan_, "a", {{"L-1", {.key = stranger}}});
  FakeDevice genuine(lan_, "b", {{"L-1", {.key = key_}}});
  FakeDevice late(lan_, "c", {{"L-1", {.key = stranger}}});
  Survey survey = Ask();
  EXPECT_THAT(survey.rivals, SizeIs(2));
  Settle({{"L-1", key_->public_key()}}, survey, incidents_);
  ASSERT_THAT(survey.reports, SizeIs(1));
  EXPECT_OK(survey.reports[0].VerifyBy(key_->public_key()));
  EXPECT_EQ(survey.components.at("L-1").socket.device_id, "b");
  EXPECT_THAT(Noted(),
              ElementsAre(Pair("a", "COMPONENT_CLAIMED_TWICE"), Pair("c", "COMPONENT_CLAIMED_TWICE")));

  survey = Ask();
  Settle({}, survey, incidents_);
  EXPECT_EQ(survey.components.at("L-1").socket.device_id, "a");
}

// FOTA-K
TEST_F(ReporterTest, TheProxyKeySignsNothingButProxiedReportsToThisNonce) {
  trust::VersionReport report;
  report.ecu_serial = "L-1";
  report.hardware_id = "t1-a";
  report.sha256 = std::string(64, 'a');
  report.report_counter = 1;
  report.nonce = kNonce;
  report.proxied = true;
  FakeDevice lamp(lan_, "lamp", {{"L-1", {}}});
  const auto signs = [&](const trust::Envelope& envelope) {
    lamp.raw_reports = {envelope.Serialise()};
    return !Ask().reports.empty();
  };
  EXPECT_TRUE(signs(report.ToEnvelope()));
  trust::VersionReport other = report;
  other.nonce = "another";
  EXPECT_FALSE(signs(other.ToEnvelope()));
  other = report;
  other.proxied = false;
  EXPECT_FALSE(signs(other.ToEnvelope()));
  other = report;
  other.ecu_serial = "L-2";
  EXPECT_FALSE(signs(other.ToEnvelope()));
  trust::Envelope already_signed = report.ToEnvelope();
  ASSERT_OK(already_signed.Sign(*key_));
  EXPECT_FALSE(signs(already_signed));
  trust::GatewayManifest manifest;
  manifest.gateway_id = "home-1";
  manifest.nonce = kNonce;
  manifest.manifest_counter = 1;
  EXPECT_FALSE(signs(manifest.ToEnvelope()));
  // Without a proxy key nothing is signed at all.
  lamp.raw_reports = {report.ToEnvelope().Serialise()};
  EXPECT_THAT(SurveyDevices(*ListSockets(lan_), {}, kNonce, nullptr, incidents_).reports, IsEmpty());
}

TEST_F(ReporterTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_THAT(ListSockets(lan_ + "/nowhere"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::gateway
