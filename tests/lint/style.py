#!/usr/bin/env python3
"""Rules of the house that no compiler holds: format, sizes, headers, words, scripts, links."""
import re
import shutil
import subprocess
import sys

from tree import ROOT, tracked

CODE = (".cc", ".h", ".proto", ".go", ".ts", ".vue", ".py", ".sh", ".c")
LONGEST = 600
# Split at their blanks so that this file does not find itself.
FORBIDDEN = [r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bX" r"XX\b", r"\bHA" r"CK\b", r"/wor" r"k/", r"\.\./sha" r"red\b"]
CLASS_NAMES = re.compile(r"\b(?:class|struct)\s+\w+(Manager|Helper|Utils?|Impl)\b")


def is_script(path):
    with open(ROOT / path, "rb") as f:
        return f.readline().startswith((b"#!/usr/bin/env bash", b"#!/bin/sh", b"#!/bin/bash"))


def check_text(path, text):
    problems = []
    lines = text.splitlines()
    if path.endswith(CODE) and len(lines) > LONGEST and "Long because" not in "\n".join(lines[:12]):
        problems.append(f"{path}: {len(lines)} lines; split it, or say 'Long because ...' in its first lines")
    if path.endswith(".h"):
        if "#pragma once" not in text:
            problems.append(f"{path}: no #pragma once")
        if not text.startswith("//"):
            problems.append(f"{path}: no header comment that says what it is")
    for number, line in enumerate(lines, 1):
        for pattern in FORBIDDEN:
            if re.search(pattern, line):
                problems.append(f"{path}:{number}: {line.strip()[:80]}")
        if path.endswith((".h", ".cc")) and CLASS_NAMES.search(line):
            problems.append(f"{path}:{number}: a name that says nothing: {line.strip()[:80]}")
        if path.startswith("tests/") and path.endswith(".cc") and re.search(r"\b(SleepFor|sleep_for|usleep)\(", line):
            problems.append(f"{path}:{number}: a test that sleeps; wait for a condition")
        if re.match(r"controller/core/", path) and "absl::Now()" in line:
            problems.append(f"{path}:{number}: time comes through Clock")
    return problems


def check_links(path, text):
    problems = []
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target) and not (ROOT / path).parent.joinpath(target).exists():
            problems.append(f"{path}: link to {target}, which is not there")
    return problems


def check_format(files):
    sources = [f for f in files if f.endswith((".cc", ".h"))]
    tool = shutil.which("clang-format") or shutil.which("clang-format-14")
    if tool is None:
        return ["clang-format is missing: install what tests/packages lists"]
    out = subprocess.run([tool, "--dry-run", "-Werror", *sources], cwd=ROOT, capture_output=True, text=True)
    return [line for line in out.stderr.splitlines() if "error:" in line][:20]


def check_scripts(files):
    scripts = [f for f in files if is_script(f)]
    tool = shutil.which("shellcheck")
    if tool is None:
        return ["shellcheck is missing: install what tests/packages lists"]
    out = subprocess.run([tool, "-x", "-f", "gcc", "-S", "warning", *scripts], cwd=ROOT, capture_output=True, text=True)
    return out.stdout.splitlines()


def check_top(files):
    allowed = {"CMakeLists.txt", "CMakePresets.json", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "proto",
               "controller", "agent", "cli", "web-gateway", "tests", "packaging"}
    tops = {f.split("/")[0] for f in files}
    return [f"{top}: not one of the agreed names at the top" for top in sorted(tops) if top not in allowed and top[0] != "."]


def main():
    files = tracked()
    problems = check_top(files) + check_format(files) + check_scripts(files)
    for path in files:
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        if path.endswith(CODE) or path.endswith(".md") or is_script(path):
            problems += check_text(path, text)
        if path.endswith(".md"):
            problems += check_links(path, text)
    print("\n".join(problems) if problems else f"{len(files)} files keep the style")
    return 1 if problems else 0


sys.exit(main())
