#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_GRANTS_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_GRANTS_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "tools/cse_guard/policy.h"

namespace countersign::cse_guard {

// An application that was let in, with what it may do and how it proved itself.
struct Admission {
  std::string ae_id;  // as Canonical() writes it
  std::string app_id;
  std::string credential;  // what CredentialName() says; "" for none
  Grant grant;
};

// Who was let in, in memory and in a file each. Thread-safe.
class Admissions {
 public:
  // Reads the folder, made if need be. Whatever is there and cannot be read is an error: without it an
  // application would be without its limits.
  static absl::StatusOr<std::unique_ptr<Admissions>> Open(const std::string& folder);

  absl::Status Add(const Admission& admission);
  // null when nobody of that AE-ID was let in.
  std::shared_ptr<const Admission> Find(absl::string_view ae_id) const;

 private:
  explicit Admissions(std::string folder) : folder_(std::move(folder)) {}

  const std::string folder_;
  mutable absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Admission>, std::less<>> by_ae_id_ ABSL_GUARDED_BY(mutex_);
};

// One text for all the ways to write an AE-ID at this CSE: the stem for those of the CSE and its provider,
// what was written for others.
std::string Canonical(absl::string_view ae_id, const Policy& policy);

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_GRANTS_H_
