// The groups of commands of `countersign`. Each function adds its groups to the command line.
#ifndef COUNTERSIGN_TOOLS_CTL_COMMANDS_H_
#define COUNTERSIGN_TOOLS_CTL_COMMANDS_H_

namespace CLI {
class App;
}

namespace countersign::ctl {

class Session;

// key, metadata, and the two below: on files, without any service.
void AddOfflineCommands(CLI::App& app, Session& session);
// root, targets.
void AddCeremonyCommands(CLI::App& app, Session& session);
// Of `metadata`: sign, merge, show, verify.
void AddSigningVerbs(CLI::App& metadata, Session& session);
// gateway, device, component.
void AddFleetCommands(CLI::App& app, Session& session);
// app-id.
void AddAppIdCommands(CLI::App& app, Session& session);
// component, tag, and more of device and gateway; after AddFleetCommands().
void AddOrderCommands(CLI::App& app, Session& session);
// inventory.
void AddInventoryCommands(CLI::App& app, Session& session);
// manufacturer, release, notice.
void AddLiaisonCommands(CLI::App& app, Session& session);
// delta.
void AddDeltaCommands(CLI::App& app, Session& session);
// image, package, repository.
void AddPackageCommands(CLI::App& app, Session& session);
// proposal.
void AddProposalCommands(CLI::App& app, Session& session);
// repository export; after AddPackageCommands().
void AddExportCommand(CLI::App& app, Session& session);
// bundle.
void AddBundleCommands(CLI::App& app, Session& session);
// log.
void AddLogCommands(CLI::App& app, Session& session);
// rollout, consent.
void AddRolloutCommands(CLI::App& app, Session& session);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_COMMANDS_H_
