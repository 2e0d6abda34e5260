#include "tests/load/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace countersign::load {
namespace {

constexpr char kSelf[] = "/proc/self/exe";

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

Child::Child(const std::vector<std::string>& arguments) {
  int to_child[2];
  int from_child[2];
  if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(from_child, O_CLOEXEC) != 0) Fail("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to_child[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from_child[1], STDOUT_FILENO);
  std::vector<char*> argv = {const_cast<char*>(kSelf)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, kSelf, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to_child[0]);
  close(from_child[1]);
  stdin_ = to_child[1];
  if (error != 0) Fail("posix_spawn");
  FILE* const told = fdopen(from_child[0], "r");
  if (std::fscanf(told, "%d", &port_) != 1) Fail("a bare server did not start");
  std::fclose(told);
}

Child::~Child() {
  close(stdin_);
  waitpid(pid_, nullptr, 0);
}

std::string Child::address() const { return absl::StrCat("127.0.0.1:", port_); }

void ServeUntilOrphaned(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
}

}  // namespace countersign::load
