#include "common/trust/metadata.h"

#include <string>

#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const auto kIsMalformed = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);

template <typename T>
absl::StatusOr<T> ParseContent(json content) {
  return T::Parse(Envelope::Unsigned(std::move(content)));
}

TEST(KeyIdTest, AgreesWithOtherImplementations) {
  // The first key of RFC 8032; the id is what securesystemslib gives for it.
  const auto key = crypto::PublicKey::FromTuf(
      "ed25519", "ed25519", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  ASSERT_OK(key);
  EXPECT_EQ(KeyId(*key), "74c181c7ad8a0855d4b55e44d2ba87aabdddb196832571f15f92fece332e4916");
}

TEST(EnvelopeTest, SurvivesTheRoundTripAndVerifies) {
  const crypto::PemSigner signer = NewSigner();
  Envelope envelope = Envelope::Unsigned({{"_type", "x"}, {"pem", "a\nb"}});
  ASSERT_OK(envelope.Sign(signer));
  ASSERT_OK(envelope.Sign(signer));
  ASSERT_EQ(envelope.signatures().size(), 1u);
  ASSERT_OK_AND_ASSIGN(const Envelope read, Envelope::Parse(envelope.Serialise()));
  EXPECT_EQ(read.type(), "x");
  EXPECT_EQ(read.canonical(), "{\"_type\":\"x\",\"pem\":\"a\nb\"}");
  EXPECT_EQ(read.Serialise(), envelope.Serialise());
  EXPECT_OK(read.VerifyBy(signer.public_key()));
  EXPECT_THAT(read.VerifyBy(NewSigner().public_key()),
              StatusIs(absl::StatusCode::kInvalidArgument, kUnknownKey));
}

TEST(EnvelopeTest, ASignatureOverOtherContentIsInvalid) {
  const crypto::PemSigner signer = NewSigner();
  Envelope envelope = Envelope::Unsigned({{"_type", "x"}, {"n", 1}});
  ASSERT_OK(envelope.Sign(signer));
  Envelope altered = Envelope::Unsigned({{"_type", "x"}, {"n", 2}});
  altered.AddSignature(envelope.signatures()[0]);
  EXPECT_THAT(altered.VerifyBy(signer.public_key()),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

TEST(EnvelopeTest, WhatNoReaderWouldAcceptIsNotSigned) {
  Envelope envelope = Envelope::Unsigned({{"_type", "x"}, {"name", "\xc3\xa4"}});
  EXPECT_THAT(envelope.Sign(NewSigner()), kIsMalformed);
}

TEST(EnvelopeTest, NonsenseIsRefused) {
  const std::string id(64, 'a');
  for (const std::string& text :
       {std::string("[]"), std::string("{}"), std::string(R"({"signatures":[],"signed":[]})"),
        std::string(R"({"signatures":[],"signed":{}})"),
        std::string(R"({"signatures":{},"signed":{"_type":"x"}})"),
        std::string(R"({"signatures":[{"keyid":"a","sig":""}],"signed":{"_type":"x"}})"),
        R"({"signatures":[{"keyid":")" + id + R"(","sig":"xy"}],"signed":{"_type":"x"}})",
        R"({"signatures":[{"keyid":")" + id + R"(","sig":"00"},{"keyid":")" + id +
            R"(","sig":"01"}],"signed":{"_type":"x"}})"}) {
    EXPECT_THAT(Envelope::Parse(text), kIsMalformed) << text;
  }
}

TEST(TimeTest, OnlyTheOneFormIsRead) {
  EXPECT_EQ(FormatUtc(kNow), "2026-01-01T00:00:00Z");
  EXPECT_THAT(ParseUtc("2026-01-01T00:00:00Z"), IsOkAndHolds(kNow));
  for (const char* text :
       {"2026-01-01T00:00:00", "2026-1-1T00:00:00Z", "2026-01-01 00:00:00Z", " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+00:00", "infinite-future"}) {
    EXPECT_FALSE(ParseUtc(text).ok()) << text;
  }
}

