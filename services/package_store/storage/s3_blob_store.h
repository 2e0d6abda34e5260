#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_S3_BLOB_STORE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_S3_BLOB_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/package_store/storage/blob_store.h"
#include "services/package_store/storage/bucket.h"

namespace countersign::package_store {

// Images in a bucket that all replicas share:
//
//   images/<first two digits>/<sha256>  whole images, whose length and digest were verified
//   uploads/<manufacturer>.<sha256>     how far an upload is: its multipart upload, the parts that count, and
//                                       the state of SHA-256 after the last of them
//   deltas/<name>                       whole deltas
//   records/<name>                      small files of the service
//   repository                          the id of the repository (database) that the prefix belongs to
//
// An upload is a multipart upload of the image's own key, and an image appears when that is completed: at
// once, as a whole, from exactly the parts whose digest was verified, which are named by their entity tags.
// Nothing is copied, and nothing is read again when an upload goes on elsewhere. Bytes count once their part
// is whole; what comes after it is held in memory, and sent again after a cut.
//
// Replicas do not lock each other out. Of two that write one upload, the one whose record of a part is second
// is told by the bucket (If-Match) that the upload was taken over; on a server that does not know conditions,
// a part that the other has replaced makes the completion fail, and the upload begins anew.
class S3BlobStore : public BlobStore {
 public:
  // FAILED_PRECONDITION (BUCKET_MISMATCH) if the prefix belongs to another repository than `repository_id`,
  // or, when `has_images`, to none yet: its images are elsewhere. The errors of Bucket.
  static absl::StatusOr<std::unique_ptr<S3BlobStore>> Open(std::unique_ptr<Bucket> bucket,
                                                           const std::string& repository_id, bool has_images);

  // RESOURCE_EXHAUSTED (UPLOADS_BUSY) while the uploads of this process hold as much memory as they may.
  absl::StatusOr<std::unique_ptr<Writer>> OpenUpload(absl::string_view manufacturer, absl::string_view sha256,
                                                     int64_t length, bool take_over) override;
  absl::StatusOr<int64_t> CommittedBytes(absl::string_view manufacturer, absl::string_view sha256) override;
  absl::Status RemoveUpload(absl::string_view manufacturer, absl::string_view sha256) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenImage(absl::string_view sha256, Purpose purpose) override;
  absl::StatusOr<std::string> DownloadUrl(absl::string_view sha256, absl::Time now,
                                          absl::Duration lifetime) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> UploadsBefore(absl::Time before) override;
  absl::Status RemoveLeftovers(absl::Time before) override;
  absl::Status ForEachImageBefore(absl::Time before,
                                  absl::FunctionRef<absl::Status(const std::string&)> visit) override;
  absl::Status RemoveOrphan(absl::string_view sha256) override;
  absl::Status PutDelta(absl::string_view name, int descriptor, int64_t length_bytes) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenDelta(absl::string_view name) override;
  absl::Status RemoveDelta(absl::string_view name) override;
  absl::Status ForEachDeltaBefore(absl::Time before,
                                  absl::FunctionRef<absl::Status(const std::string&)> visit) override;
  absl::StatusOr<std::string> ReadRecord(absl::string_view name) override;
  absl::Status WriteRecord(absl::string_view name, absl::string_view bytes) override;

 private:
  struct Progress;
  struct Part;
  class S3Writer;
  class S3Reader;
  // A share of the memory that all uploads, or all downloads, of the process may hold; given back at its end.
  class Reservation;

  absl::StatusOr<std::unique_ptr<Reader>> OpenObject(std::string key, bool reads_ahead);

  explicit S3BlobStore(std::unique_ptr<Bucket> bucket) : bucket_(std::move(bucket)) {}

  const std::unique_ptr<Bucket> bucket_;
  absl::Mutex mutex_;
  // Uploads that some writer of this process holds, by key.
  std::map<std::string, std::weak_ptr<Part>> parts_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex memory_mutex_;
  int64_t upload_bytes_ ABSL_GUARDED_BY(memory_mutex_) = 0;
  int64_t download_bytes_ ABSL_GUARDED_BY(memory_mutex_) = 0;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_S3_BLOB_STORE_H_
