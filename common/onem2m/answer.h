#ifndef COUNTERSIGN_COMMON_ONEM2M_ANSWER_H_
#define COUNTERSIGN_COMMON_ONEM2M_ANSWER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"

// What the App-ID registry says of an identity, as a signed document that whoever asked can keep: the
// registry signs it, a CSE's guard verifies it again when the registry cannot be reached.
namespace countersign::onem2m {

// What was asked. Two questions that are equal here have the same answer.
struct Question {
  std::string app_id;                // as it was written
  std::string ae_id;                 // empty if none was presented
  std::string root_of_trust_sha256;  // hex; as stated, empty if none was
  // The credential: the SHA-256 of each certificate (hex), of a raw public key, or neither.
  std::vector<std::string> certificates_sha256;
  std::string public_key_sha256;
  bool pre_shared_key = false;
  // What was observed: the API's numbers, 0 for what is not stated.
  int application_class = 0;
  int communications_class = 0;
  std::string data_model;
  int credential_protection = 0;
  bool credential_protection_attested = false;
};

// Hex SHA-256 of all of `question`.
std::string QuestionDigest(const Question& question);

struct AnswerFinding {
  std::string severity;  // "NOTICE", "WARNING", "CRITICAL"
  std::string reason;    // as in appid_registry.proto
  std::string message;   // printable ASCII
};

// An Envelope (common/trust) of type "app-id-answer".
struct Answer {
  std::string app_id;  // as it was asked
  std::string ae_id;
  std::string question_sha256;
  std::string status;   // "REGISTERED", "NOT_REGISTERED", "SUSPENDED", "REVOKED", "EXPIRED", "NOT_YET_VALID"
  std::string profile;  // the registry's Profile message, serialised; empty if nothing is registered
  std::string
      profile_sha256;  // of what is registered, "" if nothing is: changes with it, and not with its state
  std::vector<AnswerFinding> findings;
  absl::Time answer_time;  // whole seconds, as all times here
  absl::Time expire_time;
};

// The signer's error.
absl::StatusOr<std::string> SignAnswer(const Answer& answer, const crypto::Signer& signer);

// What `document` says, if it is the word of the registry (`key`) about `question_sha256` and in force at
// `now`. SIGNATURE_INVALID, UNKNOWN_KEY, MALFORMED_METADATA, ANSWER_OF_ANOTHER (to another question),
// ANSWER_EXPIRED (FAILED_PRECONDITION; also one from the future).
absl::StatusOr<Answer> VerifyAnswer(absl::string_view document, const crypto::PublicKey& key,
                                    absl::string_view question_sha256, absl::Time now);

}  // namespace countersign::onem2m

#endif  // COUNTERSIGN_COMMON_ONEM2M_ANSWER_H_
