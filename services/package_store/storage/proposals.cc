#include "services/package_store/storage/proposals.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/verify.h"
#include "services/package_store/domain/names.h"
#include "services/package_store/domain/proposal_rules.h"
#include "services/package_store/domain/proposal_state.h"
#include "services/package_store/storage/package_rows.h"

namespace countersign::package_store {
namespace {

// Two proposals of one manufacturer at once: the second supersedes the first.
constexpr char kLockManufacturer[] =
    "SELECT pg_advisory_xact_lock(hashtextextended('package_store.proposals.' || $1, 0))";

constexpr char kInsertProposal[] = R"(
  INSERT INTO proposals (proposal, manufacturer, role_version, state, metadata, proposed_by, created_at)
  VALUES ($1, $2, $3, 'AWAITING_APPROVAL', $4, $5, $6) RETURNING id)";
constexpr char kInsertTarget[] = R"(
  INSERT INTO proposal_targets (proposal_id, target_path, length_bytes, sha256, hardware_ids, version, release_counter)
  VALUES ($1, $2, $3, $4, $5::text[], $6, $7))";
constexpr char kSupersede[] = R"(
  UPDATE proposals SET state = 'SUPERSEDED' WHERE manufacturer = $1 AND state = 'AWAITING_APPROVAL' RETURNING proposal)";

constexpr char kColumns[] =
    "SELECT id, proposal, manufacturer, role_version, state, metadata, proposed_by, created_at, decided_by, "
    "decided_at, "
    "refusal_reason FROM proposals ";
constexpr char kById[] = "WHERE manufacturer = $1 AND proposal = $2";
constexpr char kByIdForUpdate[] = "WHERE manufacturer = $1 AND proposal = $2 FOR UPDATE";
constexpr char kByFilter[] = R"(
  WHERE id > $1 AND ($2::text IS NULL OR manufacturer = $2) AND ($3::text IS NULL OR state = $3)
  ORDER BY id LIMIT $4)";
constexpr char kTargetsOf[] = R"(
  SELECT target_path, length_bytes, encode(sha256, 'hex'), hardware_ids, version, release_counter
  FROM proposal_targets WHERE proposal_id = $1 ORDER BY target_path)";

constexpr char kDecide[] = R"(
  UPDATE proposals SET state = $2, decided_by = $3, decided_at = $4, refusal_reason = $5, metadata = $6 WHERE id = $1)";
constexpr char kCountByState[] = "SELECT state, count(*) FROM proposals GROUP BY state";

constexpr char kRevokedOf[] = R"(
  SELECT target_path FROM ended_packages WHERE state = 'REVOKED' AND target_path = ANY ($1::text[]))";
constexpr char kCountersOf[] = "SELECT component, highest FROM release_counters WHERE manufacturer = $1";

constexpr char kRaiseCounter[] = R"(
  INSERT INTO release_counters (manufacturer, component, highest) VALUES ($1, $2, $3)
  ON CONFLICT (manufacturer, component) DO UPDATE SET highest = greatest(release_counters.highest, excluded.highest))";
std::string FromHex(const std::string& hex) { return crypto::HexDecode(hex).value_or(std::string()); }

struct Row {
  int64_t number;
  Proposal proposal;
};

absl::StatusOr<Row> ReadRow(db::Session& session, const pqxx::row& row) {
  Row result;
  Proposal& proposal = result.proposal;
  result.number = row[0].as<int64_t>();
  proposal.id = db::TextOf(row[1]);
  proposal.manufacturer = db::TextOf(row[2]);
  proposal.role_version = row[3].as<int64_t>();
  ASSIGN_OR_RETURN(proposal.state, ParseProposalState(db::TextOf(row[4])));
  proposal.metadata = db::BytesOf(row[5]);
  proposal.proposed_by = db::TextOf(row[6]);
  proposal.created_at = db::TimeOf(row[7]);
  proposal.decided_by = db::NullableOf<std::string>(row[8]).value_or("");
  proposal.decided_at = db::NullableTimeOf(row[9]);
  proposal.refusal_reason = db::NullableOf<std::string>(row[10]).value_or("");
  for (const pqxx::row& target : session.exec_params(kTargetsOf, result.number)) {
    proposal.changed_targets.push_back({db::TextOf(target[0]), target[1].as<int64_t>(), db::TextOf(target[2]),
                                        db::TextArrayOf(target[3]), db::TextOf(target[4]),
                                        target[5].as<int64_t>()});
  }
  return result;
}

