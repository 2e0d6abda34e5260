#include "tools/ctl/log_audit.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/reasons.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// PLUS-3
namespace countersign::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kOrigin[] = "log.example";
const absl::Time kLater = absl::FromUnixSeconds(1900000000);

crypto::PemSigner NewKey() { return *crypto::PemSigner::Generate(crypto::KeyType::kEd25519); }

std::string Image(const std::string& path) { return crypto::Sha256Hex(path); }

// A repository and its log, in memory.
class LogAuditTest : public ::testing::Test {
 protected:
  LogAuditTest() {
    source_.log = [this](const std::string& path) -> absl::StatusOr<std::string> {
      if (path == tlog::kCheckpointPath)
        return tlog::SignCheckpoint(log_.Head(log_.size(), kOrigin), log_key_);
      return log_.File(path);
    };
    source_.metadata = [this](const std::string& name) -> absl::StatusOr<std::string> {
      const auto found = files_.find(name);
      if (found == files_.end()) return absl::NotFoundError(name);
      return found->second;
    };
  }

  trust::Envelope Role(int64_t version, const std::vector<std::string>& paths) {
    trust::Targets role;
    role.version = version;
    role.expires = kLater;
    for (const std::string& path : paths) {
      role.targets[path].length = 1;
      role.targets[path].sha256 = Image(path);
    }
    trust::Envelope envelope = role.ToEnvelope();
    EXPECT_OK(envelope.Sign(manufacturer_key_));
    return envelope;
  }

  // Publishes a role of acme with the authority's signature too; what is new in it is approved.
  void Publish(trust::Envelope role, const std::vector<std::string>& approved) {
    EXPECT_OK(role.Sign(authority_key_));
    const int64_t version = trust::Targets::Parse(role)->version;
    const std::string bytes = role.Serialise();
    files_[trust::MetadataFilename("acme", version)] = bytes;
    tlog::LogEntry entry{tlog::kRolePublished, "acme", version, crypto::Sha256Hex(bytes), "", "", {}};
    log_.Append(entry.ToLeaf());
    for (const std::string& path : approved) {
      entry.kind = tlog::kPackageApproved;
      entry.target_path = path;
      entry.image_sha256 = Image(path);
      log_.Append(entry.ToLeaf());
      packages_[path] = {entry.image_sha256, version};
    }
  }

  absl::StatusOr<std::vector<Finding>> NotMade() {
    absl::StatusOr<tlog::TileReader> log = OpenLog(source_, key_, std::nullopt);
    if (!log.ok()) return log.status();
    return EntriesNotMade(*log, 0, "acme", known_, source_);
  }
  absl::StatusOr<LogReport> Audit(const std::string& manufacturer = "") {
    absl::StatusOr<tlog::TileReader> log = OpenLog(source_, key_, std::nullopt);
    if (!log.ok()) return log.status();
    return AuditLog(*log, source_, packages_, manufacturer);
  }

  const crypto::PemSigner log_key_ = NewKey();
  const crypto::PemSigner manufacturer_key_ = NewKey();
  const crypto::PemSigner authority_key_ = NewKey();
  const tlog::VerifierKey key_ = *tlog::VerifierKey::Make(kOrigin, log_key_.public_key());
  tlog::MemoryLog log_;
  std::map<std::string, std::string> files_;
  std::map<std::string, PublishedPackage> packages_;
  LogSource source_;
  KnownRoles known_;
};

TEST_F(LogAuditTest, WhatTheManufacturerMadeIsKnownWhoeverElseSigned) {
  const trust::Envelope first = Role(1, {"acme/a/1"});
  const trust::Envelope second = Role(2, {"acme/a/1", "acme/a/2"});
  ASSERT_OK(known_.Add(first.Serialise()));
  ASSERT_OK(known_.Add(second.Serialise()));
  Publish(first, {"acme/a/1"});
  Publish(second, {"acme/a/2"});
  log_.Append(tlog::LogEntry{tlog::kRolePublished, "zenith", 1, std::string(64, 'a'), "", "", {}}.ToLeaf());
  EXPECT_THAT(NotMade(), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const LogReport report, Audit());
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.files_checked, 4);
  EXPECT_EQ(report.files_gone, 1);
}

