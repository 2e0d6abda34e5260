#include "common/metrics/metrics.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, SerializesCountersGaugesAndHistograms) {
  Registry registry;
  registry.AddCounter("decisions_total", "Decisions recorded.", {"decision"}).With({"granted"}).Increment(2);
  registry.AddGauge("queue_length", "Waiting calls.").With().Set(7);
  registry.AddHistogram("wait_seconds", "Waiting time.", {"queue"}, {0.1, 1}).With({"db"}).Observe(0.5);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("# TYPE decisions_total counter\ndecisions_total{decision=\"granted\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# HELP queue_length Waiting calls.\n"));
  EXPECT_THAT(text, HasSubstr("queue_length 7\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{queue=\"db\",le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_bucket{queue=\"db\",le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("wait_seconds_count{queue=\"db\"} 1\n"));
}

TEST(MetricsTest, TheSameNameAndValuesAreTheSameSeries) {
  Registry registry;
  registry.AddCounter("a_total", "A.", {"x"}).With({"1"}).Increment();
  registry.AddCounter("a_total", "A.", {"x"}).With({"1"}).Increment();
  EXPECT_EQ(registry.AddCounter("a_total", "A.", {"x"}).With({"1"}).Value(), 2);
}

TEST(MetricsTest, WhatIsOverTheBoundIsCountedInOneSeries) {
  Registry registry;
  const CounterFamily family = registry.AddCounter("a_total", "A.", {"x"});
  for (int i = 0; i < kMaxSeries + 50; ++i) family.With({absl::StrCat("value", i)}).Increment();
  EXPECT_EQ(family.With({"overflow"}).Value(), 50);
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr(absl::StrCat("value", kMaxSeries))));
}

TEST(MetricsTest, ARemovedGaugeIsGoneAndMayComeBack) {
  Registry registry;
  const GaugeFamily family = registry.AddGauge("assignments", "Assignments.", {"rollout"});
  family.With({"r1"}).Set(3);
  family.Remove({"r1"});
  family.Remove({"r2"});
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr("r1")));
  family.With({"r1"}).Set(4);
  EXPECT_THAT(registry.Serialize(), HasSubstr("assignments{rollout=\"r1\"} 4"));
}

TEST(MetricsTest, RefreshesRunBeforeEachSerialization) {
  Registry registry;
  const Gauge gauge = registry.AddGauge("g", "G.").With();
  registry.OnSerialize([gauge] { gauge.Add(1); });
  registry.Serialize();
  EXPECT_THAT(registry.Serialize(), HasSubstr("g 2\n"));
}

TEST(MetricsTest, ProcessMetricsHaveTheirStandardNames) {
  Registry registry;
  AddProcessMetrics(registry);
  const std::string text = registry.Serialize();
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                           "process_max_fds", "process_start_time_seconds"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n", name, " "))) << name;
    EXPECT_THAT(text, Not(HasSubstr(absl::StrCat("\n", name, " 0\n")))) << name;
  }
  const Gauge start = registry
                          .AddGauge("process_start_time_seconds",
                                    "Start time of the process since the Unix epoch in seconds.")
                          .With();
  EXPECT_GT(start.Value(), 1.5e9);
  EXPECT_LT(start.Value(), 1e10);
}

TEST(MetricsDeathTest, AFamilyKeepsItsLabels) {
  Registry registry;
  registry.AddCounter("a_total", "A.", {"x"});
  EXPECT_DEATH(registry.AddCounter("a_total", "A.", {"y"}), "a_total: .*other labels");
  EXPECT_DEATH(registry.AddGauge("a_total", "A.", {"x"}), "a_total: .*another kind");
  EXPECT_DEATH(registry.AddCounter("a_total", "A.", {"x"}).With({}), "a_total: .*each of its labels");
}

}  // namespace
}  // namespace countersign::metrics
