#include "tools/ctl/files.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::ctl {

absl::Status RefuseToOverwrite(const std::string& path) {
  if (ReadFile(path).status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  return Error(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
               absl::StrCat(path, " is there already: move it away first"));
}

absl::StatusOr<crypto::PublicKey> LoadPublicKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromPem(pem);
  if (key.ok()) return key;
  return Error(absl::StatusCode::kInvalidArgument, "KEY_INVALID",
               absl::StrContains(pem, "PRIVATE KEY")
                   ? absl::StrCat(path, " is a private key, which stays where it is: give the public one, ",
                                  path, ".pub as `key create` writes it")
                   : absl::StrCat(path, ": ", std::string(key.status().message())));
}

}  // namespace countersign::ctl
