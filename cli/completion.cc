#include "cli/completion.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/call.h"
#include "cli/context_store.h"
#include "cli/parse_flags.h"
#include "proto/support/resource_name.h"

namespace drover::cli {
namespace {

constexpr absl::Duration kAnswerIn = absl::Seconds(1);

constexpr char kBash[] = R"sh(# drover completion for bash: source <(drover completion bash)
_drover() {
  local line
  COMPREPLY=()
  while IFS=$'\t' read -r line _; do
    COMPREPLY+=("$(printf '%q' "$line")")
  done < <(drover __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _drover drover
)sh";

constexpr char kZsh[] = R"sh(#compdef drover
# drover completion for zsh: source <(drover completion zsh)
_drover() {
  local -a found
  local text about
  while IFS=$'\t' read -r text about; do
    found+=("${text//:/\\:}:$about")
  done < <(drover __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then _describe drover found; else _files; fi
}
if [ "$funcstack[1]" = _drover ]; then _drover; else compdef _drover drover; fi
)sh";

constexpr char kFish[] = R"sh(# drover completion for fish: drover completion fish | source
function __drover_complete
  set -l words (commandline -opc)
  drover __complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c drover -f -a '(__drover_complete)'
)sh";

// The line up to the word that is being typed.
struct Typed {
  const Command* command = nullptr;
  std::string path;
  size_t arguments = 0;
  // The flag whose value comes next.
  const Flag* open_flag = nullptr;
};

std::vector<Flag> AllFlags(const Command* command) {
  std::vector<Flag> flags = command == nullptr ? std::vector<Flag>() : TypedFlags(*command);
  flags.insert(flags.end(), CommonFlags().begin(), CommonFlags().end());
  return flags;
}

const Flag* FindFlag(const std::vector<Flag>& flags, absl::string_view word) {
  for (const Flag& flag : flags) {
    if (word == absl::StrCat("--", flag.name)) return &flag;
    if (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter))) return &flag;
  }
  return nullptr;
}

// Every flag of the table: the line's command may stand after its flags.
Typed Understand(const CommandTable& table, const std::vector<std::string>& words,
                 const std::vector<Flag>& flags) {
  Typed typed;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (absl::StartsWith(word, "-")) {
      if (!TakesNextWord(word, flags)) continue;
      if (i + 2 == words.size()) typed.open_flag = FindFlag(flags, word);
      ++i;
      continue;
    }
    if (typed.command != nullptr) {
      ++typed.arguments;
      continue;
    }
    typed.path = typed.path.empty() ? word : absl::StrCat(typed.path, " ", word);
    typed.command = table.Find(typed.path);
  }
  return typed;
}

void AddNames(std::vector<Candidate>& candidates, Client& client, const Terminal& terminal,
              const std::string& collection) {
  if (collection == "contexts") {
    const auto store = ContextStore::Load(terminal);
    if (!store.ok()) return;
    for (const auto& [name, context] : store->contexts()) {
      candidates.push_back({name, context.server});
    }
    return;
  }
  const auto names = NamesIn(client, collection, kAnswerIn);
  if (!names.ok()) return;
  for (const std::string& name : *names) candidates.push_back({std::string(IdOf(name)), ""});
}

void AddValues(std::vector<Candidate>& candidates, Client& client, const Terminal& terminal,
               const Flag& flag) {
  for (const std::string& word : flag.words) candidates.push_back({word, ""});
  if (!flag.collection.empty()) AddNames(candidates, client, terminal, flag.collection);
}

std::string SummaryOf(const CommandTable& table, const std::string& path) {
  const Command* command = table.Find(path);
  return command == nullptr ? "" : command->summary;
}

}  // namespace

std::vector<Candidate> Complete(const CommandTable& table, Client& client, const Terminal& terminal,
                                const std::vector<std::string>& words) {
  if (words.empty()) return {};
  // Twice: the command's own flags are known once the command is.
  const Typed first = Understand(table, words, CommonFlags());
  const std::vector<Flag> flags = AllFlags(first.command);
  const Typed typed = Understand(table, words, flags);
  std::string current = words.back();
  std::string before;
  std::vector<Candidate> candidates;
  const size_t equals = current.find('=');
  if (typed.open_flag != nullptr) {
    AddValues(candidates, client, terminal, *typed.open_flag);
  } else if (absl::StartsWith(current, "--") && equals != std::string::npos) {
    before = current.substr(0, equals + 1);
    const Flag* flag = FindFlag(flags, current.substr(0, equals));
    if (flag != nullptr) AddValues(candidates, client, terminal, *flag);
    current = current.substr(equals + 1);
  } else if (absl::StartsWith(current, "-")) {
    for (const Flag& flag : flags) candidates.push_back({"--" + flag.name, flag.help});
  } else if (typed.command == nullptr) {
    for (const std::string& word : table.WordsAfter(typed.path)) {
      const std::string path = typed.path.empty() ? word : absl::StrCat(typed.path, " ", word);
      candidates.push_back({word, SummaryOf(table, path)});
    }
  } else if (!typed.command->arguments.empty()) {
    const auto& arguments = typed.command->arguments;
    const size_t index = std::min(typed.arguments, arguments.size() - 1);
    const bool repeats = arguments[index].kind == Flag::Kind::kList;
    if (typed.arguments < arguments.size() || repeats) {
      AddValues(candidates, client, terminal, arguments[index]);
    }
  }
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                  [&current](const Candidate& candidate) {
                                    return !absl::StartsWith(candidate.text, current);
                                  }),
                   candidates.end());
  for (Candidate& candidate : candidates) candidate.text = before + candidate.text;
  return candidates;
}

std::string CompletionScript(absl::string_view shell) {
  return shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish;
}

}  // namespace drover::cli
