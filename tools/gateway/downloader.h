// Brings images from the package store to the gateway's disk: whole, or as what they differ in from one that
// is there already. Whichever way an image comes, it counts only with the length and digest that the verified
// metadata promise (FOTA-E).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_DOWNLOADER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_DOWNLOADER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/update.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct DownloaderOptions {
  // A download that is slower is broken off and resumed later: nobody may keep an update away for ever by
  // being slow.
  int64_t minimum_bytes_per_second = 16 << 10;
  // What each slice of up to a mebibyte is given beyond that.
  absl::Duration slice_grace = absl::Seconds(10);
  // Longer images come whole, and are not kept; 0: all of them. What it allocates does not depend on it: the
  // images are mapped.
  int64_t delta_max_bytes = int64_t{256} << 20;
  // How long an update waits for its delta to be made, before the image comes whole.
  absl::Duration delta_wait = absl::Seconds(20);
  std::function<void(absl::Duration)> sleep;  // absl::SleepFor when empty
};

inline constexpr char kSlowRetrieval[] = "SLOW_RETRIEVAL";

// Not thread-safe.
class Downloader {
 public:
  // `package_store` is the channel to the service, `folder` where images are kept: see ImageFile.
  Downloader(DownloaderOptions options, std::shared_ptr<grpc::Channel> package_store, std::string folder)
      : options_(std::move(options)), package_store_(std::move(package_store)), folder_(std::move(folder)) {}

  // Has the image of `update` on disk, verified. `base_sha256` is the image that its component runs, whether
  // or not it is on disk. What was cut off goes on where it was. `bad_delta` is told of a delta that did not
  // keep what the store promised, or that did not give the image; the image then comes whole. UNAVAILABLE
  // when it was cut off: with the reason SLOW_RETRIEVAL when what came came too slowly.
  absl::Status Download(const trust::VerifiedUpdate& update, const std::string& base_sha256,
                        absl::FunctionRef<void(const absl::Status&)> bad_delta);

 private:
  // A delta that is ready.
  struct Delta {
    std::string base_sha256;
    std::string sha256;  // of the delta itself
    int64_t length = 0;
    std::string file;  // its name in the folder
  };

  absl::Status DownloadWhole(const trust::VerifiedUpdate& update);
  // Whether the image is there now; if not, it is to come whole. UNAVAILABLE after a cut from which the delta
  // can go on.
  absl::StatusOr<bool> TryDelta(const trust::VerifiedUpdate& update, const std::string& base_sha256,
                                absl::FunctionRef<void(const absl::Status&)> bad_delta);
  // The store's word, waited for; NOT_FOUND if there is none.
  absl::StatusOr<Delta> AskForDelta(const trust::VerifiedUpdate& update, const std::string& base_sha256);
  absl::Status DownloadDelta(const trust::VerifiedUpdate& update, const Delta& delta);
  absl::Status ApplyDelta(const trust::VerifiedUpdate& update, const Delta& delta);
  // The deadline of a call that brings `bytes`.
  absl::Duration SliceTimeout(int64_t bytes) const;

  const DownloaderOptions options_;
  const std::shared_ptr<grpc::Channel> package_store_;
  const std::string folder_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_DOWNLOADER_H_