TEST_F(LogAuditTest, AVersionThatTheManufacturerDidNotMakeIsTold) {
  const trust::Envelope mine = Role(1, {"acme/a/1"});
  ASSERT_OK(known_.Add(mine.Serialise()));
  Publish(mine, {"acme/a/1"});
  Publish(Role(2, {"acme/a/1", "acme/a/evil"}), {"acme/a/evil"});  // signed with its stolen key
  ASSERT_OK_AND_ASSIGN(const std::vector<Finding> findings, NotMade());
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_EQ(findings[0].entry.kind, tlog::kRolePublished);
  EXPECT_EQ(findings[1].entry.target_path, "acme/a/evil");
  EXPECT_THAT(findings[1].what, HasSubstr("none of the known files"));
}

TEST_F(LogAuditTest, AnApprovalThatTheKnownMetadataDoesNotListIsTold) {
  const trust::Envelope mine = Role(1, {"acme/a/1"});
  ASSERT_OK(known_.Add(mine.Serialise()));
  Publish(mine, {"acme/a/1", "acme/a/2"});
  ASSERT_OK_AND_ASSIGN(const std::vector<Finding> findings, NotMade());
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].entry.target_path, "acme/a/2");
}

TEST_F(LogAuditTest, WhatOthersDecidedAboutItsPackagesIsTold) {
  const trust::Envelope mine = Role(1, {"acme/a/1", "acme/a/2"});
  ASSERT_OK(known_.Add(mine.Serialise()));
  Publish(mine, {"acme/a/1", "acme/a/2"});
  tlog::LogEntry entry{
      tlog::kPackageRevoked, "acme", 1, crypto::Sha256Hex(files_.at("1.acme.json")), "acme/a/1",
      Image("acme/a/1"),     {}};
  log_.Append(entry.ToLeaf());
  files_["2.targets.json"] = Role(2, {}).Serialise();
  entry = {tlog::kPackageWithdrawn, "targets", 2, crypto::Sha256Hex(files_.at("2.targets.json")), "acme/a/2",
           Image("acme/a/2"),       {}};
  log_.Append(entry.ToLeaf());
  ASSERT_OK_AND_ASSIGN(const std::vector<Finding> findings, NotMade());
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_EQ(findings[0].entry.kind, tlog::kPackageRevoked);
  EXPECT_EQ(findings[1].entry.kind, tlog::kPackageWithdrawn);
  // Neither is published any more.
  packages_.clear();
  ASSERT_OK_AND_ASSIGN(const LogReport report, Audit());
  EXPECT_THAT(report.findings, IsEmpty());
}

TEST_F(LogAuditTest, WithdrawingByANewVersionIsTheManufacturersOwn) {
  const trust::Envelope first = Role(1, {"acme/a/1"});
  const trust::Envelope second = Role(2, {});
  ASSERT_OK(known_.Add(first.Serialise()));
  ASSERT_OK(known_.Add(second.Serialise()));
  Publish(first, {"acme/a/1"});
  Publish(second, {});
  log_.Append(tlog::LogEntry{
      tlog::kPackageWithdrawn,
      "acme",
      2,
      crypto::Sha256Hex(files_.at("2.acme.json")),
      "acme/a/1",
      Image("acme/a/1"),
      {}}.ToLeaf());
  EXPECT_THAT(NotMade(), IsOkAndHolds(IsEmpty()));
}

TEST_F(LogAuditTest, AnEntryThatNobodyCanReadOrWhoseFileIsGoneIsTold) {
  log_.Append("not an entry");
  log_.Append(tlog::LogEntry{tlog::kRolePublished, "acme", 9, std::string(64, 'a'), "", "", {}}.ToLeaf());
  ASSERT_OK_AND_ASSIGN(const std::vector<Finding> findings, NotMade());
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_THAT(findings[1].what, HasSubstr("does not serve"));
  ASSERT_OK_AND_ASSIGN(const LogReport report, Audit());
  EXPECT_THAT(report.findings, SizeIs(1));
}

