// Who the gateways of a simulated fleet are and how they behave: all of it follows from the seed.
#ifndef COUNTERSIGN_TOOLS_FLEET_PLAN_H_
#define COUNTERSIGN_TOOLS_FLEET_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::fleet {

enum class Kind {
  kGood,       // installs what it is given, as its user's standing policy allows
  kAsked,      // has no policy: its user is asked, and says yes
  kDeclining,  // has no policy: its user is asked, and says no
  kSlow,       // takes kSlowFactor times as long for everything
  kFailing,    // its devices fail to install, or boot the new image and roll back
  kLying,      // its devices' reports are not true (Lie)
  kSilent,     // reports once, sets its policy, and is not heard of again
  kOffline,    // provisioned, and never there
};
inline constexpr Kind kAllKinds[] = {Kind::kGood,    Kind::kAsked, Kind::kDeclining, Kind::kSlow,
                                     Kind::kFailing, Kind::kLying, Kind::kSilent,    Kind::kOffline};
inline constexpr int kSlowFactor = 10;

absl::string_view KindName(Kind kind);  // "good", ...

// What is not true in the reports of a lying gateway's devices. Lying gateways take turns.
enum class Lie {
  kNone,
  kWrongSignature,  // signed with a key that is not the component's
  kReplayedReport,  // from the second report on, one with the counter of the first
  kWrongDigest,     // after an update, of an image that it was not given
  kWrongHardware,   // of other hardware than was provisioned
};
inline constexpr Lie kLies[] = {Lie::kWrongSignature, Lie::kReplayedReport, Lie::kWrongDigest,
                                Lie::kWrongHardware};

absl::string_view LieName(Lie lie);  // "none", "wrong-signature", ...

// How a component's updates end. The components of a failing gateway take turns.
enum class Ending { kInstalls, kFails, kRollsBack };

absl::string_view EndingName(Ending ending);  // "installs", ...

// What components are, each gateway's in turn.
struct Product {
  std::string manufacturer;
  std::string model;
  std::string hardware_id;
  std::string version;  // as it leaves the factory
  bool constrained = false;
};

// "manufacturer/model/hardware-id/version", with "/constrained" after it for what cannot sign.
// INVALID_ARGUMENT.
absl::StatusOr<Product> ParseProduct(absl::string_view text);

// What a fleet is made from.
struct PlanOptions {
  std::string seed = "1";
  std::string prefix = "fleet";  // of the gateways' ids
  int gateways = 10;
  int components = 5;             // of each gateway
  std::map<Kind, double> shares;  // from 0 to 1, together at most 1; the rest is good
  std::vector<Product> products;
  double starts_per_second = 100;
  // Means; a component's own are between half and one and a half of them.
  absl::Duration download = absl::Seconds(2);
  absl::Duration install = absl::Seconds(3);
  absl::Duration reboot = absl::Seconds(2);
};

struct ComponentPlan {
  std::string serial;
  int product = 0;
  Ending ending = Ending::kInstalls;
  absl::Duration download;
  absl::Duration install;
  absl::Duration reboot;
};

struct GatewayPlan {
  int index = 0;  // in the fleet
  std::string id;
  Kind kind = Kind::kGood;
  Lie lie = Lie::kNone;
  absl::Duration start;  // after the beginning of the run
  std::vector<ComponentPlan> components;

  std::string ToString() const;  // one line with everything
};

// The whole fleet, in order of index. Kinds have exactly their shares of it, rounded down.
// INVALID_ARGUMENT for options that make no fleet.
absl::StatusOr<std::vector<GatewayPlan>> MakePlan(const PlanOptions& options);

// SHA-256 in hex of all lines of a plan: equal for equal plans only.
std::string PlanDigest(const std::vector<GatewayPlan>& plan);

// A number in [0, 1) that follows from its arguments, and says nothing about others'.
double Draw(absl::string_view seed, int64_t index, absl::string_view purpose);

// What the key of `owner` ("<gateway>", "<gateway>/proxy", "<ecu_serial>") follows from.
std::string KeySecret(absl::string_view seed, absl::string_view owner);

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_PLAN_H_
