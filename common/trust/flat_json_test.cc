#include "common/trust/flat_json.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

bool IsFlat(absl::string_view text, const JsonLimits& limits = {}) {
  return FlatJson::Read(text, limits) != nullptr;
}

TEST(FlatJsonTest, ReadsWhatIsWrittenAsItIsSigned) {
  for (const char* text : {"{}", "[]", "\"\"", "0", "-1", "999999999999999999", "true", "false", R"({"a":1})",
                           R"({"a":[1,2,{"b":"c"}],"b":"","c":{"d":false}})", R"("a \"quoted\" \\ word")"}) {
    EXPECT_TRUE(IsFlat(text)) << text;
  }
}

TEST(FlatJsonTest, LeavesEverythingElseToTheOtherParser) {
  for (const char* text : {"",
                           " {}",
                           "{} ",
                           "{\"a\": 1}",
                           "[1, 2]",
                           "null",
                           "01",
                           "-0",
                           "1.5",
                           "1e3",
                           "--1",
                           "-",
                           "1000000000000000000",
                           R"({"b":1,"a":2})",
                           R"({"a":1,"a":2})",
                           R"({"a":1,})",
                           "[1,]",
                           "[,1]",
                           R"({"a"})",
                           R"({"a":})",
                           R"({1:2})",
                           "\"a",
                           "\"\\n\"",
                           "\"\\u0041\"",
                           "\"\\/\"",
                           "\"\xc3\xa9\"",
                           "\"\n\"",
                           "\"\x7f\"",
                           R"({"a\"":1})",
                           "tru",
                           "truefalse",
                           "{}{}",
                           "[",
                           "{",
                           R"({"a":1)",
                           "[1",
                           "'a'"}) {
    EXPECT_FALSE(IsFlat(text)) << text;
  }
}

TEST(FlatJsonTest, KeepsTheLimits) {
  EXPECT_TRUE(IsFlat("[[[]]]", {.max_depth = 3}));
  EXPECT_FALSE(IsFlat("[[[]]]", {.max_depth = 2}));
  EXPECT_TRUE(IsFlat("[1,2]", {.max_values = 3}));
  EXPECT_FALSE(IsFlat("[1,2]", {.max_values = 2}));
  EXPECT_TRUE(IsFlat("[1,2]", {.max_bytes = 5}));
  EXPECT_FALSE(IsFlat("[1,2]", {.max_bytes = 4}));
  EXPECT_FALSE(IsFlat(std::string(100'000, '[')));
}

TEST(FlatJsonTest, FindsPartsAndTheirBytes) {
  const auto document = FlatJson::Read(R"({"a":{"x":[1,"two"]},"b":"say \"hi\"","c":-7,"d":true})");
  ASSERT_NE(document, nullptr);
  const FlatJson::Value root = document->root();
  ASSERT_TRUE(root.Find("a").has_value());
  EXPECT_EQ(root.Find("a")->raw(), R"({"x":[1,"two"]})");
  const std::vector<FlatJson::Value> elements = root.Find("a")->Find("x")->children();
  ASSERT_EQ(elements.size(), 2u);
  EXPECT_EQ(elements[0].Integer(), 1);
  EXPECT_EQ(elements[1].Text(), "two");
  EXPECT_EQ(root.Find("b")->Text(), "say \"hi\"");
  EXPECT_EQ(root.Find("c")->Integer(), -7);
  EXPECT_EQ(root.Find("d")->Bool(), true);
  EXPECT_EQ(root.Find("x"), std::nullopt) << "it is within another object";
  EXPECT_EQ(root.Find("a")->Text(), std::nullopt);
  EXPECT_EQ(root.Find("b")->Integer(), std::nullopt);
  EXPECT_EQ(root.Find("c")->Bool(), std::nullopt);
  EXPECT_EQ(root.Find("b")->Find("c"), std::nullopt);
}

VersionReport Report() {
  VersionReport report;
  report.ecu_serial = "s-1";
  report.hardware_id = "lamp-1";
  report.manufacturer = "acme \"and\" sons\\";
  report.model = "LAMP-1";
  report.filepath = "acme/lamp/lamp.bin";
  report.length = 100;
  report.sha256 = std::string(64, 'a');
  report.version = "1.0.0";
  report.software_versions = {{"boot", "1"}, {"kernel", "6.1"}};
  report.release_counter = 3;
  report.report_counter = 17;
  report.nonce = "0123456789abcdef";
  report.approval_result = "APPROVED";
  return report;
}

class FlatEnvelopeTest : public ::testing::Test {
 protected:
  FlatEnvelopeTest() : signer_(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519)) {}

  std::string SignedReport() {
    Envelope envelope = Report().ToEnvelope();
    EXPECT_OK(envelope.Sign(signer_));
    return envelope.Serialise();
  }

  std::string SignedManifest() {
    GatewayManifest manifest;
    manifest.gateway_id = "gw-1";
    manifest.nonce = "0123456789abcdef";
    manifest.manifest_counter = 5;
    manifest.time = absl::FromUnixSeconds(1767225600);
    for (int i = 0; i < 3; ++i) {
      Envelope report = Report().ToEnvelope();
      EXPECT_OK(report.Sign(signer_));
      manifest.reports.push_back(std::move(report));
    }
    Envelope envelope = manifest.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer_));
    return envelope.Serialise();
  }

  crypto::PemSigner signer_;
};

