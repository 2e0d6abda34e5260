#include "common/update/release_info.h"

#include <functional>
#include <ostream>

#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/testing/status_matchers.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace countersign::update {
namespace {

using common::v1::ReleaseInfo;

ReleaseInfo Good() {
  ReleaseInfo info;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        version: "2.0.1"
        version_format: VERSION_FORMAT_SEMVER
        release_counter: 7
        models: "T-100"
        hardware_ids: "t100-a"
        image {
          target_path: "acme/thermostat/thermostat-2.0.1.bin"
          length_bytes: 4096
          sha256: "1f2e3d4c5b6a79880123456789abcdef1f2e3d4c5b6a79880123456789abcdef"
        }
        criticality: CRITICALITY_HIGH
        kind: UPDATE_KIND_SECURITY
        advisory { ids: "CVE-2026-1" risk: "Anyone nearby can set the temperature." action: "Install it." }
        notices {
          language: "en"
          purpose: "Closes a weakness."
          changes: "Nothing else."
          install_duration { seconds: 90 }
          unavailable_functions: "Heating control."
          instructions: "Leave the power on."
        }
        minimum_installed_version: "1.4.0"
      )pb",
      &info));
  return info;
}

TEST(ReleaseInfoTest, ACompleteReleaseIsTaken) {
  EXPECT_OK(CheckReleaseInfo(Good()));
  ReleaseInfo with_terms = Good();
  with_terms.mutable_terms()->set_id("eula");
  with_terms.mutable_terms()->set_version("3");
  with_terms.mutable_terms()->set_language("de-AT");
  with_terms.mutable_terms()->set_text("Grüß Gott.");
  with_terms.mutable_terms()->set_text_sha256(crypto::Sha256Hex("Grüß Gott."));
  EXPECT_OK(CheckReleaseInfo(with_terms));
}

struct Fault {
  const char* field;
  const char* reason;
  std::function<void(ReleaseInfo&)> make;
};

std::ostream& operator<<(std::ostream& out, const Fault& fault) { return out << fault.field; }

class ReleaseFaultTest : public ::testing::TestWithParam<Fault> {};

// HOME-5, FOTA-F
TEST_P(ReleaseFaultTest, IsRefusedAndItsFieldIsNamed) {
  ReleaseInfo info = Good();
  GetParam().make(info);
  const absl::Status status = CheckReleaseInfo(info);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, GetParam().reason));
  ASSERT_TRUE(ErrorInfoOf(status).has_value());
  EXPECT_EQ(ErrorInfoOf(status)->metadata.at("field"), GetParam().field);
}

constexpr char kInvalid[] = "RELEASE_INVALID";
constexpr char kUntold[] = "NOTICE_INCOMPLETE";

