#include "tools/fleet/statistics.h"

#include "common/status/errors.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::fleet {
namespace {

TEST(LatenciesTest, QuantilesAreExactToTheBucketsWidth) {
  Latencies latencies;
  for (int i = 1; i <= 1000; ++i) latencies.Add(absl::Milliseconds(i));
  EXPECT_EQ(latencies.count(), 1000);
  for (const double quantile : {0.5, 0.95, 0.99}) {
    const double found = absl::ToDoubleMilliseconds(latencies.Quantile(quantile));
    EXPECT_GE(found, 1000 * quantile * 0.999);
    EXPECT_LE(found, 1000 * quantile * 1.05);
  }
}

TEST(LatenciesTest, WhatIsOutOfRangeIsInTheFirstAndTheLastBucket) {
  Latencies latencies;
  EXPECT_EQ(latencies.Quantile(0.5), absl::ZeroDuration());
  latencies.Add(absl::ZeroDuration());
  EXPECT_EQ(latencies.Quantile(0.5), absl::Microseconds(10));
  latencies.Add(absl::Hours(10));
  EXPECT_GT(latencies.Quantile(1), absl::Minutes(1));
}

TEST(StatisticsTest, TellsCountsCallsAndErrorsByTheirReasons) {
  Statistics statistics;
  statistics.Add("streams", 3);
  statistics.Add("streams", -1);
  statistics.Call("CheckIn", absl::OkStatus(), absl::Milliseconds(10));
  statistics.Call("CheckIn", absl::UnavailableError("gone"), absl::Seconds(10));
  statistics.Call("CheckIn", Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN", "who?"),
                  absl::Seconds(10));
  EXPECT_EQ(statistics.Get("streams"), 2);
  EXPECT_EQ(statistics.Get("nothing"), 0);
  const auto json = nlohmann::json::parse(statistics.ToJson());
  EXPECT_EQ(json["counts"]["streams"], 2);
  const auto& check_in = json["calls"]["CheckIn"];
  EXPECT_EQ(check_in["count"], 3);
  EXPECT_EQ(check_in["errors"]["UNAVAILABLE"], 1);
  EXPECT_EQ(check_in["errors"]["GATEWAY_UNKNOWN"], 1);
  EXPECT_LT(check_in["p99_ms"], 11) << "calls that failed have no part in it";
  EXPECT_GT(json["resident_bytes"], 1 << 20);
}

TEST(StatisticsTest, TheNumberOfErrorsThatItTellsApartIsBounded) {
  Statistics statistics;
  for (int i = 0; i < 1000; ++i) {
    statistics.Call("CheckIn", Error(absl::StatusCode::kInternal, "REASON_" + std::to_string(i), ""),
                    absl::Seconds(1));
  }
  const auto json = nlohmann::json::parse(statistics.ToJson());
  EXPECT_LE(json["calls"]["CheckIn"]["errors"].size(), 65u);
  EXPECT_EQ(json["calls"]["CheckIn"]["count"], 1000);
}

}  // namespace
}  // namespace countersign::fleet
