// What every command of `countersign` and of the reference gateway shares: how to reach the services and as
// whom, and how to print.
#ifndef COUNTERSIGN_TOOLS_CTL_SESSION_H_
#define COUNTERSIGN_TOOLS_CTL_SESSION_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/tls.h"

namespace CLI {
class App;
}

namespace google::protobuf {
class Message;
}

namespace grpc {
class Channel;
}

namespace countersign::rpc {
class Dialer;
}

namespace countersign::ctl {

// A column of a table: its header, and the path of the field that it shows, e.g. {"ENDED",
// "counts.succeeded"}.
struct Column {
  std::string header;
  std::string field;
};

// The state of one invocation. Commands keep a reference to it; it outlives them.
class Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Adds the flags that every command has: certificates, addresses, --json.
  void AddFlags(CLI::App& app);

  // Adds a verb below `group`. `run` is called when the command line names it; the first verb that ran
  // decides the exit status. What `run` captures must live until the command line is parsed.
  CLI::App* AddVerb(CLI::App& group, const std::string& name, const std::string& help,
                    std::function<absl::Status()> run);

  // What the verb returned.
  const absl::Status& status() const { return status_; }

  // A channel to a service of the suite, by the id in its certificate. FAILED_PRECONDITION that names the
  // flag when an address or a certificate is missing.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Dial(absl::string_view service);

  // How long a call may take.
  absl::Duration timeout() const { return absl::Seconds(timeout_seconds_); }

  bool json() const { return json_; }

  // Prints a resource: "field: value" lines, or JSON with --json.
  void Print(const google::protobuf::Message& message) const;
  // Prints resources as a table, or as a JSON array with --json.
  void PrintTable(const std::vector<const google::protobuf::Message*>& rows,
                  const std::vector<Column>& columns) const;
  // Prints a sentence for people; nothing with --json.
  void Say(absl::string_view sentence) const;

 private:
  rpc::TlsOptions tls_;
  std::map<std::string, std::string, std::less<>> addresses_;  // by service id
  int timeout_seconds_ = 60;
  bool json_ = false;
  std::unique_ptr<rpc::Dialer> dialer_;
  absl::Status status_;
};

// `id` as a resource name: itself when it has a slash, otherwise "<collection>/<id>".
std::string ResourceName(absl::string_view collection, absl::string_view id);

// Reads a JSON file into a message. INVALID_ARGUMENT that names the file and what is wrong in it.
absl::Status ReadJson(const std::string& path, google::protobuf::Message* message);

// The exit status that scripts see for `status`; the help text lists them.
int ExitStatus(const absl::Status& status);
// How `program` ends: says on stderr what went wrong, with its code and reason, if anything did. The exit
// status.
int Finish(absl::string_view program, const absl::Status& status);
extern const char kExitStatusHelp[];

// Shows how far a transfer is, on stderr: a bar that moves on a terminal, silence elsewhere.
class Progress {
 public:
  // `total` in bytes.
  Progress(std::string label, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void Show(int64_t done);

 private:
  const std::string label_;
  const int64_t total_;
  const bool terminal_;
  int shown_percent_ = -1;
};

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_SESSION_H_
