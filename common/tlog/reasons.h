#ifndef COUNTERSIGN_COMMON_TLOG_REASONS_H_
#define COUNTERSIGN_COMMON_TLOG_REASONS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::tlog {

// Why this library does not believe a log: the reason of every error that it makes itself.
inline constexpr char kMalformed[] = "LOG_MALFORMED";               // not in the format of its specification
inline constexpr char kSignatureInvalid[] = "LOG_HEAD_NOT_SIGNED";  // not signed by the key that is trusted
inline constexpr char kProofInvalid[] = "LOG_PROOF_INVALID";  // does not lead to the head that was signed
inline constexpr char kInconsistent[] = "LOG_INCONSISTENT";   // a head that is no continuation of another

// INVALID_ARGUMENT with one of these.
absl::Status Refuse(absl::string_view reason, absl::string_view message);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_REASONS_H_
