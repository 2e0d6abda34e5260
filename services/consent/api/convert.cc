#include "services/consent/api/convert.h"

#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/rpc/identity.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/update/release_info.h"

namespace countersign::consent {
namespace {

constexpr size_t kMaxName = 128;
constexpr size_t kMaxVersion = 64;
constexpr size_t kMaxAssignment = 256;
constexpr int kMaxListed = 256;

absl::Status Invalid(absl::string_view field, absl::string_view wanted) {
  return Error(absl::StatusCode::kInvalidArgument, "REQUEST_INVALID",
               absl::StrCat(field, " must be ", wanted, "."), {{"field", std::string(field)}});
}

absl::Status NameInvalid(absl::string_view wanted) {
  return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
               absl::StrCat("The name must be ", wanted, "."));
}

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(text[i])) return false;
  }
  return true;
}

google::protobuf::Timestamp TimestampOf(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t micros = absl::ToUnixMicros(time);
  timestamp.set_seconds(micros / 1'000'000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  return timestamp;
}

v1::Decision DecisionToProto(QuestionState state) {
  switch (state) {
    case QuestionState::kGranted:
      return v1::DECISION_GRANTED;
    case QuestionState::kDenied:
      return v1::DECISION_DENIED;
    case QuestionState::kDeferred:
      return v1::DECISION_DEFERRED;
    case QuestionState::kWithdrawn:
      return v1::DECISION_WITHDRAWN;
    case QuestionState::kExpired:
      return v1::DECISION_EXPIRED;
    case QuestionState::kWaiting:
    case QuestionState::kClosed:
      break;
  }
  return v1::DECISION_PENDING;
}

v1::Prompt::State PromptState(const AskedQuestion& asked) {
  if (asked.state == QuestionState::kWaiting) return v1::Prompt::STATE_WAITING;
  if (asked.state == QuestionState::kClosed) return v1::Prompt::STATE_CLOSED;
  const bool by_policy = asked.decision && !asked.decision->policy_id.empty();
  return by_policy ? v1::Prompt::STATE_CLOSED : v1::Prompt::STATE_ANSWERED;
}

std::string FormatChild(absl::string_view gateway, absl::string_view collection, absl::string_view id) {
  return absl::StrCat("gateways/", gateway, "/", collection, "/", id);
}

}  // namespace

absl::StatusOr<std::string> ParseGateway(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != "gateways" || !rpc::IsValidId(parts[1])) {
    return NameInvalid("gateways/{gateway}");
  }
  return std::string(parts[1]);
}

absl::StatusOr<std::optional<std::string>> ParseGatewayOrAll(absl::string_view name) {
  if (name == "gateways/-") return std::nullopt;
  ASSIGN_OR_RETURN(std::string gateway, ParseGateway(name));
  return std::optional<std::string>(std::move(gateway));
}

absl::StatusOr<ChildName> ParseChild(absl::string_view name, absl::string_view collection) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "gateways" || !rpc::IsValidId(parts[1]) || parts[2] != collection ||
      !IsUuid(parts[3])) {
    return NameInvalid(FormatChild("{gateway}", collection, "{id}, as the service gave it"));
  }
  return ChildName{std::string(parts[1]), std::string(parts[3])};
}

absl::Status CheckPrincipal(absl::string_view principal_id) {
  if (update::IsPrintableAscii(principal_id, kMaxName)) return absl::OkStatus();
  return Invalid("principal_id", "1 to 128 printable ASCII characters");
}

