#include "tools/gateway/terminal.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace countersign::gateway {
namespace {

// Characters of UTF-8.
size_t Width(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

// "  label   value" in lines below one another; what has no value is left out.
class Fields {
 public:
  void Add(std::string label, std::string value) {
    if (!value.empty()) fields_.emplace_back(std::move(label), std::move(value));
  }
  std::string Text() const {
    size_t width = 0;
    for (const auto& [label, value] : fields_) width = std::max(width, Width(label));
    std::string text;
    for (const auto& [label, value] : fields_) {
      absl::StrAppend(&text, "  ", label, std::string(width - Width(label) + 2, ' '),
                      absl::StrReplaceAll(value, {{"\n", "\n" + std::string(width + 4, ' ')}}), "\n");
    }
    return text;
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

std::string Title(const UpdateView& update) {
  return absl::StrCat(update.device.name,
                      update.device.model.empty() ? "" : absl::StrCat(" (", update.device.model, ")"));
}

}  // namespace

std::string QuestionText(const QuestionView& question, const Speaker& speaker) {
  const UpdateView& update = question.update;
  Fields fields;
  fields.Add(speaker.Say("terminal.version"), Versions(update, speaker));
  fields.Add(speaker.Say("terminal.kind"), speaker.words.Kind(update.kind));
  fields.Add(speaker.Say("terminal.criticality"), speaker.words.Criticality(update.criticality));
  if (update.notice) {
    fields.Add(speaker.Say("notice.purpose"), update.notice->purpose);
    fields.Add(speaker.Say("notice.changes"), update.notice->changes);
    fields.Add(speaker.Say("notice.takes"), speaker.words.Duration(update.notice->takes));
    fields.Add(speaker.Say("notice.unavailable"), update.notice->unavailable);
    fields.Add(speaker.Say("notice.instructions"), update.notice->instructions);
    fields.Add(speaker.Say("terminal.language"), update.notice->language);
  }
  if (!question.advisory_ids.empty()) {
    fields.Add(speaker.Say("notice.advisory"),
               absl::StrCat(absl::StrJoin(question.advisory_ids, ", "), "\n", question.advisory_risk, "\n",
                            question.advisory_action));
  }
  fields.Add(speaker.Say("notice.mixed"), question.mixed_justification);
  if (question.terms) {
    const QuestionView::Terms& terms = *question.terms;
    fields.Add(speaker.Say("terms.title"),
               absl::StrCat(terms.id, " ", terms.version, "\n",
                            terms.text.empty() ? speaker.Say("terms.absent") : terms.text, "\n",
                            speaker.Say("terms.digest"), "\n", terms.text_sha256));
  }
  fields.Add(
      speaker.Say("terminal.limit"),
      question.latest_deferral
          ? absl::StrCat(
                speaker.Say("postpone.limit", {{"time", speaker.Time(*question.latest_deferral)}}), " (",
                absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", *question.latest_deferral, absl::UTCTimeZone()), ")")
          : speaker.Say("postpone.never"));
  const std::string answer = absl::StrCat("gateway answer ", question.id, " ");
  const std::string language = update.notice ? absl::StrCat(" --language ", update.notice->language) : "";
  fields.Add(speaker.Say("terminal.answer"),
             absl::StrCat(answer, "accept --principal ID", language, question.terms ? " --accept-terms" : "",
                          "\n", answer, "decline --principal ID", language, "\n", answer,
                          "postpone --principal ID", language, " --until TIME"));
  return absl::StrCat(question.id, "  ", Title(update), "\n", fields.Text());
}

std::string CheckText(const Home& home, const Speaker& speaker) {
  std::string text = absl::StrCat(CheckResult(home, speaker), "\n");
  for (const std::string& limit : CheckLimits(home, speaker)) absl::StrAppend(&text, "  ", limit, "\n");
  return text;
}

std::string ProgressText(const Home& home, const Speaker& speaker) {
  std::string text;
  for (const RunningView& running : home.running) {
    absl::StrAppend(&text, Title(running.update), "  ", Versions(running.update, speaker), "  ",
                    speaker.words.Phase(running.phase), "\n");
  }
  for (const PostponedView& postponed : home.postponed) {
    absl::StrAppend(&text, Title(postponed.update), "  ", Versions(postponed.update, speaker), "  ",
                    speaker.Say("postponed.until", {{"time", speaker.Time(postponed.until)}}), "\n");
  }
  return text;
}

std::string HistoryText(const Home& home, const Speaker& speaker) {
  std::string text;
  for (const OutcomeView& outcome : home.outcomes) {
    const std::string decided = DecidedBy(outcome, speaker);
    absl::StrAppend(&text, speaker.Time(outcome.time), "  ", OutcomeText(outcome, speaker),
                    decided.empty() ? "" : absl::StrCat(" (", decided, ")"), "\n");
  }
  return text.empty() ? absl::StrCat(speaker.Say("history.none"), "\n") : text;
}

std::string PoliciesText(const Home& home, const Speaker& speaker) {
  std::string text;
  for (const PolicyView& policy : home.policies) {
    absl::StrAppend(
        &text, policy.id, "  ", speaker.Say(policy.active ? "policy.active" : "policy.ended"), "  ",
        policy.text, " ",
        speaker.Say("policy.by", {{"time", speaker.Time(policy.created)}, {"who", policy.principal}}), "\n");
  }
  return text.empty() ? absl::StrCat(speaker.Say("policy.none"), "\n") : text;
}

}  // namespace countersign::gateway