TEST(MetadataTest, EveryDocumentSurvivesTheRoundTrip) {
  TestRepository repository(kNow);
  repository.AddManufacturer("acme", {"acme/*", "acme/*/*"});
  TargetFile& target = repository.delegated["acme"].targets["acme/lamp/fw.bin"];
  target = MakeTarget("image", 3, {"lamp-a", "lamp-b"}, "1.2.3");
  target.custom.extra = R"({"channel":"beta"})";
  target.custom.ecu_identifiers["ecu-1"] = {"lamp-a", "consent-1"};
  repository.delegated["acme"].prefetch["acme/lamp/next.bin"] = MakeTarget("next", 4, {"lamp-a"});
  repository.Publish();

  const auto content_of = [](const Envelope& envelope) { return envelope.canonical(); };
  ASSERT_OK_AND_ASSIGN(const Root root, Root::Parse(repository.root.ToEnvelope()));
  EXPECT_EQ(content_of(root.ToEnvelope()), content_of(repository.root.ToEnvelope()));
  ASSERT_OK_AND_ASSIGN(const Timestamp timestamp, Timestamp::Parse(repository.timestamp.ToEnvelope()));
  EXPECT_EQ(timestamp.snapshot, repository.timestamp.snapshot);
  ASSERT_OK_AND_ASSIGN(const Snapshot snapshot, Snapshot::Parse(repository.snapshot.ToEnvelope()));
  EXPECT_EQ(snapshot.roles, repository.snapshot.roles);
  ASSERT_OK_AND_ASSIGN(const Targets targets, Targets::Parse(repository.targets.ToEnvelope()));
  EXPECT_EQ(content_of(targets.ToEnvelope()), content_of(repository.targets.ToEnvelope()));
  ASSERT_OK_AND_ASSIGN(const Targets acme, Targets::Parse(repository.delegated["acme"].ToEnvelope()));
  EXPECT_EQ(acme.targets, repository.delegated["acme"].targets);
  EXPECT_EQ(acme.prefetch, repository.delegated["acme"].prefetch);
}

TEST(MetadataTest, TheBytesAreThoseOfTheFormat) {
  Targets targets;
  targets.version = 7;
  targets.expires = kNow;
  targets.targets["a/b"] = MakeTarget("abc", 3, {"hw"}, "1.0");
  targets.targets["a/b"].custom.ecu_identifiers["e1"] = {"hw", "c1"};
  EXPECT_EQ(
      targets.ToEnvelope().Serialise(),
      R"({"signatures":[],"signed":{"_type":"targets","expires":"2026-01-01T00:00:00Z","spec_version":"1.0.31",)"
      R"("targets":{"a/b":{"custom":{"ecuIdentifiers":{"e1":{"consentRecordId":"c1","hardwareId":"hw"}},)"
      R"("hardwareIds":["hw"],"releaseCounter":3,"version":"1.0"},"hashes":{"sha256":)"
      R"("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},"length":3}},"version":7}})");
}

TEST(MetadataTest, PartiesAndTheLogsKeySurviveTheRoundTripAndAreWrittenOnlyIfThereAreAny) {
  TestRepository repository(kNow);
  repository.AddManufacturer("acme", {"acme/*"});
  EXPECT_FALSE(repository.root.ToEnvelope().content().contains("custom"));
  EXPECT_FALSE(repository.targets.ToEnvelope().content().contains("custom"));

  repository.root.parties = {{kOperatorParty, repository.root.roles["root"].key_ids}, {kAuthorityParty, {}}};
  repository.root.log_key = "log.example+1234abcd+AQ==";
  ASSERT_OK_AND_ASSIGN(const Root root, Root::Parse(repository.root.ToEnvelope()));
  EXPECT_EQ(root.parties, repository.root.parties);
  EXPECT_EQ(root.log_key, repository.root.log_key);
  EXPECT_EQ(PartyOf(root.parties, root.roles.at("root").key_ids[1]), kOperatorParty);
  EXPECT_EQ(PartyOf(root.parties, std::string(64, 'a')), "");

  repository.targets.parties = {{"acme", {KeyId(repository.manufacturer.public_key())}}};
  repository.targets.prefetch["a"] = MakeTarget("x", 1, {"hw"});
  repository.targets.prefetch["a"].custom.ecu_identifiers["ecu-1"] = {"hw", "", "bundle-1"};
  repository.targets.quarantine = {"ecu-2", "ecu-1"};
  ASSERT_OK_AND_ASSIGN(const Targets targets, Targets::Parse(repository.targets.ToEnvelope()));
  EXPECT_EQ(targets.parties, repository.targets.parties);
  EXPECT_EQ(targets.prefetch, repository.targets.prefetch);
  EXPECT_EQ(targets.quarantine, repository.targets.quarantine);
  EXPECT_EQ(repository.targets.ToEnvelope().content()["custom"]["quarantine"],
            json::array({"ecu-1", "ecu-2"}));
}

