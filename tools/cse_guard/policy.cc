#include "tools/cse_guard/policy.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cse_guard {
namespace {

using nlohmann::json;

const std::vector<std::string> kClasses = {"CONSUMER", "INDUSTRIAL", "CRITICAL_INFRASTRUCTURE"};
const std::vector<std::string> kSecurity = {"SOFTWARE", "TRUSTED_EXECUTION", "SECURE_ELEMENT"};
const std::vector<std::string> kCategories = {"NOT_COLLECTED", "NON_PERSONAL",       "ANONYMIZED",
                                              "PERSONAL",      "SENSITIVE_PERSONAL", "MEDICAL"};
const std::vector<std::string> kSeverities = {"NOTICE", "WARNING", "CRITICAL"};
// What the registry finds, and the guard itself.
const std::vector<std::string> kReasons = {"NOT_REGISTERED",
                                           "NOT_GLOBALLY_UNIQUE",
                                           "LOWER_CASE_PREFIX",
                                           "AE_ID_OF_ANOTHER",
                                           "SUSPENDED",
                                           "REVOKED",
                                           "EXPIRED",
                                           "NOT_YET_VALID",
                                           "ROOT_OF_TRUST_DIFFERS",
                                           "ROOT_OF_TRUST_MISSING",
                                           "CREDENTIAL_TYPE_DIFFERS",
                                           "CREDENTIAL_CHAIN_BROKEN",
                                           "CREDENTIAL_EXPIRED",
                                           "CREDENTIAL_NOT_YET_VALID",
                                           "CREDENTIAL_OF_ANOTHER",
                                           "CREDENTIAL_NAMES_NOBODY",
                                           "CREDENTIAL_NOT_PROTECTED",
                                           "CREDENTIAL_PROTECTION_UNKNOWN",
                                           "APPLICATION_CLASS_DIFFERS",
                                           "COMMUNICATIONS_CLASS_DIFFERS",
                                           "DATA_MODEL_DIFFERS",
                                           "NO_CREDENTIAL"};

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// Reads one object after the other; the first fault is kept.
struct Policy::Reader {
  absl::Status status;

  void Fail(const std::string& where, const std::string& what) {
    if (status.ok()) {
      status =
          Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID", absl::StrCat(where, ": ", what, "."));
    }
  }

  // The object at `key`, with none but `fields`; an empty one if there is none.
  json Object(const json& parent, const std::string& where, const char* key,
              std::initializer_list<const char*> fields) {
    if (!parent.contains(key)) return json::object();
    const json& object = parent.at(key);
    Check(object, absl::StrCat(where, key), fields);
    return object.is_object() ? object : json::object();
  }
  void Check(const json& object, const std::string& where, std::initializer_list<const char*> fields) {
    if (!object.is_object()) return Fail(where, "must be an object");
    if (fields.size() == 0) return;
    for (const auto& [name, value] : object.items()) {
      if (std::find(fields.begin(), fields.end(), name) == fields.end()) {
        Fail(where, absl::StrCat("there is no \"", name, "\"; there are ", absl::StrJoin(fields, ", ")));
      }
    }
  }

