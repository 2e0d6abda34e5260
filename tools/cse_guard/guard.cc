#include "tools/cse_guard/guard.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

using nlohmann::json;

// What requests are counted as.
constexpr char kAeCreation[] = "ae_creation";
constexpr char kOther[] = "other";

// The names of an application in its certificate (services/appid_registry).
constexpr char kNames[] = "urn:onem2m:";

bool Created(const HttpResponse& response) { return response.status == 201; }

// A number of the content of a <container>, which lenient CSEs take as a string too.
std::optional<int64_t> NumberIn(const json& container, const char* key) {
  const json& value = container[key];
  if (value.is_number_integer()) return value.get<int64_t>();
  return std::nullopt;
}

}  // namespace

Guard::Guard(const Parts& parts)
    : parts_(parts),
      requests_(parts.metrics.AddCounter("countersign_cse_guard_requests_total",
                                         "Requests, by what they are and what became of them.",
                                         {"kind", "outcome"})),
      answers_(parts.metrics.AddCounter("countersign_cse_guard_registry_answers_total",
                                        "What decisions about registrations were made from.", {"source"})),
      cse_seconds_(
          parts.metrics.AddHistogram("countersign_cse_guard_cse_seconds", "How long the CSE took to answer.")
              .With()) {}

HttpResponse Guard::Refuse(const HttpRequest& request, const Refusal& refusal, const char* kind) {
  requests_.With({kind, "refused"}).Increment();
  log::Info("refused", {{"kind", kind},
                        {"method", request.method},
                        {"rsc", refusal.rsc},
                        {"why", refusal.message},
                        {"originator", Header(request.headers, "X-M2M-Origin").value_or("")}});
  HttpResponse response;
  response.status = refusal.http_status;
  response.headers = {{"Content-Type", "application/json"}, {"X-M2M-RSC", absl::StrCat(refusal.rsc)}};
  for (const char* echoed : {"X-M2M-RI", "X-M2M-RVI"}) {
    if (const auto value = Header(request.headers, echoed); value.has_value()) {
      response.headers.emplace_back(echoed, *value);
    }
  }
  response.body = json({{"m2m:dbg", refusal.message}}).dump(-1, ' ', true, json::error_handler_t::replace);
  return response;
}

HttpResponse Guard::Forward(const HttpRequest& request, const char* kind) {
  const absl::Time begin = SystemClock().Now();
  absl::StatusOr<HttpResponse> response = parts_.backend.Send(request);
  cse_seconds_.Observe(absl::ToDoubleSeconds(SystemClock().Now() - begin));
  if (!response.ok()) {
    log::Warn("the CSE does not answer", {{"status", response.status()}});
    return Refuse(
        request,
        {502, kTargetNotReachable, absl::StrCat("the CSE does not answer: ", response.status().message())},
        kind);
  }
  requests_.With({kind, "passed"}).Increment();
  return *std::move(response);
}

absl::StatusOr<Guard::Credential> Guard::CredentialOf(const Peer& peer) const {
  Credential credential;
  if (peer.certificates.empty()) return credential;
  ASSIGN_OR_RETURN(const std::vector<crypto::ChainCertificate> chain, crypto::ParseChain(peer.certificates));
  std::vector<std::string> names;
  for (const std::string& uri : chain.front().uris) {
    if (absl::StartsWith(uri, kNames)) names.push_back(uri);
  }
  std::sort(names.begin(), names.end());
  // So that a certificate that was renewed stands for the same, and one of another root does not.
  credential.name = absl::StrCat(chain.back().sha256, " ",
                                 names.empty() ? chain.front().public_key_sha256 : absl::StrJoin(names, " "));
  for (size_t i = 1; i < chain.size(); ++i) {
    if (const auto found = parts_.policy.attests().find(chain[i].sha256);
        found != parts_.policy.attests().end()) {
      credential.protection = found->second;
      break;
    }
  }
  return credential;
}

HttpResponse Guard::Handle(const HttpRequest& request, const Peer& peer) {
  const Examined examined = Examine(request, parts_.policy);
  const char* const kind = examined.ae.has_value() || examined.creates == kTypeAe ? kAeCreation : kOther;
  if (examined.refusal.has_value()) return Refuse(request, *examined.refusal, kind);
  const absl::StatusOr<Credential> credential = CredentialOf(peer);
  if (!credential.ok()) {
    return Refuse(request, {403, kOriginatorHasNoPrivilege, std::string(credential.status().message())},
                  kind);
  }
  const std::shared_ptr<const Admission> admission =
      examined.originator.empty() ? nullptr
                                  : parts_.admissions.Find(Canonical(examined.originator, parts_.policy));
  // Also for who registers again: an AE-ID is whose it was.
  if (admission != nullptr && admission->credential != credential->name) {
    return Refuse(
        request,
        {403, kOriginatorHasNoPrivilege,
         "CREDENTIAL_OF_ANOTHER: the originator is an application that registered with another credential"},
        kind);
  }
  if (examined.ae.has_value()) return Register(request, examined, peer, *credential);
  HttpRequest forwarded = request;
  if (admission != nullptr) {
    if (const auto refusal = CheckGrant(*admission, examined, forwarded); refusal.has_value()) {
      return Refuse(request, *refusal, kind);
    }
  } else if (!examined.originator.empty() && !parts_.policy.passes_unknown_originators()) {
    return Refuse(request,
                  {403, kOriginatorHasNoPrivilege, "UNKNOWN_ORIGINATOR: it has not registered through here"},
                  kind);
  }
  return Forward(forwarded, kind);
}