absl::StatusOr<Policy> PolicyFromProto(const std::string& gateway, const v1::Policy& policy, absl::Time now) {
  RETURN_IF_ERROR(CheckPrincipal(policy.principal_id()));
  Policy result;
  result.gateway = gateway;
  result.id = crypto::Uuid();
  result.principal_id = policy.principal_id();
  std::set<int> kinds;
  for (const int kind : policy.kinds()) {
    if (kind == common::v1::UPDATE_KIND_UNSPECIFIED || !common::v1::UpdateKind_IsValid(kind)) {
      return Invalid("policy.kinds", "SECURITY, FUNCTIONALITY or MIXED");
    }
    if (kinds.insert(kind).second) result.kinds.push_back(static_cast<UpdateKind>(kind));
  }
  if (kinds.empty()) return Invalid("policy.kinds", "at least one kind");
  if (!common::v1::Criticality_IsValid(policy.minimum_criticality())) {
    return Invalid("policy.minimum_criticality", "LOW, MEDIUM, HIGH or CRITICAL, or not set");
  }
  if (policy.minimum_criticality() != common::v1::CRITICALITY_UNSPECIFIED) {
    result.minimum_criticality = static_cast<Criticality>(policy.minimum_criticality());
  }
  if (policy.ecu_serials_size() > kMaxListed) return Invalid("policy.ecu_serials", "at most 256");
  for (const std::string& serial : policy.ecu_serials()) {
    if (!update::IsPrintableAscii(serial, kMaxName)) return Invalid("policy.ecu_serials", "ecu_serials");
    result.ecu_serials.push_back(serial);
  }
  if (policy.accepted_terms_sha256_size() > kMaxListed) {
    return Invalid("policy.accepted_terms_sha256", "at most 256");
  }
  for (const std::string& terms : policy.accepted_terms_sha256()) {
    if (!crypto::IsSha256Hex(terms)) {
      return Invalid("policy.accepted_terms_sha256", "SHA-256 in 64 lower-case hexadecimal digits");
    }
    result.accepted_terms_sha256.push_back(terms);
  }
  if (!update::IsLanguageTag(policy.language())) return Invalid("policy.language", "a BCP 47 language tag");
  result.language = policy.language();
  if (!crypto::IsSha256Hex(policy.text_sha256())) {
    return Invalid("policy.text_sha256",
                   "the SHA-256 of the text that was shown, 64 lower-case hexadecimal digits");
  }
  result.text_sha256 = policy.text_sha256();
  result.created_at = now;
  return result;
}

absl::StatusOr<NewQuestion> QuestionFromProto(const v1::ConsentQuestion& question) {
  ASSIGN_OR_RETURN(const QuestionKey key, [&] {
    v1::QuestionKey wanted;
    wanted.set_assignment(question.assignment());
    wanted.set_gateway(question.gateway());
    return KeyFromProto(wanted);
  }());
  if (!update::IsPrintableAscii(question.ecu_serial(), kMaxName)) {
    return Invalid("ecu_serial", "1 to 128 printable ASCII characters");
  }
  if (!question.from_version().empty() && !update::IsPrintableAscii(question.from_version(), kMaxVersion)) {
    return Invalid("from_version", "at most 64 printable ASCII characters");
  }
  if (const absl::Status checked = update::CheckReleaseInfo(question.release()); !checked.ok()) {
    return Annotate(checked, question.assignment());
  }
  const common::v1::ReleaseInfo& release = question.release();
  NewQuestion asked;
  asked.question = {.gateway = key.gateway,
                    .assignment = key.assignment,
                    .ecu_serial = question.ecu_serial(),
                    .target_path = release.image().target_path(),
                    .image_sha256 = release.image().sha256(),
                    .from_version = question.from_version(),
                    .to_version = release.version(),
                    .kind = static_cast<UpdateKind>(release.kind()),
                    .criticality = static_cast<Criticality>(release.criticality()),
                    .terms_sha256 = release.terms().text_sha256(),
                    .notices = {}};
  for (const common::v1::UserNotice& notice : release.notices()) {
    asked.question.notices.push_back({notice.language(), update::NoticeTextSha256(notice)});
  }
  asked.wire = question.SerializeAsString();
  return asked;
}

absl::StatusOr<QuestionKey> KeyFromProto(const v1::QuestionKey& key) {
  const std::vector<absl::string_view> parts = absl::StrSplit(key.assignment(), '/');
  if (!update::IsPrintableAscii(key.assignment(), kMaxAssignment) || parts.size() != 4 ||
      parts[0] != "rollouts" || parts[2] != "assignments" || parts[1].empty() || parts[3].empty()) {
    return Invalid("assignment", "rollouts/{rollout}/assignments/{ecu_serial}");
  }
  if (!rpc::IsValidId(key.gateway())) return Invalid("gateway", "the id of a gateway");
  return QuestionKey{key.gateway(), key.assignment()};
}

