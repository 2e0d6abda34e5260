// Images on the gateway's disk: they come in pieces, survive a power cut half way, and count only once length
// and digest are those that the metadata promise (FOTA-E). Their files have their digests' names:
//   <sha256>                           verified
//   <sha256>.partial                   on its way
//   <sha256>.<delta's sha256>[.partial]  a delta that gives it
//   <sha256>.patched                   what a delta gives, until it is verified
#ifndef COUNTERSIGN_TOOLS_GATEWAY_IMAGE_FILE_H_
#define COUNTERSIGN_TOOLS_GATEWAY_IMAGE_FILE_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/update.h"

namespace countersign::gateway {

// Where the verified image `sha256` is.
std::string ImagePath(const std::string& folder, const std::string& sha256);

// OK if the verified image is there and still has its length and digest; NOT_FOUND if there is none. One that
// a failing disk has changed is removed, and is NOT_FOUND.
absl::Status CheckImage(const std::string& folder, const std::string& sha256, int64_t length);

// The same for any file that should have the digest `sha256`.
absl::Status CheckFile(const std::string& folder, const std::string& name, const std::string& sha256,
                       int64_t length);

// The length of what is there as the image `sha256`; NOT_FOUND if there is none.
absl::StatusOr<int64_t> ImageLength(const std::string& folder, const std::string& sha256);

// Makes the file at `path`, on the same disk, the verified image, durably. LENGTH_EXCEEDED, LENGTH_MISMATCH
// or DIGEST_MISMATCH if it is not: then it stays where it is.
absl::Status AdoptImage(const std::string& path, const std::string& folder, const std::string& sha256,
                        int64_t length);

// Removes the file `name`, also on its way.
absl::Status RemoveImageFile(const std::string& folder, const std::string& name);

// Removes all images, also those on their way and their deltas, but those in `wanted`.
absl::Status RemoveOtherImages(const std::string& folder, const std::set<std::string>& wanted);

// An image on its way: `<sha256>.partial`. Not thread-safe.
class ImageFile {
 public:
  // Goes on with what is there; begins anew if that is too long.
  static absl::StatusOr<std::unique_ptr<ImageFile>> Open(const std::string& folder, const std::string& sha256,
                                                         int64_t length);
  // The same for any bytes that are known by their digest, as the file `name`.
  static absl::StatusOr<std::unique_ptr<ImageFile>> OpenAs(const std::string& folder, const std::string& name,
                                                           const std::string& sha256, int64_t length);
  // Whether some of an image was fetched before, or was about to be.
  static bool HasBegun(const std::string& folder, const std::string& sha256);
  ~ImageFile();
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;

  // How many bytes are there: where the download goes on.
  int64_t offset() const { return check_.received(); }

  // LENGTH_EXCEEDED as soon as there is more than promised: all is removed. RESOURCE_EXHAUSTED (NO_FLASH)
  // when the disk is full.
  absl::Status Append(absl::string_view bytes);

  // Makes it the verified image, durably. LENGTH_MISMATCH if bytes are missing. DIGEST_MISMATCH if they are
  // others: they are removed, so that the next download begins anew.
  absl::Status Finish();

 private:
  ImageFile(std::string folder, std::string name, absl::string_view sha256, int64_t length)
      : folder_(std::move(folder)), name_(std::move(name)), check_(length, sha256) {}
  std::string partial_path() const;
  // Takes up what is there. LENGTH_EXCEEDED.
  absl::Status Resume();

  const std::string folder_;
  const std::string name_;
  trust::ImageCheck check_;
  int descriptor_ = -1;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_IMAGE_FILE_H_
