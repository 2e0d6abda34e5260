#include "tools/gateway/downloader.h"

#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/delta/delta.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/gateway/image_file.h"

namespace countersign::gateway {
namespace {

using crypto::Sha256Hex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace v1 = package_store::v1;

std::string MakeDelta(const std::string& base, const std::string& target) {
  std::string delta;
  EXPECT_OK(delta::Create(
      base, target, delta::kMaxImageBytes,
      [&](absl::string_view bytes) {
        delta.append(bytes.data(), bytes.size());
        return absl::OkStatus();
      },
      [] { return absl::OkStatus(); }));
  return delta;
}

// A package store that says of deltas whatever a test wants.
class LyingStore : public v1::PackageStoreService::Service {
 public:
  std::map<std::string, std::string> images;  // by digest
  std::string delta;                          // what is sent
  v1::Delta answer;                           // to GetDelta, after `pending` times PENDING
  int pending = 0;
  size_t cut_after = SIZE_MAX;      // bytes of deltas, once
  grpc::Status refusal;             // of DownloadDelta
  size_t trickle_after = SIZE_MAX;  // bytes of an image; from there on they come one by one, without end
  bool endless = false;             // images go on after their end

  int questions = 0;
  std::vector<int64_t> image_offsets, delta_offsets;  // that were asked for

  // As an honest store would.
  void Offer(const std::string& base, const std::string& target) {
    images[Sha256Hex(target)] = target;
    Promise(MakeDelta(base, target));
  }
  void Promise(const std::string& bytes) {
    delta = bytes;
    answer.set_state(v1::Delta::STATE_READY);
    answer.set_length_bytes(bytes.size());
    answer.set_delta_sha256(Sha256Hex(bytes));
  }

  grpc::Status GetDelta(grpc::ServerContext*, const v1::GetDeltaRequest*, v1::Delta* response) override {
    ++questions;
    if (pending > 0) {
      --pending;
      response->set_state(v1::Delta::STATE_PENDING);
      response->mutable_retry_delay()->set_seconds(3);
    } else {
      *response = answer;
    }
    return grpc::Status::OK;
  }
  grpc::Status DownloadDelta(grpc::ServerContext*, const v1::DownloadDeltaRequest* request,
                             grpc::ServerWriter<v1::DownloadDeltaResponse>* writer) override {
    delta_offsets.push_back(request->offset());
    if (!refusal.ok()) return refusal;
    // Not by its promise, but by what it has: a hostile store sends more than it was asked for.
    return Send(delta, request->offset(), std::exchange(cut_after, SIZE_MAX), writer);
  }
  grpc::Status DownloadImage(grpc::ServerContext* context, const v1::DownloadImageRequest* request,
                             grpc::ServerWriter<v1::DownloadImageResponse>* writer) override {
    image_offsets.push_back(request->offset());
    std::string image = images.at(request->sha256());
    if (endless) return Send(image + std::string(10 << 20, 'x'), request->offset(), SIZE_MAX, writer);
    if (trickle_after != SIZE_MAX) {
      (void)Send(image.substr(0, trickle_after), request->offset(), SIZE_MAX, writer);
      v1::DownloadImageResponse drop;
      for (size_t at = trickle_after; at < image.size(); ++at) {
        drop.set_data(image.substr(at, 1));
        if (!writer->Write(drop)) break;
        // Slower than the minimum, and never silent; until the gateway has had enough.
        for (int i = 0; i < 20 && !context->IsCancelled(); ++i) absl::SleepFor(absl::Milliseconds(5));
        if (context->IsCancelled()) break;
      }
      return grpc::Status::CANCELLED;
    }
    return Send(image.substr(0, request->offset() + request->length_bytes()), request->offset(), SIZE_MAX,
                writer);
  }

 private:
  template <typename Response>
  static grpc::Status Send(const std::string& bytes, size_t offset, size_t cut,
                           grpc::ServerWriter<Response>* writer) {
    constexpr size_t kPiece = 1000;
    for (size_t end = std::min(bytes.size(), cut); offset < end; offset += kPiece) {
      Response response;
      response.set_data(bytes.substr(offset, std::min(kPiece, end - offset)));
      if (!writer->Write(response)) break;
    }
    return cut < bytes.size() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut") : grpc::Status::OK;
  }
};

class DownloaderTest : public ::testing::Test {
 protected:
  DownloaderTest() : old_(crypto::RandomBytes(300'000)), new_(old_) {
    for (size_t at = 0; at < new_.size(); at += 3000) new_.replace(at, 20, crypto::RandomBytes(20));
    std::string folder = absl::StrCat(getenv("TEST_TMPDIR"), "/downloads-XXXXXX");
    folder_ = mkdtemp(folder.data());
    store_.Offer(old_, new_);
    EXPECT_OK(WriteFileAtomically(Path(old_), old_));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&store_);
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    options_.sleep = [this](absl::Duration delay) { slept_.push_back(delay); };
  }

