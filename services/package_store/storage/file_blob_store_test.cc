#include "services/package_store/storage/file_blob_store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

constexpr char kRepository[] = "0b9f2c5e-6a3d-4c1b-9e57-3f0a8d2b4c66";

class FileBlobStoreTest : public ::testing::Test {
 protected:
  FileBlobStoreTest() {
    folder_ = absl::StrCat(getenv("TEST_TMPDIR"), "/blobs-XXXXXX");
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    Reopen();
  }
  // As another process would: nothing is known but what is on disk.
  void Reopen() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<FileBlobStore>> store = FileBlobStore::Open(folder_, kRepository, false);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  absl::StatusOr<std::unique_ptr<BlobStore::Writer>> OpenUpload(bool take_over = true) {
    return store_->OpenUpload("acme", sha256_, content_.size(), take_over);
  }
  absl::StatusOr<std::string> ReadImage() {
    absl::StatusOr<std::unique_ptr<BlobStore::Reader>> reader =
        store_->OpenImage(sha256_, BlobStore::Purpose::kServe);
    if (!reader.ok()) return reader.status();
    std::string content((*reader)->length(), '\0');
    absl::Status read = (*reader)->Read(0, content.data(), content.size());
    if (!read.ok()) return read;
    return content;
  }

  std::string folder_;
  std::unique_ptr<BlobStore> store_;
  const std::string content_ = crypto::RandomBytes(300'000);
  const std::string sha256_ = crypto::Sha256Hex(content_);
};

TEST_F(FileBlobStoreTest, AnImageAppearsOnlyWhenItIsWholeAndVerified) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(writer->Append(0, content_));
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/false));
  EXPECT_THAT(ReadImage(), IsOkAndHolds(content_));
  EXPECT_OK(writer->Publish(/*replace=*/false));  // once more does nothing
  writer->Discard();
  EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(0));
}

