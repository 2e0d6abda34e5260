#include "common/rpc/status_grpc.h"

#include <string>

#include "common/status/errors.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

TEST(StatusGrpcTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_OK(FromGrpc(grpc::Status::OK));
}

TEST(StatusGrpcTest, CodeMessageReasonAndDelayComeThrough) {
  const absl::Status sent =
      WithRetryDelay(Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "reconnect", {{"server", "a"}}),
                     absl::Milliseconds(2250));
  const absl::Status received = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(received, sent);
  EXPECT_THAT(received, StatusIs(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_EQ(RetryDelayOf(received), absl::Milliseconds(2250));
}

TEST(StatusGrpcTest, DetailsAreWhatOtherLanguagesRead) {
  const grpc::Status sent =
      ToGrpc(Error(absl::StatusCode::kNotFound, "NO_GATEWAY", "none", {{"gateway", "gw-1"}}));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(sent.error_details()));
  EXPECT_EQ(details.code(), 5);
  EXPECT_EQ(details.message(), "none");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "NO_GATEWAY");
  EXPECT_EQ(info.domain(), "countersign");
  EXPECT_EQ(info.metadata().at("gateway"), "gw-1");
}

TEST(StatusGrpcTest, BrokenDetailsLeaveCodeAndMessage) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::NOT_FOUND, "none", "\xff\xff"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, ""));
  EXPECT_EQ(RetryDelayOf(status), std::nullopt);
}

TEST(StatusGrpcTest, WhatIsTooLongForTrailersIsCut) {
  const grpc::Status status = ToGrpc(
      Error(absl::StatusCode::kNotFound, "X", std::string(100000, 'm'), {{"k", std::string(100000, 'v')}}));
  EXPECT_LT(status.error_message().size() + status.error_details().size(), 8000u);
}

}  // namespace
}  // namespace countersign::rpc
