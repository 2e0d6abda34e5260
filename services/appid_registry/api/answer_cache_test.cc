#include "services/appid_registry/api/answer_cache.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace countersign::appid_registry {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

AnswerCache::Answer NewAnswer() { return std::make_shared<const v1::VerifyIdentityResponse>(); }

TEST(AnswerCacheTest, AnAnswerIsGivenAgainUntilItsTimeIsOver) {
  AnswerCache cache(10, absl::Seconds(5));
  const AnswerCache::Answer answer = NewAnswer();
  cache.Keep("a", answer, kNow, cache.generation());
  EXPECT_EQ(cache.Find("a", kNow + absl::Seconds(4)), answer);
  EXPECT_EQ(cache.Find("b", kNow), nullptr);
  EXPECT_EQ(cache.Find("a", kNow + absl::Seconds(5)), nullptr);
}

TEST(AnswerCacheTest, ClearingForgetsAlsoWhatWasReadBeforeAndComesAfter) {
  AnswerCache cache(10, absl::Seconds(5));
  cache.Keep("a", NewAnswer(), kNow, cache.generation());
  const uint64_t before = cache.generation();
  cache.Clear();
  EXPECT_EQ(cache.Find("a", kNow), nullptr);
  cache.Keep("a", NewAnswer(), kNow, before);
  EXPECT_EQ(cache.Find("a", kNow), nullptr);
  cache.Keep("a", NewAnswer(), kNow, cache.generation());
  EXPECT_NE(cache.Find("a", kNow), nullptr);
}

TEST(AnswerCacheTest, WhatWasUsedLongestAgoGoesFirst) {
  AnswerCache cache(2, absl::Seconds(5));
  cache.Keep("a", NewAnswer(), kNow, 0);
  cache.Keep("b", NewAnswer(), kNow, 0);
  EXPECT_NE(cache.Find("a", kNow), nullptr);
  cache.Keep("c", NewAnswer(), kNow, 0);
  EXPECT_NE(cache.Find("a", kNow), nullptr);
  EXPECT_EQ(cache.Find("b", kNow), nullptr);
  EXPECT_NE(cache.Find("c", kNow), nullptr);
}

TEST(AnswerCacheTest, QuestionsThatDifferHaveDifferentKeys) {
  v1::VerifyIdentityRequest a;
  a.set_app_id("Nx");
  a.set_ae_id("Cy");
  v1::VerifyIdentityRequest b;
  b.set_app_id("NxCy");
  EXPECT_NE(AnswerCache::Key(a), AnswerCache::Key(b));
}

}  // namespace
}  // namespace countersign::appid_registry
