#include "services/liaison/domain/names.h"

#include <gtest/gtest.h>

#include "common/testing/status_matchers.h"

namespace countersign::liaison::domain {
namespace {

using ::countersign::IsOkAndHolds;
using ::countersign::StatusIs;

TEST(NamesTest, ReadsNamesAndRefusesEverythingElse) {
  EXPECT_THAT(ParseManufacturerName("manufacturers/acme-2"), IsOkAndHolds("acme-2"));
  EXPECT_THAT(ParseParent("manufacturers/-"), IsOkAndHolds(""));
  for (const char* bad : {"", "acme", "manufacturers/", "manufacturers/-", "manufacturers/Acme",
                          "manufacturers/-a", "manufacturers/a.b", "manufacturers/acme/x", "makers/acme"}) {
    EXPECT_THAT(ParseManufacturerName(bad), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"))
        << bad;
  }
  const absl::StatusOr<ReleaseName> release = ParseReleaseName("manufacturers/acme/releases/lamp-2.0");
  ASSERT_TRUE(release.ok());
  EXPECT_EQ(release->manufacturer, "acme");
  EXPECT_EQ(release->release_id, "lamp-2.0");
  for (const char* bad : {"manufacturers/acme/releases/", "manufacturers/acme/releases/.x",
                          "manufacturers/acme/releases/../x", "manufacturers/acme/packages/x"}) {
    EXPECT_THAT(ParseReleaseName(bad), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID")) << bad;
  }
  EXPECT_THAT(ParseManufacturerName("manufacturers/" + std::string(64, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
}

}  // namespace
}  // namespace countersign::liaison::domain