  std::string Text(const json& object, const std::string& where, const char* key) {
    if (!object.contains(key)) return "";
    if (object.at(key).is_string()) return object.at(key);
    Fail(absl::StrCat(where, ".", key), "must be a string");
    return "";
  }
  // One of `names`; "" if there is none.
  std::string Name(const json& object, const std::string& where, const char* key,
                   const std::vector<std::string>& names) {
    const std::string name = Text(object, where, key);
    if (object.contains(key) && !Contains(names, name)) {
      Fail(absl::StrCat(where, ".", key), absl::StrCat("must be one of ", absl::StrJoin(names, ", ")));
    }
    return name;
  }
  std::optional<int64_t> Number(const json& object, const std::string& where, const char* key) {
    if (!object.contains(key)) return std::nullopt;
    if (object.at(key).is_number_integer() && object.at(key) >= 0) return object.at(key).get<int64_t>();
    Fail(absl::StrCat(where, ".", key), "must be a number of 0 or more");
    return std::nullopt;
  }
  // `no` or `yes`, e.g. "reject" and "accept".
  bool Choice(const json& object, const std::string& where, const char* key, const char* no, const char* yes,
              bool otherwise) {
    if (!object.contains(key)) return otherwise;
    const std::string text = Text(object, where, key);
    if (text != no && text != yes) {
      Fail(absl::StrCat(where, ".", key), absl::StrCat("must be \"", no, "\" or \"", yes, "\""));
    }
    return text == yes;
  }
  std::vector<std::string> Texts(const json& object, const std::string& where, const char* key) {
    std::vector<std::string> texts;
    if (!object.contains(key)) return texts;
    if (!object.at(key).is_array()) Fail(absl::StrCat(where, ".", key), "must be a list of strings");
    for (const json& text : object.at(key)) {
      if (text.is_string()) {
        texts.push_back(text.get<std::string>());
      } else {
        Fail(absl::StrCat(where, ".", key), "must be a list of strings");
      }
    }
    return texts;
  }
  std::set<std::string> Names(const json& object, const std::string& where, const char* key,
                              const std::vector<std::string>& names) {
    const std::vector<std::string> texts = Texts(object, where, key);
    for (const std::string& text : texts) {
      if (!names.empty() && !Contains(names, text)) {
        Fail(absl::StrCat(where, ".", key),
             absl::StrCat("has \"", text, "\", which is none of ", absl::StrJoin(names, ", ")));
      }
    }
    return {texts.begin(), texts.end()};
  }
  // {"NAME": "reject" or "accept"} with names out of `names`.
  std::map<std::string, bool> Rejections(const json& parent, const std::string& where, const char* key,
                                         const std::vector<std::string>& names) {
    std::map<std::string, bool> rejections;
    const json object = Object(parent, absl::StrCat(where, "."), key, {});
    for (const auto& [name, value] : object.items()) {
      if (!Contains(names, name)) {
        Fail(absl::StrCat(where, ".", key),
             absl::StrCat("there is no \"", name, "\"; there are ", absl::StrJoin(names, ", ")));
      }
      rejections[name] =
          !Choice(object, absl::StrCat(where, ".", key), name.c_str(), "reject", "accept", false);
    }
    return rejections;
  }

  Class ReadClass(const json& object, const std::string& where) {
    Check(object, where, {"minimumSecurity", "minimumProtectionLevel", "unreachable", "findings"});
    Class made;
    if (!object.is_object()) return made;
    made.minimum_security = Name(object, where, "minimumSecurity", kSecurity);
    made.minimum_protection_level =
        static_cast<int>(Number(object, where, "minimumProtectionLevel").value_or(0));
    made.accepts_kept = Choice(object, where, "unreachable", "reject", "kept", true);
    made.rejects = Rejections(object, where, "findings", kReasons);
    return made;
  }

