// What every kind of BlobStore promises, on a real folder and in a real bucket.

#include "services/package_store/storage/blob_store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/package_store/storage/file_blob_store.h"
#include "services/package_store/storage/s3_blob_store.h"
#include "services/package_store/testing/s3_server.h"

namespace countersign::package_store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::S3Server;

constexpr char kRepository[] = "0b9f2c5e-6a3d-4c1b-9e57-3f0a8d2b4c66";
constexpr int64_t kChunk = 256 << 10;
constexpr auto kServe = BlobStore::Purpose::kServe;
constexpr auto kScrub = BlobStore::Purpose::kScrub;

S3Server& Server() {
  static S3Server* const server = new S3Server();
  return *server;
}

// A place for a store, and what is peculiar to its kind.
struct Place {
  std::function<absl::StatusOr<std::unique_ptr<BlobStore>>(const std::string& repository, bool has_images)>
      open;
  std::function<std::string(const std::string& key)> file_of;
  int64_t part_bytes;  // an upload counts in steps of this
};

Place NewFolder() {
  std::string folder = absl::StrCat(getenv("TEST_TMPDIR"), "/blobs-XXXXXX");
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return {[folder](const std::string& repository, bool has_images) {
            return FileBlobStore::Open(folder, repository, has_images);
          },
          [folder](const std::string& key) { return absl::StrCat(folder, "/", key); }, 1};
}

Place NewPrefix() {
  const std::string prefix = absl::StrCat("store-", crypto::RandomHex(8));
  return {
      [prefix](const std::string& repository, bool has_images) -> absl::StatusOr<std::unique_ptr<BlobStore>> {
        BucketOptions options = Server().Options(prefix);
        options.sleep = [](absl::Duration) {};
        auto bucket = Bucket::Create(std::move(options));
        if (!bucket.ok()) return bucket.status();
        return S3BlobStore::Open(*std::move(bucket), repository, has_images);
      },
      [prefix](const std::string& key) { return Server().FileOf(prefix, key); }, 8 << 20};
}

struct Kind {
  const char* name;
  Place (*make)();
};

