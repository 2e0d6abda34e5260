#include "services/package_store/storage/bucket.h"

#include <httplib.h>
#include <stdlib.h>

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/s3_server.h"

namespace countersign::package_store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::S3Server;

// What the real server says.

class BucketTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new S3Server(); }
  static void TearDownTestSuite() { delete server_; }

  BucketTest() : prefix_(absl::StrCat("prefix.", crypto::RandomHex(4), "/of-a_store")) { Reopen(); }
  void Reopen() {
    auto bucket = Bucket::Create(server_->Options(prefix_));
    ASSERT_OK(bucket);
    bucket_ = *std::move(bucket);
  }
  std::vector<std::string> Keys(absl::string_view prefix) {
    std::vector<std::string> keys;
    EXPECT_OK(bucket_->List(prefix, [&](const Bucket::Object& object) {
      EXPECT_LT(object.modified, SystemClock().Now() + absl::Minutes(1));
      EXPECT_GT(object.modified, SystemClock().Now() - absl::Minutes(10));
      keys.push_back(object.key);
      return absl::OkStatus();
    }));
    return keys;
  }

  static S3Server* server_;
  const std::string prefix_;
  std::unique_ptr<Bucket> bucket_;
};

S3Server* BucketTest::server_ = nullptr;

TEST_F(BucketTest, ObjectsAreWrittenReadListedAndDeleted) {
  EXPECT_THAT(bucket_->Get("none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(bucket_->Head("none"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const std::string etag, bucket_->Put("a/b~1", "hello, bucket", Bucket::kAny));
  ASSERT_OK(bucket_->Put("a/c", "", Bucket::kAny));
  ASSERT_OK(bucket_->Put("d", "x", Bucket::kAny));
  std::string found;
  EXPECT_THAT(bucket_->Get("a/b~1", &found), IsOkAndHolds("hello, bucket"));
  EXPECT_EQ(found, etag);
  ASSERT_OK_AND_ASSIGN(const Bucket::Object object, bucket_->Head("a/b~1"));
  EXPECT_EQ(object.length, 13);
  std::string part(6, '\0');
  ASSERT_OK(bucket_->GetRange("a/b~1", 7, part.data(), part.size()));
  EXPECT_EQ(part, "bucket");
  EXPECT_FALSE(bucket_->GetRange("a/b~1", 8, part.data(), part.size()).ok());  // beyond its end
  EXPECT_THAT(Keys("a/"), ElementsAre("a/b~1", "a/c"));
  EXPECT_OK(bucket_->Delete("a/c"));
  EXPECT_OK(bucket_->Delete("a/c"));
  EXPECT_THAT(Keys(""), ElementsAre("a/b~1", "d"));
}

TEST_F(BucketTest, AListGoesOnPastItsFirstPage) {
  std::vector<std::string> keys;
  for (int i = 0; i < 1005; ++i) {
    keys.push_back(absl::StrCat("many/", i + 1000));
    ASSERT_OK(bucket_->Put(keys.back(), "", Bucket::kAny));
  }
  EXPECT_EQ(Keys("many/"), keys);
}

TEST_F(BucketTest, AConditionDecidesBetweenTwoWriters) {
  ASSERT_OK_AND_ASSIGN(const std::string first, bucket_->Put("record", "1", Bucket::kNone));
  EXPECT_THAT(bucket_->Put("record", "2", Bucket::kNone),
              StatusIs(absl::StatusCode::kAborted, "PRECONDITION"));
  ASSERT_OK(bucket_->Put("record", "3", first));
  EXPECT_THAT(bucket_->Put("record", "4", first), StatusIs(absl::StatusCode::kAborted, "PRECONDITION"));
  EXPECT_THAT(bucket_->Get("record"), IsOkAndHolds("3"));
}

TEST_F(BucketTest, AMultipartUploadAppearsWhenItIsCompletedFromThePartsThatAreNamed) {
  ASSERT_OK_AND_ASSIGN(const std::string id, bucket_->CreateMultipart("image"));
  const std::string first = crypto::RandomBytes(5 << 20);
  ASSERT_OK_AND_ASSIGN(const std::string one, bucket_->UploadPart("image", id, 1, first));
  ASSERT_OK_AND_ASSIGN(const std::string two, bucket_->UploadPart("image", id, 2, "rest"));
  EXPECT_THAT(bucket_->Head("image"), StatusIs(absl::StatusCode::kNotFound));
  std::vector<std::string> uploads;
  ASSERT_OK(
      bucket_->ListMultiparts("ima", [&](const std::string& key, const std::string& found, absl::Time at) {
        EXPECT_EQ(key, "image");
        EXPECT_GT(at, SystemClock().Now() - absl::Minutes(10));
        EXPECT_LT(at, SystemClock().Now() + absl::Minutes(1));
        uploads.push_back(found);
        return absl::OkStatus();
      }));
  EXPECT_THAT(uploads, ElementsAre(id));
  // Somebody has replaced a part since.
  ASSERT_OK(bucket_->UploadPart("image", id, 2, "lies"));
  EXPECT_THAT(bucket_->CompleteMultipart("image", id, {one, two}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "PARTS_CHANGED"));
  EXPECT_THAT(bucket_->Head("image"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(bucket_->UploadPart("image", id, 2, "rest"));
  ASSERT_OK(bucket_->CompleteMultipart("image", id, {one, two}));
  EXPECT_THAT(bucket_->Get("image"), IsOkAndHolds(first + "rest"));
  // As servers like it, again is as once, or unknown.
  const absl::Status again = bucket_->CompleteMultipart("image", id, {one, two});
  EXPECT_TRUE(again.ok() || absl::IsNotFound(again)) << again;
  EXPECT_THAT(bucket_->UploadPart("image", id, 3, "x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(bucket_->AbortMultipart("image", id));
}

TEST_F(BucketTest, AUrlGivesTheBytesToWhoeverHasItUntilItExpires) {
  ASSERT_OK(bucket_->Put("image", "firmware", Bucket::kAny));
  const absl::Time now = SystemClock().Now();
  ASSERT_OK_AND_ASSIGN(const std::string url, bucket_->PresignedUrl("image", now, absl::Minutes(5)));
  EXPECT_EQ(server_->Get(url), std::pair(200, std::string("firmware")));
  EXPECT_EQ(server_->Get(url, "4-7"), std::pair(206, std::string("ware")));
  std::string other = url;
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_EQ(server_->Get(other).first, 403);
  ASSERT_OK_AND_ASSIGN(const std::string old,
                       bucket_->PresignedUrl("image", now - absl::Minutes(10), absl::Minutes(5)));
  EXPECT_EQ(server_->Get(old).first, 403);
}

TEST_F(BucketTest, WhatIsConfiguredWrongIsNamedByItsFlag) {
  const auto wrong = [](absl::string_view flag) {
    return ::testing::AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, "BUCKET_MISCONFIGURED"),
                            ::testing::ResultOf([](const auto& s) { return s.status().ToString(); },
                                                HasSubstr(std::string(flag))));
  };
  const auto get = [](const BucketOptions& options) -> absl::StatusOr<std::string> {
    auto bucket = Bucket::Create(options);
    if (!bucket.ok()) return bucket.status();
    return (*bucket)->Get("key");
  };
  BucketOptions options = server_->Options(prefix_);
  options.region = "eu-west-1";
  EXPECT_THAT(get(options), wrong("--blob-s3-region"));
  options = server_->Options(prefix_);
  options.url = server_->url() + "/no-such-bucket";
  EXPECT_THAT(get(options), wrong("--blob-s3 "));
  options = server_->Options(prefix_);
  options.ca_file.clear();
  EXPECT_THAT(get(options), wrong("--blob-s3-ca"));
  options = server_->Options(prefix_);
  options.credentials_file = server_->folder() + "/other";
  EXPECT_THAT(get(options), wrong("--blob-s3-credentials"));
  for (const char* pair : {"aws_access_key_id = test-key\naws_secret_access_key = WRONGSECRET\n",
                           "aws_access_key_id = nobody\naws_secret_access_key = WRONGSECRET\n"}) {
    ASSERT_OK(WriteFileAtomically(options.credentials_file, pair));
    const auto refused = get(options);
    EXPECT_THAT(refused, wrong("--blob-s3-credentials"));
    EXPECT_FALSE(absl::StrContains(refused.status().ToString(), "WRONGSECRET"));
  }
  for (const char* url : {"firmware", "ftp://host/bucket", "https://host", "https://host/", "https:///bucket",
                          "http://storage.example/bucket", "https://key:secret@host/bucket",
                          "https://host/bucket//x", "https://host/bucket?x", "https://host/bucket/../x"}) {
    options = server_->Options(prefix_);
    options.url = url;
    EXPECT_THAT(Bucket::Create(options), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_FLAG")) << url;
  }
}

TEST_F(BucketTest, CredentialsAreReadAgainWhenTheyChange) {
  BucketOptions options = server_->Options(prefix_);
  options.credentials_file = server_->folder() + "/rotated";
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(server_->credentials_file()));
  ASSERT_OK(WriteFileAtomically(options.credentials_file, good));
  ASSERT_OK_AND_ASSIGN(const auto bucket, Bucket::Create(options));
  ASSERT_OK(bucket->Put("key", "1", Bucket::kAny));
  ASSERT_OK(WriteFileAtomically(options.credentials_file,
                                "aws_access_key_id = nobody\naws_secret_access_key = nothing\n"));
  EXPECT_THAT(bucket->Get("key"), StatusIs(absl::StatusCode::kFailedPrecondition, "BUCKET_MISCONFIGURED"));
  ASSERT_OK(WriteFileAtomically(options.credentials_file, good));
  EXPECT_THAT(bucket->Get("key"), IsOkAndHolds("1"));
  // Somebody is writing it.
  ASSERT_OK(WriteFileAtomically(options.credentials_file, "aws_access_key_id = "));
  EXPECT_THAT(bucket->Get("key"), IsOkAndHolds("1"));
}

// What the real server does not say when it is asked to: a stand-in that answers what it is told.

class FaultyServer {
 public:
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;

  FaultyServer() {
    const auto handler = [this](const httplib::Request& request, httplib::Response& response) {
      ASSERT_FALSE(answers_.empty()) << request.method << " " << request.path;
      const Answer answer = answers_.front();
      answers_.erase(answers_.begin());
      answer(request, response);
    };
    server_.Get(".*", handler);
    server_.Put(".*", handler);
    server_.Post(".*", handler);
    server_.Delete(".*", handler);
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    EXPECT_OK(WriteFileAtomically(Credentials(), "aws_access_key_id = a\naws_secret_access_key = b\n"));
  }
  ~FaultyServer() {
    server_.stop();
    thread_.join();
  }

  // In this order.
  void WillAnswer(std::vector<Answer> answers) { answers_ = std::move(answers); }
  bool answered_all() const { return answers_.empty(); }
  static Answer Error(int status, const std::string& code) {
    return [=](const httplib::Request&, httplib::Response& response) {
      response.status = status;
      response.set_content(absl::StrCat("<?xml version=\"1.0\"?>\n<Error><Code>", code,
                                        "</Code><Message>said so</Message></Error>"),
                           "application/xml");
    };
  }
  static Answer Text(const std::string& text) {
    return [=](const httplib::Request&, httplib::Response& response) {
      response.set_content(text, "text/plain");
      response.set_header("ETag", "\"tag\"");
    };
  }

  static std::string Credentials() { return absl::StrCat(getenv("TEST_TMPDIR"), "/faulty"); }
  BucketOptions Options(std::vector<absl::Duration>* slept) const {
    return {.url = absl::StrCat("http://127.0.0.1:", port_, "/bucket"),
            .credentials_file = Credentials(),
            .on_request = {},
            .sleep = [slept](absl::Duration time) { slept->push_back(time); }};
  }

 private:
  httplib::Server server_;
  std::vector<Answer> answers_;
  int port_ = 0;
  std::thread thread_;
};

class BucketFaultTest : public ::testing::Test {
 protected:
  BucketFaultTest() : bucket_(*Bucket::Create(server_.Options(&slept_))) {}

  FaultyServer server_;
  std::vector<absl::Duration> slept_;
  const std::unique_ptr<Bucket> bucket_;
};

TEST_F(BucketFaultTest, WhatPassesIsTriedAgainWithGrowingDelays) {
  server_.WillAnswer({FaultyServer::Error(503, "SlowDown"), FaultyServer::Error(500, "InternalError"),
                      FaultyServer::Error(429, "TooManyRequests"), FaultyServer::Text("there")});
  EXPECT_THAT(bucket_->Get("key"), IsOkAndHolds("there"));
  EXPECT_THAT(slept_, ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200), absl::Milliseconds(400)));
}

TEST_F(BucketFaultTest, WhatDoesNotPassIsUnavailableInTheEnd) {
  server_.WillAnswer(std::vector<FaultyServer::Answer>(5, FaultyServer::Error(503, "SlowDown")));
  EXPECT_THAT(bucket_->Get("key"), StatusIs(absl::StatusCode::kUnavailable, "BUCKET_UNAVAILABLE"));
  EXPECT_TRUE(server_.answered_all());
  EXPECT_EQ(slept_.size(), 4u);
}

TEST_F(BucketFaultTest, AFullBucketIsSaidToBeFullAndNotAskedAgain) {
  for (const auto& [status, code] : std::vector<std::pair<int, std::string>>{
           {507, "XMinioStorageFull"}, {403, "QuotaExceeded"}, {507, ""}}) {
    server_.WillAnswer({FaultyServer::Error(status, code)});
    EXPECT_THAT(bucket_->UploadPart("key", "id", 1, "bytes"),
                StatusIs(absl::StatusCode::kResourceExhausted, "DISK_FULL"))
        << code;
  }
  EXPECT_THAT(slept_, IsEmpty());
}

TEST_F(BucketFaultTest, ACompletionThatFailsAfterItSaid200HasFailed) {
  server_.WillAnswer({FaultyServer::Error(200, "InternalError"), FaultyServer::Text("<Done/>")});
  EXPECT_OK(bucket_->CompleteMultipart("key", "id", {"one"}));
  EXPECT_EQ(slept_.size(), 1u);
}

TEST_F(BucketFaultTest, AServerThatKnowsNoConditionsIsWrittenToWithoutThem) {
  server_.WillAnswer({FaultyServer::Error(501, "NotImplemented"),
                      [](const httplib::Request& request, httplib::Response& response) {
                        EXPECT_FALSE(request.has_header("If-None-Match"));
                        EXPECT_EQ(request.body, "bytes");
                        response.set_header("ETag", "\"tag\"");
                      }});
  EXPECT_THAT(bucket_->Put("key", "bytes", Bucket::kNone), IsOkAndHolds("tag"));
}

TEST_F(BucketFaultTest, ARangeThatIsNotAllThereIsAnError) {
  std::string buffer(10, '\0');
  server_.WillAnswer({FaultyServer::Text("short")});
  EXPECT_THAT(bucket_->GetRange("key", 0, buffer.data(), buffer.size()),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(BucketFaultTest, ATemporaryKeysTokenIsSentAndSigned) {
  ASSERT_OK(
      WriteFileAtomically(FaultyServer::Credentials(),
                          "aws_access_key_id = a\naws_secret_access_key = b\naws_session_token = t0k\n"));
  server_.WillAnswer({[](const httplib::Request& request, httplib::Response&) {
    EXPECT_EQ(request.get_header_value("x-amz-security-token"), "t0k");
    EXPECT_THAT(request.get_header_value("Authorization"), HasSubstr("x-amz-security-token"));
  }});
  EXPECT_OK(bucket_->Get("key"));
}

}  // namespace
}  // namespace countersign::package_store
