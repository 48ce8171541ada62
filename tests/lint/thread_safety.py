#!/usr/bin/env python3
"""Clang's thread-safety analysis over our sources that use a mutex, and over those that include a header with one.

usage: thread_safety.py BUILD_DIR
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from tree import ROOT

# Not the gateway: this clang cannot read the coroutines of its HTTP library.
ROOMS = ("proto", "controller", "agent", "cli")
ANNOTATED = re.compile(r"ABSL_GUARDED_BY|ABSL_EXCLUSIVE_LOCKS_REQUIRED")


def texts(ending):
    return {path: path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*" + ending)}


def with_locks():
    headers = {str(path.relative_to(ROOT)) for path, text in texts(".h").items() if ANNOTATED.search(text)}
    return {path for path, text in texts(".cc").items()
            if "absl::Mutex" in text or headers.intersection(re.findall(r'#include "(.*)"', text))}


def units(build, sources):
    """What the build compiles, file by file or several as one, that has one of the sources in it: file -> (its sources, flags)."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        parts = re.findall(r'#include "(.*)"', file.read_text()) if "/Unity/" in str(file) else [file]
        parts = {pathlib.Path(os.path.realpath(part)) for part in parts}
        if parts & sources and file not in found:
            words = shlex.split(entry["command"])
            flags = [word for i, word in enumerate(words) if word.startswith(("-I", "-D", "-std")) or "-isystem" in (word, words[i - 1])]
            found[file] = (parts, flags)
    return found


def check(file, flags):
    """Clang's words, with clang in the compiler's place and nothing written."""
    done = subprocess.run(["clang++", "-fsyntax-only", "-w", "-Wthread-safety", "-Werror=thread-safety", *flags, file], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr or f"{file}: clang++ ended with {done.returncode}"


def main():
    sources = with_locks()
    if not sources:
        sys.exit("nothing uses a mutex: the search must be wrong")
    found = units(pathlib.Path(sys.argv[1]), sources)
    left = sources.difference(*(parts for parts, _ in found.values()))
    if left:
        sys.exit("not in the build: " + ", ".join(sorted(map(str, left))))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [words for words in pool.map(lambda item: check(item[0], item[1][1]), found.items()) if words]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(sources)} files keep their locks")


main()