TEST(MetadataTest, WhatCustomHasBesidesIsNotOurs) {
  TestRepository repository(kNow);
  json root = repository.root.ToEnvelope().content();
  root["custom"] = {{"motd", json::array({1})}, {"parties", {{"operator", json::array()}}}};
  EXPECT_OK(ParseContent<Root>(root));
  json targets = repository.targets.ToEnvelope().content();
  targets["custom"] = {{"parties", json::object()}, {"else", true}};
  EXPECT_OK(ParseContent<Targets>(targets));
}

TEST(MetadataTest, ACustomThatIsNoObjectCannotBeSigned) {
  Targets targets;
  targets.expires = kNow;
  targets.targets["a"] = MakeTarget("x", 1, {"hw"});
  targets.targets["a"].custom.extra = "not an object";
  Envelope envelope = targets.ToEnvelope();
  EXPECT_THAT(envelope.Sign(NewSigner()), kIsMalformed);
}

TEST(MetadataTest, AKeyIdThatIsNotTheDigestOfItsKeyIsRefused) {
  TestRepository repository(kNow);
  json content = repository.root.ToEnvelope().content();
  const std::string id = repository.root.roles["timestamp"].key_ids[0];
  const std::string other(64, 'a');
  content["keys"][other] = content["keys"][id];
  content["keys"].erase(id);
  content["roles"]["timestamp"]["keyids"] = {other};
  EXPECT_THAT(ParseContent<Root>(content), StatusIs(absl::StatusCode::kInvalidArgument, kKeyIdMismatch));
}

// Attack: one party signs twice, with one key under two ids.
TEST(MetadataTest, OneKeyUnderTwoIdsIsRefused) {
  TestRepository repository(kNow);
  json content = repository.root.ToEnvelope().content();
  json key = content["keys"][repository.root.roles["timestamp"].key_ids[0]];
  std::string pem = key["keyval"]["public"];
  key["keyval"]["public"] = pem.substr(0, pem.size() - 1);  // the same key without the last newline
  content["keys"][crypto::Sha256Hex(CanonicalJson(key))] = key;
  EXPECT_THAT(ParseContent<Root>(content), StatusIs(absl::StatusCode::kInvalidArgument, kDuplicateKey));
}

TEST(MetadataTest, FaultyFieldsAreRefusedByName) {
  TestRepository repository(kNow);
  repository.AddManufacturer("acme", {"acme/*"});
  repository.Publish();
  const json root = repository.root.ToEnvelope().content();
  const json targets = repository.targets.ToEnvelope().content();
  const json snapshot = repository.snapshot.ToEnvelope().content();
  const struct {
    const json& document;
    const char* pointer;
    json value;
    const char* message;
  } kCases[] = {
      {root, "/_type", "targets", "is of type targets"},
      {root, "/version", 0, "version"},
      {root, "/version", 2147483648, "version"},
      {root, "/version", "1", "version"},
      {root, "/expires", "tomorrow", "expires"},
      {root, "/roles/root/threshold", 0, "threshold"},
      {root, "/roles/root/threshold", 4, "fewer keys than its threshold"},
      {root, "/roles/root/keyids/0", std::string(64, 'f'), "not among the keys"},
      {root, "/roles", json::object(), "root"},
      {root, "/custom", json::array(), "custom"},
      {root, "/custom/logKey", 1, "logKey"},
      {root, "/custom/logKey", "", "logKey"},
      {root, "/custom/parties", json::array(), "parties"},
      {root, "/custom/parties/operator", "key", "operator"},
      {root, "/custom/parties/operator", json::array({1}), "operator"},
      {root, "/custom/parties/operator", json::array({"abc"}), "SHA-256"},
      {root, "/custom/parties/Op~1", json::array(), "name"},
      {targets, "/custom/quarantine", "ecu-1", "quarantine"},
      {targets, "/custom/quarantine", json::array({1}), "quarantine"},
      {targets, "/custom/parties", "x", "parties"},
      {targets, "/custom/parties/acme", json::object(), "acme"},
      {targets, "/targets/..~1x", json::object(), "path"},
      {targets, "/delegations/roles/0/name", "root", "top-level"},
      {targets, "/delegations/roles/0/name", "../x", "name"},
      {targets, "/delegations/roles/0/paths/0", "/etc/*", "pattern"},
      {targets, "/delegations/roles/0/paths/0", "acme/[ab]", "pattern"},
      {targets, "/delegations/roles/0/path_hash_prefixes", json::array(), "path_hash_prefixes"},
      {targets, "/delegations/roles/0/terminating", 1, "terminating"},
      {targets, "/targets/a", {{"length", -1}, {"hashes", {{"sha256", std::string(64, 'a')}}}}, "length"},
      {targets, "/targets/a", {{"length", 1}, {"hashes", {{"sha256", std::string(64, 'A')}}}}, "sha256"},
      {targets, "/targets/a", {{"length", 1}, {"hashes", {{"md5", "x"}}}}, "sha256"},
      {snapshot, "/meta/..~1x.json", {{"version", 1}}, "meta"},
      {snapshot, "/meta", json::object(), "targets.json"},
  };
  for (const auto& c : kCases) {
    json content = c.document;
    content[json::json_pointer(c.pointer)] = c.value;
    absl::Status status;
    if (&c.document == &root) status = ParseContent<Root>(content).status();
    if (&c.document == &targets) status = ParseContent<Targets>(content).status();
    if (&c.document == &snapshot) status = ParseContent<Snapshot>(content).status();
    EXPECT_THAT(status, kIsMalformed) << c.pointer;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.pointer;
  }
}

