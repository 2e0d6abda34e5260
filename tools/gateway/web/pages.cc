#include "tools/gateway/web/pages.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "tools/gateway/web/assets.h"

namespace countersign::gateway {
namespace {

using ::countersign::inventory::v1::Component;

constexpr size_t kRecentOutcomes = 3;
constexpr size_t kMaxHistory = 200;

std::string AssetPath(absl::string_view name) {
  const Asset* asset = FindAsset(name);
  return absl::StrCat("/static/", name, "?v=", asset == nullptr ? absl::string_view() : asset->version);
}

// A picture that says nothing that the words beside it do not say.
Html Icon(absl::string_view name) {
  return Make("<svg class=\"icon\" aria-hidden=\"true\" focusable=\"false\"><use href=\"{}#{}\"></use></svg>",
              {AssetPath("icons.svg"), name});
}

// Somebody else's text: its line breaks are kept, and its direction stays within it.
Html Foreign(absl::string_view text, absl::string_view language = "") {
  Html paragraphs;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    paragraphs += Make("<p dir=\"auto\">{}</p>", {line});
  }
  if (language.empty()) return paragraphs;
  return Make("<div lang=\"{}\">{}</div>", {language, paragraphs});
}

Html Csrf(const Visit& visit) {
  return Make("<input type=\"hidden\" name=\"csrf\" value=\"{}\">", {visit.csrf});
}

Html Badge(absl::string_view style, absl::string_view icon, absl::string_view text) {
  return Make("<span class=\"badge {}\">{}<span>{}</span></span>", {style, Icon(icon), text});
}

Html CriticalityBadge(common::v1::Criticality criticality, const Speaker& speaker) {
  const std::string text =
      speaker.Say("criticality.badge", {{"criticality", speaker.words.Criticality(criticality)}});
  switch (criticality) {
    case common::v1::CRITICALITY_CRITICAL:
      return Badge("critical", "alert", text);
    case common::v1::CRITICALITY_HIGH:
      return Badge("high", "arrow-up", text);
    case common::v1::CRITICALITY_MEDIUM:
      return Badge("medium", "dot", text);
    case common::v1::CRITICALITY_LOW:
      return Badge("low", "dot", text);
    default:
      return Html();
  }
}

Html KindBadge(common::v1::UpdateKind kind, const Speaker& speaker) {
  if (kind == common::v1::UPDATE_KIND_UNSPECIFIED) return Html();
  return Badge("kind", kind == common::v1::UPDATE_KIND_FUNCTIONALITY ? "star" : "shield",
               speaker.words.Kind(kind));
}

Html UpdateHead(const UpdateView& update, const Visit& visit, absl::string_view id) {
  return Make(
      "<header class=\"card-head\"><h3 id=\"{}\"><bdi>{}</bdi></h3><p class=\"sub\"><bdi>{}</bdi></p>"
      "<p class=\"versions\">{}</p></header>",
      {id, update.device.name, update.device.model, Versions(update, visit.speaker)});
}

Html Nav(const Visit& visit) {
  Html items;
  const std::string page = visit.path.substr(0, visit.path.find('?'));
  for (const auto& [path, key, icon] :
       {std::tuple("/", "nav.home", "home"), std::tuple("/history", "nav.history", "clock"),
        std::tuple("/permissions", "nav.permissions", "key")}) {
    const bool here =
        std::string(path) == "/" ? page == "/" : page.substr(0, std::string(path).size()) == path;
    items += Make("<li><a href=\"{}\"{}>{}<span>{}</span></a></li>",
                  {path, here ? Make(" aria-current=\"page\"") : Html(), Icon(icon), visit.speaker.Say(key)});
  }
  return Make("<nav aria-label=\"{}\"><ul>{}</ul></nav>", {visit.speaker.Say("nav.label"), items});
}

Html LanguageLinks(const Visit& visit) {
  Html links;
  for (const std::string& language : Languages()) {
    const bool here = language == visit.speaker.words.language();
    const std::string join = visit.path.find('?') == std::string::npos ? "?" : "&";
    links += Make("<a lang=\"{}\" hreflang=\"{}\" href=\"{}\"{}>{}</a>",
                  {language, language, absl::StrCat(visit.path, join, "lang=", language),
                   here ? Make(" aria-current=\"true\"") : Html(), Words::In(language).Say("language.name")});
  }
  return Make("<div class=\"languages\" role=\"group\" aria-label=\"{}\">{}</div>",
              {visit.speaker.Say("language.label"), links});
}

Html Who(const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  if (visit.principal.empty()) {
    return Make("<a class=\"quiet\" id=\"login\" href=\"/login?next={}\">{}<span>{}</span></a>",
                {visit.path.find('?') == std::string::npos ? visit.path : "/", Icon("user"),
                 speaker.Say("login.link")});
  }
  return Make(
      "<form method=\"post\" action=\"/logout\" class=\"inline\">{}<span class=\"who\">{}<bdi>{}</bdi></span>"
      "<button class=\"quiet\" type=\"submit\">{}</button></form>",
      {Csrf(visit), Icon("user"), visit.principal, speaker.Say("logout")});
}

Html Notice(const Visit& visit) {
  if (visit.notice.empty()) return Html();
  return Make(
      "<div class=\"notice {}\" role=\"status\">{}<p>{}</p></div>",
      {visit.notice_is_bad ? "bad" : "good", Icon(visit.notice_is_bad ? "alert" : "check"), visit.notice});
}

std::string Page(const Home& home, const Visit& visit, absl::string_view title, const Html& content) {
  const Speaker& speaker = visit.speaker;
  std::string as_of;
  if (home.as_of) {
    as_of =
        speaker.Say(home.reachable ? "footer.as_of" : "footer.stale", {{"time", speaker.Time(*home.as_of)}});
  }
  return Make(
             "<!DOCTYPE html><html lang=\"{}\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
             "<meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>"
             "<link rel=\"icon\" href=\"{}\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"{}\">"
             "<script src=\"{}\" defer></script></head><body>"
             "<a class=\"skip\" href=\"#main\">{}</a>"
             "<header class=\"top\"><div class=\"bar\"><a class=\"brand\" "
             "href=\"/\">{}<span>Countersign</span>"
             "<bdi class=\"gateway\">{}</bdi></a><div class=\"tools\">{}{}</div></div>{}</header>"
             "<main id=\"main\" tabindex=\"-1\">{}{}</main>"
             "<footer><p>{}</p></footer></body></html>",
             {speaker.words.language(), absl::StrCat(title, " · Countersign ", home.gateway_id),
              AssetPath("icon.svg"), AssetPath("style.css"), AssetPath("app.js"), speaker.Say("skip"),
              Icon("brand"), home.gateway_id, LanguageLinks(visit), Who(visit), Nav(visit), Notice(visit),
              content, as_of})
      .markup();
}

// The parts of the home page.

Html ActCards(const Visit& visit) {
  Html cards;
  for (const Act& act : visit.acts) {
    if (act.state == Act::State::kKept) {
      cards += Make("<div class=\"notice wait\">{}<p>{}</p></div>",
                    {Icon("clock"), visit.speaker.Say("act.kept", {{"what", act.what}})});
      continue;
    }
    Html dismiss;
    if (!visit.principal.empty()) {
      dismiss = Make(
          "<form method=\"post\" action=\"/dismiss\">{}<input type=\"hidden\" name=\"act\" value=\"{}\">"
          "<button class=\"quiet\" type=\"submit\">{}</button></form>",
          {Csrf(visit), act.id, visit.speaker.Say("act.dismiss")});
    }
    cards += Make("<div class=\"notice bad\">{}<p>{}</p>{}</div>",
                  {Icon("alert"),
                   visit.speaker.Say("act.refused",
                                     {{"what", act.what}, {"why", RefusalText(act.reason, visit.speaker)}}),
                   dismiss});
  }
  return cards;
}

// Whether the answer to a question waits to be sent.
bool IsAnswered(const std::string& id, const Visit& visit) {
  return std::any_of(visit.acts.begin(), visit.acts.end(), [&](const Act& act) {
    return act.state == Act::State::kKept && absl::EndsWith(act.subject, absl::StrCat("/", id));
  });
}

Html ConfirmationCards(const Home& home, const Visit& visit) {
  Html cards;
  for (const Confirmation& confirmation : home.confirmations) {
    const DeviceView device = home.Device(confirmation.ecu_serial);
    cards += Make(
        "<article class=\"card danger\"><header "
        "class=\"card-head\"><h3>{}<bdi>{}</bdi></h3></header><p>{}</p>"
        "<a class=\"button\" href=\"/confirm/{}/{}\">{}</a></article>",
        {Icon("alert"), device.name, ApprovalText(confirmation.approval_result, visit.speaker),
         confirmation.ecu_serial, confirmation.sha256, visit.speaker.Say("confirm.open")});
  }
  return cards;
}

Html QuestionCards(const Home& home, const Visit& visit) {
  Html cards;
  const Speaker& speaker = visit.speaker;
  for (const QuestionView& question : home.questions) {
    if (IsAnswered(question.id, visit)) continue;
    const std::string id = absl::StrCat("question-", question.id);
    Html facts;
    if (question.update.notice) {
      facts =
          Make("<div class=\"purpose\">{}</div><p class=\"fact\">{}<span>{}</span></p>",
               {Foreign(question.update.notice->purpose, question.update.notice->language), Icon("clock"),
                speaker.Say("takes", {{"duration", speaker.words.Duration(question.update.notice->takes)}})});
    }
    cards += Make(
        "<article class=\"card\" aria-labelledby=\"{}\">{}<p class=\"badges\">{}{}</p>{}"
        "<a class=\"button\" id=\"open-{}\" href=\"/updates/{}\" aria-describedby=\"{}\">{}</a></article>",
        {id, UpdateHead(question.update, visit, id), KindBadge(question.update.kind, speaker),
         CriticalityBadge(question.update.criticality, speaker), facts, question.id, question.id, id,
         speaker.Say("question.open")});
  }
  return cards;
}

Html StepList(const RunningView& running, const Speaker& speaker) {
  Html items;
  const int done = StepsDone(running.phase);
  for (size_t i = 0; i < Steps().size(); ++i) {
    const int step = static_cast<int>(i);
    const bool started = running.phase >= common::v1::UPDATE_PHASE_DOWNLOADING &&
                         running.phase != common::v1::UPDATE_PHASE_AWAITING_CONSENT;
    const char* state = step < done ? "done" : step == done && started ? "now" : "later";
    items += Make("<li class=\"{}\"{}>{}<span>{}</span><span class=\"hidden\"> {}</span></li>",
                  {state, step == done && started ? Make(" aria-current=\"step\"") : Html(),
                   Icon(step < done ? "check" : "dot"), speaker.Say(Steps()[i]),
                   speaker.Say(absl::StrCat("step.", state))});
  }
  return Make("<ol class=\"steps\">{}</ol>", {items});
}

Html RunningCards(const Home& home, const Visit& visit) {
  Html cards;
  const Speaker& speaker = visit.speaker;
  for (const RunningView& running : home.running) {
    const std::string id = absl::StrCat("running-", running.update.device.ecu_serial);
    Html meanwhile;
    if (running.update.notice) {
      const NoticeView& notice = *running.update.notice;
      meanwhile = Make("<dl class=\"brief\"><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd></dl>",
                       {speaker.Say("notice.unavailable"), Foreign(notice.unavailable, notice.language),
                        speaker.Say("notice.instructions"), Foreign(notice.instructions, notice.language)});
    }
    Html withdraw;
    if (!running.record_id.empty() && !visit.principal.empty() && !IsAnswered(running.record_id, visit)) {
      withdraw = Make(
          "<form method=\"post\" action=\"/withdraw\">{}<input type=\"hidden\" name=\"record\" value=\"{}\">"
          "<button class=\"quiet\" type=\"submit\" aria-describedby=\"{}\">{}</button></form>",
          {Csrf(visit), running.record_id, id, speaker.Say("withdraw")});
    } else if (!running.record_id.empty() && visit.principal.empty()) {
      withdraw = Make("<p><a href=\"/login?next=/\">{}</a></p>", {speaker.Say("withdraw.login")});
    }
    cards +=
        Make("<article class=\"card\" aria-labelledby=\"{}\">{}<p class=\"phase\">{}</p>{}{}{}</article>",
             {id, UpdateHead(running.update, visit, id), speaker.words.Phase(running.phase),
              StepList(running, speaker), meanwhile, withdraw});
  }
  return cards;
}

Html PostponedCards(const Home& home, const Visit& visit) {
  Html cards;
  for (const PostponedView& postponed : home.postponed) {
    const std::string id = absl::StrCat("postponed-", postponed.update.device.ecu_serial);
    cards += Make(
        "<article class=\"card\" aria-labelledby=\"{}\">{}<p class=\"fact\">{}<span>{}</span></p></article>",
        {id, UpdateHead(postponed.update, visit, id), Icon("clock"),
         visit.speaker.Say("postponed.until", {{"time", visit.speaker.Time(postponed.until)}})});
  }
  return cards;
}

Html OutcomeItem(const OutcomeView& outcome, const Visit& visit) {
  const bool good = outcome.phase == common::v1::UPDATE_PHASE_SUCCEEDED;
  const bool neutral = outcome.phase == common::v1::UPDATE_PHASE_CANCELLED;
  Html detail;
  if (!outcome.detail.empty() && !good) {
    detail = Make("<details><summary>{}</summary><p lang=\"en\" dir=\"auto\">{}</p></details>",
                  {visit.speaker.Say("outcome.detail"), outcome.detail});
  }
  // Who it was is for those who live here.
  const std::string decided = visit.principal.empty() ? "" : DecidedBy(outcome, visit.speaker);
  return Make(
      "<li class=\"outcome {}\">{}<div><p class=\"what\">{}</p><p class=\"sub\">{}{}</p>{}</div></li>",
      {good      ? "good"
       : neutral ? "neutral"
                 : "bad",
       Icon(good      ? "check"
            : neutral ? "minus"
                      : "alert"),
       OutcomeText(outcome, visit.speaker), visit.speaker.Time(outcome.time),
       decided.empty() ? "" : absl::StrCat(" · ", decided), detail});
}

Html Devices(const Home& home, const Visit& visit) {
  Html items;
  for (const DeviceView& device : home.devices) {
    const std::string note = DeviceNote(device, visit.speaker);
    const bool bad = device.state == Component::STATE_COMPROMISED ||
                     device.state == Component::STATE_MODIFIED ||
                     device.state == Component::STATE_QUARANTINED;
    items += Make(
        "<li class=\"{}\">{}<div><p class=\"what\"><bdi>{}</bdi> <span "
        "class=\"sub\"><bdi>{}</bdi></span></p>{}</div>"
        "<p class=\"version\"><bdi>{}</bdi></p></li>",
        {bad ? "outcome bad" : "", Icon(bad ? "alert" : "check"), device.name, device.model,
         note.empty() ? Html() : Make("<p class=\"sub\">{}</p>", {note}),
         device.version.empty() ? visit.speaker.Say("version.unknown") : device.version});
  }
  return Make("<ul class=\"rows\">{}</ul>", {items});
}

Html Section(const Visit& visit, absl::string_view id, absl::string_view key, const Html& content) {
  if (content.empty()) return Html();
  return Make("<section aria-labelledby=\"{}\"><h2 id=\"{}\">{}</h2>{}</section>",
              {id, id, visit.speaker.Say(key), content});
}

Html CheckPart(const Home& home, const Visit& visit) {
  const std::string result = CheckResult(home, visit.speaker);
  Html limits;
  for (const std::string& limit : CheckLimits(home, visit.speaker)) limits += Make("<li>{}</li>", {limit});
  const bool running = home.check.state == Check::State::kRunning;
  return Make(
      "<div class=\"check\"><form method=\"post\" action=\"/check\"><button class=\"button secondary\" "
      "id=\"check\" "
      "type=\"submit\"{}>{}<span>{}</span></button></form>{}{}</div>",
      {running ? Make(" aria-disabled=\"true\"") : Html(), Icon("refresh"), visit.speaker.Say("check.button"),
       result.empty() ? Html() : Make("<p id=\"check-result\">{}</p>", {result}),
       limits.empty() ? Html() : Make("<ul class=\"limits\">{}</ul>", {limits})});
}

const char* HeadlineIcon(const Home& home) {
  if (!home.as_of || !home.confirmations.empty()) return "alert";
  if (!home.running.empty()) return "refresh";
  if (!home.questions.empty()) return "bell";
  return home.postponed.empty() ? "check" : "clock";
}

// What belongs to a decision, in the order in which it is told.
Html NoticeList(const QuestionView& question, const Speaker& speaker) {
  Html list;
  const auto add = [&](absl::string_view icon, absl::string_view key, const Html& text) {
    list += Make("<div><dt>{}<span>{}</span></dt><dd>{}</dd></div>", {Icon(icon), speaker.Say(key), text});
  };
  if (question.update.notice) {
    const NoticeView& notice = *question.update.notice;
    add("info", "notice.purpose", Foreign(notice.purpose, notice.language));
    add("list", "notice.changes", Foreign(notice.changes, notice.language));
    add("clock", "notice.takes", Make("<p>{}</p>", {speaker.words.Duration(notice.takes)}));
    add("minus", "notice.unavailable", Foreign(notice.unavailable, notice.language));
    add("hand", "notice.instructions", Foreign(notice.instructions, notice.language));
  }
  if (!question.advisory_ids.empty()) {
    Html ids;
    for (const std::string& id : question.advisory_ids) ids += Make("<li><bdi>{}</bdi></li>", {id});
    add("shield", "notice.advisory",
        Make("<ul class=\"chips\">{}</ul>{}{}",
             {ids, Foreign(question.advisory_risk), Foreign(question.advisory_action)}));
  }
  if (!question.mixed_justification.empty())
    add("info", "notice.mixed", Foreign(question.mixed_justification));
  return Make("<dl class=\"notice-list\">{}</dl>", {list});
}

Html TermsPart(const QuestionView& question, const Visit& visit) {
  if (!question.terms) return Html();
  const QuestionView::Terms& terms = *question.terms;
  const Speaker& speaker = visit.speaker;
  const Html text = terms.text.empty() ? Make("<p>{}</p>", {speaker.Say("terms.absent")})
                                       : Foreign(terms.text, terms.language);
  return Make(
      "<div class=\"terms\"><h2 id=\"terms\">{}</h2>"
      "<p class=\"sub\"><bdi>{}</bdi> · <bdi>{}</bdi></p>"
      "<div class=\"terms-text\" id=\"terms-text\" role=\"region\" aria-labelledby=\"terms\" "
      "tabindex=\"0\">{}</div>"
      "<p class=\"digest\">{} <code>{}</code></p></div>",
      {speaker.Say("terms.title"), terms.id, terms.version, text, speaker.Say("terms.digest"),
       terms.text_sha256});
}

Html AnswerFields(const QuestionView& question, const Visit& visit) {
  return Make(
      "{}<input type=\"hidden\" name=\"prompt\" value=\"{}\"><input type=\"hidden\" name=\"language\" "
      "value=\"{}\">"
      "<input type=\"hidden\" name=\"text\" value=\"{}\">",
      {Csrf(visit), question.id, question.update.notice ? question.update.notice->language : "",
       question.update.notice ? question.update.notice->text_sha256 : ""});
}

Html AnswerPart(const QuestionView& question, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  const Html fields = AnswerFields(question, visit);
  Html accept_terms;
  if (question.terms) {
    accept_terms = Make(
        "<label class=\"tick\"><input type=\"checkbox\" name=\"terms\" value=\"{}\" id=\"accept-terms\" "
        "required>"
        "<span>{}</span></label>",
        {question.terms->text_sha256, speaker.Say("terms.accept")});
  }
  Html later;
  if (question.latest_deferral && *question.latest_deferral > speaker.now) {
    Html options;
    for (const Deferral& deferral : Deferrals(speaker.now, *question.latest_deferral, speaker.zone)) {
      options += Make("<option value=\"{}\">{}</option>",
                      {absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", deferral.until, absl::UTCTimeZone()),
                       speaker.Say(deferral.label_key, {{"time", speaker.Time(deferral.until)}})});
    }
    later = Make(
        "<form method=\"post\" action=\"/answer\" class=\"later\">{}"
        "<label for=\"until\">{}</label><p class=\"sub\" id=\"until-limit\">{}</p>"
        "<div class=\"row\"><select id=\"until\" name=\"until\" aria-describedby=\"until-limit\">{}</select>"
        "<button class=\"button secondary\" id=\"postpone\" type=\"submit\" name=\"decision\" "
        "value=\"postpone\">{}"
        "<span>{}</span></button></div></form>",
        {fields, speaker.Say("postpone.label"),
         speaker.Say("postpone.limit", {{"time", speaker.Time(*question.latest_deferral)}}), options,
         Icon("clock"), speaker.Say("postpone")});
  } else {
    later = Make("<p class=\"sub\">{}</p>", {speaker.Say("postpone.never")});
  }
  return Make(
      "<section class=\"decide\" aria-labelledby=\"decide\"><h2 id=\"decide\">{}</h2>"
      "<form method=\"post\" action=\"/answer\">{}{}<button class=\"button\" id=\"accept\" type=\"submit\" "
      "name=\"decision\" value=\"accept\">{}<span>{}</span></button></form>{}"
      "<form method=\"post\" action=\"/answer\">{}<button class=\"button plain\" id=\"decline\" "
      "type=\"submit\" "
      "name=\"decision\" value=\"decline\">{}<span>{}</span></button></form><p "
      "class=\"sub\">{}</p></section>",
      {speaker.Say("decide.title"), fields, accept_terms, Icon("check"), speaker.Say("accept"), later, fields,
       Icon("minus"), speaker.Say("decline"), speaker.Say("decide.consent")});
}

// In the place of what needs somebody who is signed in.
Html SignInFirst(const Visit& visit, absl::string_view key) {
  return Make(
      "<section class=\"decide\"><p>{}</p><a class=\"button\" id=\"login-first\" "
      "href=\"/login?next={}\">{}</a></section>",
      {visit.speaker.Say(key), visit.path, visit.speaker.Say("login.link")});
}

Html NewPolicyForm(const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  Html kinds, levels;
  for (const auto& [value, kind] : {std::pair("security", common::v1::UPDATE_KIND_SECURITY),
                                    std::pair("functionality", common::v1::UPDATE_KIND_FUNCTIONALITY),
                                    std::pair("mixed", common::v1::UPDATE_KIND_MIXED)}) {
    kinds += Make(
        "<label class=\"tick\"><input type=\"checkbox\" name=\"kind\" value=\"{}\"{}><span>{}</span></label>",
        {value, kind == common::v1::UPDATE_KIND_SECURITY ? Make(" checked") : Html(),
         speaker.words.Kind(kind)});
  }
  for (const auto& [value, level] :
       {std::pair("low", common::v1::CRITICALITY_LOW), std::pair("medium", common::v1::CRITICALITY_MEDIUM),
        std::pair("high", common::v1::CRITICALITY_HIGH),
        std::pair("critical", common::v1::CRITICALITY_CRITICAL)}) {
    levels += Make("<option value=\"{}\">{}</option>", {value, speaker.words.Criticality(level)});
  }
  return Make(
      "<form method=\"get\" action=\"/permissions/new\" "
      "class=\"card\"><fieldset><legend>{}</legend>{}</fieldset>"
      "<label for=\"minimum\">{}</label><select id=\"minimum\" name=\"minimum\">"
      "<option value=\"\">{}</option>{}</select>"
      "<button class=\"button\" id=\"show-permission\" type=\"submit\">{}</button></form>",
      {speaker.Say("policy.kinds"), kinds, speaker.Say("policy.minimum"), speaker.Say("policy.any"), levels,
       speaker.Say("policy.show")});
}

}  // namespace