class BlobStoreTest : public ::testing::TestWithParam<Kind> {
 protected:
  BlobStoreTest() { Reopen(); }
  // As another process would: nothing is known but what is stored.
  void Reopen() {
    store_.reset();
    store_ = Open();
  }
  std::unique_ptr<BlobStore> Open() {
    absl::StatusOr<std::unique_ptr<BlobStore>> store = place_.open(kRepository, false);
    EXPECT_OK(store);
    return *std::move(store);
  }
  absl::StatusOr<std::unique_ptr<BlobStore::Writer>> OpenUpload(bool take_over = true) {
    return store_->OpenUpload("acme", sha256_, content_.size(), take_over);
  }
  // [from, to) of the content, in pieces that a stream has.
  absl::Status Append(BlobStore::Writer& writer, int64_t from, int64_t to) {
    for (int64_t at = from; at < to; at += kChunk) {
      const absl::Status status =
          writer.Append(at, absl::string_view(content_).substr(at, std::min(kChunk, to - at)));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  int64_t size() const { return static_cast<int64_t>(content_.size()); }
  int64_t Whole(int64_t bytes) const {
    return bytes == size() ? bytes : bytes / place_.part_bytes * place_.part_bytes;
  }
  void Store() {
    ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
    ASSERT_OK(Append(*writer, writer->size(), size()));
    ASSERT_OK(writer->Verify());
    ASSERT_OK(writer->Publish(/*replace=*/false));
    writer->Discard();
  }
  absl::StatusOr<std::string> ReadImage(BlobStore::Purpose purpose = kServe) {
    absl::StatusOr<std::unique_ptr<BlobStore::Reader>> reader = store_->OpenImage(sha256_, purpose);
    if (!reader.ok()) return reader.status();
    std::string content((*reader)->length(), '\0');
    for (int64_t at = 0; at < (*reader)->length(); at += kChunk) {
      absl::Status read =
          (*reader)->Read(at, content.data() + at, std::min(kChunk, (*reader)->length() - at));
      if (!read.ok()) return read;
    }
    return content;
  }
  std::string ImageFile() const {
    return place_.file_of(absl::StrCat("images/", sha256_.substr(0, 2), "/", sha256_));
  }

  const Place place_ = GetParam().make();
  std::unique_ptr<BlobStore> store_;
  const std::string content_ = crypto::RandomBytes((20 << 20) + 12'345);
  const std::string sha256_ = crypto::Sha256Hex(content_);
};

INSTANTIATE_TEST_SUITE_P(Kinds, BlobStoreTest,
                         ::testing::Values(Kind{"File", NewFolder}, Kind{"S3", NewPrefix}),
                         [](const auto& info) { return info.param.name; });

TEST_P(BlobStoreTest, AnImageAppearsOnlyWhenItIsWholeAndVerified) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, size()));
  EXPECT_TRUE(writer->full());
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(writer->Verify());
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(writer->Publish(/*replace=*/false));
  EXPECT_TRUE(ReadImage().value() == content_);
  EXPECT_TRUE(ReadImage(kScrub).value() == content_);
  EXPECT_OK(writer->Publish(/*replace=*/false));  // once more does nothing
  writer->Discard();
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(0));
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(BlobStoreTest, AnyRangeOfAnImageCanBeRead) {
  Store();
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenImage(sha256_, kServe));
  EXPECT_EQ(reader->length(), size());
  for (int64_t at :
       {int64_t{0}, int64_t{1}, int64_t{(1 << 20) - 3}, int64_t{8 << 20}, size() - 10, int64_t{7}}) {
    std::string bytes(10, '\0');
    ASSERT_OK(reader->Read(at, bytes.data(), bytes.size()));
    EXPECT_EQ(bytes, content_.substr(at, 10));
  }
}

TEST_P(BlobStoreTest, ASmallImageIsAnImage) {
  ASSERT_OK_AND_ASSIGN(auto writer, store_->OpenUpload("acme", crypto::Sha256Hex("x"), 1, true));
  ASSERT_OK(writer->Append(0, "x"));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(false));
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenImage(crypto::Sha256Hex("x"), kServe));
  EXPECT_EQ(reader->length(), 1);
}

TEST_P(BlobStoreTest, AnUploadGoesOnAfterTheProcessDiedAtAnyOffset) {
  int64_t at = 0;
  for (const int64_t to : {int64_t{1}, int64_t{65'536}, int64_t{8 << 20}, int64_t{(8 << 20) + 1},
                           int64_t{17'000'000}, size() - 1, size()}) {
    {
      ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
      EXPECT_EQ(writer->size(), at);
      ASSERT_OK(Append(*writer, at, to));
      EXPECT_EQ(writer->size(), to);
      EXPECT_THAT(writer->Sync(), IsOkAndHolds(Whole(to)));
    }
    at = Whole(to);
    Reopen();
    EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(at));
  }
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_TRUE(writer->full());
  ASSERT_OK(writer->Verify());
  // The record failed, and the process goes on: what was verified stays verified.
  ASSERT_OK_AND_ASSIGN(auto again, OpenUpload());
  ASSERT_OK(again->Verify());
  ASSERT_OK(again->Publish(/*replace=*/false));
  EXPECT_TRUE(ReadImage().value() == content_);
  // The process dies before the image is recorded, and the next one finishes what it began.
  again.reset();
  writer.reset();
  Reopen();
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(size()));
  ASSERT_OK_AND_ASSIGN(writer, OpenUpload());
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/false));
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(BlobStoreTest, BytesThatAreNotThePromisedOnesNeverAppearAndTheUploadBeginsAnew) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  std::string wrong = content_;
  wrong[9 << 20] ^= 1;
  for (int64_t at = 0; at < size(); at += kChunk)
    ASSERT_OK(writer->Append(at, absl::string_view(wrong).substr(at, kChunk)));
  EXPECT_THAT(writer->Verify(), StatusIs(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH"));
  EXPECT_EQ(writer->size(), 0);
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(0));
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(Append(*writer, 0, size()));
  EXPECT_OK(writer->Verify());
}

