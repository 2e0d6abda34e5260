#ifndef COUNTERSIGN_SERVICES_CONSENT_STORAGE_CONSENT_STORE_H_
#define COUNTERSIGN_SERVICES_CONSENT_STORAGE_CONSENT_STORE_H_

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/consent/domain/policy.h"
#include "services/consent/domain/question.h"
#include "services/consent/domain/recorder.h"
#include "services/consent/storage/changes.h"

namespace countersign::consent {

// Policies, questions and records in PostgreSQL. Thread-safe.
class ConsentStore {
 public:
  struct Options {
    Rules rules;
    // The record as Watch sends it.
    std::function<std::string(const AskedQuestion&)> encode;
    // Called for each decision after it is committed.
    std::function<void(QuestionState)> on_decision;
  };

  // `database` outlives it.
  ConsentStore(db::Database& database, Recorder recorder, Options options);

  // Runs `body`, a callable from `Changes&` to absl::Status or absl::StatusOr<T>, in a transaction that holds
  // the locks of `gateways`, after what the time has brought about for them. May run it again: see
  // RunInTransaction.
  template <typename Body>
  auto Change(absl::string_view name, std::vector<std::string> gateways, absl::Time now, Body&& body)
      -> std::decay_t<std::invoke_result_t<Body&, Changes&>> {
    using Result = std::decay_t<std::invoke_result_t<Body&, Changes&>>;
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return ChangeErased(name, gateways, now, body);
    } else {
      Result result = absl::InternalError("the body did not run");
      absl::Status status = ChangeErased(name, gateways, now, [&](Changes& changes) {
        result = body(changes);
        return result.status();
      });
      if (!status.ok()) return status;
      return result;
    }
  }

  // NOT_FOUND (RECORD_NOT_FOUND).
  absl::StatusOr<AskedQuestion> GetRecord(const std::string& gateway, const std::string& id);

  // Where the page before ended; empty for the first page.
  struct After {
    std::string time;  // TimeKey
    std::string gateway;
    std::string id;
  };

  // A time as After has it.
  static std::string TimeKey(absl::Time time);

  // By gateway and id; of all gateways when there is none.
  absl::StatusOr<std::vector<Policy>> ListPolicies(const std::optional<std::string>& gateway,
                                                   const std::optional<After>& after, int limit);
  // Oldest first.
  absl::StatusOr<std::vector<AskedQuestion>> ListPrompts(const std::optional<std::string>& gateway,
                                                         bool show_closed, const std::optional<After>& after,
                                                         int limit);
  absl::StatusOr<std::vector<AskedQuestion>> ListRecords(const std::optional<std::string>& gateway,
                                                         const std::optional<After>& after, int limit);

  // Gateways, at most `limit`, for which the time has brought something about.
  absl::StatusOr<std::vector<std::string>> DueGateways(absl::Time now, int limit);

 private:
  absl::Status ChangeErased(absl::string_view name, const std::vector<std::string>& gateways, absl::Time now,
                            absl::FunctionRef<absl::Status(Changes&)> body);
  void Report(const std::vector<AskedQuestion>& decided) const;

  db::Database& database_;
  const Recorder recorder_;
  const Options options_;
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_STORAGE_CONSENT_STORE_H_
