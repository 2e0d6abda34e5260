#include "tools/fleet/plan.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::fleet {
namespace {

PlanOptions Options(int gateways) {
  PlanOptions options;
  options.gateways = gateways;
  options.products = {{"acme", "LAMP-1", "lamp-1", "1.0.0", false},
                      {"zenith", "DR-1", "dr-1", "2.0.0", true}};
  return options;
}

std::vector<GatewayPlan> Plan(const PlanOptions& options) {
  auto plan = MakePlan(options);
  EXPECT_OK(plan);
  return *std::move(plan);
}

std::map<Kind, int> CountKinds(const std::vector<GatewayPlan>& plan) {
  std::map<Kind, int> kinds;
  for (const GatewayPlan& gateway : plan) ++kinds[gateway.kind];
  return kinds;
}

TEST(PlanTest, TheSameSeedGivesTheSameFleetAndAnotherSeedAnother) {
  PlanOptions options = Options(200);
  options.shares = {{Kind::kSlow, 0.1}, {Kind::kLying, 0.1}};
  const std::string digest = PlanDigest(Plan(options));
  EXPECT_EQ(digest, PlanDigest(Plan(options)));
  options.seed = "2";
  EXPECT_NE(digest, PlanDigest(Plan(options)));
}

TEST(PlanTest, EachKindHasExactlyItsShare) {
  PlanOptions options = Options(100);
  options.shares = {{Kind::kSlow, 0.07},   {Kind::kFailing, 0.29}, {Kind::kLying, 0.08},
                    {Kind::kSilent, 0.01}, {Kind::kOffline, 0.02}, {Kind::kDeclining, 0.03}};
  const std::map<Kind, int> expected = {{Kind::kGood, 50},    {Kind::kSlow, 7},   {Kind::kFailing, 29},
                                        {Kind::kLying, 8},    {Kind::kSilent, 1}, {Kind::kOffline, 2},
                                        {Kind::kDeclining, 3}};
  EXPECT_EQ(CountKinds(Plan(options)), expected);
}

TEST(PlanTest, KindsAreSpreadOverTheFleet) {
  PlanOptions options = Options(1000);
  options.shares = {{Kind::kFailing, 0.5}};
  const std::vector<GatewayPlan> plan = Plan(options);
  const auto in_first_half = std::count_if(plan.begin(), plan.begin() + 500, [](const GatewayPlan& gateway) {
    return gateway.kind == Kind::kFailing;
  });
  EXPECT_GT(in_first_half, 200);
  EXPECT_LT(in_first_half, 300);
}

TEST(PlanTest, LiarsTakeTurnsAndOnlyTheyLie) {
  PlanOptions options = Options(100);
  options.shares = {{Kind::kLying, 0.08}};
  std::map<Lie, int> lies;
  for (const GatewayPlan& gateway : Plan(options)) {
    ++lies[gateway.lie];
    EXPECT_EQ(gateway.kind == Kind::kLying, gateway.lie != Lie::kNone);
  }
  EXPECT_EQ(lies, (std::map<Lie, int>{{Lie::kNone, 92},
                                      {Lie::kWrongSignature, 2},
                                      {Lie::kReplayedReport, 2},
                                      {Lie::kWrongDigest, 2},
                                      {Lie::kWrongHardware, 2}}));
}

TEST(PlanTest, OnlyFailingGatewaysFailAndInBothWays) {
  PlanOptions options = Options(10);
  options.shares = {{Kind::kFailing, 0.1}};
  std::set<Ending> endings;
  for (const GatewayPlan& gateway : Plan(options)) {
    for (const ComponentPlan& component : gateway.components) {
      if (gateway.kind == Kind::kFailing) endings.insert(component.ending);
      EXPECT_EQ(component.ending != Ending::kInstalls, gateway.kind == Kind::kFailing);
    }
  }
  EXPECT_EQ(endings, (std::set<Ending>{Ending::kFails, Ending::kRollsBack}));
}

TEST(PlanTest, SerialsAreUniqueAndProductsTakeTurns) {
  const std::vector<GatewayPlan> plan = Plan(Options(50));
  std::set<std::string> serials;
  std::map<int, int> products;
  for (const GatewayPlan& gateway : plan) {
    for (const ComponentPlan& component : gateway.components) {
      EXPECT_TRUE(serials.insert(component.serial).second) << component.serial;
      ++products[component.product];
    }
  }
  EXPECT_EQ(serials.size(), 250u);
  EXPECT_EQ(products, (std::map<int, int>{{0, 125}, {1, 125}}));
}

TEST(PlanTest, StartsFollowTheRampEachInASlotOfItsOwn) {
  PlanOptions options = Options(100);
  options.starts_per_second = 10;
  for (const GatewayPlan& gateway : Plan(options)) {
    EXPECT_GE(gateway.start, absl::Milliseconds(100) * gateway.index);
    EXPECT_LT(gateway.start, absl::Milliseconds(100) * (gateway.index + 1));
  }
}

TEST(PlanTest, WhoAGatewayIsDoesNotDependOnHowManyThereAre) {
  const std::vector<GatewayPlan> few = Plan(Options(10));
  const std::vector<GatewayPlan> many = Plan(Options(100));
  for (size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].ToString(), many[i].ToString());
}

