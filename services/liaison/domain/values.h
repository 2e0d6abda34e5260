// What liaison keeps. Numbers of enums are those of countersign.liaison.v1.
#ifndef COUNTERSIGN_SERVICES_LIAISON_DOMAIN_VALUES_H_
#define COUNTERSIGN_SERVICES_LIAISON_DOMAIN_VALUES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/liaison/domain/matching.h"

namespace countersign::liaison::domain {

enum class Channel { kPush = 1, kBackend = 2 };
enum class RefreshState { kNever = 0, kRunning = 1, kSucceeded = 2, kFailed = 3 };
enum class ReleaseState { kRetrieving = 1, kAvailable = 2, kWithdrawn = 3 };
enum class NoticeKind { kBreach = 1, kPatchRequest = 2, kUpdateRequest = 3 };
enum class NoticeState { kPending = 1, kDelivered = 2 };

struct Manufacturer {
  std::string id;
  std::string display_name;
  Channel channel = Channel::kPush;
  std::string backend_address;
  absl::Time create_time;
  RefreshState refresh_state = RefreshState::kNever;
  std::optional<absl::Time> refresh_time;
  std::string refresh_error;
  absl::Time next_refresh;      // when its backend is to be asked
  std::string proposed_sha256;  // of the role metadata that was proposed last, hex
};

struct Release {
  std::string manufacturer;
  Offer offer;
  std::string info;  // countersign.common.v1.ReleaseInfo, serialised
  ReleaseState state = ReleaseState::kRetrieving;
  absl::Time create_time;
};

struct Notice {
  std::string manufacturer;
  std::string id;
  NoticeKind kind = NoticeKind::kBreach;
  std::vector<std::string> models;
  std::string text;
  NoticeState state = NoticeState::kPending;
  absl::Time create_time;
};

}  // namespace countersign::liaison::domain

#endif  // COUNTERSIGN_SERVICES_LIAISON_DOMAIN_VALUES_H_