  GrantRule ReadGrant(const json& object, const std::string& where) {
    GrantRule rule;
    Check(object, where, {"classes", "types", "privacy", "allowedTypes", "acpi", "container"});
    if (!object.is_object()) return rule;
    rule.classes = Names(object, where, "classes", kClasses);
    rule.types = Names(object, where, "types", {});
    rule.categories = Names(object, where, "privacy", kCategories);
    if (object.contains("allowedTypes")) {
      if (!object.at("allowedTypes").is_array() || object.at("allowedTypes").empty()) {
        Fail(where + ".allowedTypes", "must be a list of numbers, and not empty");
      }
      for (const json& type : object.at("allowedTypes")) {
        if (!type.is_number_integer() || type < 1 || type > 99999) {
          Fail(where + ".allowedTypes", "must be a list of numbers of resource types");
          break;
        }
        rule.grant.allowed_types.insert(type.get<int>());
      }
    }
    rule.grant.acpi = Texts(object, where, "acpi");
    const json container = Object(object, where + ".", "container", {"maxInstances", "maxBytes"});
    rule.grant.max_instances = Number(container, where + ".container", "maxInstances");
    rule.grant.max_bytes = Number(container, where + ".container", "maxBytes");
    return rule;
  }
};

absl::StatusOr<Policy> Policy::Parse(absl::string_view text) {
  const json document =
      json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  Reader reader;
  Policy policy;
  if (document.is_discarded()) {
    reader.Fail("the policy", "is not JSON (with comments)");
    return reader.status;
  }
  reader.Check(document, "the policy",
               {"cse", "findings", "classes", "unreachable", "unreadable", "unknownOriginators", "attests",
                "applicationClass", "grants"});
  RETURN_IF_ERROR(reader.status);

  const json cse = reader.Object(document, "", "cse", {"id", "serviceProvider"});
  policy.cse_id_ = reader.Text(cse, "cse", "id");
  policy.service_provider_ = reader.Text(cse, "cse", "serviceProvider");
  if (!policy.cse_id_.empty() && (policy.cse_id_.size() < 2 || policy.cse_id_[0] != '/' ||
                                  policy.cse_id_.find('/', 1) != std::string::npos)) {
    reader.Fail("cse.id", "must be a CSE-ID, e.g. \"/id-in\"");
  }

  const json findings = reader.Object(document, "", "findings", {"severity", "reason"});
  for (const auto& [severity, rejects] : reader.Rejections(findings, "findings", "severity", kSeverities)) {
    policy.rejects_by_severity_[severity] = rejects;
  }
  policy.rejects_ = reader.Rejections(findings, "findings", "reason", kReasons);

  const json classes =
      reader.Object(document, "", "classes", {"CONSUMER", "INDUSTRIAL", "CRITICAL_INFRASTRUCTURE", "*"});
  for (const auto& [name, object] : classes.items()) {
    const Class of_class = reader.ReadClass(object, absl::StrCat("classes.", name));
    (name == "*" ? policy.any_class_ : policy.classes_[name]) = of_class;
  }
  policy.accepts_unknown_ = reader.Choice(document, "", "unreachable", "reject", "accept", false);
  const json unreadable = reader.Object(document, "", "unreadable", {"aeCreation", "other"});
  policy.unreadable_creations_ =
      reader.Choice(unreadable, "unreadable", "aeCreation", "reject", "pass", false);
  policy.unreadable_others_ = reader.Choice(unreadable, "unreadable", "other", "reject", "pass", false);
  policy.unknown_originators_ = reader.Choice(document, "", "unknownOriginators", "reject", "pass", true);
  const json attests = reader.Object(document, "", "attests", {});
  for (const auto& [digest, protection] : attests.items()) {
    if (!crypto::IsSha256Hex(digest)) {
      reader.Fail("attests", "names a certificate authority by the SHA-256 of its certificate in DER");
    }
    policy.attests_[digest] = reader.Name(attests, "attests", digest.c_str(), kSecurity);
  }
  policy.application_class_ = reader.Name(document, "", "applicationClass", kClasses);
  if (document.contains("grants")) {
    if (!document.at("grants").is_array()) reader.Fail("grants", "must be a list");
    for (const json& object : document.at("grants")) {
      policy.grants_.push_back(reader.ReadGrant(object, absl::StrCat("grants[", policy.grants_.size(), "]")));
    }
  }
  RETURN_IF_ERROR(reader.status);
  return policy;
}

const Policy::Class& Policy::ClassOf(const std::string& name) const {
  const auto found = classes_.find(name);
  return found == classes_.end() ? any_class_ : found->second;
}

bool Policy::Rejects(const Facts::Finding& finding, const Class& of_class) const {
  if (const auto found = of_class.rejects.find(finding.reason); found != of_class.rejects.end()) {
    return found->second;
  }
  if (const auto found = rejects_.find(finding.reason); found != rejects_.end()) return found->second;
  // A severity that this version does not know is as bad as any.
  const auto found = rejects_by_severity_.find(finding.severity);
  return found == rejects_by_severity_.end() || found->second;
}

Decision Policy::Decide(const Facts& facts) const {
  Decision decision;
  const Class& of_class = ClassOf(facts.application_class);
  for (const Facts::Finding& finding : facts.findings) {
    if (Rejects(finding, of_class)) decision.reasons.push_back(finding.reason);
  }
  if (facts.registered) {
    const auto rank = [](const std::string& name) {
      return std::find(kSecurity.begin(), kSecurity.end(), name) - kSecurity.begin();
    };
    const bool known = Contains(kSecurity, facts.security_capability);
    if (!of_class.minimum_security.empty() &&
        (!known || rank(facts.security_capability) < rank(of_class.minimum_security))) {
      decision.reasons.push_back("SECURITY_TOO_WEAK");
    }
    if (facts.protection_level < of_class.minimum_protection_level) {
      decision.reasons.push_back("DATA_PROTECTION_TOO_WEAK");
    }
  }
  if (facts.kept && !of_class.accepts_kept) decision.reasons.push_back("REGISTRY_UNREACHABLE");
  decision.accept = decision.reasons.empty();
  if (!decision.accept) return decision;
  const auto fits = [](const std::set<std::string>& names, const std::string& name) {
    return names.empty() || names.count(name) > 0;
  };
  for (const GrantRule& rule : grants_) {
    if (fits(rule.classes, facts.application_class) && fits(rule.types, facts.application_type) &&
        fits(rule.categories, facts.privacy_category)) {
      decision.grant = rule.grant;
      return decision;
    }
  }
  // Where grants are given out at all, who fits none gets nothing.
  if (!grants_.empty()) return {.accept = false, .reasons = {"NO_GRANT"}};
  return decision;
}

Decision Policy::DecideUnknown() const {
  if (!accepts_unknown_) return {.accept = false, .reasons = {"REGISTRY_UNREACHABLE"}};
  return Decide({});
}

}  // namespace countersign::cse_guard