Html LivePart(const Home& home, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  const std::string headline = Headline(home, speaker);
  const bool busy = !home.running.empty() || home.check.state == Check::State::kRunning || !home.as_of ||
                    std::any_of(visit.acts.begin(), visit.acts.end(),
                                [](const Act& act) { return act.state == Act::State::kKept; });
  // What a screen reader is told when it changes.
  std::string spoken = headline;
  if (const std::string result = CheckResult(home, speaker); !result.empty())
    absl::StrAppend(&spoken, " ", result);
  for (const RunningView& running : home.running) {
    absl::StrAppend(&spoken, " ", running.update.device.name, ": ", speaker.words.Phase(running.phase));
  }
  Html recent;
  for (size_t i = 0; i < std::min(kRecentOutcomes, home.outcomes.size()); ++i) {
    recent += OutcomeItem(home.outcomes[i], visit);
  }
  if (!recent.empty()) {
    recent = Make("<ul class=\"rows\">{}</ul><p><a href=\"/history\">{}</a></p>",
                  {recent, speaker.Say("history.all")});
  }
  Html stale;
  if (home.as_of && !home.reachable) {
    stale = Make("<div class=\"notice wait\">{}<p>{}</p></div>",
                 {Icon("alert"), speaker.Say("stale", {{"time", speaker.Time(*home.as_of)}})});
  }
  return Make(
      "<div id=\"live\" data-busy=\"{}\" data-spoken=\"{}\">{}<section class=\"hero\" "
      "aria-labelledby=\"headline\">{}"
      "<div><h1 id=\"headline\">{}</h1>{}</div></section>{}{}{}{}{}{}{}</div>",
      {busy ? "true" : "false", spoken, stale, Icon(HeadlineIcon(home)), headline, CheckPart(home, visit),
       ActCards(visit),
       Section(visit, "confirmations", "section.confirmations", ConfirmationCards(home, visit)),
       Section(visit, "questions", "section.questions", QuestionCards(home, visit)),
       Section(visit, "running", "section.running", RunningCards(home, visit)),
       Section(visit, "postponed", "section.postponed", PostponedCards(home, visit)),
       Section(visit, "recent", "section.recent", recent),
       home.devices.empty() ? Html() : Section(visit, "devices", "section.devices", Devices(home, visit))});
}

