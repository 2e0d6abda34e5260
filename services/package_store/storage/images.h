#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/package_store/domain/values.h"
#include "services/package_store/storage/blob_store.h"

namespace countersign::package_store {

// The id of the repository in this database, to which its images' folder belongs, and whether it has images.
struct RepositoryIdentity {
  std::string id;
  bool has_images;
};
absl::StatusOr<RepositoryIdentity> GetRepositoryIdentity(db::Database& database);

// Images and uploads: what the database knows of them, and the blob store's bytes. An image is stored once,
// whoever uploads it; it is a manufacturer's when that manufacturer has uploaded all of it. An image that is
// damaged counts as one that is still to be uploaded, and who uploads it repairs it. Thread-safe.
class Images {
 public:
  // Both outlive it.
  Images(db::Database& database, BlobStore& blobs, int64_t quota_bytes)
      : database_(database), blobs_(blobs), quota_bytes_(quota_bytes) {}

  // Begins the upload, or finds it, or finds the image complete. INVALID_ARGUMENT (LENGTH_INVALID),
  // FAILED_PRECONDITION (LENGTH_MISMATCH: it is stored with another length), RESOURCE_EXHAUSTED
  // (QUOTA_EXCEEDED, TOO_MANY_UPLOADS).
  absl::StatusOr<Upload> CreateUpload(const std::string& manufacturer, const std::string& sha256,
                                      int64_t length_bytes, absl::Time now);

  // NOT_FOUND (UPLOAD_NOT_FOUND).
  absl::StatusOr<Upload> GetUpload(const std::string& manufacturer, const std::string& sha256,
                                   absl::Time now);

  // One stream that writes an upload. Not thread-safe.
  class Session {
   public:
    // Appends at `offset`; the last byte makes the image complete. Errors as BlobStore::Writer.
    absl::Status Append(int64_t offset, absl::string_view data, absl::Time now);
    // Makes what it can of what has come survive a power cut, and tells where the upload stands.
    absl::StatusOr<Upload> Finish();

   private:
    friend class Images;
    Images* images_;
    Upload upload_;
    std::unique_ptr<BlobStore::Writer> writer_;  // null once complete
  };

  // Goes on with an upload that CreateUpload() began. NOT_FOUND (UPLOAD_NOT_FOUND), ABORTED (UPLOAD_BUSY). An
  // image that is complete takes no bytes: Append() refuses them with OFFSET_MISMATCH at its end.
  absl::StatusOr<std::unique_ptr<Session>> OpenUpload(const std::string& manufacturer,
                                                      const std::string& sha256);

  // Who may see an image.
  struct Visibility {
    bool published;  // some package or pending target in force names it
    bool proposed;   // some proposal named it, whatever became of it
    bool owned;      // `manufacturer` has uploaded it
    int64_t length_bytes;
    bool damaged;  // not to be served
  };
  absl::StatusOr<Visibility> GetVisibility(const std::string& sha256, const std::string& manufacturer);

  // FAILED_PRECONDITION (IMAGE_DAMAGED) if the image's bytes are known to be wrong, or turn out to be gone.
  absl::StatusOr<std::unique_ptr<BlobStore::Reader>> OpenImage(const std::string& sha256,
                                                               const Visibility& visibility, absl::Time now);

  // Where anybody can GET the image's bytes. FAILED_PRECONDITION (NO_BUCKET, IMAGE_DAMAGED).
  absl::StatusOr<std::string> DownloadUrl(const std::string& sha256, const Visibility& visibility,
                                          absl::Time now, absl::Duration lifetime);

  // Forgets uploads that nobody has written to since `before`, and files of images that were never recorded.
  // Returns how many uploads.
  absl::StatusOr<int> DeleteAbandoned(absl::Time before);

 private:
  absl::StatusOr<Upload> Load(db::Session& session, const std::string& manufacturer,
                              const std::string& sha256);
  // Verifies the bytes and records the image, in that order: what is recorded is there.
  absl::Status Complete(const Upload& upload, BlobStore::Writer& writer, absl::Time now);
  // Completes an upload of which all bytes are there, as a crash between the last byte and the record leaves
  // it.
  absl::Status CompleteIfFull(Upload& upload, absl::Time now);

  db::Database& database_;
  BlobStore& blobs_;
  const int64_t quota_bytes_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_IMAGES_H_
