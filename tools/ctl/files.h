// Files that the offline commands read and write.
#ifndef COUNTERSIGN_TOOLS_CTL_FILES_H_
#define COUNTERSIGN_TOOLS_CTL_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/public_key.h"

namespace countersign::ctl {

// ALREADY_EXISTS (FILE_EXISTS) if there is a file at `path`.
absl::Status RefuseToOverwrite(const std::string& path);

// A public key, PEM. INVALID_ARGUMENT (KEY_INVALID) that names the file.
absl::StatusOr<crypto::PublicKey> LoadPublicKey(const std::string& path);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_FILES_H_
