#include "common/db/testing/test_cluster.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::db {
namespace {

constexpr char kBinaries[] = "/usr/lib/postgresql/15/bin";

// Runs until its standard input ends, which is when the test ends, however; then ends the server and removes
// the folder
// ($1). SIGQUIT is PostgreSQL's immediate shutdown.
constexpr char kGuardian[] = R"sh(
trap '' INT TERM HUP
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2> /dev/null
  for _ in $(seq 200); do kill -0 "$pid" 2> /dev/null || break; sleep 0.02; done
  kill -KILL "$pid" 2> /dev/null
fi
rm -rf "$1"
)sh";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// Who runs the server: whoever we are, but for root, which PostgreSQL refuses. Root becomes user postgres;
// or, where only root exists (Bazel's sandbox maps no other user), goes by another number in a user namespace
// of its own.
struct Account {
  enum { kOurs, kOther, kOurNumberRenamed } kind = kOurs;
  uid_t uid = 0;
  gid_t gid = 0;
};

bool IsMapped(uid_t uid) {
  std::ifstream map("/proc/self/uid_map");
  uint64_t inside, outside, count;
  while (map >> inside >> outside >> count) {
    if (uid >= inside && uid < inside + count) return true;
  }
  return false;
}

Account ServersAccount() {
  if (geteuid() != 0) return {};
  const passwd* entry = getpwnam("postgres");
  if (entry != nullptr && IsMapped(entry->pw_uid)) return {Account::kOther, entry->pw_uid, entry->pw_gid};
  return {Account::kOurNumberRenamed, 0, 0};
}

bool WriteWhole(const char* path, const char* content) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t length = static_cast<ssize_t>(strlen(content));
  const bool written = write(fd, content, length) == length;
  close(fd);
  return written;
}

// Between fork and exec.
bool Become(const Account& account) {
  switch (account.kind) {
    case Account::kOurs:
      return true;
    case Account::kOther:
      return setgroups(0, nullptr) == 0 && setgid(account.gid) == 0 && setuid(account.uid) == 0;
    case Account::kOurNumberRenamed:
      return unshare(CLONE_NEWUSER) == 0 && WriteWhole("/proc/self/setgroups", "deny") &&
             WriteWhole("/proc/self/uid_map", "1000 0 1") && WriteWhole("/proc/self/gid_map", "1000 0 1");
  }
  return false;
}

// Waits for the end of a process that is not our child.
void AwaitEnd(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return;  // it has ended
  pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
  poll(&poll_fd, 1, 10'000);
  close(fd);
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  DIR* proc = opendir("/proc");
  while (const dirent* entry = readdir(proc)) {
    int pid;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
    // "pid (name) state ppid ...", where a name may contain anything.
    const std::size_t after_name = stat.rfind(')');
    if (after_name == std::string::npos) continue;
    const std::vector<std::string> fields = absl::StrSplit(stat.substr(after_name + 2), ' ');
    int parent_pid;
    if (fields.size() > 1 && absl::SimpleAtoi(fields[1], &parent_pid) && parent_pid == parent) {
      children.push_back(pid);
    }
  }
  closedir(proc);
  return children;
}

}  // namespace

class TestCluster::Process {
 public:
  explicit Process(const Options& options) : account_(ServersAccount()) {
    char folder[] = "/tmp/countersign-pg-XXXXXX";
    if (mkdtemp(folder) == nullptr) Fail("cannot make a folder in /tmp");
    folder_ = folder;
    StartGuardian();
    if (account_.kind == Account::kOther && chown(folder, account_.uid, account_.gid) != 0) {
      Fail("cannot give the folder to user postgres");
    }
    Run({"initdb", "--pgdata", data(), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
         "--no-sync"});
    std::ofstream config(absl::StrCat(data(), "/postgresql.conf"), std::ios::app);
    config << "listen_addresses = ''\n"
           << "unix_socket_directories = '" << folder_ << "'\n"
           << "fsync = " << (options.fsync ? "on" : "off") << "\n"
           << "max_connections = " << options.max_connections
           << "\n"
           // In the folder instead of /dev/shm, so that a killed server leaves nothing behind.
           << "dynamic_shared_memory_type = mmap\n"
           << "shared_buffers = " << options.shared_buffers_mib << "MB\n"
           << "timezone = 'Pacific/Chatham'\n";  // what is right by luck in UTC is wrong here
    config.close();
    if (!config) Fail("cannot write postgresql.conf");
    Start();
  }

