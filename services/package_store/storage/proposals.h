#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PROPOSALS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PROPOSALS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "common/trust/envelope.h"
#include "services/package_store/domain/values.h"
#include "services/package_store/storage/repository_sql.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {

// Proposals, from the manufacturer's signature to the publication. Each change is one transaction; errors as
// the API names them. Thread-safe.
class Proposals {
 public:
  // `database`, the signing keys and `log` outlive it.
  Proposals(db::Database& database, const OnlineSigning& signing, TransparencyLog& log,
            EncodePackage encode_package)
      : database_(database), signing_(signing), log_(log), encode_package_(std::move(encode_package)) {}

  // Reviews `metadata` and lets it wait for the authority; one that waits already is superseded.
  absl::StatusOr<Proposal> Create(const std::string& manufacturer, const std::string& metadata,
                                  const Requester& requester, absl::Time now);

  // NOT_FOUND (PROPOSAL_NOT_FOUND).
  absl::StatusOr<Proposal> Get(const std::string& manufacturer, const std::string& id);

  // The next `limit` proposals after number `after` (0: from the first), oldest first, of one manufacturer or
  // all, in one state or any. `numbers` gets the number of each.
  struct Filter {
    std::optional<std::string> manufacturer;
    std::optional<ProposalState> state;
  };
  absl::StatusOr<std::vector<Proposal>> List(const Filter& filter, int64_t after, int limit,
                                             std::vector<int64_t>* numbers);

  // Publishes: everything is reviewed again against what is in force now, and the role's file, a snapshot, a
  // timestamp, the packages, their events and their entries in the transparency log are written together, or
  // nothing is (SC-MA, PLUS-1, PLUS-3).
  absl::StatusOr<Proposal> Approve(const std::string& manufacturer, const std::string& id,
                                   const std::vector<trust::Signature>& signatures,
                                   const std::vector<std::string>& statements, const Requester& requester,
                                   absl::Time now);

  absl::StatusOr<Proposal> Refuse(const std::string& manufacturer, const std::string& id,
                                  const std::string& reason, const Requester& requester, absl::Time now);

  // How many there are in each state.
  absl::StatusOr<std::map<ProposalState, int64_t>> CountByState();

 private:
  db::Database& database_;
  const OnlineSigning signing_;
  TransparencyLog& log_;
  const EncodePackage encode_package_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PROPOSALS_H_
