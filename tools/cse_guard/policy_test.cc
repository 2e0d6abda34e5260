#include "tools/cse_guard/policy.h"

#include <string>

#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::cse_guard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Facts Thermostat() {
  Facts facts;
  facts.registered = true;
  facts.application_class = "CONSUMER";
  facts.application_type = "thermostat";
  facts.security_capability = "SOFTWARE";
  facts.privacy_category = "NON_PERSONAL";
  facts.protection_level = 2;
  return facts;
}

Facts With(const char* severity, const char* reason) {
  Facts facts = Thermostat();
  facts.findings.push_back({severity, reason});
  return facts;
}

Policy PolicyOf(const std::string& text) {
  absl::StatusOr<Policy> policy = Policy::Parse(text);
  EXPECT_OK(policy);
  return *std::move(policy);
}

// APPID-5
TEST(PolicyTest, FindingsRejectByTheirWeight) {
  const Policy policy = PolicyOf("{}");
  EXPECT_TRUE(policy.Decide(Thermostat()).accept);
  EXPECT_TRUE(policy.Decide(With("NOTICE", "CREDENTIAL_PROTECTION_UNKNOWN")).accept);
  EXPECT_THAT(policy.Decide(With("WARNING", "LOWER_CASE_PREFIX")).reasons, ElementsAre("LOWER_CASE_PREFIX"));
  EXPECT_THAT(policy.Decide(With("CRITICAL", "SUSPENDED")).reasons, ElementsAre("SUSPENDED"));
  EXPECT_THAT(policy.Decide(With("FATAL", "NEW_ONE")).reasons, ElementsAre("NEW_ONE"))
      << "what this version does not know";
}

// APPID-5
TEST(PolicyTest, APolicySaysOtherwiseByReasonAndByClass) {
  const Policy policy = PolicyOf(R"({
    "findings": {"severity": {"WARNING": "accept"}, "reason": {"LOWER_CASE_PREFIX": "reject", "SUSPENDED": "accept"}},
    "classes": {"CONSUMER": {"findings": {"DATA_MODEL_DIFFERS": "reject"}}}
  })");
  EXPECT_TRUE(policy.Decide(With("WARNING", "ROOT_OF_TRUST_MISSING")).accept);
  EXPECT_FALSE(policy.Decide(With("WARNING", "LOWER_CASE_PREFIX")).accept);
  EXPECT_TRUE(policy.Decide(With("CRITICAL", "SUSPENDED")).accept);
  EXPECT_FALSE(policy.Decide(With("WARNING", "DATA_MODEL_DIFFERS")).accept);
  Facts industrial = With("WARNING", "DATA_MODEL_DIFFERS");
  industrial.application_class = "INDUSTRIAL";
  EXPECT_TRUE(policy.Decide(industrial).accept);
}

TEST(PolicyTest, AClassNeedsWhatItNeeds) {
  const Policy policy = PolicyOf(R"({"classes": {
    "CRITICAL_INFRASTRUCTURE": {"minimumSecurity": "TRUSTED_EXECUTION", "minimumProtectionLevel": 3,
                                "unreachable": "reject"}}})");
  Facts facts = Thermostat();
  EXPECT_TRUE(policy.Decide(facts).accept);
  facts.application_class = "CRITICAL_INFRASTRUCTURE";
  EXPECT_THAT(policy.Decide(facts).reasons, ElementsAre("SECURITY_TOO_WEAK", "DATA_PROTECTION_TOO_WEAK"));
  facts.security_capability = "SECURE_ELEMENT";
  facts.protection_level = 3;
  EXPECT_TRUE(policy.Decide(facts).accept);
  facts.security_capability = "SOMETHING_NEW";
  EXPECT_FALSE(policy.Decide(facts).accept);
  facts.security_capability = "TRUSTED_EXECUTION";
  facts.kept = true;
  EXPECT_THAT(policy.Decide(facts).reasons, ElementsAre("REGISTRY_UNREACHABLE"));
  facts.application_class = "CONSUMER";
  EXPECT_TRUE(policy.Decide(facts).accept);
}

TEST(PolicyTest, WithoutAnAnswerOnlyAPolicyThatSaysSoAccepts) {
  EXPECT_FALSE(PolicyOf("{}").DecideUnknown().accept);
  EXPECT_FALSE(PolicyOf(R"({"unreachable": "reject"})").DecideUnknown().accept);
  EXPECT_TRUE(PolicyOf(R"({"unreachable": "accept"})").DecideUnknown().accept);
}

