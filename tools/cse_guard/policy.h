// What a CSE accepts: the decision that the registry leaves to it (APPID-5), and the resources that an
// application gets (APPID-7). Pure: no files, no network, no clock.
#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_POLICY_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_POLICY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::cse_guard {

// What an application may have and do at the CSE.
struct Grant {
  std::set<int> allowed_types;           // resource types that it may create; all when empty
  std::vector<std::string> acpi;         // access control policies that its <AE> gets
  std::optional<int64_t> max_instances;  // of each <container>: `mni` at most
  std::optional<int64_t> max_bytes;      // of each <container>: `mbs` at most
};

// What is known of the application that wants to register. Names are those of the API without their prefixes,
// e.g. "CRITICAL_INFRASTRUCTURE".
struct Facts {
  struct Finding {
    std::string severity;  // "NOTICE", "WARNING", "CRITICAL"
    std::string reason;
  };
  std::vector<Finding> findings;  // the registry's, and the guard's own
  bool registered = false;        // whether the rest is known
  std::string application_class;
  std::string application_type;
  std::string security_capability;
  std::string privacy_category;
  int protection_level = 0;
  bool kept = false;  // an answer from before, since the registry cannot be reached
};

struct Decision {
  bool accept = false;
  std::vector<std::string> reasons;  // why not, in UPPER_SNAKE_CASE
  Grant grant;                       // if so
};

// From a file of JSON with comments; every field is optional, and what is not named rejects. See
// tools/cse_guard/policy.example.json. Immutable, thread-safe.
class Policy {
 public:
  // Rejects whatever has a finding beyond a notice.
  Policy() = default;
  // INVALID_ARGUMENT (POLICY_INVALID) with the place and what should be there.
  static absl::StatusOr<Policy> Parse(absl::string_view text);

  Decision Decide(const Facts& facts) const;
  // When the registry cannot be reached and has said nothing that may be kept.
  Decision DecideUnknown() const;

  // The CSE's own names: "/id-in", and its service provider's without slashes.
  const std::string& cse_id() const { return cse_id_; }
  const std::string& service_provider() const { return service_provider_; }
  // Whether requests pass whose serialisation cannot be read.
  bool passes_unreadable_creations() const { return unreadable_creations_; }
  bool passes_unreadable_others() const { return unreadable_others_; }
  // Whether those pass that the guard has not let in.
  bool passes_unknown_originators() const { return unknown_originators_; }
  // What a certificate authority attests by issuing at all, by the SHA-256 of its certificate: e.g.
  // "SECURE_ELEMENT".
  const std::map<std::string, std::string>& attests() const { return attests_; }
  // What applications are used in at this CSE; "" if that is not said.
  const std::string& application_class() const { return application_class_; }

 private:
  struct Reader;

  struct Class {
    std::string minimum_security;  // "" if any does
    int minimum_protection_level = 0;
    bool accepts_kept = true;
    std::map<std::string, bool> rejects;  // by reason, before the general ones
  };
  struct GrantRule {
    std::set<std::string> classes, types, categories;  // any when empty
    Grant grant;
  };

  bool Rejects(const Facts::Finding& finding, const Class& of_class) const;
  const Class& ClassOf(const std::string& name) const;

  std::string cse_id_;
  std::string service_provider_;
  std::map<std::string, bool> rejects_by_severity_ = {
      {"CRITICAL", true}, {"WARNING", true}, {"NOTICE", false}};
  std::map<std::string, bool> rejects_;  // by reason
  std::map<std::string, Class> classes_;
  Class any_class_;
  bool accepts_unknown_ = false;
  bool unreadable_creations_ = false;
  bool unreadable_others_ = false;
  bool unknown_originators_ = true;
  std::map<std::string, std::string> attests_;
  std::string application_class_;
  std::vector<GrantRule> grants_;  // the first that fits
};

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_POLICY_H_