std::string HomePage(const Home& home, const Visit& visit) {
  return Page(home, visit, visit.speaker.Say("nav.home"),
              Make("<p id=\"announce\" class=\"hidden\" role=\"status\" aria-live=\"polite\"></p>{}",
                   {LivePart(home, visit)}));
}

std::string QuestionPage(const Home& home, const QuestionView& question, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  Html foreign_language;
  if (question.update.notice &&
      question.update.notice->language.substr(0, 2) != speaker.words.language().substr(0, 2)) {
    foreign_language = Make("<p class=\"sub\">{}</p>", {speaker.Say("notice.language")});
  }
  return Page(
      home, visit, speaker.Say("question.title", {{"device", question.update.device.name}}),
      Make("<p><a href=\"/\">{}{}</a></p><article class=\"question\"><h1>{}</h1><p "
           "class=\"sub\"><bdi>{}</bdi></p>"
           "<p class=\"versions\">{}</p><p class=\"badges\">{}{}</p>{}{}{}{}</article>",
           {Icon("back"), speaker.Say("back"),
            speaker.Say("question.title", {{"device", question.update.device.name}}),
            question.update.device.model, Versions(question.update, speaker),
            KindBadge(question.update.kind, speaker), CriticalityBadge(question.update.criticality, speaker),
            foreign_language, NoticeList(question, speaker), TermsPart(question, visit),
            visit.principal.empty() ? SignInFirst(visit, "decide.login") : AnswerPart(question, visit)}));
}

