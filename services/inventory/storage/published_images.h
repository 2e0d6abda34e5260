#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PUBLISHED_IMAGES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PUBLISHED_IMAGES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/inventory/domain/image_verdict.h"
#include "services/inventory/storage/component_changes.h"

namespace countersign::inventory {

// A package as the package store tells of it.
struct Publication {
  std::string target_path;
  std::string manufacturer;
  std::string version;
  std::string sha256;
  std::vector<std::string> hardware_ids;
  bool revoked = false;
};

// An image that a component of the fleet reports.
struct ReportedImage {
  std::string gateway_id;
  std::string ecu_serial;
  domain::InstalledImage image;
};

// What each of `images` is; kNone for all while not everything that was published has come. Until `tx` ends
// nothing new is published: whoever writes the verdicts in `tx` is not overtaken. Throws pqxx's exceptions.
std::vector<domain::ImageVerdict> JudgeImages(db::Transaction& tx, absl::Span<const ReportedImage> images);

// What was published, and the components that it changes (FOTA-R2): a report that came before its package was
// known becomes right by itself. Thread-safe. Blocks.
class PublishedImages {
 public:
  struct Options {
    bool unknown_is_modified = false;
    EncodeComponent encode;
    // Called after a commit that appended to the outbox; must not block.
    std::function<void()> on_change = [] {};
    // A component became MODIFIED, for this reason; after the commit.
    std::function<void(const std::string& reason)> on_modified = [](const std::string&) {};
  };

  // `database` must outlive it.
  PublishedImages(db::Database& database, Options options)
      : database_(database), options_(std::move(options)) {}

  // What happened to a package, within the transaction that takes it from the feed. What was revoked stays
  // so.
  absl::Status Take(db::Transaction& tx, const Publication& publication);
  absl::Status TakeAll(absl::Span<const Publication> publications);
  // All that was published has come: from now on images are compared, first those that were reported before.
  absl::Status SetComplete();

  // Looks again at components that news of packages may change, at most `limit`. Returns whether there is
  // more.
  absl::StatusOr<bool> CheckSome(absl::Time now, int limit);

  // Orders MODIFIED components that the policy covers to stop (FOTA-R3), at most `limit`; not those that an
  // operator released with the image that they run. Returns how many.
  absl::StatusOr<int> Quarantine(const domain::QuarantinePolicy& policy, absl::Time now, int limit);

  // How many jobs of looking again wait.
  absl::StatusOr<int64_t> CountWaiting();

 private:
  db::Database& database_;
  const Options options_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_PUBLISHED_IMAGES_H_
