#include "tools/gateway/quarantine.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "tools/gateway/link.h"

namespace countersign::gateway {
namespace {

constexpr absl::Duration kHookTime = absl::Seconds(30);
constexpr absl::Duration kHookPoll = absl::Milliseconds(20);

}  // namespace

bool Quarantine::Apply(const std::set<std::string>& ordered, const device::v1::ApplyOrdersRequest& orders,
                       const std::map<std::string, PresentComponent>& present) {
  std::map<std::string, std::map<std::string, const PresentComponent*>> devices;  // by socket
  for (const auto& [serial, component] : present) devices[component.socket.path][serial] = &component;
  std::set<std::string> cut_off = state_.cut_off();
  bool changed = false;
  for (const auto& [path, components] : devices) {
    const Socket& socket = components.begin()->second->socket;
    const bool as_ordered = std::all_of(components.begin(), components.end(), [&](const auto& component) {
      return component.second->quarantined == ordered.contains(component.first);
    });
    if (as_ordered) continue;
    const absl::StatusOr<std::set<std::string>> stopped = DeviceLink(socket).ApplyOrders(orders);
    log::Info("orders given", {{"device", socket.device_id}, {"status", stopped.status()}});
    for (const auto& [serial, component] : components) {
      const bool stop = ordered.contains(serial);
      const bool is_stopped = stopped.ok() ? stopped->contains(serial) : component->quarantined;
      changed = changed || is_stopped != component->quarantined;
      if (is_stopped == stop) continue;
      incidents_.Note("QUARANTINE_NOT_OBEYED", socket.device_id, serial,
                      absl::StrCat("it is ordered to ", stop ? "stop" : "resume",
                                   " and does not: ", stopped.status().message()));
      if (stop && !cut_off.contains(serial) && RunHook("cut", socket.device_id, serial))
        cut_off.insert(serial);
    }
  }
  for (const std::string& serial : state_.cut_off()) {
    if (ordered.contains(serial)) continue;
    const auto known = state_.components().find(serial);
    const std::string device = known == state_.components().end() ? "" : known->second.device_id;
    if (RunHook("restore", device, serial)) cut_off.erase(serial);
  }
  if (const absl::Status saved = state_.SaveCutOff(std::move(cut_off)); !saved.ok()) {
    log::Error("what was cut off is not kept", {{"error", saved}});
  }
  return changed;
}

bool Quarantine::RunHook(const std::string& verb, const std::string& device_id,
                         const std::string& ecu_serial) {
  if (hook_.empty()) return false;
  std::vector<std::string> words = {hook_, verb, device_id, ecu_serial};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = 0;
  int status = -1;
  if (posix_spawn(&process, hook_.c_str(), nullptr, nullptr, arguments.data(), environ) == 0) {
    const absl::Time deadline = absl::Now() + kHookTime;
    while (waitpid(process, &status, WNOHANG) == 0) {
      if (absl::Now() > deadline) {
        kill(process, SIGKILL);
        waitpid(process, &status, 0);
        break;
      }
      absl::SleepFor(kHookPoll);
    }
  }
  const bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  log::Warn("quarantine hook",
            {{"verb", verb}, {"device", device_id}, {"ecu_serial", ecu_serial}, {"done", done}});
  return done;
}

}  // namespace countersign::gateway
