// countersign: the command line of operators, manufacturers and the Management Authority.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/log/log.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/session.h"

namespace {

// What was wrong with the command line. CLI11 says only that a command is needed, whether none was given or
// an unknown one.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = app.get_name();
  const CLI::App* group = &app;
  while (!group->get_subcommands().empty()) {
    group = group->get_subcommands().front();
    absl::StrAppend(&command, " ", group->get_name());
  }
  const auto commands = group->get_subcommands([](const CLI::App*) { return true; });
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr || commands.empty()) {
    return absl::StrCat(command, ": ", error.what(), "\nTry: ", command, " --help");
  }
  const std::string names = absl::StrJoin(
      commands, ", ", [](std::string* out, const CLI::App* verb) { absl::StrAppend(out, verb->get_name()); });
  const std::vector<std::string> unknown = app.remaining(true);
  return absl::StrCat(
      command, ": ",
      unknown.empty() ? "which command?" : absl::StrCat("no command \"", unknown.front(), "\"."),
      " There are: ", names, "\nTry: ", command, " --help");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace countersign::ctl;
  // People get one line that says what is wrong; what gRPC makes of it on the way is for who asks for it.
  if (std::getenv("COUNTERSIGN_LOG_LEVEL") == nullptr)
    countersign::log::SetLevel(countersign::log::Level::kError);
  CLI::App app(
      "Firmware updates that the manufacturer signed, the Management Authority countersigned, the user "
      "consented to, "
      "and somebody with the right to do so launched.",
      "countersign");
  Session session;
  session.AddFlags(app);
  AddOfflineCommands(app, session);
  AddFleetCommands(app, session);
  AddAppIdCommands(app, session);
  AddOrderCommands(app, session);
  AddInventoryCommands(app, session);
  AddLiaisonCommands(app, session);
  AddPackageCommands(app, session);
  AddProposalCommands(app, session);
  AddExportCommand(app, session);
  AddLogCommands(app, session);
  AddDeltaCommands(app, session);
  AddRolloutCommands(app, session);
  AddBundleCommands(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::cerr << WhatIsWrong(app, error) << "\n";
    return 2;
  }
  return Finish("countersign", session.status());
}
