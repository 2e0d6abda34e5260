#include "services/package_store/storage/s3_blob_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/upload_rules.h"

namespace countersign::package_store {
namespace {

// S3 takes parts from 5 MiB on and at most 10,000 of them: an image over 80 GB has larger ones.
constexpr int64_t kPartBytes = 8 << 20;
constexpr int64_t kMaxParts = 10'000;
constexpr int64_t kPartStep = 1 << 20;
// What the tails of all uploads may hold, and the read-ahead of all downloads.
constexpr int64_t kUploadMemory = 96 << 20;
constexpr int64_t kDownloadMemory = 32 << 20;
constexpr int64_t kReadAhead = 1 << 20;
constexpr char kUploads[] = "uploads/";
constexpr char kImages[] = "images/";
constexpr char kDeltas[] = "deltas/";
constexpr char kRecords[] = "records/";
constexpr char kMarker[] = "repository";
constexpr char kProgressFormat[] = "countersign-upload-1";

int64_t PartBytes(int64_t length) {
  const int64_t least = (length + kMaxParts - 1) / kMaxParts;
  return std::max(kPartBytes, (least + kPartStep - 1) / kPartStep * kPartStep);
}

std::string UploadKey(absl::string_view manufacturer, absl::string_view sha256) {
  return absl::StrCat(kUploads, manufacturer, ".", sha256);
}
std::string ImageKey(absl::string_view sha256) {
  return absl::StrCat(kImages, sha256.substr(0, 2), "/", sha256);
}

absl::Status UploadLost() {
  return Error(absl::StatusCode::kAborted, "UPLOAD_LOST",
               "The upload was finished or removed elsewhere; ask where it stands and go on from there.");
}

}  // namespace

// How far an upload is, as the bucket remembers it.
struct S3BlobStore::Progress {
  std::string upload_id;  // of the multipart upload; empty before its first part
  int64_t length = 0;     // that was announced
  int64_t committed = 0;  // bytes of the parts
  crypto::ResumableSha256 digest;
  std::string sha256;              // once the last part is there: what the digest came to
  std::vector<std::string> etags;  // of the parts

  std::string Serialise() const {
    return absl::StrCat(kProgressFormat, "\n", upload_id, "\n", length, "\n", committed, "\n",
                        sha256.empty() ? digest.State() : sha256, "\n", absl::StrJoin(etags, "\n"));
  }
  static absl::StatusOr<Progress> Parse(absl::string_view text) {
    const std::vector<std::string> lines = absl::StrSplit(text, '\n');
    Progress progress;
    if (lines.size() < 6 || lines[0] != kProgressFormat || !absl::SimpleAtoi(lines[2], &progress.length) ||
        !absl::SimpleAtoi(lines[3], &progress.committed)) {
      return absl::InternalError("The record of an upload in the bucket cannot be read.");
    }
    progress.upload_id = lines[1];
    if (crypto::IsSha256Hex(lines[4])) {
      progress.sha256 = lines[4];
    } else {
      ASSIGN_OR_RETURN(progress.digest, crypto::ResumableSha256::Restore(lines[4]));
    }
    progress.etags.assign(lines.begin() + 5, lines.end());
    return progress;
  }
};

class S3BlobStore::Reservation {
 public:
  static std::unique_ptr<Reservation> TryTake(absl::Mutex& mutex, int64_t& used, int64_t limit,
                                              int64_t bytes) {
    absl::MutexLock lock(&mutex);
    // One that is larger than all the memory has it to itself.
    if (used > 0 && used + bytes > limit) return nullptr;
    used += bytes;
    return std::unique_ptr<Reservation>(new Reservation(mutex, used, bytes));
  }
  ~Reservation() {
    absl::MutexLock lock(&mutex_);
    used_ -= bytes_;
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

 private:
  Reservation(absl::Mutex& mutex, int64_t& used, int64_t bytes) : mutex_(mutex), used_(used), bytes_(bytes) {}
  absl::Mutex& mutex_;
  int64_t& used_;
  const int64_t bytes_;
};

// An upload while this process writes it.
struct S3BlobStore::Part {
  Part(Bucket& bucket, absl::string_view manufacturer, absl::string_view sha256, int64_t length,
       std::unique_ptr<Reservation> memory)
      : bucket(bucket),
        key(UploadKey(manufacturer, sha256)),
        image_key(ImageKey(sha256)),
        sha256(sha256),
        length(length),
        memory(std::move(memory)) {}

  absl::Status CheckHolder(uint64_t holder) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return holder == generation ? absl::OkStatus() : UploadTakenOver();
  }

