#include "common/rpc/roles.h"

#include "common/testing/status_matchers.h"
#include "echo/v1/echo.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

using ::testing::HasSubstr;

constexpr char kEcho[] = "countersign.rpc.testing.echo.v1.EchoService";

std::vector<RoleTable::Row> CompleteRows() {
  return {{"Echo", {Role::kOperator}},
          {"EchoLater", {Role::kService}},
          {"Count", {Role::kOperator}, {"rollout"}},
          {"Watch", {}},
          {"Download", {Role::kGateway}},
          {"Closed", {}},
          {"Sum", {Role::kGateway}}};
}

TEST(RoleTableTest, AllowsWhatItListsAndNothingElse) {
  // What the generated message needs is linked, and with it the service's descriptor.
  testing::echo::v1::EchoRequest linked;
  const RoleTable table(kEcho, CompleteRows());
  EXPECT_TRUE(table.Allows("Echo", {Role::kOperator, "anna"}));
  EXPECT_FALSE(table.Allows("Echo", {Role::kGateway, "gw-1"}));
  EXPECT_FALSE(table.Allows("Echo", {Role::kService, "rollout"}));
  EXPECT_TRUE(table.Allows("EchoLater", {Role::kService, "anyone"}));
  EXPECT_TRUE(table.Allows("Count", {Role::kService, "rollout"}));
  EXPECT_FALSE(table.Allows("Count", {Role::kService, "consent"}));
  EXPECT_FALSE(table.Allows("Count", {Role::kGateway, "rollout"}));
  for (Role role : kAllRoles) {
    EXPECT_FALSE(table.Allows("Watch", {role, "x"}));
    EXPECT_FALSE(table.Allows("Unlisted", {role, "x"}));
  }
}

TEST(RoleTableTest, ARefusalSaysWhoMayCall) {
  const RoleTable table(kEcho, CompleteRows());
  const absl::Status status = table.Check("Count", {Role::kGateway, "gw-1"});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is for operator, service/rollout"));
  EXPECT_THAT(std::string(table.Check("Watch", {Role::kOperator, "x"}).message()), HasSubstr("nobody"));
}

TEST(RoleTableTest, IsCompleteWithARowForEachMethod) {
  EXPECT_OK(RoleTable(kEcho, CompleteRows()).CheckComplete());
}

TEST(RoleTableTest, IsIncompleteWhenAMethodHasNoRow) {
  std::vector<RoleTable::Row> rows = CompleteRows();
  rows.pop_back();
  rows.push_back({"Summ", {Role::kGateway}});
  const absl::Status status = RoleTable(kEcho, rows).CheckComplete();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "ROLE_TABLE_INCOMPLETE"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Sum has no row, Summ is no method"));
  EXPECT_THAT(RoleTable("no.such.Service", {}).CheckComplete(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "UNKNOWN_SERVICE"));
}

TEST(RoleTableDeathTest, TwoRowsForOneMethodAbort) {
  EXPECT_DEATH(RoleTable(kEcho, {{"Echo", {Role::kOperator}}, {"Echo", {Role::kGateway}}}),
               "two rows for Echo");
}

}  // namespace
}  // namespace countersign::rpc
