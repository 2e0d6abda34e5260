#include "services/package_store/workers/delta_maker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/delta/delta.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/delta_rules.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kCopyBytes = 1 << 20;
// What failed, for want of a disk or a bucket, is tried again after this.
constexpr absl::Duration kRetryAfter = absl::Minutes(1);

absl::Status SystemError(absl::string_view what) {
  return absl::InternalError(absl::StrCat("cannot ", what, " a scratch file: ", strerror(errno)));
}

// A file without a name, which is gone when it is closed or the process dies.
class ScratchFile {
 public:
  static absl::StatusOr<ScratchFile> Make(const std::string& folder) {
    const int descriptor = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) return Annotate(SystemError("make"), folder);
    return ScratchFile(descriptor);
  }
  ScratchFile(ScratchFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~ScratchFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

  absl::Status Append(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError("write");
      bytes.remove_prefix(written);
    }
    return absl::OkStatus();
  }

 private:
  explicit ScratchFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// An image as the store has it: a delta of what a failing disk made of it would be of no use to anybody.
absl::StatusOr<ScratchFile> Fetch(BlobStore& blobs, const std::string& sha256, const std::string& folder,
                                  absl::FunctionRef<absl::Status()> go_on) {
  ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Make(folder));
  ASSIGN_OR_RETURN(const auto reader, blobs.OpenImage(sha256, BlobStore::Purpose::kServe));
  crypto::Sha256Stream digest;
  std::string buffer(std::min(kCopyBytes, reader->length()), '\0');
  for (int64_t offset = 0; offset < reader->length();) {
    const absl::string_view chunk(buffer.data(), std::min(kCopyBytes, reader->length() - offset));
    RETURN_IF_ERROR(reader->Read(offset, buffer.data(), chunk.size()));
    digest.Update(chunk);
    RETURN_IF_ERROR(file.Append(chunk));
    RETURN_IF_ERROR(go_on());
    offset += chunk.size();
  }
  if (digest.FinishHex() != sha256) return absl::DataLossError(absl::StrCat("image ", sha256, " is damaged"));
  return file;
}

}  // namespace

DeltaMaker::DeltaMaker(Deltas& deltas, BlobStore& blobs, const Clock& clock, metrics::Registry& registry,
                       Options options)
    : deltas_(deltas),
      blobs_(blobs),
      clock_(clock),
      options_(std::move(options)),
      outcomes_(registry.AddCounter("countersign_package_store_deltas_total",
                                    "Deltas that this replica made, or tried to.", {"outcome"})),
      waiting_(registry.AddGauge("countersign_package_store_deltas_waiting", "Deltas that wait to be made.")
                   .With()) {}

absl::Status DeltaMaker::Round() {
  while (!stopping_) {
    ASSIGN_OR_RETURN(const int64_t waiting, deltas_.CountWaiting());
    waiting_.Set(static_cast<double>(waiting));
    if (waiting == 0) return absl::OkStatus();
    const absl::Time now = clock_.Now();
    ASSIGN_OR_RETURN(const std::optional<Deltas::Claim> claim, deltas_.ClaimNext(now, now + options_.lease));
    if (!claim.has_value()) return absl::OkStatus();
    const absl::Status status = Make(*claim);
    if (status.ok() || ReasonOf(status) == "CLAIM_LOST") continue;
    const bool cancelled = absl::IsCancelled(status);
    if (!cancelled) {
      outcomes_.With({"failed"}).Increment();
      log::Error("a delta was not made", {{"sha256", claim->sha256}, {"status", status}});
    }
    RETURN_IF_ERROR(
        deltas_.GiveBack(*claim, clock_.Now() + (cancelled ? absl::ZeroDuration() : kRetryAfter)));
  }
  return absl::OkStatus();
}

absl::Status DeltaMaker::Make(const Deltas::Claim& claim) {
  absl::Time renewed = clock_.Now();
  const auto go_on = [&]() -> absl::Status {
    if (stopping_) return absl::CancelledError("the service stops");
    const absl::Time now = clock_.Now();
    if (now - renewed < options_.lease / 4) return absl::OkStatus();
    renewed = now;
    return deltas_.Renew(claim, now + options_.lease);
  };
  ASSIGN_OR_RETURN(const ScratchFile base_file,
                   Fetch(blobs_, claim.base_sha256, options_.scratch_dir, go_on));
  ASSIGN_OR_RETURN(const ScratchFile image_file, Fetch(blobs_, claim.sha256, options_.scratch_dir, go_on));
  ASSIGN_OR_RETURN(const delta::Mapping base, delta::Mapping::OfFile(base_file.descriptor()));
  ASSIGN_OR_RETURN(const delta::Mapping image, delta::Mapping::OfFile(image_file.descriptor()));
  ASSIGN_OR_RETURN(ScratchFile delta_file, ScratchFile::Make(options_.scratch_dir));
  crypto::Sha256Stream digest;
  const absl::StatusOr<int64_t> length = delta::Create(
      base.bytes(), image.bytes(), MaxDeltaBytes(claim.bytes),
      [&](absl::string_view bytes) {
        digest.Update(bytes);
        return delta_file.Append(bytes);
      },
      go_on);
  if (ReasonOf(length.status()) == "DELTA_TOO_LONG") {
    RETURN_IF_ERROR(deltas_.CompleteNotWorthwhile(claim, clock_.Now()));
    outcomes_.With({"not_worthwhile"}).Increment();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(length.status());

  // A name that is nobody else's, so that whoever loses its claim takes nothing away but its own.
  const std::string object = crypto::RandomHex(16);
  RETURN_IF_ERROR(deltas_.Renew(claim, clock_.Now() + options_.lease));
  RETURN_IF_ERROR(blobs_.PutDelta(object, delta_file.descriptor(), *length));
  const absl::Status completed =
      deltas_.CompleteReady(claim, object, *length, digest.FinishHex(), clock_.Now());
  if (!completed.ok()) {
    // Unless nobody knows whether it was recorded: then Cleanup() finds out.
    if (!absl::IsUnknown(completed)) blobs_.RemoveDelta(object).IgnoreError();
    return completed;
  }
  outcomes_.With({"ready"}).Increment();
  log::Info("made a delta", {{"base_sha256", claim.base_sha256},
                             {"sha256", claim.sha256},
                             {"bytes", *length},
                             {"image_bytes", claim.bytes}});
  return absl::OkStatus();
}

absl::Status DeltaMaker::Cleanup(absl::Time unused_before, absl::Time orphans_before) {
  ASSIGN_OR_RETURN(const std::vector<std::string> unused, deltas_.DeleteUnused(unused_before));
  for (const std::string& object : unused) RETURN_IF_ERROR(blobs_.RemoveDelta(object));
  return blobs_.ForEachDeltaBefore(orphans_before, [&](const std::string& object) -> absl::Status {
    ASSIGN_OR_RETURN(const bool known, deltas_.IsObject(object));
    return known ? absl::OkStatus() : blobs_.RemoveDelta(object);
  });
}

}  // namespace countersign::package_store
