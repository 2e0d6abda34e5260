#include "tools/gateway/inbox.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::gateway {
namespace {

using nlohmann::json;
using Kind = InboxRequest::Kind;

constexpr char kRequest[] = ".request";
constexpr char kAnswer[] = ".answer";
constexpr size_t kMaxTaken = 16;
constexpr std::chrono::hours kAnswerKept(1);
constexpr int64_t kMaxBytes = 64 << 10;
constexpr absl::Duration kPoll = absl::Milliseconds(50);

std::string Write(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json ReadJson(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxBytes);
  return text.ok() ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Whether an agent holds the folder.
bool AgentRuns(const std::string& dir) {
  const int lock = open(absl::StrCat(dir, "/agent.lock").c_str(), O_RDWR | O_CLOEXEC);
  if (lock < 0) return false;
  const bool held = flock(lock, LOCK_EX | LOCK_NB) != 0;
  close(lock);
  return held;
}

}  // namespace

std::vector<InboxRequest> Inbox::Take() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    // Who asked has gone away without the answer.
    if (absl::EndsWith(name, kAnswer) &&
        std::filesystem::file_time_type::clock::now() - entry.last_write_time(error) > kAnswerKept) {
      RemoveFile(entry.path().string()).IgnoreError();
    }
    if (absl::EndsWith(name, kRequest)) names.push_back(name.substr(0, name.size() - sizeof(kRequest) + 1));
  }
  // Ids begin with the time.
  std::sort(names.begin(), names.end());
  if (names.size() > kMaxTaken) names.resize(kMaxTaken);
  std::vector<InboxRequest> requests;
  for (const std::string& id : names) {
    const std::string path = absl::StrCat(folder_, "/", id, kRequest);
    const json read = ReadJson(path);
    // A request that would be taken again after a power cut in the middle of it would be done twice.
    if (const absl::Status removed = RemoveFile(path); !removed.ok()) {
      log::Error("a request cannot be taken", {{"error", removed}});
      continue;
    }
    InboxRequest request{.id = id};
    const std::string kind = read.is_object() ? Text(read, "kind") : "";
    if (kind == "check") {
      request.kind = Kind::kCheck;
    } else if (kind == "install_package") {
      request.kind = Kind::kInstallPackage;
      request.argument = Text(read, "argument");
    } else if (kind == "confirm") {
      request.kind = Kind::kConfirm;
      request.answer = {.ecu_serial = Text(read, "ecu_serial"),
                        .sha256 = Text(read, "sha256"),
                        .confirm = read.value("confirm", json(false)) == json(true),
                        .principal_id = Text(read, "principal_id")};
    } else {
      Answer(id, "the agent does not understand the request", false);
      continue;
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

void Inbox::Answer(const std::string& id, absl::string_view text, bool ok) const {
  const absl::Status status = WriteFileAtomically(absl::StrCat(folder_, "/", id, kAnswer),
                                                  Write({{"ok", ok}, {"text", std::string(text)}}));
  if (!status.ok()) log::Warn("a request is not answered", {{"error", status}});
}

absl::StatusOr<std::string> AskAgent(const std::string& dir, InboxRequest request, absl::Duration timeout) {
  if (!AgentRuns(dir)) {
    return Error(absl::StatusCode::kUnavailable, "AGENT_NOT_RUNNING",
                 absl::StrCat("no agent runs in ", dir, ": start `run`, which also works without network"));
  }
  const std::string folder = absl::StrCat(dir, "/inbox");
  RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string id = absl::StrCat(absl::ToUnixMicros(absl::Now()), "-", crypto::RandomHex(4));
  json object;
  switch (request.kind) {
    case Kind::kCheck:
      object = {{"kind", "check"}};
      break;
    case Kind::kInstallPackage:
      object = {{"kind", "install_package"}, {"argument", request.argument}};
      break;
    case Kind::kConfirm:
      object = {{"kind", "confirm"},
                {"ecu_serial", request.answer.ecu_serial},
                {"sha256", request.answer.sha256},
                {"confirm", request.answer.confirm},
                {"principal_id", request.answer.principal_id}};
      break;
  }
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", id, kRequest), Write(object)));
  const std::string answer = absl::StrCat(folder, "/", id, kAnswer);
  const absl::Time deadline = absl::Now() + timeout;
  while (absl::Now() < deadline) {
    std::error_code error;
    if (!std::filesystem::exists(answer, error)) {
      absl::SleepFor(kPoll);
      continue;
    }
    const json read = ReadJson(answer);
    RETURN_IF_ERROR(RemoveFile(answer));
    if (!read.is_object()) return absl::InternalError("the agent's answer cannot be read");
    const std::string text = Text(read, "text");
    if (read.value("ok", json(false)) == json(true)) return text;
    return Error(absl::StatusCode::kFailedPrecondition, "AGENT_REFUSED", text);
  }
  return Error(absl::StatusCode::kDeadlineExceeded, "AGENT_BUSY",
               "the agent is busy, and does it when it has time");
}

std::string CheckText(const CheckOutcome& outcome) {
  if (!outcome.status.ok()) {
    return absl::StrCat("It cannot be said whether there is anything new: ", outcome.status.message());
  }
  if (outcome.nothing_new()) return "Nothing new: everything here runs what is meant for it.";
  std::string text;
  if (outcome.updates > 0) absl::StrAppend(&text, outcome.updates, " to be installed. ");
  if (outcome.prompts) absl::StrAppend(&text, "You have questions to answer: see `prompts`. ");
  if (outcome.confirmations > 0) {
    absl::StrAppend(&text, outcome.confirmations, " wait for your confirmation: see `confirmations`. ");
  }
  text.pop_back();
  return text;
}

}  // namespace countersign::gateway
