#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/consent/api/consent_api.h"
#include "services/consent/api/convert.h"

namespace countersign::consent {
namespace {

constexpr int kMaxQuestions = 1000;
constexpr int kPageSize = 50;
constexpr int kMaxPageSize = 100;

absl::Status CheckCount(int questions) {
  if (questions >= 1 && questions <= kMaxQuestions) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "REQUEST_INVALID",
               absl::StrCat("questions must be 1 to ", kMaxQuestions, "; send more in several requests."));
}

}  // namespace

absl::Status ConsentApi::RequestConsent(const rpc::Call&, const v1::RequestConsentRequest& request,
                                        v1::RequestConsentResponse* response) {
  RETURN_IF_ERROR(CheckCount(request.questions_size()));
  std::vector<NewQuestion> questions;
  std::set<std::string> gateways;
  for (const v1::ConsentQuestion& question : request.questions()) {
    ASSIGN_OR_RETURN(NewQuestion asked, QuestionFromProto(question));
    gateways.insert(asked.question.gateway);
    questions.push_back(std::move(asked));
  }
  ASSIGN_OR_RETURN(
      const std::vector<AskedQuestion> answers,
      parts_.store.Change("RequestConsent", {gateways.begin(), gateways.end()}, parts_.clock.Now(),
                          [&](Changes& changes) { return changes.Request(questions); }));
  parts_.tail.Nudge();
  for (const AskedQuestion& asked : answers) *response->add_answers() = AnswerToProto(asked);
  return absl::OkStatus();
}

absl::Status ConsentApi::CloseQuestions(const rpc::Call&, const v1::CloseQuestionsRequest& request,
                                        v1::CloseQuestionsResponse*) {
  RETURN_IF_ERROR(CheckCount(request.questions_size()));
  std::vector<QuestionKey> keys;
  std::set<std::string> gateways;
  for (const v1::QuestionKey& question : request.questions()) {
    ASSIGN_OR_RETURN(QuestionKey key, KeyFromProto(question));
    gateways.insert(key.gateway);
    keys.push_back(std::move(key));
  }
  return parts_.store.Change("CloseQuestions", {gateways.begin(), gateways.end()}, parts_.clock.Now(),
                             [&](Changes& changes) { return changes.Close(keys); });
}

absl::Status ConsentApi::ListPrompts(const rpc::Call& call, const v1::ListPromptsRequest& request,
                                     v1::ListPromptsResponse* response) {
  ASSIGN_OR_RETURN(const std::optional<std::string> gateway,
                   ListedGateway(call.identity(), request.parent()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope = absl::StrCat("ListPrompts ", gateway.value_or("-"), " ", request.show_closed());
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 3));

  std::optional<ConsentStore::After> after;
  if (!keys.empty()) after = {keys[0], keys[1], keys[2]};
  ASSIGN_OR_RETURN(std::vector<AskedQuestion> prompts,
                   parts_.store.ListPrompts(gateway, request.show_closed(), after, page_size + 1));
  if (prompts.size() > static_cast<size_t>(page_size)) {
    prompts.resize(page_size);
    const AskedQuestion& last = prompts.back();
    response->set_next_page_token(
        db::EncodePageToken(scope, {ConsentStore::TimeKey(*last.asked_at), last.question.gateway, last.id}));
  }
  for (const AskedQuestion& prompt : prompts) *response->add_prompts() = PromptToProto(prompt);
  return absl::OkStatus();
}

absl::Status ConsentApi::AnswerPrompt(const rpc::Call& call, const v1::AnswerPromptRequest& request,
                                      v1::ConsentRecord* response) {
  ASSIGN_OR_RETURN(const ChildName name, ParseChild(request.name(), "prompts"));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.gateway));
  ASSIGN_OR_RETURN(const Answer answer, AnswerFromProto(request));
  return ChangeOnce(call, "AnswerPrompt", name.gateway, request.request_id(), request, response,
                    [&](Changes& changes) -> absl::StatusOr<std::string> {
                      ASSIGN_OR_RETURN(const AskedQuestion asked,
                                       changes.Answer(name.gateway, name.id, answer));
                      return RecordToProto(asked).SerializeAsString();
                    });
}

}  // namespace countersign::consent
