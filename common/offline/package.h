// Offline packages (SC-ALT): one file, carried to a gateway that has no network, with all that it needs to
// verify and install an update: images, the files of both repositories, the authority's approval statements,
// and the log's proofs. A POSIX tar archive:
//
//   manifest.json       first: {"format": "countersign-package-1", "gateway": id, "targets": [{"path",
//   "sha256",
//                       "length", "ecuSerials"?}]}
//   director/<file>     the Director repository's files for that gateway, e.g. director/timestamp.json
//   images/<file>       the image repository's files
//   statements/<sha256> DSSE approval statements, by image
//   proofs/<sha256>     tlog-proof@v1, by image
//   targets/<sha256>    the images
//
// Nothing in it is trusted for being in it: everything is verified as if it came from the services.
#ifndef COUNTERSIGN_COMMON_OFFLINE_PACKAGE_H_
#define COUNTERSIGN_COMMON_OFFLINE_PACKAGE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::offline {

// Why a package is refused before anything in it is verified.
inline constexpr char kMalformed[] =
    "PACKAGE_MALFORMED";  // no archive, cut off, or with what has no place in one
inline constexpr char kTooLarge[] = "PACKAGE_TOO_LARGE";  // beyond the limits

struct Target {
  std::string path;
  std::string sha256;
  int64_t length = 0;
  // The components that it is meant for, where no Director says so: only below pending/.
  std::vector<std::string> ecu_serials;
  std::string approval_statement;  // empty if there is none
  std::string log_proof;           // empty if there is none
};

struct Contents {
  std::string gateway_id;
  std::map<std::string, std::string> director;  // files by name
  std::map<std::string, std::string> images;
  std::vector<Target> targets;
};

struct Limits {
  size_t max_entries = 1024;
  size_t max_targets = 64;
  int64_t max_file_bytes = 5 << 20;    // of each file but images
  int64_t max_files_bytes = 64 << 20;  // of all of them
  int64_t max_image_bytes = int64_t{4} << 30;
};

// Writes the package atomically to `path`; `image_files` has the path of each image's bytes by digest, which
// are not verified. INVALID_ARGUMENT, INTERNAL with the system's message.
absl::Status WritePackage(const std::string& path, const Contents& contents,
                          const std::map<std::string, std::string>& image_files);

class Package {
 public:
  // Reads all but the images. NOT_FOUND if there is no file; INVALID_ARGUMENT (PACKAGE_MALFORMED),
  // RESOURCE_EXHAUSTED (PACKAGE_TOO_LARGE): no name in it is ever used as a file's, and nothing beyond
  // `limits` is read.
  static absl::StatusOr<Package> Open(const std::string& path, const Limits& limits = {});

  const Contents& contents() const { return contents_; }

  // Gives the image's bytes to `sink` in pieces, at most as many as the contents say; the sink's error ends
  // it. PACKAGE_MALFORMED if they are cut off.
  absl::Status ReadImage(const std::string& sha256,
                         absl::FunctionRef<absl::Status(absl::string_view)> sink) const;

 private:
  Package(std::string path, Contents contents) : path_(std::move(path)), contents_(std::move(contents)) {}

  std::string path_;
  Contents contents_;
};

}  // namespace countersign::offline

#endif  // COUNTERSIGN_COMMON_OFFLINE_PACKAGE_H_
