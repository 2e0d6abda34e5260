// What users decided and the services have not heard of. An answer is on disk before its user is told that it
// was taken: neither the agent's death nor services that are away lose it. It is sent, in the order of
// answering and with the request id that it was given, until a service takes or refuses it.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_ACTS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_ACTS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::gateway {

// One decision of a user. The numbers are stored.
struct Act {
  enum class Kind { kAnswer = 1, kWithdrawConsent = 2, kCreatePolicy = 3, kWithdrawPolicy = 4 };
  enum class State {
    kKept = 1,     // to be sent
    kRefused = 2,  // a service said no, for `reason`; its user has to know
  };
  std::string id;  // UUID
  Kind kind = Kind::kAnswer;
  std::string subject;  // name of the prompt, record or policy; empty for a new policy
  std::string what;     // for people: of which device and version
  std::string request;  // the serialised message to the service
  std::string principal;
  absl::Time time;
  State state = State::kKept;
  std::string reason;  // of the refusal

  friend bool operator==(const Act&, const Act&) = default;
};

// The file of acts. Thread-safe.
class Acts {
 public:
  static constexpr size_t kMax = 64;

  // DATA_LOSS (STATE_DAMAGED).
  static absl::StatusOr<std::unique_ptr<Acts>> Open(std::string path);

  // Keeps an act. RESOURCE_EXHAUSTED (TOO_MANY_ANSWERS) when kMax are kept already; ALREADY_EXISTS
  // (ANSWER_KEPT) when one about the same subject waits to be sent.
  absl::Status Add(const Act& act);
  // A service took it, or its user has seen that it was refused.
  absl::Status Remove(const std::string& id);
  // A service will not take it.
  absl::Status Refuse(const std::string& id, const std::string& reason);

  // In the order of answering.
  std::vector<Act> List() const;

 private:
  explicit Acts(std::string path) : path_(std::move(path)) {}
  absl::Status Save(std::vector<Act> acts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  mutable absl::Mutex mutex_;
  std::vector<Act> acts_ ABSL_GUARDED_BY(mutex_);
};

// Whether a service that answers so will answer otherwise when it is asked again.
bool IsWorthRepeating(const absl::Status& status);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_ACTS_H_