INSTANTIATE_TEST_SUITE_P(
    Faults, ReleaseFaultTest,
    ::testing::Values(
        Fault{"version_format", kInvalid, [](ReleaseInfo& i) { i.clear_version_format(); }},
        Fault{"version_format", kInvalid,
              [](ReleaseInfo& i) { i.set_version_format(static_cast<common::v1::VersionFormat>(99)); }},
        Fault{"version", kInvalid, [](ReleaseInfo& i) { i.clear_version(); }},
        Fault{"version", kInvalid, [](ReleaseInfo& i) { i.set_version("two"); }},
        Fault{"version", kInvalid, [](ReleaseInfo& i) { i.set_version(std::string(65, '1')); }},
        Fault{"release_counter", kInvalid, [](ReleaseInfo& i) { i.set_release_counter(0); }},
        Fault{"release_counter", kInvalid, [](ReleaseInfo& i) { i.set_release_counter(int64_t{1} << 31); }},
        Fault{"models", kInvalid, [](ReleaseInfo& i) { i.clear_models(); }},
        Fault{"models", kInvalid, [](ReleaseInfo& i) { i.add_models(std::string("\0", 1)); }},
        Fault{"hardware_ids", kInvalid, [](ReleaseInfo& i) { i.clear_hardware_ids(); }},
        Fault{"hardware_ids", kInvalid,
              [](ReleaseInfo& i) {
                for (int n = 0; n < 64; ++n) i.add_hardware_ids("x");
              }},
        Fault{"image", kInvalid, [](ReleaseInfo& i) { i.clear_image(); }},
        Fault{"image.target_path", kInvalid, [](ReleaseInfo& i) { i.mutable_image()->set_target_path("acme/x"); }},
        Fault{"image.target_path", kInvalid,
              [](ReleaseInfo& i) { i.mutable_image()->set_target_path("acme/../x"); }},
        Fault{"image.length_bytes", kInvalid, [](ReleaseInfo& i) { i.mutable_image()->set_length_bytes(0); }},
        Fault{"image.sha256", kInvalid, [](ReleaseInfo& i) { i.mutable_image()->set_sha256("AB"); }},
        Fault{"kind", kUntold, [](ReleaseInfo& i) { i.clear_kind(); }},
        Fault{"criticality", kUntold, [](ReleaseInfo& i) { i.clear_criticality(); }},
        Fault{"notices", kUntold, [](ReleaseInfo& i) { i.clear_notices(); }},
        Fault{"notices[0].language", kUntold,
              [](ReleaseInfo& i) { i.mutable_notices(0)->set_language("e"); }},
        Fault{"notices[1].language", kUntold, [](ReleaseInfo& i) { *i.add_notices() = Good().notices(0); }},
        Fault{"notices[0].purpose", kUntold, [](ReleaseInfo& i) { i.mutable_notices(0)->clear_purpose(); }},
        Fault{"notices[0].changes", kUntold, [](ReleaseInfo& i) { i.mutable_notices(0)->set_changes(" "); }},
        Fault{"notices[0].install_duration", kUntold,
              [](ReleaseInfo& i) { i.mutable_notices(0)->clear_install_duration(); }},
        Fault{"notices[0].install_duration", kUntold,
              [](ReleaseInfo& i) { i.mutable_notices(0)->mutable_install_duration()->set_seconds(86401); }},
        Fault{"notices[0].unavailable_functions", kUntold,
              [](ReleaseInfo& i) { i.mutable_notices(0)->clear_unavailable_functions(); }},
        Fault{"notices[0].instructions", kUntold,
              [](ReleaseInfo& i) { i.mutable_notices(0)->set_instructions(std::string(2001, 'x')); }},
        Fault{"advisory.ids", kUntold, [](ReleaseInfo& i) { i.clear_advisory(); }},
        Fault{"advisory.risk", kUntold, [](ReleaseInfo& i) { i.mutable_advisory()->clear_risk(); }},
        Fault{"advisory.action", kUntold, [](ReleaseInfo& i) { i.mutable_advisory()->clear_action(); }},
        Fault{"mixed_justification", kInvalid,
              [](ReleaseInfo& i) { i.set_kind(common::v1::UPDATE_KIND_MIXED); }},
        Fault{"terms.id", kInvalid, [](ReleaseInfo& i) { i.mutable_terms(); }},
        Fault{"terms.text", kInvalid,
              [](ReleaseInfo& i) {
                i.mutable_terms()->set_id("eula");
                i.mutable_terms()->set_version("3");
                i.mutable_terms()->set_language("en");
                i.mutable_terms()->set_text_sha256(crypto::Sha256Hex("one text"));
                i.mutable_terms()->set_text("another");
              }},
        Fault{"minimum_installed_version", kInvalid,
              [](ReleaseInfo& i) { i.set_minimum_installed_version("new"); }}));

TEST(ReleaseInfoTest, AFunctionalityReleaseNeedsNoAdvisory) {
  ReleaseInfo info = Good();
  info.set_kind(common::v1::UPDATE_KIND_FUNCTIONALITY);
  info.clear_advisory();
  EXPECT_OK(CheckReleaseInfo(info));
}

TEST(ReleaseInfoTest, TextsAreCountedInCharacters) {
  ReleaseInfo info = Good();
  std::string umlauts;
  for (int i = 0; i < 2000; ++i) umlauts += "ü";
  info.mutable_notices(0)->set_purpose(umlauts);
  EXPECT_OK(CheckReleaseInfo(info));
}

TEST(ReleaseInfoTest, NoticesDigestIsOfTheJoinedTexts) {
  EXPECT_EQ(
      NoticeTextSha256(Good().notices(0)),
      crypto::Sha256Hex("Closes a weakness.\nNothing else.\n90\nHeating control.\nLeave the power on."));
}

TEST(ReleaseInfoTest, ComponentIsTheFolderOfTheTarget) {
  EXPECT_EQ(ComponentOf("acme/thermostat/a.bin"), "acme/thermostat");
  EXPECT_EQ(ComponentOf("acme/thermostat"), "");
  EXPECT_EQ(ComponentOf("acme//a.bin"), "");
  EXPECT_EQ(ComponentOf("a/b/c/d"), "");
}

}  // namespace
}  // namespace countersign::update
