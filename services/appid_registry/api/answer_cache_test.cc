#include "services/appid_registry/api/answer_cache.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace countersign::appid_registry {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const absl::Time kUntil = kNow + absl::Hours(1);

AnswerCache::Answer NewAnswer() { return std::make_shared<const v1::VerifyIdentityResponse>(); }

TEST(AnswerCacheTest, AnAnswerIsCurrentForAWhileAndThenLookedAtAgain) {
  AnswerCache cache(10, absl::Seconds(5));
  const AnswerCache::Answer answer = NewAnswer();
  cache.Keep("a", answer, 7, kNow, kUntil, cache.generation());
  EXPECT_EQ(cache.Find("a", kNow + absl::Seconds(4)).answer, answer);
  EXPECT_TRUE(cache.Find("a", kNow + absl::Seconds(4)).current);
  EXPECT_EQ(cache.Find("b", kNow).answer, nullptr);
  EXPECT_EQ(cache.Find("a", kNow + absl::Seconds(5)).answer, answer);
  EXPECT_FALSE(cache.Find("a", kNow + absl::Seconds(5)).current);
  EXPECT_EQ(cache.Find("a", kNow + absl::Seconds(5)).revision, 7);
}

TEST(AnswerCacheTest, AnAnswerIsForgottenInTime) {
  AnswerCache cache(10, absl::Hours(5));
  cache.Keep("a", NewAnswer(), 1, kNow, kUntil, cache.generation());
  EXPECT_TRUE(cache.Find("a", kUntil - absl::Seconds(1)).current);
  EXPECT_EQ(cache.Find("a", kUntil).answer, nullptr);
}

TEST(AnswerCacheTest, ClearingMakesNothingCurrentAlsoNotWhatWasReadBeforeAndComesAfter) {
  AnswerCache cache(10, absl::Seconds(5));
  cache.Keep("a", NewAnswer(), 1, kNow, kUntil, cache.generation());
  const uint64_t before = cache.generation();
  cache.Clear();
  EXPECT_FALSE(cache.Find("a", kNow).current);
  cache.Keep("a", NewAnswer(), 1, kNow, kUntil, before);
  EXPECT_FALSE(cache.Find("a", kNow).current);
  cache.Keep("a", NewAnswer(), 1, kNow, kUntil, cache.generation());
  EXPECT_TRUE(cache.Find("a", kNow).current);
}

TEST(AnswerCacheTest, WhatWasUsedLongestAgoGoesFirst) {
  AnswerCache cache(2, absl::Seconds(5));
  cache.Keep("a", NewAnswer(), 1, kNow, kUntil, 0);
  cache.Keep("b", NewAnswer(), 1, kNow, kUntil, 0);
  EXPECT_NE(cache.Find("a", kNow).answer, nullptr);
  cache.Keep("c", NewAnswer(), 1, kNow, kUntil, 0);
  EXPECT_NE(cache.Find("a", kNow).answer, nullptr);
  EXPECT_EQ(cache.Find("b", kNow).answer, nullptr);
  EXPECT_NE(cache.Find("c", kNow).answer, nullptr);
}

TEST(AnswerCacheTest, QuestionsThatDifferHaveDifferentKeys) {
  v1::VerifyIdentityRequest a;
  a.set_app_id("Nx");
  a.set_ae_id("Cy");
  v1::VerifyIdentityRequest b;
  b.set_app_id("NxCy");
  EXPECT_NE(AnswerCache::Key(a), AnswerCache::Key(b));
  b = a;
  EXPECT_EQ(AnswerCache::Key(a), AnswerCache::Key(b));
  b.mutable_observation()->set_data_model("SDT");
  EXPECT_NE(AnswerCache::Key(a), AnswerCache::Key(b));
}

}  // namespace
}  // namespace countersign::appid_registry