TEST(PlanTest, SlowGatewaysTakeLonger) {
  PlanOptions options = Options(10);
  options.shares = {{Kind::kSlow, 0.5}};
  for (const GatewayPlan& gateway : Plan(options)) {
    const absl::Duration mean = options.install * (gateway.kind == Kind::kSlow ? kSlowFactor : 1);
    for (const ComponentPlan& component : gateway.components) {
      EXPECT_GE(component.install, mean * 0.5);
      EXPECT_LE(component.install, mean * 1.5);
    }
  }
}

TEST(PlanTest, RefusesWhatMakesNoFleet) {
  const auto refuses = [](const std::function<void(PlanOptions&)>& change) {
    PlanOptions options = Options(10);
    change(options);
    EXPECT_THAT(MakePlan(options), StatusIs(absl::StatusCode::kInvalidArgument));
  };
  refuses([](PlanOptions& o) { o.gateways = 0; });
  refuses([](PlanOptions& o) { o.components = 0; });
  refuses([](PlanOptions& o) { o.products.clear(); });
  refuses([](PlanOptions& o) { o.starts_per_second = 0; });
  refuses([](PlanOptions& o) { o.shares = {{Kind::kSlow, -0.1}}; });
  refuses([](PlanOptions& o) { o.shares = {{Kind::kSlow, 0.6}, {Kind::kSilent, 0.6}}; });
}

TEST(ProductTest, IsReadAsItIsWritten) {
  ASSERT_OK_AND_ASSIGN(const Product plain, ParseProduct("acme/TH-1/fx2/1.0.0"));
  EXPECT_EQ(plain.manufacturer, "acme");
  EXPECT_EQ(plain.model, "TH-1");
  EXPECT_EQ(plain.hardware_id, "fx2");
  EXPECT_EQ(plain.version, "1.0.0");
  EXPECT_FALSE(plain.constrained);
  ASSERT_OK_AND_ASSIGN(const Product constrained, ParseProduct("acme/TH-1/fx2/1.0.0/constrained"));
  EXPECT_TRUE(constrained.constrained);
  for (const char* wrong : {"", "acme", "acme/TH-1/fx2", "acme//fx2/1.0.0", "acme/TH-1/fx2/1.0.0/other"}) {
    EXPECT_THAT(ParseProduct(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
  }
}

TEST(DrawTest, IsInItsRangeAndSpreadsEvenly) {
  double sum = 0;
  for (int i = 0; i < 1000; ++i) {
    const double draw = Draw("seed", i, "test");
    EXPECT_GE(draw, 0);
    EXPECT_LT(draw, 1);
    sum += draw;
  }
  EXPECT_NEAR(sum / 1000, 0.5, 0.05);
  EXPECT_NE(Draw("seed", 1, "test"), Draw("seed", 1, "other"));
  EXPECT_NE(Draw("seed", 1, "test"), Draw("other", 1, "test"));
}

}  // namespace
}  // namespace countersign::fleet