TEST_F(FileBlobStoreTest, AnUploadGoesOnAfterTheProcessDiedAtAnyOffset) {
  size_t at = 0;
  for (size_t step : {1u, 65'535u, 100'000u, 134'464u}) {
    {
      ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
      EXPECT_EQ(writer->size(), static_cast<int64_t>(at));
      ASSERT_OK(writer->Append(at, absl::string_view(content_).substr(at, step)));
    }
    at += step;
    Reopen();
    EXPECT_THAT(store_->CommittedBytes("acme", sha256_), IsOkAndHolds(static_cast<int64_t>(at)));
  }
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_TRUE(writer->full());
  ASSERT_OK(writer->Verify());
  // The record failed, and the process goes on: what was verified stays verified.
  ASSERT_OK_AND_ASSIGN(auto again, OpenUpload());
  ASSERT_OK(again->Verify());
  ASSERT_OK(again->Publish(/*replace=*/false));
  EXPECT_THAT(ReadImage(), IsOkAndHolds(content_));
}

TEST_F(FileBlobStoreTest, BytesThatTheDiskLostAreFoundOut) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
    ASSERT_OK(writer->Append(0, std::string(200'000, '\0')));  // as a power cut may leave it
  }
  Reopen();
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(writer->Append(200'000, absl::string_view(content_).substr(200'000)));
  EXPECT_THAT(writer->Verify(), StatusIs(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH"));
  EXPECT_EQ(writer->size(), 0);
  ASSERT_OK(writer->Append(0, content_));
  EXPECT_OK(writer->Verify());
}

TEST_F(FileBlobStoreTest, ANewWriterTakesOverAndTheOldOneIsTold) {
  ASSERT_OK_AND_ASSIGN(auto old, OpenUpload());
  ASSERT_OK(old->Append(0, absl::string_view(content_).substr(0, 10)));
  EXPECT_THAT(OpenUpload(/*take_over=*/false), StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_EQ(writer->size(), 10);
  EXPECT_THAT(old->Append(10, "x"), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  EXPECT_THAT(old->Verify(), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
  ASSERT_OK(writer->Append(10, absl::string_view(content_).substr(10)));
  EXPECT_OK(writer->Verify());
}

TEST_F(FileBlobStoreTest, AnotherReplicaWaitsForAWriterToEnd) {
  ASSERT_OK_AND_ASSIGN(const auto replica, FileBlobStore::Open(folder_, kRepository, false));
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  EXPECT_THAT(replica->OpenUpload("acme", sha256_, content_.size(), true),
              StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  EXPECT_THAT(replica->RemoveUpload("acme", sha256_), StatusIs(absl::StatusCode::kAborted, "UPLOAD_BUSY"));
  ASSERT_OK(writer->Append(0, absl::string_view(content_).substr(0, 7)));
  writer.reset();
  ASSERT_OK_AND_ASSIGN(writer, replica->OpenUpload("acme", sha256_, content_.size(), true));
  EXPECT_EQ(writer->size(), 7);
}

TEST_F(FileBlobStoreTest, AFullDiskLosesNothingThatWasWritten) {
  // A limit on file sizes stands in for the disk: the kernel writes what fits and then refuses.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  rlimit limit = before;
  limit.rlim_cur = 123'456;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = writer->Append(0, content_);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(writer->size(), 123'456);
  ASSERT_OK(writer->Append(123'456, absl::string_view(content_).substr(123'456)));
  EXPECT_OK(writer->Verify());
}

TEST_F(FileBlobStoreTest, WhatIsOldIsFoundAndRemoved) {
  ASSERT_OK_AND_ASSIGN(auto writer, OpenUpload());
  ASSERT_OK(writer->Append(0, content_));
  ASSERT_OK(writer->Verify());
  ASSERT_OK(writer->Publish(/*replace=*/false));
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
  EXPECT_THAT(store_->UploadsBefore(absl::InfinitePast()), IsOkAndHolds(::testing::IsEmpty()));
  EXPECT_THAT(store_->UploadsBefore(absl::InfiniteFuture()),
              IsOkAndHolds(::testing::ElementsAre(::testing::Pair("acme", sha256_))));
  ASSERT_OK(store_->RemoveUpload("acme", sha256_));
  EXPECT_OK(store_->RemoveUpload("acme", sha256_));
  ASSERT_OK(store_->RemoveOrphan(sha256_));
  EXPECT_THAT(ReadImage(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FileBlobStoreTest, ADeltaIsKeptUntilItIsRemoved) {
  const std::string name(32, 'a'), delta = "a delta, and something behind it";
  FILE* const file = tmpfile();
  ASSERT_EQ(pwrite(fileno(file), delta.data(), delta.size(), 0), static_cast<ssize_t>(delta.size()));
  EXPECT_THAT(store_->OpenDelta(name), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store_->PutDelta(name, fileno(file), 7));
  EXPECT_FALSE(store_->PutDelta(std::string(32, 'b'), fileno(file), 1000).ok());
  fclose(file);
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenDelta(name));
  ASSERT_EQ(reader->length(), 7);
  std::string bytes(7, '\0');
  ASSERT_OK(reader->Read(0, bytes.data(), bytes.size()));
  EXPECT_EQ(bytes, "a delta");

  // What was broken off is none, and goes in time.
  std::vector<std::string> names;
  const auto collect = [&](const std::string& found) {
    names.push_back(found);
    return absl::OkStatus();
  };
  ASSERT_OK(store_->ForEachDeltaBefore(absl::InfinitePast(), collect));
  EXPECT_THAT(names, ::testing::IsEmpty());
  ASSERT_OK(store_->ForEachDeltaBefore(absl::InfiniteFuture(), collect));
  EXPECT_THAT(names, ::testing::ElementsAre(name));
  const auto files = [&] {
    const std::filesystem::directory_iterator all(absl::StrCat(folder_, "/deltas"));
    return std::distance(begin(all), end(all));
  };
  EXPECT_EQ(files(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfinitePast()));
  EXPECT_EQ(files(), 2);
  ASSERT_OK(store_->RemoveLeftovers(absl::InfiniteFuture()));
  EXPECT_EQ(files(), 1);

  ASSERT_OK(store_->RemoveDelta(name));
  EXPECT_OK(store_->RemoveDelta(name));
  EXPECT_THAT(store_->OpenDelta(name), StatusIs(absl::StatusCode::kNotFound));
  // Who reads it meanwhile reads on.
  EXPECT_OK(reader->Read(0, bytes.data(), bytes.size()));
}

TEST_F(FileBlobStoreTest, AFolderBelongsToOneRepository) {
  const auto mismatch = StatusIs(absl::StatusCode::kFailedPrecondition, "BLOB_DIR_MISMATCH");
  EXPECT_OK(FileBlobStore::Open(folder_, kRepository, true));
  EXPECT_THAT(FileBlobStore::Open(folder_, "another", false), mismatch);
  EXPECT_THAT(FileBlobStore::Open(absl::StrCat(folder_, "/new"), kRepository, true), mismatch);
}

}  // namespace
}  // namespace countersign::package_store