TEST_F(FlatEnvelopeTest, AReportIsReadFlatAndIsTheSame) {
  ASSERT_OK_AND_ASSIGN(const Envelope envelope, Envelope::Parse(SignedReport()));
  ASSERT_TRUE(envelope.flat().has_value());
  EXPECT_OK(envelope.VerifyBy(signer_.public_key()));
  ASSERT_OK_AND_ASSIGN(const VersionReport report, VersionReport::Parse(envelope));
  EXPECT_EQ(report, Report());
  EXPECT_EQ(SerialIn(envelope), "s-1");
  EXPECT_EQ(envelope.content()["ecu_serial"], "s-1");
  EXPECT_EQ(envelope.Serialise(), SignedReport());
}

TEST_F(FlatEnvelopeTest, AManifestIsReadFlatWithItsReportsAndTheyOutliveIt) {
  std::vector<absl::StatusOr<Envelope>> reports;
  {
    ASSERT_OK_AND_ASSIGN(const Envelope envelope, ParseManifestEnvelope(SignedManifest()));
    ASSERT_TRUE(envelope.flat().has_value());
    ASSERT_OK_AND_ASSIGN(GatewayManifest manifest, GatewayManifest::Parse(envelope));
    EXPECT_EQ(manifest.manifest_counter, 5);
    reports = std::move(manifest.reports);
  }
  ASSERT_EQ(reports.size(), 3u);
  for (const absl::StatusOr<Envelope>& report : reports) {
    ASSERT_OK(report);
    EXPECT_TRUE(report->flat().has_value());
    EXPECT_OK(report->VerifyBy(signer_.public_key()));
    EXPECT_THAT(VersionReport::Parse(*report), IsOkAndHolds(Report()));
  }
}

// What both ways of reading make of the same document. A blank before it is allowed, and not flat.
struct Reading {
  absl::Status status;
  std::string canonical;
  std::vector<std::string> signatures;
  absl::Status report_status;
  VersionReport report;
  std::string serial;
  std::vector<std::string> reports;  // of a manifest

  friend bool operator==(const Reading&, const Reading&) = default;
};

Reading Read(const std::string& text) {
  Reading reading;
  const absl::StatusOr<Envelope> envelope = ParseManifestEnvelope(text);
  reading.status = envelope.status();
  if (!envelope.ok()) return reading;
  reading.canonical = envelope->canonical();
  reading.serial = SerialIn(*envelope);
  for (const Signature& signature : envelope->signatures()) {
    reading.signatures.push_back(absl::StrCat(signature.key_id, " ", signature.bytes));
  }
  const absl::StatusOr<VersionReport> report = VersionReport::Parse(*envelope);
  reading.report_status = report.status();
  if (report.ok()) reading.report = *report;
  const absl::StatusOr<GatewayManifest> manifest = GatewayManifest::Parse(*envelope);
  reading.reports.push_back(manifest.status().ToString());
  if (!manifest.ok()) return reading;
  for (const absl::StatusOr<Envelope>& part : manifest->reports) {
    reading.reports.push_back(part.status().ToString());
    if (part.ok()) reading.reports.push_back(part->canonical());
    if (part.ok()) reading.reports.push_back(VersionReport::Parse(*part).status().ToString());
  }
  return reading;
}

TEST_F(FlatEnvelopeTest, DamagedDocumentsAreReadAlikeInBothWays) {
  std::mt19937_64 random(17);
  const std::string pieces[] = {"\"",
                                "\\",
                                "{",
                                "}",
                                "[",
                                "]",
                                ",",
                                ":",
                                "0",
                                "-",
                                "1",
                                "\\n",
                                "\\\"",
                                "null",
                                "true",
                                "\"a\":1,",
                                " ",
                                "1.5",
                                "99999999999999999999",
                                "\xc3\xa9",
                                "\"_type\"",
                                "\x01"};
  int flat = 0;
  for (const std::string& original : {SignedReport(), SignedManifest()}) {
    for (int i = 0; i < 4000; ++i) {
      std::string text = original;
      for (uint64_t damages = random() % 3 + 1; damages > 0; --damages) {
        const size_t at = random() % text.size();
        switch (random() % 4) {
          case 0:
            text[at] = static_cast<char>(random() % 256);
            break;
          case 1:
            text.erase(at, random() % 20);
            break;
          case 2:
            text.insert(at, pieces[random() % std::size(pieces)]);
            break;
          default:  // another value of the right form
            text[at] = text[at] >= '0' && text[at] <= '9' ? '7' : text[at];
            break;
        }
      }
      const Reading one = Read(text);
      const Reading other = Read(absl::StrCat(" ", text));
      if (one.status.ok() && FlatJson::Read(text) != nullptr) ++flat;
      // A place in the text is one further.
      if (!one.status.ok()) {
        EXPECT_EQ(one.status.code(), other.status.code()) << text;
        EXPECT_EQ(ReasonOf(one.status), ReasonOf(other.status)) << text;
        continue;
      }
      ASSERT_EQ(one, other) << text;
    }
  }
  EXPECT_GT(flat, 500) << "the flat way has to be tried too";
}

}  // namespace
}  // namespace countersign::trust