  int64_t size() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return progress.committed + static_cast<int64_t>(tail.size());
  }

  // What came after the last whole part has to come again.
  void DropTail() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    tail.clear();
    running = progress.digest;
  }

  void SetProgress(Progress to, std::string to_etag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    progress = std::move(to);
    etag = std::move(to_etag);
    DropTail();
  }

  // Takes up what the bucket remembers.
  absl::Status Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::string found_etag;
    const absl::StatusOr<std::string> text = bucket.Get(key, &found_etag);
    if (absl::IsNotFound(text.status())) {
      SetProgress(Progress{.length = length}, Bucket::kNone);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(text.status());
    absl::StatusOr<Progress> found = Progress::Parse(*text);
    if (!found.ok()) return Reset();
    const bool is_other = found->length != length;
    SetProgress(*std::move(found), std::move(found_etag));
    return is_other ? Reset() : absl::OkStatus();
  }

  // Begins anew.
  absl::Status Reset() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const Progress old = std::move(progress);
    SetProgress(Progress{.length = length}, Bucket::kNone);
    published = false;
    // First the record: a multipart upload that nothing names is found and removed, a record that names
    // nothing would be believed.
    RETURN_IF_ERROR(bucket.Delete(key));
    if (old.upload_id.empty()) return absl::OkStatus();
    return bucket.AbortMultipart(image_key, old.upload_id);
  }

  // Sends the tail as the next part and records it.
  absl::Status Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Progress next = progress;
    if (next.upload_id.empty()) {
      ASSIGN_OR_RETURN(next.upload_id, bucket.CreateMultipart(image_key));
    }
    absl::StatusOr<std::string> part_etag =
        bucket.UploadPart(image_key, next.upload_id, static_cast<int>(next.etags.size()) + 1, tail);
    if (absl::IsNotFound(part_etag.status())) return UploadLost();
    RETURN_IF_ERROR(part_etag.status());
    next.etags.push_back(*std::move(part_etag));
    next.committed = size();
    next.digest = running;
    if (next.committed == length) next.sha256 = running.Hex();
    const std::string text = next.Serialise();
    absl::StatusOr<std::string> next_etag = bucket.Put(key, text, etag);
    if (absl::IsNotFound(next_etag.status())) return UploadLost();
    if (absl::IsAborted(next_etag.status())) {
      // Another replica's record, or ours, whose answer was lost.
      std::string found_etag;
      const absl::StatusOr<std::string> found = bucket.Get(key, &found_etag);
      if (absl::IsNotFound(found.status())) return UploadLost();
      RETURN_IF_ERROR(found.status());
      if (*found != text) {
        if (progress.upload_id.empty()) bucket.AbortMultipart(image_key, next.upload_id).IgnoreError();
        return UploadTakenOver();
      }
      next_etag = std::move(found_etag);
    }
    RETURN_IF_ERROR(next_etag.status());
    SetProgress(std::move(next), *std::move(next_etag));
    return absl::OkStatus();
  }

  Bucket& bucket;
  const std::string key;
  const std::string image_key;
  const std::string sha256;
  const int64_t length;
  const std::unique_ptr<Reservation> memory;
  absl::Mutex mutex;
  uint64_t generation ABSL_GUARDED_BY(mutex) = 0;  // the writer that holds it
  Progress progress ABSL_GUARDED_BY(mutex);
  std::string etag ABSL_GUARDED_BY(mutex) = Bucket::kNone;  // of the record in the bucket
  std::string tail ABSL_GUARDED_BY(mutex);                  // what came after the last whole part
  crypto::ResumableSha256 running ABSL_GUARDED_BY(mutex);   // of everything
  bool published ABSL_GUARDED_BY(mutex) = false;
};

class S3BlobStore::S3Writer : public Writer {
 public:
  S3Writer(std::shared_ptr<Part> part, int64_t length, uint64_t generation)
      : Writer(length), part_(std::move(part)), generation_(generation) {}

  int64_t size() const override {
    absl::MutexLock lock(&part_->mutex);
    return part_->size();
  }

