#include "services/package_store/domain/names.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

const auto kNameInvalid = StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID");
const std::string kDigest(64, 'a');

TEST(NamesTest, AManufacturerIdIsARoleNameThatIsNotTaken) {
  for (const std::string id : {"acme", "a", "a-1", "9x"}) EXPECT_TRUE(IsManufacturerId(id)) << id;
  for (const std::string id : {"", "-a", "a-", "Acme", "a.b", "a/b", "a b", "root", "targets", "snapshot",
                               "timestamp", "pending", "acme-pending"}) {
    EXPECT_FALSE(IsManufacturerId(id)) << id;
  }
  EXPECT_TRUE(IsManufacturerId(std::string(56, 'x')));
  EXPECT_FALSE(IsManufacturerId(std::string(57, 'x')));
}

TEST(NamesTest, ResourceNamesAreReadBack) {
  EXPECT_THAT(ParseManufacturer("manufacturers/acme"), IsOkAndHolds("acme"));
  ASSERT_OK_AND_ASSIGN(const UploadName upload, ParseUploadName(FormatUploadName("acme", kDigest)));
  EXPECT_EQ(upload.manufacturer, "acme");
  EXPECT_EQ(upload.sha256, kDigest);
  ASSERT_OK_AND_ASSIGN(const ProposalName proposal,
                       ParseProposalName(FormatProposalName("acme", std::string(32, 'f'))));
  EXPECT_EQ(proposal.id, std::string(32, 'f'));
  ASSERT_OK_AND_ASSIGN(const auto all, ParseManufacturerOrAll("manufacturers/-"));
  EXPECT_FALSE(all.has_value());
}

TEST(NamesTest, MalformedResourceNamesAreRefused) {
  for (const std::string name :
       {"", "acme", "manufacturers/", "manufacturers/-", "manufacturers/a/b", "manufacturers/.."}) {
    EXPECT_THAT(ParseManufacturer(name), kNameInvalid) << name;
  }
  EXPECT_THAT(ParseUploadName("manufacturers/acme/uploads/../../x"), kNameInvalid);
  EXPECT_THAT(ParseUploadName("manufacturers/acme/uploads/" + std::string(64, 'A')), kNameInvalid);
  EXPECT_THAT(ParseUploadName("manufacturers/acme/proposals/" + kDigest), kNameInvalid);
  EXPECT_THAT(ParseProposalName("manufacturers/acme/proposals/1"), kNameInvalid);
}

TEST(NamesTest, OnlyNamesThatTheRepositoryCouldHaveAreMetadataFiles) {
  for (const std::string name : {"timestamp.json", "1.root.json", "2147483647.acme-pending.json"}) {
    EXPECT_OK(CheckMetadataFileName(name)) << name;
  }
  for (const std::string name :
       {"", "root.json", "0.root.json", "-1.root.json", "+1.root.json", " 1.root.json",
        "2147483648.root.json", "1.root", "1..json", "1.root.json/", "../timestamp.json"}) {
    EXPECT_THAT(CheckMetadataFileName(name), kNameInvalid) << name;
  }
}

TEST(NamesTest, ATargetPathHasThreeSegments) {
  ASSERT_OK_AND_ASSIGN(const TargetPath path, ParseTargetPath("acme/lamp/lamp-1.bin"));
  EXPECT_EQ(path.manufacturer, "acme");
  EXPECT_EQ(path.component, "lamp");
  for (const std::string bad : {"", "acme", "acme/lamp", "acme/lamp/a/b", "acme//b", "/acme/b", "acme/../b",
                                "acme/lamp/", "pending/acme/x", "acme/lamp/a b", "acme/lamp/*"}) {
    EXPECT_THAT(ParseTargetPath(bad), kNameInvalid) << bad;
  }
  EXPECT_THAT(ParseTargetPath("acme/lamp/" + std::string(247, 'x')), kNameInvalid);
}

}  // namespace
}  // namespace countersign::package_store
