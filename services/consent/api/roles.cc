#include "services/consent/api/roles.h"

namespace countersign::consent {

const rpc::RoleTable& ConsentRoles() {
  using enum rpc::Role;
  static const auto& table = *new rpc::RoleTable(
      "countersign.consent.v1.ConsentService", {
                                                   {"CreatePolicy", {kGateway}},
                                                   {"ListPolicies", {kOperator, kGateway}},
                                                   {"WithdrawPolicy", {kGateway}},
                                                   {"RequestConsent", {}, {"rollout"}},
                                                   {"CloseQuestions", {}, {"rollout"}},
                                                   {"ListPrompts", {kOperator, kGateway}},
                                                   {"AnswerPrompt", {kGateway}},
                                                   {"WithdrawConsent", {kGateway}},
                                                   {"GetRecord", {kOperator, kAuthority, kGateway, kService}},
                                                   {"ListRecords", {kOperator, kGateway}},
                                                   {"WatchDecisions", {}, {"rollout"}},
                                               });
  return table;
}

}  // namespace countersign::consent
