#include "common/rpc/identity.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

TEST(IdentityTest, TheOneUriOfACertificateSaysWhoItIs) {
  EXPECT_THAT(IdentityFromUris({"spiffe://home.example/gateway/gw-1"}, "home.example"),
              IsOkAndHolds(Identity{Role::kGateway, "gw-1"}));
}

TEST(IdentityTest, EveryRoleHasANameThatReadsBack) {
  for (Role role : kAllRoles) {
    const Identity identity{role, "x.1"};
    EXPECT_THAT(ParseIdentity(identity.ToString()), IsOkAndHolds(identity));
    EXPECT_THAT(IdentityFromUris({identity.ToUri("home.example")}, "home.example"), IsOkAndHolds(identity));
  }
}

class BadUriTest : public ::testing::TestWithParam<const char*> {};

TEST_P(BadUriTest, IsRefused) {
  EXPECT_THAT(IdentityFromUris({GetParam()}, "home.example"),
              StatusIs(absl::StatusCode::kUnauthenticated, "BAD_CERTIFICATE_IDENTITY"));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadUriTest,
    ::testing::Values(
        "", "spiffe://", "spiffe://home.example", "spiffe://home.example/", "spiffe://home.example/gateway",
        "spiffe://home.example/gateway/", "spiffe://home.example/gateway/gw-1/",
        "spiffe://home.example/gateway/gw-1/x", "spiffe://home.example//gw-1",
        "spiffe://home.example/king/gw-1", "spiffe://home.example/Gateway/gw-1",
        "spiffe://home.example/gateway/GW-1", "spiffe://home.example/gateway/gw_1",
        "spiffe://home.example/gateway/gw%2d1", "spiffe://home.example/gateway/gw 1",
        "spiffe://home.example/gateway/-gw", "spiffe://home.example/gateway/gw.",
        "spiffe://home.example/gateway/a..b", "spiffe://home.example/gateway/gw-1?x",
        "spiffe://home.example/gateway/0123456789012345678901234567890123456789012345678901234567890123",
        "spiffe://home.example.evil/gateway/gw-1", "spiffe://evil/gateway/gw-1",
        "SPIFFE://home.example/gateway/gw-1", "https://home.example/gateway/gw-1",
        "spiffe://home.example:443/gateway/gw-1", "spiffe://u@home.example/gateway/gw-1"));

TEST(IdentityTest, NoUriOrSeveralAreRefused) {
  EXPECT_THAT(IdentityFromUris({}, "home.example"), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(IdentityFromUris({"spiffe://home.example/gateway/gw-1", "spiffe://home.example/operator/anna"},
                               "home.example"),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST(IdentityTest, ATrustDomainIsALowerCaseName) {
  EXPECT_TRUE(IsValidTrustDomain("home.example"));
  EXPECT_FALSE(IsValidTrustDomain(""));
  EXPECT_FALSE(IsValidTrustDomain("Home.example"));
  EXPECT_FALSE(IsValidTrustDomain("home/example"));
  EXPECT_FALSE(IsValidTrustDomain(std::string(256, 'a')));
}

}  // namespace
}  // namespace countersign::rpc
