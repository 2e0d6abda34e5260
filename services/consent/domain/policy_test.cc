#include "services/consent/domain/policy.h"

#include <vector>

#include "gtest/gtest.h"

namespace countersign::consent {
namespace {

constexpr UpdateKind kKinds[] = {UpdateKind::kSecurity, UpdateKind::kFunctionality, UpdateKind::kMixed};
constexpr Criticality kCriticalities[] = {Criticality::kLow, Criticality::kMedium, Criticality::kHigh,
                                          Criticality::kCritical};

std::vector<UpdateKind> KindsOf(int bits) {
  std::vector<UpdateKind> kinds;
  for (int i = 0; i < 3; ++i) {
    if (bits & 1 << i) kinds.push_back(kKinds[i]);
  }
  return kinds;
}

// HOME-6, HOME-8: every set of kinds, least criticality, choice of components and accepted terms of a policy,
// against every kind, criticality and terms of a question.
TEST(PolicyTest, EveryCombinationOfPolicyAndQuestion) {
  int combinations = 0;
  int granted = 0;
  for (int kinds = 1; kinds < 8; ++kinds) {
    for (int minimum = 0; minimum <= 4; ++minimum) {
      for (const char* component : {"", "ecu-1", "ecu-2"}) {
        for (const char* accepted : {"", "terms-1", "terms-2"}) {
          Policy policy;
          policy.gateway = "gw-1";
          policy.kinds = KindsOf(kinds);
          if (minimum > 0) policy.minimum_criticality = static_cast<Criticality>(minimum);
          if (*component) policy.ecu_serials = {component};
          if (*accepted) policy.accepted_terms_sha256 = {accepted};
          for (int kind = 0; kind < 3; ++kind) {
            for (const Criticality criticality : kCriticalities) {
              for (const char* terms : {"", "terms-1"}) {
                Question question;
                question.gateway = "gw-1";
                question.ecu_serial = "ecu-1";
                question.kind = kKinds[kind];
                question.criticality = criticality;
                question.terms_sha256 = terms;
                const bool expected = (kinds >> kind & 1) && static_cast<int>(criticality) >= minimum &&
                                      component != std::string("ecu-2") &&
                                      (*terms == 0 || accepted == std::string("terms-1"));
                EXPECT_EQ(Grants(policy, question), expected)
                    << "kinds " << kinds << " minimum " << minimum << " component " << component
                    << " accepted " << accepted << "; kind " << kind << " criticality "
                    << static_cast<int>(criticality) << " terms " << terms;
                ++combinations;
                granted += expected;
              }
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(combinations, 7 * 5 * 3 * 3 * 3 * 4 * 2);
  EXPECT_GT(granted, 0);
}

TEST(PolicyTest, AWithdrawnPolicyAndAnotherGatewaysGrantNothing) {
  Policy policy;
  policy.gateway = "gw-1";
  policy.kinds = {UpdateKind::kSecurity};
  Question question;
  question.gateway = "gw-1";
  question.kind = UpdateKind::kSecurity;
  EXPECT_TRUE(Grants(policy, question));
  question.gateway = "gw-2";
  EXPECT_FALSE(Grants(policy, question));
  question.gateway = "gw-1";
  policy.active = false;
  EXPECT_FALSE(Grants(policy, question));
}

TEST(PolicyTest, TheOldestPolicyThatGrantsDecides) {
  Question question;
  question.gateway = "gw-1";
  question.kind = UpdateKind::kSecurity;
  Policy first{.gateway = "gw-1",
               .id = "first",
               .kinds = {UpdateKind::kFunctionality},
               .created_at = absl::FromUnixSeconds(1)};
  Policy second{.gateway = "gw-1",
                .id = "second",
                .kinds = {UpdateKind::kSecurity},
                .created_at = absl::FromUnixSeconds(2)};
  Policy third{.gateway = "gw-1",
               .id = "third",
               .kinds = {UpdateKind::kSecurity},
               .created_at = absl::FromUnixSeconds(3)};
  const std::vector<Policy> policies = {third, first, second};
  ASSERT_NE(FindGranting(policies, question), nullptr);
  EXPECT_EQ(FindGranting(policies, question)->id, "second");
  EXPECT_EQ(FindGranting({}, question), nullptr);
}

}  // namespace
}  // namespace countersign::consent