  absl::Status Download(const std::string& base_sha256) {
    trust::VerifiedUpdate update;
    update.sha256 = Sha256Hex(new_);
    update.length = new_.size();
    // As after a power cut: all that is left is the disk.
    Downloader downloader(options_, channel_, folder_);
    return downloader.Download(
        update, base_sha256, [this](const absl::Status& bad) { bad_.push_back(std::string(bad.message())); });
  }
  absl::Status Download() { return Download(Sha256Hex(old_)); }

  void ExpectImage() {
    EXPECT_THAT(ReadFile(Path(new_)), IsOkAndHolds(new_));
    // Nothing is left behind.
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path());
    std::erase_if(names, [&](const std::string& name) { return name == Path(new_) || name == Path(old_); });
    EXPECT_THAT(names, IsEmpty());
  }
  // The image came whole although the store has something that it calls a delta.
  void ExpectWhole() {
    EXPECT_OK(Download());
    ExpectImage();
    EXPECT_THAT(store_.image_offsets, ElementsAre(0));
  }
  void ExpectWholeAndReported(absl::string_view why) {
    ExpectWhole();
    EXPECT_THAT(bad_, ElementsAre(HasSubstr(std::string(why))));
  }
  std::string Path(const std::string& content) { return ImagePath(folder_, Sha256Hex(content)); }

