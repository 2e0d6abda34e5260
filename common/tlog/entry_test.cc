#include "common/tlog/entry.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/reasons.h"

// PLUS-3
namespace countersign::tlog {
namespace {

const std::string kDigest(64, 'a');
const std::string kImage(64, 'b');
const std::string kKey(64, 'c');

LogEntry Approval() { return {kPackageApproved, "acme", 3, kDigest, "acme/lamp/lamp-1.bin", kImage, {kKey}}; }

TEST(LogEntryTest, TheLeafIsCanonicalJson) {
  EXPECT_EQ(Approval().ToLeaf(),
            absl::StrCat(R"({"imageSha256":")", kImage, R"(","keyIds":[")", kKey,
                         R"("],"kind":"package_approved","metadataSha256":")", kDigest,
                         R"(","role":"acme","roleVersion":3,"targetPath":"acme/lamp/lamp-1.bin"})"));
  const LogEntry root{kRootPublished, "root", 1, kDigest, "", "", {}};
  EXPECT_EQ(root.ToLeaf(), absl::StrCat(R"({"kind":"root_published","metadataSha256":")", kDigest,
                                        R"(","role":"root","roleVersion":1})"));
  EXPECT_THAT(LogEntry::Parse(Approval().ToLeaf()), IsOkAndHolds(Approval()));
  EXPECT_THAT(LogEntry::Parse(root.ToLeaf()), IsOkAndHolds(root));
}

TEST(LogEntryTest, KindsAndFieldsOfTomorrowAreRead) {
  const std::string leaf =
      absl::StrReplaceAll(Approval().ToLeaf(),
                          {{"package_approved", "something_new"}, {R"("role":)", R"("reason":"x","role":)"}});
  ASSERT_OK_AND_ASSIGN(const LogEntry entry, LogEntry::Parse(leaf));
  EXPECT_EQ(entry.kind, "something_new");
}

TEST(LogEntryTest, WhatIsNoEntryIsRefused) {
  const std::string good = Approval().ToLeaf();
  for (const std::string& leaf : {std::string(),
                                  std::string("{}"),
                                  std::string("[]"),
                                  std::string("null"),
                                  absl::StrCat(good, " "),
                                  absl::StrReplaceAll(good, {{":3,", ": 3,"}}),
                                  absl::StrReplaceAll(good, {{":3,", ":0,"}}),
                                  absl::StrReplaceAll(good, {{":3,", ":2147483648,"}}),
                                  absl::StrReplaceAll(good, {{":3,", ":\"3\","}}),
                                  absl::StrReplaceAll(good, {{kDigest, "aa"}}),
                                  absl::StrReplaceAll(good, {{kImage, "bb"}}),
                                  absl::StrReplaceAll(good, {{kKey, "cc"}}),
                                  absl::StrReplaceAll(good, {{"\"acme\"", "\"../acme\""}}),
                                  absl::StrReplaceAll(good, {{"acme/lamp/", "acme/../"}}),
                                  absl::StrReplaceAll(good, {{"package_approved", "Approved!"}}),
                                  absl::StrReplaceAll(good, {{"\"package_approved\"", "7"}}),
                                  absl::StrReplaceAll(good, {{absl::StrCat("[\"", kKey, "\"]"), "[]"}}),
                                  absl::StrReplaceAll(good, {{absl::StrCat("[\"", kKey, "\"]"), "[1]"}}),
                                  absl::StrReplaceAll(good, {{"\"roleVersion\":3,", ""}}),
                                  absl::StrCat("{\"role\":\"acme\",", good.substr(1))}) {
    EXPECT_THAT(LogEntry::Parse(leaf), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed)) << leaf;
  }
}

TEST(LogEntryTest, TellsWhoseItIs) {
  EXPECT_EQ(Approval().Manufacturer(), "acme");
  EXPECT_EQ((LogEntry{kRootPublished, "root", 1, kDigest, "", "", {}}).Manufacturer(), "");
  EXPECT_EQ((LogEntry{kTargetsPublished, "targets", 1, kDigest, "", "", {}}).Manufacturer(), "");
  EXPECT_EQ((LogEntry{kRolePublished, "acme", 1, kDigest, "", "", {}}).Manufacturer(), "acme");
  EXPECT_EQ((LogEntry{kPendingPublished, "acme-pending", 1, kDigest, "", "", {}}).Manufacturer(), "acme");
  EXPECT_EQ((LogEntry{kPackageWithdrawn, "targets", 2, kDigest, "acme/a/b", kImage, {}}).Manufacturer(),
            "acme");
  EXPECT_EQ((LogEntry{kPendingPublished, "acme-pending", 1, kDigest, "pending/acme/a/b", kImage, {}})
                .Manufacturer(),
            "acme");
}

TEST(LogEntryTest, AnApprovalIsAboutOnePathImageAndVersion) {
  const std::string leaf = Approval().ToLeaf();
  EXPECT_THAT(CheckApprovalLeaf(leaf, "acme/lamp/lamp-1.bin", kImage, 3), IsOkAndHolds(Approval()));
  EXPECT_THAT(CheckApprovalLeaf(leaf, "acme/lamp/lamp-2.bin", kImage, 3),
              StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  EXPECT_THAT(CheckApprovalLeaf(leaf, "acme/lamp/lamp-1.bin", kDigest, 3),
              StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  EXPECT_THAT(CheckApprovalLeaf(leaf, "acme/lamp/lamp-1.bin", kImage, 4),
              StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  for (const char* kind : {kPackageRevoked, kPackageWithdrawn, kRolePublished, kPendingPublished}) {
    LogEntry other = Approval();
    other.kind = kind;
    EXPECT_THAT(CheckApprovalLeaf(other.ToLeaf(), "acme/lamp/lamp-1.bin", kImage, 3),
                StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  }
  LogEntry foreign = Approval();
  foreign.role = "zenith";
  EXPECT_THAT(CheckApprovalLeaf(foreign.ToLeaf(), "acme/lamp/lamp-1.bin", kImage, 3),
              StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
}

}  // namespace
}  // namespace countersign::tlog
