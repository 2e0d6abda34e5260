#include "tools/device/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "common/log/log.h"

namespace countersign::device {
namespace {

constexpr absl::Duration kSensorsTimeout = absl::Seconds(5);
constexpr absl::Duration kStopTimeout = absl::Seconds(2);
constexpr absl::Duration kTick = absl::Milliseconds(5);
constexpr size_t kMaxOutput = 64 << 10;

std::vector<char*> Arguments(std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  return arguments;
}

bool Ended(pid_t child, absl::Time deadline, int& status) {
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kTick);
  }
  return true;
}

// Reads until the other end is closed, there is too much of it, or it is `deadline`.
std::string ReadAll(int descriptor, absl::Time deadline) {
  std::string output;
  char buffer[4096];
  while (output.size() < kMaxOutput) {
    pollfd wait = {.fd = descriptor, .events = POLLIN, .revents = 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0 || poll(&wait, 1, static_cast<int>(left)) <= 0) break;
    const ssize_t size = read(descriptor, buffer, sizeof(buffer));
    if (size <= 0) break;
    output.append(buffer, size);
  }
  return output;
}

}  // namespace

ProgramResult RunProgram(std::vector<std::string> command, absl::Duration timeout) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  const std::vector<char*> arguments = Arguments(command);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(pipe_ends[1]);
  ProgramResult result;
  if (error == 0) {
    const absl::Time deadline = absl::Now() + timeout;
    result.output = ReadAll(pipe_ends[0], deadline);
    int status = 0;
    if (Ended(child, deadline, status)) {
      result.well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    } else {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
    }
  }
  close(pipe_ends[0]);
  return result;
}

trust::Readings ReadSensors(const std::string& command) {
  const ProgramResult result = RunProgram({command}, kSensorsTimeout);
  if (result.well) return trust::ReadReadings(result.output);
  log::Warn("the readings cannot be had", {{"program", command}});
  return {};
}

Operation::Operation(std::string command) : command_(std::move(command)), thread_([this] { Work(); }) {}

Operation::~Operation() {
  {
    absl::MutexLock lock(&mutex_);
    ends_ = true;
  }
  thread_.join();
}

void Operation::Start(const std::string& ecu_serial, const std::string& image) { Give({ecu_serial, image}); }

void Operation::Stop(const std::string& ecu_serial) { Give({ecu_serial, ""}); }

void Operation::Give(Order order) {
  if (command_.empty()) return;
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !order_.has_value(); };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&idle));
  order_ = std::move(order);
  mutex_.Await(absl::Condition(&idle));
}

void Operation::Work() {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ends_ || order_.has_value(); };
  for (;;) {
    Order order;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (!order_.has_value()) break;
      order = *order_;
    }
    Obey(order);
    absl::MutexLock lock(&mutex_);
    order_.reset();
  }
  while (!processes_.empty()) Obey({processes_.begin()->first, ""});
}

void Operation::Obey(const Order& order) {
  if (const auto running = processes_.find(order.ecu_serial); running != processes_.end()) {
    int status = 0;
    kill(-running->second, SIGTERM);
    if (!Ended(running->second, absl::Now() + kStopTimeout, status)) {
      kill(-running->second, SIGKILL);
      waitpid(running->second, &status, 0);
    }
    processes_.erase(running);
  }
  if (order.image.empty()) return;
  std::vector<std::string> command = {command_, order.ecu_serial, order.image};
  const std::vector<char*> arguments = Arguments(command);
  const pid_t device = getpid();
  // Closed by an exec that works; otherwise the child says through it what was wrong.
  int trouble[2];
  if (pipe2(trouble, O_CLOEXEC) != 0) return;
  const pid_t child = fork();
  if (child == 0) {
    // Between fork and exec of a process with threads: system calls only.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (getppid() == device) execvp(arguments[0], arguments.data());
    const int error = errno;
    _exit(write(trouble[1], &error, sizeof(error)) == sizeof(error) ? 127 : 126);
  }
  int error = child < 0 ? errno : 0;
  close(trouble[1]);
  if (child > 0) {
    setpgid(child, child);
    if (read(trouble[0], &error, sizeof(error)) <= 0) error = 0;
  }
  close(trouble[0]);
  if (error == 0) {
    processes_[order.ecu_serial] = child;
    return;
  }
  if (child > 0) waitpid(child, nullptr, 0);
  log::Error("the component's work cannot be started",
             {{"ecu_serial", order.ecu_serial}, {"program", command_}, {"error", std::strerror(error)}});
}

}  // namespace countersign::device