HttpResponse Guard::Register(const HttpRequest& request, const Examined& examined, const Peer& peer,
                             const Credential& credential) {
  Registry::Question question;
  question.app_id = examined.ae->app_id;
  question.ae_id = examined.ae->ae_id;
  question.certificates = peer.certificates;
  question.application_class = parts_.policy.application_class();
  question.data_model = examined.ae->data_model;
  question.credential_protection = credential.protection;
  absl::StatusOr<std::optional<Facts>> facts = parts_.registry.Ask(question);
  if (!facts.ok()) {
    return Refuse(request,
                  {403, kAppRuleValidationFailed,
                   absl::StrCat(ReasonOf(facts.status()), ": ", facts.status().message())},
                  kAeCreation);
  }
  answers_.With({!facts->has_value() ? "none" : (*facts)->kept ? "kept" : "registry"}).Increment();
  if (facts->has_value() && peer.certificates.empty())
    (*facts)->findings.push_back({"CRITICAL", "NO_CREDENTIAL"});
  const Decision decision =
      facts->has_value() ? parts_.policy.Decide(**facts) : parts_.policy.DecideUnknown();
  if (!decision.accept) {
    return Refuse(request,
                  {403, kAppRuleValidationFailed,
                   absl::StrCat(absl::StrJoin(decision.reasons, ", "), ": the App-ID \"", question.app_id,
                                "\" is not accepted here")},
                  kAeCreation);
  }

  // The CSE gets what was understood here, written so that it is understood the same.
  json body = *examined.body;
  if (!decision.grant.acpi.empty()) body["m2m:ae"]["acpi"] = decision.grant.acpi;
  absl::StatusOr<std::string> written = UnmistakableJson(body);
  if (!written.ok())
    return Refuse(request, {400, kBadRequest, std::string(written.status().message())}, kAeCreation);
  HttpRequest forwarded = request;
  forwarded.body = *std::move(written);
  // Readable here, since it says which AE-ID was given.
  SetHeader(forwarded.headers, "Accept", "application/json");
  HttpResponse response = Forward(forwarded, kAeCreation);
  if (!Created(response)) return response;

  std::string ae_id = question.ae_id;
  const json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const json::json_pointer at("/m2m:ae/aei");
  if (answer.is_object() && answer.contains(at) && answer[at].is_string()) ae_id = answer[at];
  const absl::Status kept = ae_id.empty()
                                ? absl::InternalError("the CSE did not tell the AE-ID that it gave")
                                : parts_.admissions.Add({Canonical(ae_id, parts_.policy), question.app_id,
                                                         credential.name, decision.grant});
  if (!kept.ok()) {
    // It is registered, and whether it keeps to its limits cannot be watched after a restart.
    log::Error("an admission could not be kept", {{"ae_id", ae_id}, {"status", kept}});
  }
  log::Info("accepted", {{"app_id", question.app_id},
                         {"ae_id", ae_id},
                         {"source", !facts->has_value() ? "none"
                                    : (*facts)->kept    ? "kept"
                                                        : "registry"}});
  return response;
}

std::optional<Refusal> Guard::CheckGrant(const Admission& admission, const Examined& examined,
                                         HttpRequest& request) const {
  const Grant& grant = admission.grant;
  const auto refuse = [&](absl::string_view what) {
    return Refusal{403, kOriginatorHasNoPrivilege,
                   absl::StrCat(what, ", by the profile of its App-ID \"", admission.app_id, "\"")};
  };
  if (examined.creates != 0 && !grant.allowed_types.empty() &&
      grant.allowed_types.count(examined.creates) == 0) {
    return refuse(
        absl::StrCat("RESOURCE_TYPE_NOT_GRANTED: it may not create resources of type ", examined.creates));
  }
  const bool creates_container = examined.creates == kTypeContainer;
  if ((!grant.max_instances.has_value() && !grant.max_bytes.has_value()) ||
      (!creates_container && !examined.updates)) {
    return std::nullopt;
  }
  // What cannot be read cannot be kept within limits.
  if (examined.body == nullptr || examined.unreadable) {
    return refuse("CONTAINER_UNREADABLE: a container is created in JSON, with content");
  }
  json& body = *examined.body;
  if (!body.is_object() || body.size() != 1)
    return refuse("CONTAINER_UNREADABLE: the content is not one resource");
  const std::string root = body.begin().key();
  if (!absl::EqualsIgnoreCase(root, "m2m:cnt")) {
    if (creates_container) return refuse("CONTAINER_UNREADABLE: the content is not one m2m:cnt");
    return std::nullopt;  // an update of something else
  }
  json& container = body.begin().value();
  if (!container.is_object()) return refuse("CONTAINER_UNREADABLE: the content is not one m2m:cnt");
  for (const auto& [key, most] : {std::pair("mni", grant.max_instances), std::pair("mbs", grant.max_bytes)}) {
    if (!most.has_value()) continue;
    if (!container.contains(key)) {
      // An update leaves what it does not name.
      if (creates_container) container[key] = *most;
      continue;
    }
    const std::optional<int64_t> asked = NumberIn(container, key);
    if (!asked.has_value() || *asked < 0 || *asked > *most) {
      return refuse(absl::StrCat("CONTAINER_TOO_LARGE: ", key, " of a container is at most ", *most));
    }
  }
  const absl::StatusOr<std::string> written = UnmistakableJson(body);
  if (!written.ok()) return Refusal{400, kBadRequest, std::string(written.status().message())};
  request.body = *written;
  return std::nullopt;
}

}  // namespace countersign::cse_guard
