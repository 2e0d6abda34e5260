// countersign: the command line of operators, manufacturers and the Management Authority.
#include <CLI/CLI.hpp>

#include "tools/ctl/commands.h"
#include "tools/ctl/session.h"

int main(int argc, char** argv) {
  using namespace countersign::ctl;
  CLI::App app(
      "Firmware updates that the manufacturer signed, the Management Authority countersigned, the user "
      "consented to, "
      "and somebody with the right to do so launched.",
      "countersign");
  Session session;
  session.AddFlags(app);
  AddOfflineCommands(app, session);
  AddFleetCommands(app, session);
  AddLiaisonCommands(app, session);
  AddPackageCommands(app, session);
  AddRolloutCommands(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return Finish("countersign", session.status());
}
