#include "tools/fleet/shared.h"

#include <utility>

#include "common/crypto/digest.h"

namespace countersign::fleet {

std::shared_ptr<const std::string> SharedBytes::Keep(absl::string_view bytes) {
  std::string digest = crypto::Sha256(bytes);
  absl::MutexLock lock(&mutex_);
  std::weak_ptr<const std::string>& kept = kept_[digest];
  if (std::shared_ptr<const std::string> known = kept.lock()) return known;
  // The last one who lets go of it takes it out, so that a long run does not collect what is over.
  std::shared_ptr<const std::string> fresh(new std::string(bytes),
                                           [this, digest = std::move(digest)](const std::string* gone) {
                                             {
                                               absl::MutexLock relock(&mutex_);
                                               const auto found = kept_.find(digest);
                                               if (found != kept_.end() && found->second.expired())
                                                 kept_.erase(found);
                                             }
                                             delete gone;
                                           });
  kept = fresh;
  return fresh;
}

absl::StatusOr<std::optional<std::string>> SharedStore::Load(absl::string_view role) const {
  const auto found = roles_.find(std::string_view(role.data(), role.size()));
  if (found == roles_.end()) return std::nullopt;
  return *found->second;
}

absl::Status SharedStore::Save(absl::string_view role, absl::string_view content) {
  roles_[std::string(role)] = bytes_.Keep(content);
  return absl::OkStatus();
}

absl::Status SharedStore::Remove(absl::string_view role) {
  roles_.erase(std::string(role));
  return absl::OkStatus();
}

}  // namespace countersign::fleet