absl::StatusOr<Row> LoadProposal(db::Session& session, const std::string& manufacturer, const std::string& id,
                                 const char* where) {
  const pqxx::result rows = session.exec_params(absl::StrCat(kColumns, where), manufacturer, id);
  if (rows.empty()) {
    return Error(absl::StatusCode::kNotFound, "PROPOSAL_NOT_FOUND",
                 absl::StrCat("There is no proposal ", FormatProposalName(manufacturer, id), "."));
  }
  return ReadRow(session, rows[0]);
}

// What a proposal is compared with. Keeps what RepositoryState points to.
struct LoadedState {
  trust::Delegations delegations;
  trust::Parties parties;
  std::optional<trust::Targets> in_force;
  RepositoryState state;
};

std::vector<std::string> PathsOf(const trust::Targets& targets) {
  std::vector<std::string> paths;
  for (const auto& [path, target] : targets.targets) paths.push_back(path);
  return paths;
}

// What happened to `proposal`, for each target that it changes.
std::vector<PackageEvent> EventsOf(PackageEventKind kind, const Proposal& proposal,
                                   const std::string& identity, const std::vector<std::string>& key_ids,
                                   const std::string& reason, absl::Time now) {
  const PackageEvent common{.kind = kind,
                            .time = now,
                            .manufacturer = proposal.manufacturer,
                            .role_version = proposal.role_version,
                            .proposal = proposal.id,
                            .identity = identity,
                            .key_ids = key_ids,
                            .reason = reason};
  std::vector<PackageEvent> events;
  for (const ProposedTarget& target : proposal.changed_targets) {
    events.push_back(common);
    events.back().target_path = target.target_path;
    events.back().sha256 = target.sha256;
  }
  if (events.empty()) events.push_back(common);
  return events;
}

absl::Status LoadState(db::Session& session, const std::string& manufacturer, const trust::Targets& proposed,
                       LoadedState& loaded) {
  ASSIGN_OR_RETURN(const std::optional<trust::Targets> top, LoadTopTargets(session));
  if (top) loaded.delegations = top->delegations.value_or(trust::Delegations());
  if (top) loaded.parties = top->parties;
  loaded.state.delegations = &loaded.delegations;
  loaded.state.parties = &loaded.parties;
  const trust::Delegation* role = loaded.delegations.Find(manufacturer);
  if (const std::optional<RoleFile> file = LoadRole(session, manufacturer)) {
    loaded.state.current_version = file->version;
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(file->content));
    if (role != nullptr && trust::VerifyThreshold(envelope, loaded.delegations.keys, role->keys).ok()) {
      ASSIGN_OR_RETURN(loaded.in_force, trust::Targets::Parse(envelope));
      loaded.state.in_force = &*loaded.in_force;
    }
  }
  loaded.state.images = LoadImages(session, manufacturer, proposed);
  for (const pqxx::row& row : session.exec_params(kCountersOf, manufacturer)) {
    loaded.state.release_counters[db::TextOf(row[0])] = row[1].as<int64_t>();
  }
  for (const pqxx::row& row : session.exec_params(kRevokedOf, db::TextArray(PathsOf(proposed)))) {
    loaded.state.revoked.insert(db::TextOf(row[0]));
  }
  return absl::OkStatus();
}