std::string ConfirmationPage(const Home& home, const Confirmation& confirmation, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  const DeviceView device = home.Device(confirmation.ecu_serial);
  Html decide = SignInFirst(visit, "decide.login");
  if (!visit.principal.empty()) {
    const Html fields = Make(
        "{}<input type=\"hidden\" name=\"ecu\" value=\"{}\"><input type=\"hidden\" name=\"sha256\" "
        "value=\"{}\">",
        {Csrf(visit), confirmation.ecu_serial, confirmation.sha256});
    // No stands first, is what the Enter key does, and needs nothing more; yes needs a tick.
    decide = Make(
        "<section class=\"decide\" aria-labelledby=\"decide\"><h2 id=\"decide\">{}</h2>"
        "<form method=\"post\" action=\"/confirm\">{}<button class=\"button\" id=\"reject\" type=\"submit\" "
        "name=\"decision\" value=\"no\" autofocus>{}<span>{}</span></button></form>"
        "<form method=\"post\" action=\"/confirm\" class=\"later\">{}<label class=\"tick\"><input "
        "type=\"checkbox\" "
        "name=\"understood\" value=\"yes\" id=\"understood\" required><span>{}</span></label>"
        "<button class=\"button risky\" id=\"insist\" type=\"submit\" name=\"decision\" "
        "value=\"yes\">{}</button></form>"
        "</section>",
        {speaker.Say("confirm.question"), fields, Icon("shield"), speaker.Say("confirm.no"), fields,
         speaker.Say("confirm.understood"), speaker.Say("confirm.yes")});
  }
  return Page(
      home, visit, speaker.Say("confirm.title"),
      Make("<p><a href=\"/\">{}{}</a></p><article class=\"question\"><div "
           "class=\"warning\">{}<div><h1>{}</h1><p>{}</p>"
           "</div></div><dl "
           "class=\"brief\"><dt>{}</dt><dd><bdi>{}</bdi></dd><dt>{}</dt><dd><bdi>{}</bdi></dd><dt>{}</dt>"
           "<dd>{}</dd><dt>SHA-256</dt><dd><code>{}</code></dd></dl><p>{}</p>{}</article>",
           {Icon("back"), speaker.Say("back"), Icon("alert"), speaker.Say("confirm.title"),
            speaker.Say("confirm.warning"), speaker.Say("confirm.device"), device.name,
            speaker.Say("confirm.version"),
            confirmation.version.empty() ? speaker.Say("version.unknown") : confirmation.version,
            speaker.Say("confirm.found"), ApprovalText(confirmation.approval_result, speaker),
            confirmation.sha256, speaker.Say("confirm.advice"), decide}));
}