TEST_P(BlobStoreTest, ANewWriterTakesOverAndTheOldOneIsTold) {
  ASSERT_OK_AND_ASSIGN(auto old, OpenUpload());
  const int64_t half = 10 << 20;
  ASSERT_OK(Append(*old, 0, half));
  EXPECT_THAT(OpenUpload(/*take_over=*/false), StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_EQ(writer->size(), Whole(half));
  // What a client is told is where it can go on.
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(writer->size()));
  EXPECT_THAT(old->Append(half, "x"), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  EXPECT_THAT(old->Verify(), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  ASSERT_OK(Append(*writer, writer->size(), size()));
  EXPECT_OK(writer->Verify());
}

TEST_P(BlobStoreTest, ChunksThatDoNotFitAreRefusedAndChangeNothing) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, 100));
  EXPECT_THAT(writer->Append(99, "xy"), StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_THAT(writer->Append(101, "xy"), StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_THAT(writer->Append(100, ""), StatusIs(absl::StatusCode::kInvalidArgument, "CHUNK_INVALID"));
  ASSERT_OK(Append(*writer, 100, size()));
  EXPECT_THAT(writer->Append(size(), "x"), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"));
  EXPECT_OK(writer->Verify());
}

TEST_P(BlobStoreTest, TwoUploadsOfOneImageDoNotTouchEachOther) {
  ASSERT_OK_AND_ASSIGN(auto acme, OpenUpload());
  ASSERT_OK(Append(*acme, 0, size()));
  // Another manufacturer gets nothing from it that it has not sent itself.
  EXPECT_THAT(store_->CommittedBytes("zeta", sha256_), IsOkAndHolds(0));
  ASSERT_OK_AND_ASSIGN(auto zeta, store_->OpenUpload("zeta", sha256_, size(), true));
  EXPECT_EQ(zeta->size(), 0);
  ASSERT_OK(Append(*zeta, 0, size()));
  ASSERT_OK(acme->Verify());
  ASSERT_OK(zeta->Verify());
  ASSERT_OK(acme->Publish(/*replace=*/false));
  ASSERT_OK(zeta->Publish(/*replace=*/false));
  acme->Discard();
  zeta->Discard();
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(BlobStoreTest, ADamagedImageIsReplaced) {
  Store();
  ASSERT_EQ(truncate(ImageFile().c_str(), 100), 0);
  EXPECT_NE(ReadImage().value_or(""), content_);
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, size()));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/true));
  EXPECT_OK(writer->Publish(/*replace=*/true));  // once more does nothing
  EXPECT_TRUE(ReadImage(kScrub).value() == content_);
  writer->Discard();
  writer.reset();
  EXPECT_TRUE(ReadImage().value() == content_);
  // One that is gone altogether, too.
  ASSERT_EQ(unlink(ImageFile().c_str()), 0);
  ASSERT_OK_AND_ASSIGN(writer, OpenUpload());
  ASSERT_OK(Append(*writer, writer->size(), size()));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/true));
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(BlobStoreTest, WhatIsOldIsFoundAndRemoved) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, size()));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/false));
  EXPECT_THAT(store_->RemoveUpload("acme", sha256_), StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  writer.reset();
  int images = 0;
  const auto count = [&](const std::string& sha256) {
    EXPECT_EQ(sha256, sha256_);
    ++images;
    return absl::OkStatus();
  };
  ASSERT_OK(store_->ForEachImageBefore(absl::InfinitePast(), count));
  EXPECT_EQ(images, 0);
  ASSERT_OK(store_->ForEachImageBefore(absl::InfiniteFuture(), count));
  EXPECT_EQ(images, 1);
  EXPECT_THAT(store_->UploadsBefore(absl::InfinitePast()), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store_->UploadsBefore(absl::InfiniteFuture()),
              IsOkAndHolds(ElementsAre(Pair("acme", sha256_))));
  ASSERT_OK(store_->RemoveUpload("acme", sha256_));
  EXPECT_OK(store_->RemoveUpload("acme", sha256_));
  EXPECT_THAT(store_->UploadsBefore(absl::InfiniteFuture()), IsOkAndHolds(IsEmpty()));
  ASSERT_OK(store_->RemoveOrphan(sha256_));
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(BlobStoreTest, ADeltaIsKeptUntilItIsRemoved) {
  const std::string name(32, 'a'), delta = "a delta, and something behind it";
  FILE* const file = tmpfile();
  ASSERT_EQ(pwrite(fileno(file), delta.data(), delta.size(), 0), static_cast<ssize_t>(delta.size()));
  EXPECT_THAT(store_->OpenDelta(name), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store_->PutDelta(name, fileno(file), 7));
  // What was broken off is none.
  EXPECT_FALSE(store_->PutDelta(std::string(32, 'b'), fileno(file), 1000).ok());
  fclose(file);
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenDelta(name));
  ASSERT_EQ(reader->length(), 7);
  std::string bytes(7, '\0');
  ASSERT_OK(reader->Read(0, bytes.data(), bytes.size()));
  EXPECT_EQ(bytes, "a delta");
  std::vector<std::string> names;
  const auto collect = [&](const std::string& found) {
    names.push_back(found);
    return absl::OkStatus();
  };
  ASSERT_OK(store_->RemoveLeftovers(absl::InfiniteFuture()));
  ASSERT_OK(store_->ForEachDeltaBefore(absl::InfinitePast(), collect));
  EXPECT_THAT(names, IsEmpty());
  ASSERT_OK(store_->ForEachDeltaBefore(absl::InfiniteFuture(), collect));
  EXPECT_THAT(names, ElementsAre(name));
  ASSERT_OK(store_->RemoveDelta(name));
  EXPECT_OK(store_->RemoveDelta(name));
  EXPECT_THAT(store_->OpenDelta(name), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(BlobStoreTest, ARecordIsWhatWasLastWritten) {
  EXPECT_THAT(store_->ReadRecord("log-head"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store_->WriteRecord("log-head", "first"));
  ASSERT_OK(store_->WriteRecord("log-head", "second\n"));
  Reopen();
  EXPECT_THAT(store_->ReadRecord("log-head"), IsOkAndHolds("second\n"));
}

TEST_P(BlobStoreTest, APlaceBelongsToOneRepository) {
  const auto mismatch = StatusIs(absl::StatusCode::kFailedPrecondition,
                                 ::testing::AnyOf("BLOB_DIR_MISMATCH", "BUCKET_MISMATCH"));
  EXPECT_OK(place_.open(kRepository, true));
  EXPECT_THAT(place_.open("another", false), mismatch);
  EXPECT_THAT(GetParam().make().open(kRepository, true), mismatch);
}

// What only a folder has.

class FileBlobStoreTest : public BlobStoreTest {};
INSTANTIATE_TEST_SUITE_P(Kinds, FileBlobStoreTest, ::testing::Values(Kind{"File", NewFolder}),
                         [](const auto& info) { return info.param.name; });

TEST_P(FileBlobStoreTest, BytesThatTheDiskLostAreFoundOut) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
    ASSERT_OK(writer->Append(0, std::string(200'000, '\0')));  // as a power cut may leave it
  }
  Reopen();
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 200'000, size()));
  EXPECT_THAT(writer->Verify(), StatusIs(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH"));
  EXPECT_EQ(writer->size(), 0);
}

TEST_P(FileBlobStoreTest, AnotherReplicaWaitsForAWriterToEnd) {
  const auto replica = Open();
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_THAT(replica->OpenUpload("acme", sha256_, size(), true),
              StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  EXPECT_THAT(replica->RemoveUpload("acme", sha256_), StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  ASSERT_OK(Append(*writer, 0, 7));
  writer.reset();
  ASSERT_OK_AND_ASSIGN(writer, replica->OpenUpload("acme", sha256_, size(), true));
  EXPECT_EQ(writer->size(), 7);
}

TEST_P(FileBlobStoreTest, AFullDiskLosesNothingThatWasWritten) {
  // A limit on file sizes stands in for the disk: the kernel writes what fits and then refuses.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  rlimit limit = before;
  limit.rlim_cur = 123'456;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = writer->Append(0, absl::string_view(content_).substr(0, kChunk));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(writer->size(), 123'456);
  ASSERT_OK(Append(*writer, 123'456, size()));
  EXPECT_OK(writer->Verify());
}

TEST_P(FileBlobStoreTest, ADeltaThatWasBrokenOffGoesInTimeAndWhoReadsOneThatIsRemovedReadsOn) {
  const std::string name(32, 'a');
  FILE* const file = tmpfile();
  ASSERT_EQ(pwrite(fileno(file), "a delta", 7, 0), 7);
  ASSERT_OK(store_->PutDelta(name, fileno(file), 7));
  EXPECT_FALSE(store_->PutDelta(std::string(32, 'b'), fileno(file), 1000).ok());
  fclose(file);
  const auto files = [&] {
    const std::filesystem::directory_iterator all(place_.file_of("deltas"));
    return std::distance(begin(all), end(all));
  };
  EXPECT_EQ(files(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfinitePast()));
  EXPECT_EQ(files(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfiniteFuture()));
  EXPECT_EQ(files(), 1);
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenDelta(name));
  ASSERT_OK(store_->RemoveDelta(name));
  std::string bytes(7, '\0');
  EXPECT_OK(reader->Read(0, bytes.data(), bytes.size()));
}

TEST_P(FileBlobStoreTest, AFolderHasNoUrls) {
  EXPECT_THAT(store_->DownloadUrl(sha256_, absl::UnixEpoch(), absl::Hours(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NO_BUCKET"));
}

// What only a bucket has.

class S3BlobStoreTest : public BlobStoreTest {};
INSTANTIATE_TEST_SUITE_P(Kinds, S3BlobStoreTest, ::testing::Values(Kind{"S3", NewPrefix}),
                         [](const auto& info) { return info.param.name; });

TEST_P(S3BlobStoreTest, OfTwoReplicasThatWriteOneUploadTheSecondIsToldAndTheFirstFinishes) {
  const auto replica = Open();
  ASSERT_OK_AND_ASSIGN(auto first, OpenUpload());
  ASSERT_OK_AND_ASSIGN(auto second, replica->OpenUpload("acme", sha256_, size(), true));
  ASSERT_OK(Append(*first, 0, 8 << 20));
  EXPECT_THAT(Append(*second, 0, 8 << 20), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  EXPECT_EQ(second->size(), 0);
  // Told once more where it stands, it takes over.
  ASSERT_OK_AND_ASSIGN(second, replica->OpenUpload("acme", sha256_, size(), true));
  EXPECT_EQ(second->size(), 8 << 20);
  ASSERT_OK(Append(*second, 8 << 20, size()));
  EXPECT_THAT(Append(*first, 8 << 20, 16 << 20), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  ASSERT_OK(second->Verify());
  ASSERT_OK(second->Publish(/*replace=*/false));
  second->Discard();
  EXPECT_TRUE(ReadImage().value() == content_);
  // Of what the first has begun nothing is left after the cleanup.
  first.reset();
  ASSERT_OK(store_->RemoveLeftovers(absl::InfiniteFuture()));
  EXPECT_THAT(store_->UploadsBefore(absl::InfiniteFuture()), IsOkAndHolds(IsEmpty()));
}

TEST_P(S3BlobStoreTest, APartThatAnotherReplicaHasReplacedNeverBecomesPartOfAnImage) {
  const auto replica = Open();
  ASSERT_OK_AND_ASSIGN(auto first, OpenUpload());
  ASSERT_OK(Append(*first, 0, 8 << 20));
  ASSERT_OK_AND_ASSIGN(auto second, replica->OpenUpload("acme", sha256_, size(), true));
  // The second replica's client sends other bytes for the second part, at the same time as the first's.
  ASSERT_OK(Append(*first, 8 << 20, size()));
  ASSERT_OK(first->Verify());
  const std::string lies(kChunk, 'x');
  absl::Status status;
  for (int64_t at = 8 << 20; at < 16 << 20 && status.ok(); at += kChunk) status = second->Append(at, lies);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  // It has replaced the part in the bucket before it was told; the bucket refuses to put the image together.
  EXPECT_THAT(first->Publish(/*replace=*/false), StatusIs(absl::StatusCode::kAborted, "UPLOAD_LOST"));
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(0));
  first.reset();
  Store();
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(S3BlobStoreTest, AnUploadThatIsRemovedUnderItsWriterBeginsAnew) {
  const auto replica = Open();
  {
    ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
    ASSERT_OK(Append(*writer, 0, 8 << 20));
    ASSERT_OK(replica->RemoveUpload("acme", sha256_));
    EXPECT_THAT(Append(*writer, 8 << 20, size()), StatusIs(absl::StatusCode::kAborted, "UPLOAD_LOST"));
  }
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(0));
  Store();
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(S3BlobStoreTest, MultipartUploadsThatNothingNamesAreRemovedAndOthersNot) {
  const std::string prefix_file = place_.file_of("");
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, 9 << 20));
  const std::string prefix = prefix_file.substr(prefix_file.rfind("store-"), 22);
  ASSERT_OK_AND_ASSIGN(const auto bucket, Bucket::Create(Server().Options(prefix)));
  const auto count = [&] {
    int uploads = 0;
    EXPECT_OK(bucket->ListMultiparts("images/", [&](const std::string&, const std::string&, absl::Time) {
      ++uploads;
      return absl::OkStatus();
    }));
    return uploads;
  };
  // A replica died between the beginning of an upload and its record.
  ASSERT_OK(bucket->CreateMultipart("images/aa/" + std::string(64, 'a')));
  EXPECT_EQ(count(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfinitePast()));
  EXPECT_EQ(count(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfiniteFuture()));
  EXPECT_EQ(count(), 1);
  ASSERT_OK(Append(*writer, 9 << 20, size()));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/false));
  EXPECT_TRUE(ReadImage().value() == content_);
}

TEST_P(S3BlobStoreTest, UploadsHoldOnlySoMuchMemory) {
  // Twelve uploads of 8 MiB parts fill what is allowed; one that ends makes room.
  std::vector<std::unique_ptr<BlobStore::Writer>> writers;
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    auto writer = store_->OpenUpload(absl::StrCat("m", i), sha256_, size(), true);
    status = writer.status();
    if (status.ok()) writers.push_back(*std::move(writer));
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "UPLOADS_BUSY"));
  EXPECT_EQ(writers.size(), 12u);
  writers.pop_back();
  EXPECT_OK(OpenUpload());
}

TEST_P(S3BlobStoreTest, AnOutageOfTheBucketLosesNothingThatCounted) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(Append(*writer, 0, 9 << 20));
  Server().Kill();
  EXPECT_THAT(Append(*writer, 9 << 20, 16 << 20),
              StatusIs(absl::StatusCode::kUnavailable, "BUCKET_UNAVAILABLE"));
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), StatusIs(absl::StatusCode::kUnavailable));
  Server().Start();
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(8 << 20));
  EXPECT_EQ(writer->size(), 8 << 20);
  ASSERT_OK(Append(*writer, 8 << 20, size()));
  EXPECT_OK(writer->Verify());
}

}  // namespace
}  // namespace countersign::package_store
