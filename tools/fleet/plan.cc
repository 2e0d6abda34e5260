#include "tools/fleet/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"

namespace countersign::fleet {
namespace {

constexpr int kMaxGateways = 1'000'000;
constexpr int kMaxComponents = 200;

absl::Status CheckOptions(const PlanOptions& options) {
  if (options.gateways < 1 || options.gateways > kMaxGateways) {
    return absl::InvalidArgumentError(absl::StrCat("a fleet has 1 to ", kMaxGateways, " gateways"));
  }
  if (options.components < 1 || options.components > kMaxComponents) {
    return absl::InvalidArgumentError(absl::StrCat("a gateway has 1 to ", kMaxComponents, " components"));
  }
  if (options.products.empty()) return absl::InvalidArgumentError("a fleet needs a product");
  if (!(options.starts_per_second > 0)) return absl::InvalidArgumentError("the ramp is above 0 a second");
  double sum = 0;
  for (const auto& [kind, share] : options.shares) {
    if (!(share >= 0)) return absl::InvalidArgumentError("a share is from 0 to 100%");
    sum += share;
  }
  if (sum > 1 + 1e-9) return absl::InvalidArgumentError("the shares are more than the fleet together");
  return absl::OkStatus();
}

// Gateways in the order of their lots, so that each kind is spread over the fleet.
std::vector<int> Lots(const PlanOptions& options) {
  std::vector<std::pair<double, int>> lots;
  lots.reserve(options.gateways);
  for (int i = 0; i < options.gateways; ++i) lots.push_back({Draw(options.seed, i, "kind"), i});
  std::sort(lots.begin(), lots.end());
  std::vector<int> order;
  order.reserve(lots.size());
  for (const auto& [lot, index] : lots) order.push_back(index);
  return order;
}

absl::Duration Around(absl::Duration mean, double draw) { return mean * (0.5 + draw); }

}  // namespace

absl::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kGood:
      return "good";
    case Kind::kAsked:
      return "asked";
    case Kind::kDeclining:
      return "declining";
    case Kind::kSlow:
      return "slow";
    case Kind::kFailing:
      return "failing";
    case Kind::kLying:
      return "lying";
    case Kind::kSilent:
      return "silent";
    case Kind::kOffline:
      return "offline";
  }
  return "";
}

absl::string_view LieName(Lie lie) {
  switch (lie) {
    case Lie::kNone:
      return "none";
    case Lie::kWrongSignature:
      return "wrong-signature";
    case Lie::kReplayedReport:
      return "replayed-report";
    case Lie::kWrongDigest:
      return "wrong-digest";
    case Lie::kWrongHardware:
      return "wrong-hardware";
  }
  return "";
}

absl::string_view EndingName(Ending ending) {
  switch (ending) {
    case Ending::kInstalls:
      return "installs";
    case Ending::kFails:
      return "fails";
    case Ending::kRollsBack:
      return "rolls-back";
  }
  return "";
}

absl::StatusOr<Product> ParseProduct(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  const bool constrained = parts.size() == 5 && parts[4] == "constrained";
  if ((parts.size() != 4 && !constrained) ||
      std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); })) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text,
        "\" is no product: write manufacturer/model/hardware-id/version, or that and /constrained"));
  }
  return Product{parts[0], parts[1], parts[2], parts[3], constrained};
}

std::string GatewayPlan::ToString() const {
  std::string line = absl::StrFormat("%s %s %s start=%dms", id, KindName(kind), LieName(lie),
                                     absl::ToInt64Milliseconds(start));
  for (const ComponentPlan& component : components) {
    absl::StrAppendFormat(&line, " %s:%d:%s:%d/%d/%d", component.serial, component.product,
                          EndingName(component.ending), absl::ToInt64Milliseconds(component.download),
                          absl::ToInt64Milliseconds(component.install),
                          absl::ToInt64Milliseconds(component.reboot));
  }
  return line;
}

absl::StatusOr<std::vector<GatewayPlan>> MakePlan(const PlanOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  std::vector<GatewayPlan> plan(options.gateways);
  const std::vector<int> order = Lots(options);
  size_t next = 0;
  for (const auto& [kind, share] : options.shares) {
    // A share is written in decimal: 0.07 of 100 is 7 and not 6.99.
    const auto count = static_cast<int>(std::floor(share * options.gateways + 1e-6));
    for (int i = 0; i < count && next < order.size(); ++i, ++next) {
      plan[order[next]].kind = kind;
      if (kind == Kind::kLying) plan[order[next]].lie = kLies[i % std::size(kLies)];
    }
  }
  for (int i = 0; i < options.gateways; ++i) {
    GatewayPlan& gateway = plan[i];
    gateway.index = i;
    gateway.id = absl::StrFormat("%s-%06d", options.prefix, i);
    // Each has a slot of its own on the ramp, and a place in it.
    gateway.start = absl::Seconds((i + Draw(options.seed, i, "start")) / options.starts_per_second);
    const int factor = gateway.kind == Kind::kSlow ? kSlowFactor : 1;
    for (int k = 0; k < options.components; ++k) {
      ComponentPlan& component = gateway.components.emplace_back();
      component.serial = absl::StrCat(gateway.id, "-", k);
      component.product =
          static_cast<int>((static_cast<size_t>(i) * options.components + k) % options.products.size());
      if (gateway.kind == Kind::kFailing) component.ending = k % 2 == 0 ? Ending::kFails : Ending::kRollsBack;
      const auto draw = [&](absl::string_view what) {
        return Draw(options.seed, i, absl::StrCat(what, "/", k));
      };
      component.download = factor * Around(options.download, draw("download"));
      component.install = factor * Around(options.install, draw("install"));
      component.reboot = factor * Around(options.reboot, draw("reboot"));
    }
  }
  return plan;
}

std::string PlanDigest(const std::vector<GatewayPlan>& plan) {
  crypto::Sha256Stream digest;
  for (const GatewayPlan& gateway : plan) digest.Update(absl::StrCat(gateway.ToString(), "\n"));
  return digest.FinishHex();
}

double Draw(absl::string_view seed, int64_t index, absl::string_view purpose) {
  const std::string digest = crypto::Sha256(absl::StrCat(seed, "\n", index, "\n", purpose));
  uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits = bits << 8 | static_cast<unsigned char>(digest[i]);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::string KeySecret(absl::string_view seed, absl::string_view owner) {
  return absl::StrCat("countersign fleet\n", seed, "\n", owner);
}

}  // namespace countersign::fleet
