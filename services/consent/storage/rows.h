#ifndef COUNTERSIGN_SERVICES_CONSENT_STORAGE_ROWS_H_
#define COUNTERSIGN_SERVICES_CONSENT_STORAGE_ROWS_H_

#include <pqxx/pqxx>
#include <string>

#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/consent/domain/policy.h"
#include "services/consent/domain/question.h"

// Rows to values and back. All of it throws pqxx's exceptions, within RunInTransaction or Read.
namespace countersign::consent {

// The columns that PolicyOf and QuestionOf read, for SELECT.
extern const char kPolicyColumns[];
extern const char kQuestionColumns[];

Policy PolicyOf(const pqxx::row& row);
AskedQuestion QuestionOf(const pqxx::row& row);

void InsertPolicy(db::Transaction& tx, const Policy& policy);

// Inserts, or updates what can change.
void SaveQuestions(db::Transaction& tx, absl::Span<const AskedQuestion> questions);

// Appends the latest decision of each.
void AppendDecisions(db::Transaction& tx, absl::Span<const AskedQuestion> questions);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_STORAGE_ROWS_H_
