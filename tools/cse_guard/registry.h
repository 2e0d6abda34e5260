#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_REGISTRY_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_REGISTRY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/public_key.h"
#include "common/onem2m/answer.h"
#include "common/rpc/channel.h"
#include "tools/cse_guard/policy.h"

namespace countersign::cse_guard {

// Asks the App-ID registry, and keeps its signed answers in files for when it cannot be reached. What it says
// is taken from the signed answer only. Thread-safe. Blocks.
class Registry {
 public:
  struct Options {
    std::string address;  // host:port
    crypto::PublicKey answer_key;
    std::string folder;  // of the kept answers
    absl::Duration patience = absl::Seconds(3);
    const Clock* clock = &SystemClock();
  };

  // Makes the folder, and forgets answers that are out of force. The status of the file system.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(const rpc::Dialer& dialer, Options options);
  ~Registry();

  // What is asked of an identity: `certificates` in DER, the leaf first.
  struct Question {
    std::string app_id;
    std::string ae_id;
    std::vector<std::string> certificates;
    std::string application_class;      // "CONSUMER", ...; "" if not observed
    std::string data_model;             // the same
    std::string credential_protection;  // "SECURE_ELEMENT", ...; attested, or ""
  };

  // What the registry says, or said. nullopt when it cannot be reached and has said nothing that holds.
  // INVALID_ARGUMENT (as the registry's) when what was presented is malformed.
  absl::StatusOr<std::optional<Facts>> Ask(const Question& question);

 private:
  struct State;

  Registry(const rpc::Dialer& dialer, Options options);
  std::string FileOf(absl::string_view question_sha256) const;
  void Keep(const std::string& question_sha256, const std::string& document);
  std::optional<Facts> FindKept(const std::string& question_sha256);
  void ForgetOld();

  const Options options_;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_REGISTRY_H_
