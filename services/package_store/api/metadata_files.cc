#include "services/package_store/api/metadata_files.h"

#include <utility>

#include "common/status/errors.h"
#include "common/trust/metadata.h"
#include "services/package_store/domain/repository_rules.h"

namespace countersign::package_store {
namespace {

constexpr absl::Duration kKeptFor = absl::Minutes(1);
constexpr size_t kMaxKeptBytes = 16 << 20;
constexpr size_t kMaxWaiting = 4096;  // for one file

}  // namespace

void MetadataFiles::Get(const std::string& file_name, Answer answer) {
  Content content;
  bool first = false;  // of those who wait for this file
  {
    absl::MutexLock lock(&mutex_);
    const auto kept = kept_.find(file_name);
    if (kept != kept_.end() && clock_.Now() < kept->second.until) {
      content = kept->second.content;
    } else if (const auto found = waiting_.find(file_name); found == waiting_.end()) {
      waiting_[file_name].push_back(std::move(answer));
      first = true;
    } else if (found->second.size() < kMaxWaiting) {
      found->second.push_back(std::move(answer));
      return;
    }
  }
  if (content != nullptr) return answer(std::move(content));
  if (!first) {
    return answer(Error(absl::StatusCode::kResourceExhausted, "SERVER_BUSY",
                        "too many ask for this file just now; try again in a moment"));
  }
  const absl::Status submitted = executor_.TrySubmit([this, file_name] { Read(file_name); });
  if (submitted.ok()) return;
  std::vector<Answer> refused;
  {
    absl::MutexLock lock(&mutex_);
    refused = std::move(waiting_.extract(file_name).mapped());
  }
  for (const Answer& each : refused) each(submitted);
}

void MetadataFiles::Read(const std::string& file_name) {
  std::vector<Answer> answers;
  {
    absl::MutexLock lock(&mutex_);
    answers.swap(waiting_[file_name]);
  }
  // Who comes from here on waits for the next query: this one may have looked already.
  absl::StatusOr<std::string> read = publications_.GetFile(file_name);
  const absl::StatusOr<Content> content =
      read.ok() ? absl::StatusOr<Content>(std::make_shared<const std::string>(*std::move(read)))
                : absl::StatusOr<Content>(read.status());
  {
    absl::MutexLock lock(&mutex_);
    if (content.ok()) Keep(file_name, *content);
    if (waiting_[file_name].empty()) {
      waiting_.erase(file_name);
    } else {
      executor_.Submit([this, file_name] { Read(file_name); });
    }
  }
  for (const Answer& answer : answers) answer(content);
}

void MetadataFiles::Keep(const std::string& file_name, const Content& content) {
  if (file_name == trust::MetadataFilename(kTimestampRole, 0)) return;
  if (kept_bytes_ + content->size() > kMaxKeptBytes) {
    kept_.clear();
    kept_bytes_ = 0;
  }
  Kept& kept = kept_[file_name];
  if (kept.content != nullptr) kept_bytes_ -= kept.content->size();
  kept_bytes_ += content->size();
  kept = {content, clock_.Now() + kKeptFor};
}

}  // namespace countersign::package_store
