#ifndef COUNTERSIGN_COMMON_TRUST_TRUSTED_STORE_H_
#define COUNTERSIGN_COMMON_TRUST_TRUSTED_STORE_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::trust {

// Where a client keeps the last verified metadata of each role, so that nobody can hand it older ones later.
class TrustedStore {
 public:
  virtual ~TrustedStore() = default;

  // The bytes last saved for `role`; nullopt if there are none.
  virtual absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const = 0;
  // Durable, and all or nothing, once it returns OK.
  virtual absl::Status Save(absl::string_view role, absl::string_view bytes) = 0;
  // OK if there was none.
  virtual absl::Status Remove(absl::string_view role) = 0;
};

class MemoryStore : public TrustedStore {
 public:
  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override;
  absl::Status Save(absl::string_view role, absl::string_view bytes) override;
  absl::Status Remove(absl::string_view role) override;

 private:
  std::map<std::string, std::string> files_;
};

// A file `<role>.json` per role in one folder, which Open() makes. Survives a power cut at any moment.
class DirectoryStore : public TrustedStore {
 public:
  static absl::StatusOr<DirectoryStore> Open(const std::string& folder);

  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override;
  absl::Status Save(absl::string_view role, absl::string_view bytes) override;
  absl::Status Remove(absl::string_view role) override;

 private:
  explicit DirectoryStore(std::string folder) : folder_(std::move(folder)) {}
  std::string PathOf(absl::string_view role) const;

  std::string folder_;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_TRUSTED_STORE_H_