absl::StatusOr<Answer> AnswerFromProto(const v1::AnswerPromptRequest& request) {
  Answer answer;
  switch (request.decision()) {
    case v1::DECISION_GRANTED:
      answer.event = QuestionEvent::kUserGrants;
      break;
    case v1::DECISION_DENIED:
      answer.event = QuestionEvent::kUserDenies;
      break;
    case v1::DECISION_DEFERRED:
      answer.event = QuestionEvent::kUserDefers;
      break;
    default:
      return Invalid("decision", "GRANTED, DENIED or DEFERRED");
  }
  RETURN_IF_ERROR(CheckPrincipal(request.principal_id()));
  answer.principal_id = request.principal_id();
  answer.language = request.language();
  answer.text_sha256 = request.text_sha256();
  answer.accepted_terms_sha256 = request.accepted_terms_sha256();
  if (request.has_deferred_until_time()) {
    const auto& time = request.deferred_until_time();
    // Year 9999 is the end of what the records' form of time can say.
    if (time.seconds() < 0 || time.seconds() > 253402300799 || time.nanos() < 0 ||
        time.nanos() > 999'999'999) {
      return Invalid("deferred_until_time", "a time between 1970 and 9999");
    }
    answer.deferred_until = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  }
  return answer;
}

v1::Policy ToProto(const Policy& policy) {
  v1::Policy proto;
  proto.set_name(FormatChild(policy.gateway, "policies", policy.id));
  proto.set_principal_id(policy.principal_id);
  for (const UpdateKind kind : policy.kinds) proto.add_kinds(static_cast<common::v1::UpdateKind>(kind));
  if (policy.minimum_criticality) {
    proto.set_minimum_criticality(static_cast<common::v1::Criticality>(*policy.minimum_criticality));
  }
  for (const std::string& serial : policy.ecu_serials) proto.add_ecu_serials(serial);
  for (const std::string& terms : policy.accepted_terms_sha256) proto.add_accepted_terms_sha256(terms);
  proto.set_language(policy.language);
  proto.set_text_sha256(policy.text_sha256);
  proto.set_state(policy.active ? v1::Policy::STATE_ACTIVE : v1::Policy::STATE_WITHDRAWN);
  *proto.mutable_create_time() = TimestampOf(policy.created_at);
  return proto;
}

v1::Prompt PromptToProto(const AskedQuestion& asked) {
  v1::Prompt prompt;
  prompt.set_name(FormatChild(asked.question.gateway, "prompts", asked.id));
  prompt.mutable_question()->ParseFromString(asked.wire);
  prompt.set_state(PromptState(asked));
  if (asked.asked_at) *prompt.mutable_create_time() = TimestampOf(*asked.asked_at);
  if (asked.latest_deferral) *prompt.mutable_latest_deferral_time() = TimestampOf(*asked.latest_deferral);
  return prompt;
}

v1::ConsentAnswer AnswerToProto(const AskedQuestion& asked) {
  v1::ConsentAnswer answer;
  answer.set_assignment(asked.question.assignment);
  answer.set_decision(DecisionToProto(asked.state));
  if (answer.decision() != v1::DECISION_PENDING) *answer.mutable_record() = RecordToProto(asked);
  return answer;
}

v1::ConsentRecord RecordToProto(const AskedQuestion& asked) {
  const DecisionMade& made = *asked.decision;
  v1::ConsentRecord record;
  record.set_name(FormatChild(asked.question.gateway, "records", asked.id));
  record.set_assignment(asked.question.assignment);
  record.set_decision(DecisionToProto(made.decision));
  record.set_signed_record(made.signed_record);
  if (!made.policy_id.empty())
    record.set_policy(FormatChild(asked.question.gateway, "policies", made.policy_id));
  *record.mutable_decide_time() = TimestampOf(made.decided_at);
  *record.mutable_valid_until_time() = TimestampOf(made.valid_until);
  record.set_principal_id(made.principal_id);
  return record;
}

}  // namespace countersign::consent
