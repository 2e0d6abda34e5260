#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGE_HEALTH_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGE_HEALTH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/package_store/storage/blob_store.h"

namespace countersign::package_store {

// FAILED_PRECONDITION (IMAGE_DAMAGED).
absl::Status ImageDamaged(absl::string_view sha256);

// Keeps in mind, and logs, that an image's bytes are not what they were; does nothing if that is known.
// `damage` says in what way.
absl::Status MarkDamaged(db::Database& database, const std::string& sha256, absl::string_view damage,
                         absl::Time now);

// Which images are to be read again, and by which replica: one at a time reads an image, and what it has read
// is not lost when it stops. Thread-safe.
class ImageHealth {
 public:
  // Both outlive it.
  ImageHealth(db::Database& database, BlobStore& blobs);

  // An image to be read by this process.
  struct Turn {
    std::string sha256;
    int64_t length = 0;
    std::string state;  // of crypto::ResumableSha256, as it was kept; empty at the beginning
  };
  // The image that was found right the longest ago, if that was before `due_before`, as this process' own
  // until `until`.
  absl::StatusOr<std::optional<Turn>> Take(absl::Time now, absl::Time due_before, absl::Time until);
  // Keeps how far it is, and the turn until `until`. False if the turn is no longer this process'.
  absl::StatusOr<bool> Keep(const Turn& turn, absl::Time until);
  // The end of a turn: all of it was read and is right, or is damaged. Does nothing if the turn is no longer
  // this process'.
  absl::Status Pass(const Turn& turn, absl::Time now);
  absl::Status Fail(const Turn& turn, absl::string_view damage, absl::Time now);

  absl::StatusOr<std::unique_ptr<BlobStore::Reader>> Open(const Turn& turn) {
    return blobs_.OpenImage(turn.sha256, BlobStore::Purpose::kScrub);
  }

  absl::StatusOr<int64_t> CountDamaged();

 private:
  db::Database& database_;
  BlobStore& blobs_;
  const std::string holder_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGE_HEALTH_H_
