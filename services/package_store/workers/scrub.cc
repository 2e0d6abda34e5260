#include "services/package_store/workers/scrub.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::package_store {
namespace {

// A multiple of SHA-256's block, so that the digest's state can be kept after each.
constexpr int64_t kBlockBytes = 1 << 20;
// How much is read between two records of how far it is.
constexpr int64_t kKeptBytes = 64 << 20;
// A replica that has not said so long how far it is has died. At the lowest speed, 1 MiB/s, it says so in
// time.
constexpr absl::Duration kTurn = absl::Minutes(3);

}  // namespace

Scrub::Scrub(ImageHealth& health, const Clock& clock, metrics::Registry& registry, const Options& options)
    : health_(health),
      clock_(clock),
      options_(options),
      damaged_(registry
                   .AddGauge("countersign_package_store_damaged_images",
                             "Images that are damaged and wait to be uploaded again.", {})
                   .With({})),
      images_(registry.AddCounter("countersign_package_store_scrubbed_images_total",
                                  "Images that this replica read again to find damage.", {"result"})),
      bytes_(registry
                 .AddCounter("countersign_package_store_scrubbed_bytes_total",
                             "Bytes of images that this replica read again to find damage.", {})
                 .With({})) {}

absl::Status Scrub::Round() {
  while (true) {
    ASSIGN_OR_RETURN(const int64_t damaged, health_.CountDamaged());
    damaged_.Set(static_cast<double>(damaged));
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return absl::OkStatus();
    }
    const absl::Time now = clock_.Now();
    ASSIGN_OR_RETURN(std::optional<ImageHealth::Turn> turn,
                     health_.Take(now, now - options_.period, now + kTurn));
    if (!turn.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(Examine(*turn));
  }
}

void Scrub::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

absl::Status Scrub::Examine(ImageHealth::Turn& turn) {
  std::string damage;
  // What does not agree is read once more from its beginning before anything is said about it: what was kept
  // may be of an image that was replaced since, and memory can err, too.
  for (int reading = 1; reading <= 2; ++reading) {
    std::string found;
    const absl::StatusOr<End> end = Read(turn, &found);
    if (absl::IsNotFound(end.status())) {
      damage = "it is missing";
    } else if (!end.ok()) {
      return Annotate(end.status(), absl::StrCat("reading image ", turn.sha256, " again"));
    } else if (*end == End::kStopped) {
      return absl::OkStatus();
    } else if (*end == End::kShort) {
      damage = "its length is wrong";
    } else if (found == turn.sha256) {
      images_.With({"intact"}).Increment();
      return health_.Pass(turn, clock_.Now());
    } else {
      damage = absl::StrCat("its SHA-256 is ", found);
    }
    turn.state.clear();
  }
  images_.With({"damaged"}).Increment();
  return health_.Fail(turn, damage, clock_.Now());
}

absl::StatusOr<Scrub::End> Scrub::Read(ImageHealth::Turn& turn, std::string* found) {
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobStore::Reader> reader, health_.Open(turn));
  if (reader->length() != turn.length) return End::kShort;
  crypto::ResumableSha256 digest;
  if (!turn.state.empty()) {
    ASSIGN_OR_RETURN(digest, crypto::ResumableSha256::Restore(turn.state));
  }
  std::string buffer(std::min(kBlockBytes, turn.length), '\0');
  int64_t kept = digest.size();
  while (digest.size() < turn.length) {
    const int64_t count = std::min(kBlockBytes, turn.length - digest.size());
    RETURN_IF_ERROR(reader->Read(digest.size(), buffer.data(), count));
    digest.Update(absl::string_view(buffer.data(), count));
    bytes_.Increment(static_cast<double>(count));
    const bool goes_on = Pace(count);
    if (digest.size() == turn.length) break;
    if (!goes_on || digest.size() - kept >= kKeptBytes) {
      turn.state = digest.State();
      kept = digest.size();
      // Who stops lets another go on at once.
      const absl::Time now = clock_.Now();
      ASSIGN_OR_RETURN(const bool is_ours, health_.Keep(turn, goes_on ? now + kTurn : now));
      if (!goes_on || !is_ours) return End::kStopped;
    }
  }
  *found = digest.Hex();
  return End::kRead;
}

bool Scrub::Pace(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stopping_),
                                  absl::Seconds(static_cast<double>(bytes) / options_.bytes_per_second));
}

}  // namespace countersign::package_store