std::string HistoryPage(const Home& home, const Visit& visit) {
  Html items;
  for (size_t i = 0; i < std::min(kMaxHistory, home.outcomes.size()); ++i)
    items += OutcomeItem(home.outcomes[i], visit);
  return Page(home, visit, visit.speaker.Say("nav.history"),
              Make("<h1>{}</h1>{}", {visit.speaker.Say("nav.history"),
                                     items.empty() ? Make("<p>{}</p>", {visit.speaker.Say("history.none")})
                                                   : Make("<ul class=\"rows\">{}</ul>", {items})}));
}

std::string PoliciesPage(const Home& home, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  Html cards;
  for (const PolicyView& policy : home.policies) {
    Html withdraw;
    const std::string id = absl::StrCat("policy-", policy.id);
    if (policy.active && !visit.principal.empty() && !IsAnswered(policy.id, visit)) {
      withdraw = Make(
          "<form method=\"post\" action=\"/permissions/withdraw\">{}"
          "<input type=\"hidden\" name=\"policy\" value=\"{}\"><button class=\"button secondary\" "
          "type=\"submit\" "
          "aria-describedby=\"{}\">{}</button></form>",
          {Csrf(visit), policy.id, id, speaker.Say("policy.withdraw")});
    }
    cards += Make(
        "<article class=\"card policy {}\">{}<p class=\"what\" id=\"{}\" lang=\"{}\">{}</p><p "
        "class=\"sub\">{}</p>{}</article>",
        {policy.active ? "active" : "ended",
         Badge(policy.active ? "good" : "kind", policy.active ? "check" : "minus",
               speaker.Say(policy.active ? "policy.active" : "policy.ended")),
         id, Words::In(policy.language).language(), policy.text,
         visit.principal.empty()
             ? speaker.Say("policy.since", {{"time", speaker.Time(policy.created)}})
             : speaker.Say("policy.by", {{"time", speaker.Time(policy.created)}, {"who", policy.principal}}),
         withdraw});
  }
  return Page(
      home, visit, speaker.Say("nav.permissions"),
      Make(
          "<h1>{}</h1><p>{}</p>{}{}<section aria-labelledby=\"new\"><h2 id=\"new\">{}</h2>{}</section>",
          {speaker.Say("nav.permissions"), speaker.Say("policy.intro"), ActCards(visit),
           cards.empty() ? Make("<p>{}</p>", {speaker.Say("policy.none")}) : cards, speaker.Say("policy.new"),
           visit.principal.empty() ? SignInFirst(visit, "policy.login") : NewPolicyForm(visit)}));
}