  ~Process() {
    close(guardian_pipe_);
    waitpid(guardian_, nullptr, 0);
  }

  void Start() { Run({"pg_ctl", "start", "--wait", "--pgdata", data(), "--log", log_path()}); }

  void Stop() { Run({"pg_ctl", "stop", "--wait", "--pgdata", data(), "--mode=fast"}); }

  void KillHard() {
    const std::string pid_path = absl::StrCat(data(), "/postmaster.pid");
    int pid;
    const std::string content = ReadFile(pid_path);
    if (!absl::SimpleAtoi(content.substr(0, content.find('\n')), &pid)) Fail("the server does not run");
    kill(pid, SIGSTOP);  // so that it forks no more
    std::vector<pid_t> all = ChildrenOf(pid);
    all.push_back(pid);
    for (const pid_t each : all) kill(each, SIGKILL);
    for (const pid_t each : all) AwaitEnd(each);
    // Their numbers may stay taken for a while, by zombies that init has not reaped or by other processes,
    // and would keep the next server from starting.
    unlink(pid_path.c_str());
    unlink(absl::StrCat(folder_, "/.s.PGSQL.5432.lock").c_str());
  }

  std::string CreateDatabase() {
    const std::string name = absl::StrCat("test_", ++databases_);
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(Conninfo("postgres").c_str()),
                                                            &PQfinish);
    std::unique_ptr<PGresult, decltype(&PQclear)> result(
        PQexec(connection.get(), absl::StrCat("CREATE DATABASE ", name).c_str()), &PQclear);
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) Fail(PQerrorMessage(connection.get()));
    return Conninfo(name);
  }

  std::string Log() const { return ReadFile(log_path()); }

 private:
  std::string data() const { return absl::StrCat(folder_, "/data"); }
  std::string log_path() const { return absl::StrCat(folder_, "/log"); }
  std::string Conninfo(const std::string& database) const {
    return absl::StrCat("host=", folder_, " user=postgres dbname=", database);
  }

  [[noreturn]] void Fail(const std::string& what) const {
    fprintf(stderr, "TestCluster: %s\n%s\n%s\n", what.c_str(),
            ReadFile(absl::StrCat(folder_, "/commands")).c_str(), Log().c_str());
    abort();
  }

  void StartGuardian() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) Fail("no pipe");
    guardian_ = fork();
    if (guardian_ == 0) {
      setsid();  // outlives signals that are meant for the test
      dup2(ends[0], STDIN_FILENO);
      execl("/bin/sh", "sh", "-c", kGuardian, "guardian", folder_.c_str(), nullptr);
      _exit(127);
    }
    close(ends[0]);
    if (guardian_ < 0) Fail("cannot fork");
    guardian_pipe_ = ends[1];
  }

  // Runs one of PostgreSQL's commands as the server's user. The test may have threads, so between fork and
  // exec there are system calls only.
  void Run(std::vector<std::string> command) const {
    command[0] = absl::StrCat(kBinaries, "/", command[0]);
    std::vector<char*> arguments;
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    const int output =
        open(absl::StrCat(folder_, "/commands").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const pid_t pid = fork();
    if (pid == 0) {
      if (!Become(account_)) _exit(126);
      setsid();
      if (chdir(folder_.c_str()) != 0) _exit(125);
      const int nothing = open("/dev/null", O_RDONLY);
      dup2(nothing, STDIN_FILENO);
      dup2(output, STDOUT_FILENO);
      dup2(output, STDERR_FILENO);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(output);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      Fail(absl::StrCat(command[0], " failed with status ", WEXITSTATUS(status)));
    }
  }

  const Account account_;
  std::string folder_;
  pid_t guardian_ = -1;
  int guardian_pipe_ = -1;
  std::atomic<int> databases_ = 0;
};

TestCluster& TestCluster::Shared() {
  // Destroyed at exit, so that it is gone when the test's sandbox is.
  static TestCluster cluster;
  return cluster;
}

TestCluster::TestCluster(Options options) : process_(std::make_unique<Process>(options)) {}
TestCluster::~TestCluster() = default;

std::string TestCluster::CreateDatabase() { return process_->CreateDatabase(); }
void TestCluster::Stop() { process_->Stop(); }
void TestCluster::Start() { process_->Start(); }
void TestCluster::KillHard() { process_->KillHard(); }
std::string TestCluster::Log() const { return process_->Log(); }

}  // namespace countersign::db