  absl::Status Append(int64_t offset, absl::string_view data) override {
    absl::MutexLock lock(&part_->mutex);
    RETURN_IF_ERROR(part_->CheckHolder(generation_));
    RETURN_IF_ERROR(CheckChunk(part_->size(), length_, offset, data.size()));
    const int64_t part_bytes = PartBytes(length_);
    while (!data.empty()) {
      if (part_->tail.empty()) part_->tail.reserve(std::min(part_bytes, length_ - part_->progress.committed));
      const absl::string_view taken = data.substr(0, part_bytes - part_->tail.size());
      part_->tail.append(taken.data(), taken.size());
      part_->running.Update(taken);
      data.remove_prefix(taken.size());
      if (static_cast<int64_t>(part_->tail.size()) < part_bytes && part_->size() < length_) continue;
      if (absl::Status flushed = part_->Flush(); !flushed.ok()) {
        part_->DropTail();
        return flushed;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Sync() override {
    absl::MutexLock lock(&part_->mutex);
    return part_->progress.committed;
  }

  absl::Status Verify() override {
    absl::MutexLock lock(&part_->mutex);
    RETURN_IF_ERROR(part_->CheckHolder(generation_));
    if (part_->progress.committed != length_)
      return absl::InternalError("an upload was to be verified before it was complete");
    const std::string found = part_->progress.sha256;
    if (found == part_->sha256) return absl::OkStatus();
    RETURN_IF_ERROR(part_->Reset());
    return DigestMismatch(length_, found, part_->sha256);
  }

  absl::Status Publish(bool replace) override {
    absl::MutexLock lock(&part_->mutex);
    RETURN_IF_ERROR(part_->CheckHolder(generation_));
    if (part_->published) return absl::OkStatus();
    if (!replace) {
      ASSIGN_OR_RETURN(part_->published, IsThere());
      if (part_->published) return absl::OkStatus();
    }
    const absl::Status completed =
        part_->bucket.CompleteMultipart(part_->image_key, part_->progress.upload_id, part_->progress.etags);
    const bool is_unknown = absl::IsNotFound(completed);
    if (!completed.ok() && !is_unknown && ReasonOf(completed) != "PARTS_CHANGED") return completed;
    // Unknown it is also when it was completed already, by an attempt whose answer was lost; only, what is
    // there may be the image that was to be replaced.
    if (completed.ok() || (is_unknown && !replace)) {
      ASSIGN_OR_RETURN(part_->published, IsThere());
      if (part_->published) return absl::OkStatus();
    }
    if (completed.ok()) return absl::InternalError("The bucket completed an upload and has not all of it.");
    RETURN_IF_ERROR(part_->Reset());
    return UploadLost();
  }

  void Discard() override {
    absl::MutexLock lock(&part_->mutex);
    // What cannot be removed now is removed with what is abandoned.
    if (part_->generation == generation_) part_->Reset().IgnoreError();
  }

 private:
  absl::StatusOr<bool> IsThere() ABSL_EXCLUSIVE_LOCKS_REQUIRED(part_->mutex) {
    const absl::StatusOr<Bucket::Object> object = part_->bucket.Head(part_->image_key);
    if (absl::IsNotFound(object.status())) return false;
    RETURN_IF_ERROR(object.status());
    return object->length == length_;
  }

  const std::shared_ptr<Part> part_;
  const uint64_t generation_;
};

// Asks for more than it is asked for, as long as there is memory for it: a request of its own for each chunk
// of a download would take a round trip each.
class S3BlobStore::S3Reader : public Reader {
 public:
  S3Reader(Bucket& bucket, std::string key, int64_t length, std::unique_ptr<Reservation> memory)
      : Reader(length), bucket_(bucket), key_(std::move(key)), memory_(std::move(memory)) {}

  absl::Status Read(int64_t offset, char* buffer, size_t size) override {
    if (memory_ == nullptr) return bucket_.GetRange(key_, offset, buffer, size);
    while (size > 0) {
      if (offset < start_ || offset >= start_ + static_cast<int64_t>(block_.size())) {
        block_.resize(std::min(kReadAhead, length_ - offset));
        start_ = offset;
        if (absl::Status read = bucket_.GetRange(key_, offset, block_.data(), block_.size()); !read.ok()) {
          block_.clear();
          return read;
        }
      }
      const size_t count = std::min<int64_t>(size, start_ + block_.size() - offset);
      std::memcpy(buffer, block_.data() + (offset - start_), count);
      buffer += count;
      offset += count;
      size -= count;
    }
    return absl::OkStatus();
  }

 private:
  Bucket& bucket_;
  const std::string key_;
  const std::unique_ptr<Reservation> memory_;  // null: none was left
  std::string block_;                          // the bytes from `start_` on
  int64_t start_ = 0;
};

absl::StatusOr<std::unique_ptr<S3BlobStore>> S3BlobStore::Open(std::unique_ptr<Bucket> bucket,
                                                               const std::string& repository_id,
                                                               bool has_images) {
  const std::string marker = repository_id + "\n";
  absl::StatusOr<std::string> owner = bucket->Get(kMarker);
  if (absl::IsNotFound(owner.status()) && !has_images) {
    const absl::Status written = bucket->Put(kMarker, marker, Bucket::kNone).status();
    // Another replica may have been first, or another repository.
    if (!written.ok() && !absl::IsAborted(written)) return written;
    owner = bucket->Get(kMarker);
  }
  if (!owner.ok() && !absl::IsNotFound(owner.status())) return owner.status();
  if (!owner.ok() || *owner != marker) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "BUCKET_MISMATCH",
        absl::StrCat("What --blob-s3 names does not hold the images of this database (repository ",
                     repository_id, "). Give the bucket, prefix and database that belong together."));
  }
  return std::unique_ptr<S3BlobStore>(new S3BlobStore(std::move(bucket)));
}

absl::StatusOr<std::unique_ptr<BlobStore::Writer>> S3BlobStore::OpenUpload(absl::string_view manufacturer,
                                                                           absl::string_view sha256,
                                                                           int64_t length, bool take_over) {
  const std::string key = UploadKey(manufacturer, sha256);
  std::shared_ptr<Part> part;
  {
    absl::MutexLock lock(&mutex_);
    if (const auto found = parts_.find(key); found != parts_.end()) part = found->second.lock();
    if (part != nullptr && (!take_over || part->length != length)) return UploadBusy();
    if (part == nullptr) {
      auto memory = Reservation::TryTake(memory_mutex_, upload_bytes_, kUploadMemory,
                                         std::min(PartBytes(length), length));
      if (memory == nullptr) {
        return Error(absl::StatusCode::kResourceExhausted, "UPLOADS_BUSY",
                     "Too many uploads are on their way; go on with this one in a moment.");
      }
      part = std::make_shared<Part>(*bucket_, manufacturer, sha256, length, std::move(memory));
      std::erase_if(parts_, [](const auto& entry) { return entry.second.expired(); });
      parts_[key] = part;
    }
  }
  absl::MutexLock lock(&part->mutex);
  const uint64_t generation = ++part->generation;
  RETURN_IF_ERROR(part->Load());
  return std::make_unique<S3Writer>(part, length, generation);
}

absl::StatusOr<int64_t> S3BlobStore::CommittedBytes(absl::string_view manufacturer,
                                                    absl::string_view sha256) {
  const absl::StatusOr<std::string> text = bucket_->Get(UploadKey(manufacturer, sha256));
  if (absl::IsNotFound(text.status())) return 0;
  RETURN_IF_ERROR(text.status());
  const absl::StatusOr<Progress> progress = Progress::Parse(*text);
  return progress.ok() ? progress->committed : 0;  // one that cannot be read begins anew
}

absl::Status S3BlobStore::RemoveUpload(absl::string_view manufacturer, absl::string_view sha256) {
  const std::string key = UploadKey(manufacturer, sha256);
  {
    absl::MutexLock lock(&mutex_);
    if (const auto found = parts_.find(key); found != parts_.end() && !found->second.expired())
      return UploadBusy();
  }
  const absl::StatusOr<std::string> text = bucket_->Get(key);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  RETURN_IF_ERROR(text.status());
  const absl::StatusOr<Progress> progress = Progress::Parse(*text);
  RETURN_IF_ERROR(bucket_->Delete(key));
  if (!progress.ok()) return absl::OkStatus();
  return bucket_->AbortMultipart(ImageKey(sha256), progress->upload_id);
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> S3BlobStore::OpenImage(absl::string_view sha256,
                                                                          Purpose purpose) {
  // Who scrubs reads in large pieces by itself.
  return OpenObject(ImageKey(sha256), /*reads_ahead=*/purpose == Purpose::kServe);
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> S3BlobStore::OpenObject(std::string key,
                                                                           bool reads_ahead) {
  ASSIGN_OR_RETURN(const Bucket::Object object, bucket_->Head(key));
  std::unique_ptr<Reservation> memory;
  if (reads_ahead) memory = Reservation::TryTake(memory_mutex_, download_bytes_, kDownloadMemory, kReadAhead);
  return std::make_unique<S3Reader>(*bucket_, std::move(key), object.length, std::move(memory));
}

absl::StatusOr<std::string> S3BlobStore::DownloadUrl(absl::string_view sha256, absl::Time now,
                                                     absl::Duration lifetime) {
  return bucket_->PresignedUrl(ImageKey(sha256), now, lifetime);
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> S3BlobStore::UploadsBefore(
    absl::Time before) {
  std::vector<std::pair<std::string, std::string>> uploads;
  RETURN_IF_ERROR(bucket_->List(kUploads, [&](const Bucket::Object& object) {
    const std::pair<std::string, std::string> name =
        absl::StrSplit(absl::StripPrefix(object.key, kUploads), absl::MaxSplits('.', 1));
    // The record is written anew with every part.
    if (object.modified < before && crypto::IsSha256Hex(name.second)) uploads.push_back(name);
    return absl::OkStatus();
  }));
  return uploads;
}

absl::Status S3BlobStore::RemoveLeftovers(absl::Time before) {
  std::vector<std::pair<std::string, std::string>> old;
  RETURN_IF_ERROR(bucket_->ListMultiparts(
      "", [&](const std::string& key, const std::string& upload_id, absl::Time initiated) {
        if (initiated < before) old.emplace_back(key, upload_id);
        return absl::OkStatus();
      }));
  if (old.empty()) return absl::OkStatus();
  std::set<std::string> named;
  RETURN_IF_ERROR(bucket_->List(kUploads, [&](const Bucket::Object& object) -> absl::Status {
    const absl::StatusOr<std::string> text = bucket_->Get(object.key);
    if (absl::IsNotFound(text.status())) return absl::OkStatus();
    RETURN_IF_ERROR(text.status());
    if (const absl::StatusOr<Progress> progress = Progress::Parse(*text); progress.ok())
      named.insert(progress->upload_id);
    return absl::OkStatus();
  }));
  for (const auto& [key, upload_id] : old) {
    if (!named.contains(upload_id)) RETURN_IF_ERROR(bucket_->AbortMultipart(key, upload_id));
  }
  return absl::OkStatus();
}

absl::Status S3BlobStore::ForEachImageBefore(absl::Time before,
                                             absl::FunctionRef<absl::Status(const std::string&)> visit) {
  return bucket_->List(kImages, [&](const Bucket::Object& object) -> absl::Status {
    const std::string sha256 = object.key.substr(object.key.rfind('/') + 1);
    if (object.modified >= before || !crypto::IsSha256Hex(sha256)) return absl::OkStatus();
    return visit(sha256);
  });
}

absl::Status S3BlobStore::RemoveOrphan(absl::string_view sha256) { return bucket_->Delete(ImageKey(sha256)); }

absl::Status S3BlobStore::PutDelta(absl::string_view name, int descriptor, int64_t length_bytes) {
  const std::string key = absl::StrCat(kDeltas, name);
  ASSIGN_OR_RETURN(const std::string upload_id, bucket_->CreateMultipart(key));
  // What is left when this fails is removed with what replicas that died have left.
  std::vector<std::string> etags;
  std::string buffer(std::min(PartBytes(length_bytes), length_bytes), '\0');
  for (int64_t offset = 0; offset < length_bytes;) {
    const size_t size = std::min<int64_t>(buffer.size(), length_bytes - offset);
    for (size_t have = 0; have < size;) {
      const ssize_t count = pread(descriptor, buffer.data() + have, size - have, offset + have);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return absl::InternalError("a delta to be stored cannot be read");
      have += count;
    }
    ASSIGN_OR_RETURN(std::string etag, bucket_->UploadPart(key, upload_id, static_cast<int>(etags.size()) + 1,
                                                           absl::string_view(buffer.data(), size)));
    etags.push_back(std::move(etag));
    offset += size;
  }
  return bucket_->CompleteMultipart(key, upload_id, etags);
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> S3BlobStore::OpenDelta(absl::string_view name) {
  return OpenObject(absl::StrCat(kDeltas, name), /*reads_ahead=*/true);
}

absl::Status S3BlobStore::RemoveDelta(absl::string_view name) {
  return bucket_->Delete(absl::StrCat(kDeltas, name));
}

absl::Status S3BlobStore::ForEachDeltaBefore(absl::Time before,
                                             absl::FunctionRef<absl::Status(const std::string&)> visit) {
  return bucket_->List(kDeltas, [&](const Bucket::Object& object) -> absl::Status {
    if (object.modified >= before) return absl::OkStatus();
    return visit(std::string(absl::StripPrefix(object.key, kDeltas)));
  });
}

absl::StatusOr<std::string> S3BlobStore::ReadRecord(absl::string_view name) {
  return bucket_->Get(absl::StrCat(kRecords, name));
}

absl::Status S3BlobStore::WriteRecord(absl::string_view name, absl::string_view bytes) {
  return bucket_->Put(absl::StrCat(kRecords, name), bytes, Bucket::kAny).status();
}

}  // namespace countersign::package_store