  const std::string old_;
  std::string new_;
  std::string folder_;
  DownloaderOptions options_;
  std::vector<absl::Duration> slept_;
  std::vector<std::string> bad_;
  LyingStore store_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// FOTA-E
TEST_F(DownloaderTest, AnImageComesAsWhatItDiffersInFromTheOldOne) {
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_THAT(store_.image_offsets, IsEmpty());
  EXPECT_THAT(store_.delta_offsets, ElementsAre(0));
  EXPECT_LT(store_.delta.size(), new_.size() / 10);
  EXPECT_THAT(bad_, IsEmpty());
}

// Attack: slow retrieval.
TEST_F(DownloaderTest, AStoreThatTricklesIsBrokenOffAndWhatCameIsKept) {
  options_.slice_grace = absl::Milliseconds(300);
  options_.minimum_bytes_per_second = 100 << 20;
  store_.trickle_after = 100'000;
  EXPECT_THAT(Download(""), StatusIs(absl::StatusCode::kUnavailable, kSlowRetrieval));
  options_.slice_grace = absl::Seconds(30);
  store_.trickle_after = SIZE_MAX;
  EXPECT_OK(Download(""));
  ExpectImage();
  ASSERT_THAT(store_.image_offsets, SizeIs(2));
  EXPECT_GE(store_.image_offsets[1], 100'000) << "it goes on where it was";
}

// Attack: endless data.
TEST_F(DownloaderTest, AnImageThatGoesOnAfterItsEndIsRefusedAndNotKept) {
  store_.endless = true;
  EXPECT_THAT(Download(""), StatusIs(absl::StatusCode::kResourceExhausted, "LENGTH_EXCEEDED"));
  EXPECT_FALSE(std::filesystem::exists(Path(new_)));
  EXPECT_FALSE(std::filesystem::exists(Path(new_) + ".partial"));
}

TEST_F(DownloaderTest, WithoutTheOldImageNobodyAsksForADelta) {
  EXPECT_OK(Download(Sha256Hex("never seen")));
  ExpectImage();
  EXPECT_EQ(store_.questions, 0);
}

// What a device says that it runs names no file but an image.
TEST_F(DownloaderTest, WhatIsNoDigestIsNoBase) {
  const std::string outside = absl::StrCat(folder_, "-outside");
  ASSERT_OK(WriteFileAtomically(outside, "precious"));
  for (const std::string& base : {std::string(), absl::StrCat("../", outside.substr(outside.rfind('/') + 1)),
                                  std::string(".."), Sha256Hex(new_)}) {
    std::filesystem::remove(Path(new_));
    EXPECT_OK(Download(base));
    ExpectImage();
  }
  EXPECT_EQ(store_.questions, 0);
  EXPECT_THAT(ReadFile(outside), IsOkAndHolds("precious"));
}

TEST_F(DownloaderTest, AnOldImageThatADiskHasDamagedIsNoBase) {
  ASSERT_OK(WriteFileAtomically(Path(old_), old_.substr(1) + "x"));
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_EQ(store_.questions, 0);
  EXPECT_FALSE(std::filesystem::exists(Path(old_)));
}

TEST_F(DownloaderTest, LongImagesComeWhole) {
  options_.delta_max_bytes = new_.size() - 1;
  ExpectWhole();
  EXPECT_EQ(store_.questions, 0);
}

TEST_F(DownloaderTest, ADeltaThatIsBeingMadeIsWaitedForAndNotForLong) {
  store_.pending = 2;
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_THAT(store_.image_offsets, IsEmpty());
  EXPECT_THAT(slept_, ElementsAre(absl::Seconds(3), absl::Seconds(3)));

  std::filesystem::remove(Path(new_));
  slept_.clear();
  store_.pending = 1000;
  options_.delta_wait = absl::Seconds(8);
  ExpectWhole();
  EXPECT_THAT(slept_, ElementsAre(absl::Seconds(3), absl::Seconds(3), absl::Seconds(2)));
  EXPECT_THAT(bad_, IsEmpty());
}

TEST_F(DownloaderTest, WithoutADeltaTheImageComesWhole) {
  store_.answer.set_state(v1::Delta::STATE_NOT_WORTHWHILE);
  ExpectWhole();
  EXPECT_THAT(bad_, IsEmpty());
}

TEST_F(DownloaderTest, AStoreThatServesNoDeltasHasImages) {
  store_.refusal = grpc::Status(grpc::StatusCode::UNAVAILABLE, "not now");
  ExpectWhole();
  EXPECT_THAT(bad_, IsEmpty());
}

TEST_F(DownloaderTest, ADeltaThatWasCutGoesOnWhereItWas) {
  ASSERT_GT(store_.delta.size(), 2000);
  store_.cut_after = 1500;
  EXPECT_THAT(Download(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_THAT(store_.delta_offsets, ElementsAre(0, 1500));
  EXPECT_THAT(store_.image_offsets, IsEmpty());
}

TEST_F(DownloaderTest, ADeltaThatWasThereWhenThePowerWentIsNotFetchedAgain) {
  const std::string file = absl::StrCat(Path(new_), ".", Sha256Hex(store_.delta));
  ASSERT_OK(WriteFileAtomically(file, store_.delta));
  ASSERT_OK(WriteFileAtomically(absl::StrCat(Path(new_), ".patched"), "half of it"));
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_THAT(store_.delta_offsets, IsEmpty());
  EXPECT_THAT(store_.image_offsets, IsEmpty());
}

TEST_F(DownloaderTest, AnImageThatHasBegunToComeWholeGoesOnSo) {
  ASSERT_OK(WriteFileAtomically(absl::StrCat(Path(new_), ".partial"), new_.substr(0, 5000)));
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_EQ(store_.questions, 0);
  EXPECT_THAT(store_.image_offsets, ElementsAre(5000));
}

// FOTA-R1, FOTA-R2: what a store says of a delta is proof of nothing.

TEST_F(DownloaderTest, ADeltaThatWasDamagedOnItsWayIsReported) {
  store_.delta[store_.delta.size() / 2] ^= 1;
  ExpectWholeAndReported("the delta came damaged");
}

TEST_F(DownloaderTest, ADeltaThatGivesAnotherImageIsReported) {
  std::string other = new_;
  other[7] ^= 1;
  store_.Promise(MakeDelta(old_, other));
  ExpectWholeAndReported("does not give the image");
}

TEST_F(DownloaderTest, ADeltaOfAnotherOldImageIsReported) {
  store_.Promise(MakeDelta(new_ + "another", new_));
  ExpectWholeAndReported("does not give the image");
}

TEST_F(DownloaderTest, NoiseInThePlaceOfADeltaIsReported) {
  store_.Promise(crypto::RandomBytes(5000));
  ExpectWholeAndReported("does not give the image");
}

TEST_F(DownloaderTest, ABombInThePlaceOfADeltaIsReported) {
  store_.Promise(MakeDelta(old_, std::string(50 << 20, '\0')));
  ExpectWholeAndReported("does not give the image");
}

TEST_F(DownloaderTest, ADeltaThatEndsTooEarlyIsReported) {
  store_.Promise(store_.delta.substr(0, store_.delta.size() - 10));
  ExpectWholeAndReported("does not give the image");
}

TEST_F(DownloaderTest, EndlessDataInThePlaceOfADeltaIsReported) {
  const v1::Delta promised = store_.answer;
  store_.delta = crypto::RandomBytes(10 << 20);
  store_.answer = promised;
  ExpectWholeAndReported("the delta came damaged");
}

TEST_F(DownloaderTest, APromiseThatCannotHoldIsReported) {
  store_.answer.set_length_bytes(new_.size());
  ExpectWholeAndReported("the package store has a delta of");
  bad_.clear();
  store_.image_offsets.clear();
  std::filesystem::remove(Path(new_));
  store_.answer.set_length_bytes(100);
  store_.answer.set_delta_sha256("../../etc/passwd");
  ExpectWholeAndReported("the package store has a delta of");
}

TEST_F(DownloaderTest, AfterABadDeltaACutOfTheWholeImageGoesOnWhole) {
  store_.Promise(crypto::RandomBytes(5000));
  const std::string whole = std::exchange(store_.images[Sha256Hex(new_)], new_.substr(0, 100'000));
  EXPECT_THAT(Download(), StatusIs(absl::StatusCode::kUnavailable));
  store_.images[Sha256Hex(new_)] = whole;
  EXPECT_OK(Download());
  ExpectImage();
  EXPECT_EQ(bad_.size(), 1u);
  EXPECT_EQ(store_.delta_offsets.size(), 1u);
}

}  // namespace
}  // namespace countersign::gateway
