#include "services/inventory/domain/challenge.h"

#include "common/crypto/hex.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "services/inventory/domain/manifest.h"

namespace countersign::inventory::domain {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const Challenges& kChallenges = *new Challenges("the replicas' secret", absl::Minutes(10));

auto IsRefused() { return StatusIs(absl::StatusCode::kFailedPrecondition, kNonceMismatch); }

TEST(ChallengesTest, WhatWasMadeForAGatewayIsGoodForItAlone) {
  const std::string nonce = kChallenges.Make("home-1", kNow);
  EXPECT_TRUE(crypto::IsLowerHex(nonce, 32));
  EXPECT_OK(kChallenges.Check("home-1", nonce, kNow));
  EXPECT_THAT(kChallenges.Check("home-2", nonce, kNow), IsRefused());
  EXPECT_THAT(kChallenges.Check("home-", nonce + "1", kNow), IsRefused());
}

TEST(ChallengesTest, AnotherReplicaWithTheSecretTakesItAndNobodyWithout) {
  const std::string nonce = kChallenges.Make("home-1", kNow);
  EXPECT_OK(Challenges("the replicas' secret", absl::Minutes(10)).Check("home-1", nonce, kNow));
  EXPECT_THAT(Challenges("another", absl::Minutes(10)).Check("home-1", nonce, kNow), IsRefused());
}

TEST(ChallengesTest, ItIsGoodForItsTimeAndNoLonger) {
  // Of its own: those that others made at the same time put the next one some microseconds later.
  const Challenges challenges("secret", absl::Minutes(10));
  const std::string nonce = challenges.Make("home-1", kNow);
  EXPECT_EQ(challenges.ExpireTime(kNow), kNow + absl::Minutes(10));
  EXPECT_OK(challenges.Check("home-1", nonce, kNow + absl::Minutes(10) - absl::Milliseconds(1)));
  EXPECT_THAT(challenges.Check("home-1", nonce, kNow + absl::Minutes(10)), IsRefused());
  EXPECT_OK(challenges.Check("home-1", nonce, kNow - absl::Seconds(59))) << "clocks of replicas differ";
  EXPECT_THAT(challenges.Check("home-1", nonce, kNow - absl::Seconds(61)), IsRefused());
}

TEST(ChallengesTest, NotOneDigitOfItCanBeChanged) {
  const std::string nonce = kChallenges.Make("home-1", kNow);
  for (size_t i = 0; i < nonce.size(); ++i) {
    std::string other = nonce;
    other[i] = other[i] == '0' ? '1' : '0';
    EXPECT_THAT(kChallenges.Check("home-1", other, kNow), IsRefused()) << i;
  }
  for (const std::string& other : {std::string(), nonce.substr(1), nonce + "0", std::string(32, '0'),
                                   std::string(32, 'g'), std::string(1000, 'a')}) {
    EXPECT_THAT(kChallenges.Check("home-1", other, kNow), IsRefused()) << other;
  }
}

TEST(ChallengesTest, LaterOnesCompareHigher) {
  const Challenges challenges("secret", absl::Minutes(10));
  std::string last;
  for (const absl::Duration after : {absl::ZeroDuration(), absl::ZeroDuration(), absl::Milliseconds(1),
                                     -absl::Hours(1), absl::Hours(1), absl::Hours(24 * 365 * 100)}) {
    const std::string nonce = challenges.Make("home-1", kNow + after);
    EXPECT_LT(last, nonce) << after;
    last = nonce;
  }
}

}  // namespace
}  // namespace countersign::inventory::domain
