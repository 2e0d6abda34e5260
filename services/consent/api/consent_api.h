#ifndef COUNTERSIGN_SERVICES_CONSENT_API_CONSENT_API_H_
#define COUNTERSIGN_SERVICES_CONSENT_API_CONSENT_API_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "countersign/consent/v1/consent.pb.h"
#include "services/consent/storage/consent_store.h"

namespace countersign::consent {


// ConsentService. Thread-safe.
class ConsentApi {
 public:
  // What the handlers work on; all of it outlives the server.
  struct Parts {
    db::Database& database;
    ConsentStore& store;
    feed::Tail& tail;
    const Clock& clock;
  };
  explicit ConsentApi(const Parts& parts) : parts_(parts) {}

  std::unique_ptr<rpc::Service> Bind();

 private:
  // question_handlers.cc
  absl::Status RequestConsent(const rpc::Call& call, const v1::RequestConsentRequest& request,
                              v1::RequestConsentResponse* response);
  absl::Status CloseQuestions(const rpc::Call& call, const v1::CloseQuestionsRequest& request,
                              v1::CloseQuestionsResponse* response);
  absl::Status ListPrompts(const rpc::Call& call, const v1::ListPromptsRequest& request,
                           v1::ListPromptsResponse* response);
  absl::Status AnswerPrompt(const rpc::Call& call, const v1::AnswerPromptRequest& request,
                            v1::ConsentRecord* response);

  // record_handlers.cc
  absl::Status CreatePolicy(const rpc::Call& call, const v1::CreatePolicyRequest& request,
                            v1::Policy* response);
  absl::Status ListPolicies(const rpc::Call& call, const v1::ListPoliciesRequest& request,
                            v1::ListPoliciesResponse* response);
  absl::Status WithdrawPolicy(const rpc::Call& call, const v1::WithdrawPolicyRequest& request,
                              v1::Policy* response);
  absl::Status WithdrawConsent(const rpc::Call& call, const v1::WithdrawConsentRequest& request,
                               v1::ConsentRecord* response);
  absl::Status GetRecord(const rpc::Call& call, const v1::GetRecordRequest& request,
                         v1::ConsentRecord* response);
  absl::Status ListRecords(const rpc::Call& call, const v1::ListRecordsRequest& request,
                           v1::ListRecordsResponse* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchDecisionsResponse>>> WatchDecisions(
      const rpc::Call& call, const v1::WatchDecisionsRequest& request, rpc::Waker waker);

  // A gateway's change, once for each request id: `body` returns the serialised response.
  absl::Status ChangeOnce(const rpc::Call& call, absl::string_view method, const std::string& gateway,
                          const std::string& request_id, const google::protobuf::MessageLite& request,
                          google::protobuf::MessageLite* response,
                          absl::FunctionRef<absl::StatusOr<std::string>(Changes&)> body);

  const Parts parts_;
};

// OK unless the caller is another gateway: PERMISSION_DENIED (NOT_YOUR_GATEWAY).
absl::Status CheckOwn(const rpc::Identity& caller, absl::string_view gateway);

// The gateway whose list `parent` asks for, nullopt for all: a gateway that asks for all gets its own.
absl::StatusOr<std::optional<std::string>> ListedGateway(const rpc::Identity& caller,
                                                         absl::string_view parent);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_API_CONSENT_API_H_