TEST(MetadataTest, AnotherMajorVersionOfTheSpecificationIsRefused) {
  TestRepository repository(kNow);
  json content = repository.root.ToEnvelope().content();
  content["spec_version"] = "2.0.0";
  EXPECT_THAT(ParseContent<Root>(content), StatusIs(absl::StatusCode::kInvalidArgument, kUnsupportedSpec));
}

TEST(NamesTest, FilesAreNamedAsClientsAskForThem) {
  EXPECT_EQ(MetadataFilename("root", 3), "3.root.json");
  EXPECT_EQ(MetadataFilename("timestamp", 3), "timestamp.json");
  EXPECT_EQ(MetadataFilename("acme-pending", 12), "12.acme-pending.json");
  EXPECT_EQ(TargetFilename("acme/lamp/fw.bin", "abc"), "acme/lamp/abc.fw.bin");
  EXPECT_EQ(TargetFilename("fw.bin", "abc"), "abc.fw.bin");
}

TEST(NamesTest, TargetPathsCannotLeaveTheirFolder) {
  for (const char* path : {"a", "acme/lamp/fw-1.2_3+b~c@d.bin", "pending/acme/x"})
    EXPECT_TRUE(IsTargetPath(path)) << path;
  for (const char* path : {"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a b", "a*", "a\nb", "a\\b"}) {
    EXPECT_FALSE(IsTargetPath(path)) << path;
  }
  EXPECT_FALSE(IsTargetPath(std::string(513, 'a')));
  EXPECT_TRUE(IsPendingPath("pending/acme/x"));
  EXPECT_FALSE(IsPendingPath("acme/pending/x"));
}

TEST(NamesTest, AStarDoesNotCrossASlash) {
  const struct {
    const char* pattern;
    const char* path;
    bool matches;
  } kCases[] = {
      {"acme/*", "acme/x", true},
      {"acme/*", "acme/x/y", false},
      {"acme/*/*", "acme/x/y", true},
      {"acme/*/*", "acme/x", false},
      {"*", "x", true},
      {"*", "x/y", false},
      {"acme/*", "acmeX/x", false},
      {"acme/*", "other/x", false},
      {"a*b*c", "aXbYc", true},
      {"a*b*c", "aXbY/c", false},
      {"a*b*c", "abcbc", true},
      {"*/*.bin", "x/y.bin", true},
      {"*/*.bin", "x.bin/y", false},
      {"acme/fw-?.bin", "acme/fw-1.bin", true},
      {"acme?x", "acme/x", false},
      {"acme/x", "acme/x", true},
      {"acme/x", "acme/xy", false},
      {"**", "ab", true},
      {"**", "a/b", false},
      {"a*/b*", "axy/bxy", true},
      {"acme/*", "acme/", true},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(MatchesPath(c.pattern, c.path), c.matches) << c.pattern << " " << c.path;
}

}  // namespace
}  // namespace countersign::trust
