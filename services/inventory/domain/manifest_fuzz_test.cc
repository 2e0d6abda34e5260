// Manifests that were altered at random, the same way in every run: nothing is believed that was not signed.
#include <dirent.h>

#include <random>
#include <string>
#include <vector>

#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "services/inventory/domain/testing/manifest_target.h"

namespace countersign::inventory::domain {
namespace {

using testing::ManifestTarget;

constexpr char kSeedFolder[] = "services/inventory/domain/testdata/manifest_seeds";
constexpr int kRounds = 4000;

std::vector<std::string> KeptSeeds() {
  std::vector<std::string> seeds;
  DIR* folder = opendir(kSeedFolder);
  EXPECT_NE(folder, nullptr);
  for (const dirent* entry = readdir(folder); entry != nullptr; entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name[0] == '.') continue;
    const absl::StatusOr<std::string> content = ReadFile(std::string(kSeedFolder) + "/" + name);
    EXPECT_OK(content);
    seeds.push_back(*content);
  }
  closedir(folder);
  return seeds;
}

// A few alterations of the kinds that find parsers' edges.
std::string Alter(std::string text, const std::vector<std::string>& others, std::mt19937& random) {
  const auto below = [&](size_t bound) { return bound == 0 ? 0 : random() % bound; };
  for (size_t times = 1 + below(3); times > 0; --times) {
    const size_t at = below(text.size());
    switch (random() % 8) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + below(8));
        break;
      case 2:
        text.insert(at, 1, "{}[],:\"\\0-"[random() % 10]);
        break;
      case 3: {
        const std::string piece = text.substr(at, below(200));
        text.insert(below(text.size()), piece);
        break;
      }
      case 4: {
        const std::string& other = others[random() % others.size()];
        text = text.substr(0, at) + other.substr(below(other.size()));
        break;
      }
      case 5:
        text.resize(at);
        break;
      case 6: {
        const size_t digit = text.find_first_of("0123456789", at);
        if (digit != std::string::npos) text.replace(digit, 1, random() % 2 ? "99999999999999999999" : "-1");
        break;
      }
      default: {
        const size_t quote = text.find('"', at);
        if (quote != std::string::npos) text.insert(quote + 1, random() % 2 ? "\\u0000" : "\xff");
      }
    }
  }
  return text;
}

TEST(ManifestFuzzTest, TheSeedsAreWhatTheyWereSignedAs) {
  const ManifestTarget target;
  int believed = 0;
  int accepted = 0;
  for (const std::string& seed : KeptSeeds()) {
    const ManifestTarget::Outcome outcome = target.Take(seed);
    believed += outcome.believed ? 1 : 0;
    accepted += outcome.accepted;
  }
  EXPECT_EQ(believed, 3) << "the others are nonsense that once was something to look at";
  EXPECT_EQ(accepted, 3);
  for (const std::string& seed : target.seeds()) EXPECT_TRUE(target.Take(seed).believed);
}

TEST(ManifestFuzzTest, WhatWasAlteredIsNotBelieved) {
  const ManifestTarget target;
  std::vector<std::string> seeds = KeptSeeds();
  seeds.insert(seeds.end(), target.seeds().begin(), target.seeds().end());
  std::mt19937 random(20260101);
  int readable = 0;
  for (int i = 0; i < kRounds; ++i) {
    readable += target.Take(Alter(seeds[i % seeds.size()], seeds, random)).readable ? 1 : 0;
  }
  EXPECT_GT(readable, kRounds / 50) << "most are thrown away before they are looked at";
}

}  // namespace
}  // namespace countersign::inventory::domain