TEST_F(LogAuditTest, AFileThatIsNotTheOneOfTheLogIsTold) {
  const trust::Envelope mine = Role(1, {"acme/a/1"});
  ASSERT_OK(known_.Add(mine.Serialise()));
  Publish(mine, {"acme/a/1"});
  files_["1.acme.json"] = mine.Serialise();  // without the authority's signature
  ASSERT_OK_AND_ASSIGN(const LogReport report, Audit());
  EXPECT_THAT(report.findings, SizeIs(2));
  EXPECT_THAT(NotMade(), IsOkAndHolds(SizeIs(2)));
}

TEST_F(LogAuditTest, PackagesAndEntriesAreComparedBothWays) {
  Publish(Role(1, {"acme/a/1", "acme/a/2"}), {"acme/a/1", "acme/a/2"});
  const auto all = packages_;
  packages_["zenith/x/1"] = {std::string(64, 'a'), 1};  // published, not logged
  packages_.erase("acme/a/1");                          // logged, not published
  packages_["acme/a/2"].sha256 = std::string(64, 'b');  // another image
  ASSERT_OK_AND_ASSIGN(const LogReport report, Audit());
  EXPECT_THAT(report.findings, SizeIs(3));
  packages_ = all;
  packages_["acme/a/2"].role_version = 2;
  ASSERT_OK_AND_ASSIGN(const LogReport other, Audit());
  EXPECT_THAT(other.findings, SizeIs(1));
  // Who sees only its own packages compares only its own.
  packages_.clear();
  ASSERT_OK_AND_ASSIGN(const LogReport foreign, Audit("zenith"));
  EXPECT_THAT(foreign.findings, IsEmpty());
}

TEST_F(LogAuditTest, ALogThatWasRewrittenIsNotOpened) {
  Publish(Role(1, {"acme/a/1"}), {"acme/a/1"});
  const tlog::Checkpoint seen = log_.Head(2, kOrigin);
  EXPECT_OK(OpenLog(source_, key_, seen));
  log_ = tlog::MemoryLog();
  for (const char* entry : {"a", "b", "c"}) log_.Append(entry);
  EXPECT_THAT(OpenLog(source_, key_, seen),
              StatusIs(absl::StatusCode::kInvalidArgument, tlog::kInconsistent));
  EXPECT_OK(OpenLog(source_, key_, std::nullopt));
  EXPECT_THAT(OpenLog(source_, *tlog::VerifierKey::Make(kOrigin, NewKey().public_key()), std::nullopt),
              StatusIs(absl::StatusCode::kInvalidArgument, tlog::kSignatureInvalid));
}

TEST_F(LogAuditTest, TheLogsKeyIsThatOfTheRootInForce) {
  const crypto::PemSigner root_key = NewKey();
  const auto root = [&](int64_t version, const std::string& log_key, const crypto::Signer& by) {
    trust::Root value;
    value.version = version;
    value.expires = kLater;
    for (const char* role : {"root", "targets", "snapshot", "timestamp"})
      value.AddKey(role, root_key.public_key());
    value.log_key = log_key;
    trust::Envelope envelope = value.ToEnvelope();
    EXPECT_OK(envelope.Sign(by));
    return envelope.Serialise();
  };
  const std::string first = root(1, key_.Format(), root_key);
  ASSERT_OK_AND_ASSIGN(const tlog::VerifierKey at_first, LogKeyOf(first, source_.metadata));
  EXPECT_EQ(at_first.Format(), key_.Format());
  const tlog::VerifierKey next = *tlog::VerifierKey::Make(kOrigin, NewKey().public_key());
  files_["2.root.json"] = root(2, next.Format(), root_key);
  ASSERT_OK_AND_ASSIGN(const tlog::VerifierKey rotated, LogKeyOf(first, source_.metadata));
  EXPECT_EQ(rotated.Format(), next.Format());
  files_["2.root.json"] = root(2, next.Format(), NewKey());  // nobody's
  EXPECT_FALSE(LogKeyOf(first, source_.metadata).ok());
  files_.clear();
  EXPECT_THAT(LogKeyOf(root(1, "", root_key), source_.metadata),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NO_LOG_KEY"));
}

}  // namespace
}  // namespace countersign::ctl