std::string NewPolicyPage(const Home& home, const consent::v1::Policy& policy, const Visit& visit) {
  const Speaker& speaker = visit.speaker;
  const std::string text = PolicyText(policy);
  Html kinds;
  for (const int kind : policy.kinds()) {
    const std::string name = common::v1::UpdateKind_Name(static_cast<common::v1::UpdateKind>(kind));
    kinds += Make("<input type=\"hidden\" name=\"kind\" value=\"{}\">",
                  {absl::AsciiStrToLower(name.substr(name.rfind('_') + 1))});
  }
  const std::string level = common::v1::Criticality_Name(policy.minimum_criticality());
  const Html agree = visit.principal.empty()
                         ? SignInFirst(visit, "policy.login")
                         : Make(
                               "<form method=\"post\" action=\"/permissions\">{}{}<input type=\"hidden\" "
                               "name=\"minimum\" value=\"{}\">"
                               "<input type=\"hidden\" name=\"language\" value=\"{}\"><input type=\"hidden\" "
                               "name=\"text\" value=\"{}\">"
                               "<div class=\"row\"><button class=\"button\" id=\"agree\" "
                               "type=\"submit\">{}<span>{}</span></button>"
                               "<a class=\"button plain\" href=\"/permissions\">{}</a></div></form>",
                               {Csrf(visit), kinds,
                                policy.minimum_criticality() == common::v1::CRITICALITY_UNSPECIFIED
                                    ? ""
                                    : absl::AsciiStrToLower(level.substr(level.rfind('_') + 1)),
                                policy.language(), crypto::Sha256Hex(text), Icon("check"),
                                speaker.Say("policy.agree"), speaker.Say("cancel")});
  return Page(home, visit, speaker.Say("policy.confirm"),
              Make("<p><a href=\"/permissions\">{}{}</a></p><h1>{}</h1><blockquote "
                   "class=\"card\"><p>{}</p></blockquote>"
                   "<p>{}</p>{}",
                   {Icon("back"), speaker.Say("back"), speaker.Say("policy.confirm"), text,
                    speaker.Say("policy.end"), agree}));
}

