#!/usr/bin/env bash
# Clang's thread-safety analysis over our sources that use a mutex, and over those that include a header with one.
# usage: thread_safety BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
commands=$build/compile_commands.json
[ -s "$commands" ] || { echo "no $commands: configure the build first" >&2; exit 1; }

headers=$(grep -lE 'ABSL_GUARDED_BY|ABSL_EXCLUSIVE_LOCKS_REQUIRED' -r --include='*.h' proto controller agent cli 2>/dev/null)
sources=$( { grep -lE 'absl::Mutex' -r --include='*.cc' proto controller agent cli
             for header in $headers; do grep -lF "#include \"$header\"" -r --include='*.cc' controller agent cli proto; done; } | sort -u)
[ -n "$sources" ] || { echo "nothing uses a mutex: the search must be wrong" >&2; exit 1; }

# The flags of the real build, with clang in the compiler's place and nothing written.
check() {
  local flags
  flags=$(python3 - "$commands" "$1" <<'PY'
import json, os, re, shlex, sys
wanted = os.path.realpath(sys.argv[2])
for entry in json.load(open(sys.argv[1])):
    files = [entry["file"]]
    # Several files compiled as one: a list of them.
    if "/Unity/" in files[0]:
        files = re.findall(r'#include "(.*)"', open(files[0]).read())
    if wanted in map(os.path.realpath, files):
        words = shlex.split(entry["command"])
        keep = [w for i, w in enumerate(words) if w.startswith(("-I", "-D", "-std")) or words[i - 1] == "-isystem" or w == "-isystem"]
        print(shlex.join(keep))
        break
PY
)
  [ -n "$flags" ] || { echo "$1: not in the build" >&2; return 1; }
  eval clang++ -fsyntax-only -Wthread-safety -Werror=thread-safety -w -Wthread-safety "$flags" "$1"
}
export -f check
export commands
printf '%s\n' "$sources" | xargs -P "$(nproc)" -I{} bash -c 'check {}' || exit 1
echo "$(wc -l <<<"$sources") files keep their locks"
