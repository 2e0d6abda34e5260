#include "tools/cse_guard/http.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::cse_guard {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

std::string HeadOf(const std::string& headers) {
  return absl::StrCat("POST /cse-in HTTP/1.1\r\nHost: cse\r\n", headers, "\r\n");
}

TEST(HttpTest, AHeadIsTakenApart) {
  ASSERT_OK_AND_ASSIGN(const ParsedHead head,
                       ParseHead("POST /~/id-in/cse-in?rcn=1 HTTP/1.1\r\nHost: cse\r\nX-M2M-RI:  1 "
                                 "2\t\r\nContent-Length: 12\r\n\r\n"));
  EXPECT_EQ(head.request.method, "POST");
  EXPECT_EQ(head.request.target, "/~/id-in/cse-in?rcn=1");
  EXPECT_EQ(*Header(head.request.headers, "x-m2m-ri"), "1 2");
  EXPECT_EQ(head.framing.content_length, 12);
  EXPECT_FALSE(head.framing.chunked);
  EXPECT_TRUE(head.framing.keep_alive);
  EXPECT_FALSE(Header(head.request.headers, "Content-Length").has_value()) << "the next hop has its own";
}

TEST(HttpTest, WhatTwoServersMightReadDifferentlyIsRefused) {
  for (const std::string& headers : {
           std::string("Content-Length: 5\r\nContent-Length: 6\r\n"),
           std::string("Content-Length: 5\r\nContent-Length: 5\r\n"),
           std::string("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
           std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
           std::string("Transfer-Encoding: gzip, chunked\r\n"),
           std::string("Transfer-Encoding: xchunked\r\n"),
           std::string("Transfer-Encoding:\x0b"
                       "chunked\r\n"),
           std::string("Content-Length: +5\r\n"),
           std::string("Content-Length: -5\r\n"),
           std::string("Content-Length: 0x5\r\n"),
           std::string("Content-Length: 5, 5\r\n"),
           std::string("Content-Length:\r\n"),
           std::string("Content-Length: 99999999999999999999\r\n"),
           std::string("Content-Length : 5\r\n"),
           std::string(" Content-Length: 5\r\n"),
           std::string("X: a\r\n b\r\n"),
           std::string("X: a\n"),
           std::string("X: a\nY: b\r\n"),
           std::string("X: a\rY: b\r\n"),
           std::string("X: a\0b\r\n", 8),
           std::string("X\r\n"),
           std::string(": a\r\n"),
           std::string("X y: a\r\n"),
           std::string("Host: other\r\n"),
           std::string("Expect: nothing\r\n"),
       }) {
    EXPECT_THAT(ParseHead(HeadOf(headers)), StatusIs(kInvalidArgument, "HTTP_MALFORMED")) << headers;
  }
  for (const std::string line :
       {"POST /x", "POST /x HTTP/2.0", "POST  /x HTTP/1.1", "POST /x HTTP/1.1 ", "post /x HTTP/1.1",
        "POST http://cse/x HTTP/1.1", "POST x HTTP/1.1", "POST /x#y HTTP/1.1", "POST /x\\y HTTP/1.1",
        "POST /\xc3\xa4 HTTP/1.1", " POST /x HTTP/1.1", "", "POST /x\tHTTP/1.1", "P0ST /x HTTP/1.1"}) {
    EXPECT_THAT(ParseHead(absl::StrCat(line, "\r\nHost: cse\r\n\r\n")),
                StatusIs(kInvalidArgument, "HTTP_MALFORMED"))
        << line;
  }
  EXPECT_THAT(ParseHead("POST /x HTTP/1.1\r\n\r\n"), StatusIs(kInvalidArgument, "HTTP_MALFORMED"))
      << "no Host";
  EXPECT_THAT(ParseHead("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
              StatusIs(kInvalidArgument, "HTTP_MALFORMED"));
  std::string many;
  for (int i = 0; i < 101; ++i) absl::StrAppend(&many, "X", i, ": y\r\n");
  EXPECT_THAT(ParseHead(HeadOf(many)), StatusIs(kInvalidArgument, "HTTP_MALFORMED"));
}

TEST(HttpTest, WhatIsBetweenTwoHopsStaysThereAndNothingElseCanBeTakenAway) {
  ASSERT_OK_AND_ASSIGN(
      const ParsedHead head,
      ParseHead(HeadOf("Connection: close, X-Hop, X-M2M-Origin\r\nX-Hop: 1\r\nX-M2M-Origin: C1\r\nUpgrade: "
                       "websocket\r\nTE: trailers\r\nKeep-Alive: 5\r\nX-Stays: 1\r\n")));
  EXPECT_FALSE(head.framing.keep_alive);
  for (const char* gone : {"Connection", "X-Hop", "Upgrade", "TE", "Keep-Alive"}) {
    EXPECT_FALSE(Header(head.request.headers, gone).has_value()) << gone;
  }
  EXPECT_TRUE(Header(head.request.headers, "X-M2M-Origin").has_value());
  EXPECT_TRUE(Header(head.request.headers, "X-Stays").has_value());
}

TEST(HttpTest, ChunksAreReadWhenTheyAreAllThere) {
  const std::string bytes = "4\r\nabcd\r\nA\r\n0123456789\r\n0\r\n\r\nGET /";
  for (size_t i = 0; i + 5 < bytes.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const auto part, Dechunk(absl::string_view(bytes).substr(0, i), 100));
    EXPECT_FALSE(part.has_value()) << i;
  }
  ASSERT_OK_AND_ASSIGN(const auto whole, Dechunk(bytes, 100));
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->body, "abcd0123456789");
  EXPECT_EQ(whole->consumed, bytes.size() - 5);
  EXPECT_THAT(Dechunk(bytes, 13), StatusIs(absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE"));
}

TEST(HttpTest, UnclearChunksAreRefused) {
  for (const char* bytes :
       {"\r\n", "x\r\n", "-1\r\n", " 4\r\nabcd\r\n", "4;a=b\r\nabcd\r\n", "4\r\nabcde\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n", "00000004\r\nabcd\r\n", "fffffffff", "4\nabcd\n0\n\n.............."}) {
    EXPECT_THAT(Dechunk(bytes, 100), StatusIs(kInvalidArgument, "HTTP_MALFORMED")) << bytes;
  }
}

TEST(HttpTest, AResponseHasALengthOfItsOwn) {
  const HttpResponse response{201, {{"X-M2M-RSC", "2001"}}, "{}"};
  const std::string text = Serialise(response, true, false);
  EXPECT_THAT(text, HasSubstr("HTTP/1.1 201 \r\n"));
  EXPECT_THAT(text, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_EQ(text.substr(text.size() - 6), "\r\n\r\n{}");
  EXPECT_THAT(Serialise(response, false, true), HasSubstr("Connection: close\r\n\r\n"));
  EXPECT_EQ(Serialise({204, {}, ""}, true, false).find("Content-Length"), std::string::npos);
}

TEST(HttpTest, NonsenseIsReadOrRefusedAndNeverMore) {
  std::mt19937 random(20260101);
  const std::string good = HeadOf("Content-Length: 3\r\nX-M2M-Origin: C1\r\nConnection: keep-alive\r\n");
  for (int round = 0; round < 50000; ++round) {
    std::string text = good;
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const absl::StatusOr<ParsedHead> head = ParseHead(text);
    if (head.ok()) {
      EXPECT_EQ(head->request.target.front(), '/');
      EXPECT_LE(CountHeader(head->request.headers, "Content-Length"), 0);
    }
    (void)Dechunk(text.substr(random() % text.size()), 50);
  }
}

}  // namespace
}  // namespace countersign::cse_guard