std::string LoginPage(const Home& home, const Visit& visit, absl::string_view next,
                      absl::string_view principal) {
  const Speaker& speaker = visit.speaker;
  if (!visit.has_principals) {
    return Page(home, visit, speaker.Say("login.title"),
                Make("<h1>{}</h1><p>{}</p><p><code>gateway --config … user add NAME</code></p>",
                     {speaker.Say("login.title"), speaker.Say("login.nobody")}));
  }
  return Page(
      home, visit, speaker.Say("login.title"),
      Make("<h1>{}</h1><p>{}</p><form method=\"post\" action=\"/login\" class=\"card login\">"
           "<input type=\"hidden\" name=\"next\" value=\"{}\"><label for=\"principal\">{}</label>"
           "<input id=\"principal\" name=\"principal\" value=\"{}\" autocomplete=\"username\" "
           "autocapitalize=\"none\" "
           "spellcheck=\"false\" maxlength=\"128\" required><label for=\"pin\">{}</label>"
           "<input id=\"pin\" name=\"pin\" type=\"password\" inputmode=\"numeric\" "
           "autocomplete=\"current-password\" "
           "maxlength=\"64\" required><button class=\"button\" id=\"sign-in\" "
           "type=\"submit\">{}</button></form>",
           {speaker.Say("login.title"), speaker.Say("login.why"), next, speaker.Say("login.principal"),
            principal, speaker.Say("login.pin"), speaker.Say("login.button")}));
}

std::string SorryPage(const Home& home, const Visit& visit, absl::string_view key) {
  return Page(home, visit, visit.speaker.Say("sorry.title"),
              Make("<h1>{}</h1><p>{}</p><p><a class=\"button\" href=\"/\">{}</a></p>",
                   {visit.speaker.Say("sorry.title"), visit.speaker.Say(key), visit.speaker.Say("back")}));
}

}  // namespace countersign::gateway