// APPID-7
TEST(PolicyTest, TheFirstRuleThatFitsGrants) {
  const Policy policy = PolicyOf(R"({"grants": [
    {"classes": ["CONSUMER"], "types": ["thermostat"], "allowedTypes": [3, 4], "acpi": ["acp"],
     "container": {"maxInstances": 10, "maxBytes": 0}},
    {"classes": ["CONSUMER"], "privacy": ["NON_PERSONAL"]}
  ]})");
  Decision decision = policy.Decide(Thermostat());
  EXPECT_TRUE(decision.accept);
  EXPECT_THAT(decision.grant.allowed_types, ElementsAre(3, 4));
  EXPECT_THAT(decision.grant.acpi, ElementsAre("acp"));
  EXPECT_EQ(decision.grant.max_instances, 10);
  EXPECT_EQ(decision.grant.max_bytes, 0);
  Facts lamp = Thermostat();
  lamp.application_type = "lamp";
  decision = policy.Decide(lamp);
  EXPECT_TRUE(decision.accept);
  EXPECT_THAT(decision.grant.allowed_types, IsEmpty());
  lamp.privacy_category = "MEDICAL";
  EXPECT_THAT(policy.Decide(lamp).reasons, ElementsAre("NO_GRANT"));
}

TEST(PolicyTest, TheExampleIsOne) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile("tools/cse_guard/policy.example.json"));
  const Policy policy = PolicyOf(text);
  EXPECT_EQ(policy.cse_id(), "/id-in");
  EXPECT_EQ(policy.service_provider(), "acme.example.com");
  EXPECT_TRUE(policy.Decide(Thermostat()).accept);
  EXPECT_TRUE(policy.Decide(With("WARNING", "LOWER_CASE_PREFIX")).accept);
  EXPECT_FALSE(policy.Decide(With("NOTICE", "CREDENTIAL_NAMES_NOBODY")).accept);
  EXPECT_FALSE(policy.passes_unreadable_creations());
  EXPECT_TRUE(policy.passes_unknown_originators());
}

TEST(PolicyTest, WhatIsWrongInAPolicyIsSaidWithItsPlace) {
  struct Case {
    const char* text;
    const char* place;
  };
  for (const Case& c : {
           Case{"", "the policy"},
           Case{"[]", "the policy"},
           Case{R"({"finding": {}})", "the policy: there is no \"finding\""},
           Case{R"({"cse": {"id": "id-in"}})", "cse.id"},
           Case{R"({"cse": {"id": "/"}})", "cse.id"},
           Case{R"({"cse": []})", "cse"},
           Case{R"({"findings": {"severity": {"FATAL": "reject"}}})", "findings.severity"},
           Case{R"({"findings": {"reason": {"SUSPENDET": "reject"}}})", "findings.reason"},
           Case{R"({"findings": {"reason": {"SUSPENDED": "allow"}}})", "findings.reason.SUSPENDED"},
           Case{R"({"classes": {"CONSUMERS": {}}})", "CONSUMERS"},
           Case{R"({"classes": {"CONSUMER": {"minimumSecurity": "TPM"}}})",
                "classes.CONSUMER.minimumSecurity"},
           Case{R"({"classes": {"CONSUMER": {"minimumProtectionLevel": "4"}}})", "minimumProtectionLevel"},
           Case{R"({"classes": {"CONSUMER": 1}})", "classes.CONSUMER"},
           Case{R"({"unreachable": "kept"})", "unreachable"},
           Case{R"({"unreadable": {"aeCreation": true}})", "unreadable.aeCreation"},
           Case{R"({"attests": {"root": "SECURE_ELEMENT"}})", "attests"},
           Case{R"({"applicationClass": "HOME"})", "applicationClass"},
           Case{R"({"grants": {}})", "grants"},
           Case{R"({"grants": [1]})", "grants[0]"},
           Case{R"({"grants": [{"allowedTypes": []}]})", "grants[0].allowedTypes"},
           Case{R"({"grants": [{"allowedTypes": ["3"]}]})", "grants[0].allowedTypes"},
           Case{R"({"grants": [{}, {"container": {"maxBytes": -1}}]})", "grants[1].container.maxBytes"},
           Case{R"({"grants": [{"acpi": "acp"}]})", "grants[0].acpi"},
       }) {
    const absl::StatusOr<Policy> policy = Policy::Parse(c.text);
    EXPECT_THAT(policy, StatusIs(absl::StatusCode::kInvalidArgument, "POLICY_INVALID")) << c.text;
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr(c.place)) << c.text;
  }
}

}  // namespace
}  // namespace countersign::cse_guard
