#include "tools/cse_guard/registry.h"

#include <dirent.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

namespace v1 = appid_registry::v1;

constexpr int64_t kMaxAnswerBytes = 1 << 20;
// Who presents a new credential each time must not fill the disk.
constexpr int kMaxKept = 100'000;
constexpr absl::string_view kSuffix = ".json";

// "CONSUMER" of APPLICATION_CLASS_CONSUMER.
template <typename Name>
std::string Short(const Name& name, absl::string_view prefix) {
  absl::string_view text = name;
  absl::ConsumePrefix(&text, prefix);
  return std::string(text);
}

absl::StatusOr<Facts> FactsOf(const onem2m::Answer& answer, bool kept) {
  Facts facts;
  for (const onem2m::AnswerFinding& finding : answer.findings) {
    facts.findings.push_back({finding.severity, finding.reason});
  }
  facts.kept = kept;
  if (answer.profile.empty()) return facts;
  v1::Profile profile;
  if (!profile.ParseFromString(answer.profile)) {
    return Error(absl::StatusCode::kInvalidArgument, "MALFORMED_METADATA",
                 "the answer's profile cannot be read");
  }
  facts.registered = true;
  facts.application_type = profile.application_type();
  facts.application_class =
      Short(v1::Profile::ApplicationClass_Name(profile.application_class()), "APPLICATION_CLASS_");
  facts.security_capability =
      Short(v1::Profile::SecurityCapability_Name(profile.security_capability()), "SECURITY_CAPABILITY_");
  facts.privacy_category =
      Short(v1::Profile::PrivacyCategory_Name(profile.data_privacy().category()), "PRIVACY_CATEGORY_");
  facts.protection_level = profile.data_privacy().protection_level();
  return facts;
}

}  // namespace

struct Registry::State {
  std::unique_ptr<v1::AppIdRegistryService::Stub> stub;
  std::atomic<int> kept = 0;
};

Registry::Registry(const rpc::Dialer& dialer, Options options)
    : options_(std::move(options)),
      state_(new State{v1::AppIdRegistryService::NewStub(
          dialer.Dial(options_.address, {rpc::Role::kService, "appid-registry"}))}) {}

Registry::~Registry() = default;

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(const rpc::Dialer& dialer, Options options) {
  RETURN_IF_ERROR(MakeDirectories(options.folder));
  std::unique_ptr<Registry> registry(new Registry(dialer, std::move(options)));
  registry->ForgetOld();
  return registry;
}

void Registry::ForgetOld() {
  DIR* const folder = opendir(options_.folder.c_str());
  if (folder == nullptr) return;
  while (const dirent* const entry = readdir(folder)) {
    absl::string_view name = entry->d_name;
    if (!absl::ConsumeSuffix(&name, kSuffix)) continue;
    const std::string path = FileOf(name);
    const absl::StatusOr<std::string> document = ReadFile(path, kMaxAnswerBytes);
    if (document.ok() &&
        onem2m::VerifyAnswer(*document, options_.answer_key, name, options_.clock->Now()).ok()) {
      ++state_->kept;
    } else {
      RemoveFile(path).IgnoreError();
    }
  }
  closedir(folder);
}

std::string Registry::FileOf(absl::string_view question_sha256) const {
  return absl::StrCat(options_.folder, "/", question_sha256, kSuffix);
}

void Registry::Keep(const std::string& question_sha256, const std::string& document) {
  const std::string path = FileOf(question_sha256);
  if (const absl::StatusOr<std::string> there = ReadFile(path, kMaxAnswerBytes); there.ok()) {
    if (*there == document) return;
  } else if (state_->kept.fetch_add(1) >= kMaxKept) {
    --state_->kept;
    return;
  }
  if (const absl::Status written = WriteFileAtomically(path, document, 0600); !written.ok()) {
    log::Warn("an answer could not be kept", {{"status", written}});
  }
}

std::optional<Facts> Registry::FindKept(const std::string& question_sha256) {
  const absl::StatusOr<std::string> document = ReadFile(FileOf(question_sha256), kMaxAnswerBytes);
  if (!document.ok()) return std::nullopt;
  const absl::StatusOr<onem2m::Answer> answer =
      onem2m::VerifyAnswer(*document, options_.answer_key, question_sha256, options_.clock->Now());
  if (!answer.ok()) {
    log::Warn("a kept answer is not taken",
              {{"status", answer.status()}, {"reason", ReasonOf(answer.status())}});
    return std::nullopt;
  }
  const absl::StatusOr<Facts> facts = FactsOf(*answer, /*kept=*/true);
  if (!facts.ok()) return std::nullopt;
  return *facts;
}

absl::StatusOr<std::optional<Facts>> Registry::Ask(const Question& question) {
  v1::VerifyIdentityRequest request;
  request.set_app_id(question.app_id);
  request.set_ae_id(question.ae_id);
  onem2m::Question asked{
      .app_id = question.app_id, .ae_id = question.ae_id, .data_model = question.data_model};
  for (const std::string& certificate : question.certificates) {
    request.mutable_credential()->add_certificate_chain(certificate);
    asked.certificates_sha256.push_back(crypto::Sha256Hex(certificate));
  }
  v1::Observation& observation = *request.mutable_observation();
  observation.set_data_model(question.data_model);
  v1::Profile::ApplicationClass application_class;
  if (v1::Profile::ApplicationClass_Parse(absl::StrCat("APPLICATION_CLASS_", question.application_class),
                                          &application_class)) {
    observation.set_application_class(application_class);
    asked.application_class = application_class;
  }
  v1::Profile::SecurityCapability protection;
  if (v1::Profile::SecurityCapability_Parse(
          absl::StrCat("SECURITY_CAPABILITY_", question.credential_protection), &protection)) {
    observation.set_credential_protection(protection);
    observation.set_credential_protection_attested(true);
    asked.credential_protection = protection;
    asked.credential_protection_attested = true;
  }
  const std::string question_sha256 = onem2m::QuestionDigest(asked);

  v1::VerifyIdentityResponse response;
  rpc::CallContext context(options_.clock->Now() + options_.patience);
  const absl::Status status = rpc::FromGrpc(state_->stub->VerifyIdentity(context.get(), request, &response));
  if (absl::IsInvalidArgument(status)) return status;
  if (status.ok()) {
    const absl::StatusOr<onem2m::Answer> answer = onem2m::VerifyAnswer(
        response.signed_answer(), options_.answer_key, question_sha256, options_.clock->Now());
    if (answer.ok()) {
      ASSIGN_OR_RETURN(Facts facts, FactsOf(*answer, /*kept=*/false));
      Keep(question_sha256, response.signed_answer());
      return facts;
    }
    // As if it had not answered: who it is its certificate said, and what it says is not signed as it should
    // be.
    log::Error("the registry's answer is not taken",
               {{"status", answer.status()}, {"reason", ReasonOf(answer.status())}});
  } else {
    log::Warn("the registry cannot be asked", {{"status", status}});
  }
  return FindKept(question_sha256);
}

}  // namespace countersign::cse_guard