absl::Status Decide(db::Transaction& tx, Row& row, ProposalEvent event, const Requester& requester,
                    absl::Time now) {
  Proposal& proposal = row.proposal;
  ASSIGN_OR_RETURN(proposal.state, After(proposal.state, event));
  std::optional<std::string> reason;
  if (!proposal.refusal_reason.empty()) reason = proposal.refusal_reason;
  tx.exec_params(kDecide, row.number, std::string(ProposalStateName(proposal.state)), requester.identity,
                 db::Timestamp(now), reason, db::Bytes(proposal.metadata));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Proposal> Proposals::Create(const std::string& manufacturer, const std::string& metadata,
                                           const Requester& requester, absl::Time now) {
  ASSIGN_OR_RETURN(const ParsedProposal parsed, ParseProposal(metadata));
  return database_.RunInTransaction("CreateProposal", [&](db::Transaction& tx) -> absl::StatusOr<Proposal> {
    const auto create = [&]() -> absl::StatusOr<std::string> {
      LockRepository(tx, RepositoryLock::kShared);
      tx.exec_params(kLockManufacturer, manufacturer);
      LoadedState loaded;
      RETURN_IF_ERROR(LoadState(tx, manufacturer, parsed.targets, loaded));
      ASSIGN_OR_RETURN(const ReviewedProposal review,
                       ReviewProposal(parsed, manufacturer, loaded.state, now));
      const std::string id = crypto::RandomHex(16);
      for (const pqxx::row& row : tx.exec_params(kSupersede, manufacturer)) {
        ASSIGN_OR_RETURN(const Row old, LoadProposal(tx, manufacturer, db::TextOf(row[0]), kById));
        RecordEvents(tx, EventsOf(PackageEventKind::kSuperseded, old.proposal, requester.identity, {},
                                  absl::StrCat("Proposal ", id, " took its place."), now));
      }
      const int64_t number = tx.exec_params1(kInsertProposal, id, manufacturer, parsed.targets.version,
                                             db::Bytes(metadata), requester.identity, db::Timestamp(now))[0]
                                 .as<int64_t>();
      for (const ProposedTarget& target : review.changed_targets) {
        tx.exec_params(kInsertTarget, number, target.target_path, target.length_bytes,
                       db::Bytes(FromHex(target.sha256)), db::TextArray(target.hardware_ids), target.version,
                       target.release_counter);
      }
      ASSIGN_OR_RETURN(const Row created, LoadProposal(tx, manufacturer, id, kById));
      RecordEvents(tx, EventsOf(PackageEventKind::kProposed, created.proposal, requester.identity,
                                {review.manufacturer_key_id}, "", now));
      return id;
    };
    ASSIGN_OR_RETURN(const std::string id,
                     db::Idempotently(tx, requester.identity, "CreateProposal", requester.request_id,
                                      requester.request_bytes, create));
    ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, id, kById));
    return std::move(row.proposal);
  });
}

absl::StatusOr<Proposal> Proposals::Get(const std::string& manufacturer, const std::string& id) {
  return database_.RunInTransaction("GetProposal", db::Isolation::kSnapshot,
                                    [&](db::Transaction& tx) -> absl::StatusOr<Proposal> {
                                      ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, id, kById));
                                      return std::move(row.proposal);
                                    });
}

absl::StatusOr<std::vector<Proposal>> Proposals::List(const Filter& filter, int64_t after, int limit,
                                                      std::vector<int64_t>* numbers) {
  std::optional<std::string> state;
  if (filter.state) state = std::string(ProposalStateName(*filter.state));
  return database_.RunInTransaction(
      "ListProposals", db::Isolation::kSnapshot,
      [&](db::Transaction& tx) -> absl::StatusOr<std::vector<Proposal>> {
        std::vector<Proposal> proposals;
        numbers->clear();
        for (const pqxx::row& row :
             tx.exec_params(absl::StrCat(kColumns, kByFilter), after, filter.manufacturer, state, limit)) {
          ASSIGN_OR_RETURN(Row read, ReadRow(tx, row));
          numbers->push_back(read.number);
          proposals.push_back(std::move(read.proposal));
        }
        return proposals;
      });
}

absl::StatusOr<Proposal> Proposals::Approve(const std::string& manufacturer, const std::string& id,
                                            const std::vector<trust::Signature>& signatures,
                                            const std::vector<std::string>& statements,
                                            const Requester& requester, absl::Time now) {
  absl::StatusOr<Proposal> approved =
      database_.RunInTransaction("ApproveProposal", [&](db::Transaction& tx) -> absl::StatusOr<Proposal> {
        const auto approve = [&]() -> absl::StatusOr<std::string> {
          LockRepository(tx, RepositoryLock::kExclusive);
          ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, id, kByIdForUpdate));
          Proposal& proposal = row.proposal;
          RETURN_IF_ERROR(After(proposal.state, ProposalEvent::kApprove).status());
          ASSIGN_OR_RETURN(const ParsedProposal parsed, ParseProposal(proposal.metadata));
          LoadedState loaded;
          RETURN_IF_ERROR(LoadState(tx, manufacturer, parsed.targets, loaded));
          ASSIGN_OR_RETURN(const ReviewedProposal review,
                           ReviewProposal(parsed, manufacturer, loaded.state, now));
          ASSIGN_OR_RETURN(const Approval approval,
                           MakeApproval(parsed, review, loaded.state, signatures, statements, now));
          ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));

          proposal.metadata = approval.metadata;
          RETURN_IF_ERROR(Decide(tx, row, ProposalEvent::kApprove, requester, now));
          StoreRole(tx, manufacturer, proposal.role_version, approval.metadata, parsed.targets.expires, now);
          RETURN_IF_ERROR(StoreSnapshot(tx, root, signing_, now));

          const tlog::LogEntry entry =
              FileEntry(tlog::kRolePublished, manufacturer, proposal.role_version, approval.metadata,
                        {review.manufacturer_key_id, review.authority_key_id});
          AppendLogEntry(tx, entry, now);
          RETURN_IF_ERROR(
              EndPackagesExcept(tx, manufacturer, PathsOf(parsed.targets),
                                {.identity = requester.identity,
                                 .cause = entry,
                                 .reason = absl::StrCat("Version ", proposal.role_version, " of role ",
                                                        manufacturer, " lists it no longer."),
                                 .time = now},
                                encode_package_)
                  .status());
          std::map<std::string, int64_t> log_indices;
          for (const ProposedTarget& target : review.changed_targets) {
            tlog::LogEntry of_package = entry;
            of_package.kind = tlog::kPackageApproved;
            of_package.target_path = target.target_path;
            of_package.image_sha256 = target.sha256;
            const int64_t log_index = AppendLogEntry(tx, of_package, now);
            log_indices[target.target_path] = log_index;
            StorePackage(tx,
                         {manufacturer,
                          target,
                          proposal.role_version,
                          {review.manufacturer_key_id},
                          {review.authority_key_id},
                          requester.identity,
                          now,
                          approval.statements.at(target.target_path),
                          log_index},
                         encode_package_);
            ASSIGN_OR_RETURN(const TargetPath path, ParseTargetPath(target.target_path));
            tx.exec_params(kRaiseCounter, manufacturer, path.component, target.release_counter);
          }
          proposal.changed_targets = review.changed_targets;
          std::vector<PackageEvent> events =
              EventsOf(PackageEventKind::kApproved, proposal, requester.identity, entry.key_ids, "", now);
          for (PackageEvent& event : events) {
            const auto logged = log_indices.find(event.target_path);
            if (logged != log_indices.end()) event.log_index = logged->second;
          }
          RecordEvents(tx, events);
          RETURN_IF_ERROR(log_.SignHead(tx, root, now));
          return id;
        };
        ASSIGN_OR_RETURN(const std::string done,
                         db::Idempotently(tx, requester.identity, "ApproveProposal", requester.request_id,
                                          requester.request_bytes, approve));
        ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, done, kById));
        return std::move(row.proposal);
      });
  if (approved.ok()) log_.KeepHead();
  return approved;
}

absl::StatusOr<Proposal> Proposals::Refuse(const std::string& manufacturer, const std::string& id,
                                           const std::string& reason, const Requester& requester,
                                           absl::Time now) {
  return database_.RunInTransaction("RefuseProposal", [&](db::Transaction& tx) -> absl::StatusOr<Proposal> {
    const auto refuse = [&]() -> absl::StatusOr<std::string> {
      ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, id, kByIdForUpdate));
      row.proposal.refusal_reason = reason;
      RETURN_IF_ERROR(Decide(tx, row, ProposalEvent::kRefuse, requester, now));
      RecordEvents(tx,
                   EventsOf(PackageEventKind::kRefused, row.proposal, requester.identity, {}, reason, now));
      return id;
    };
    ASSIGN_OR_RETURN(const std::string done,
                     db::Idempotently(tx, requester.identity, "RefuseProposal", requester.request_id,
                                      requester.request_bytes, refuse));
    ASSIGN_OR_RETURN(Row row, LoadProposal(tx, manufacturer, done, kById));
    return std::move(row.proposal);
  });
}

absl::StatusOr<std::map<ProposalState, int64_t>> Proposals::CountByState() {
  return database_.Read(
      "CountByState", [&](db::Reader& reader) -> absl::StatusOr<std::map<ProposalState, int64_t>> {
        std::map<ProposalState, int64_t> counts;
        for (const pqxx::row& row : reader.exec(kCountByState)) {
          ASSIGN_OR_RETURN(const ProposalState state, ParseProposalState(db::TextOf(row[0])));
          counts[state] = row[1].as<int64_t>();
        }
        return counts;
      });
}

}  // namespace countersign::package_store
