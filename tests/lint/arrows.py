#!/usr/bin/env python3
"""Holds the include arrows of arrows.txt against the sources, and finds sources that no CMake list names."""
import pathlib
import re
import sys

from tree import ROOT, tracked

SOURCES = (".cc", ".h")
# Everything of these layers may be included by everybody: it has no side effects of its own.
EVERYBODY = {"std", "posix", "absl", "protobuf", "generated"}
# Include path -> library layer.
LIBRARIES = [
    (r"(drover/|google/(api|rpc)/|controller/core/([a-z]+_)?records\.pb)", "generated"),
    (r"absl/", "absl"),
    (r"google/protobuf/", "protobuf"),
    (r"(grpc|grpcpp)/", "grpcpp"),
    (r"openssl/", "openssl"),
    (r"sqlite3", "sqlite3"),
    (r"curl/", "curl"),
    (r"pugixml", "pugixml"),
    (r"libssh/", "libssh"),
    (r"toml\+\+/", "tomlplusplus"),
    (r"re2/", "re2"),
    (r"fmt/", "fmt"),
    (r"CLI/", "cli11"),
    (r"g(test|mock)/", "gtest"),
    (r"boost/", "boost"),
    (r"[a-z_]+$", "std"),
    (r"([a-z_0-9]+/)*[a-z_0-9]+\.h$", "posix"),
]


def read_arrows(text):
    arrows, problems = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([\w/.-]+):\s*([\w/ .-]+?)\s+--\s+(.+)", line)
        if not match:
            problems.append(f"arrows.txt:{number}: not of the form 'layer: layers -- reason'")
            continue
        arrows[match[1]] = set(match[2].split())
    return arrows, problems


def layer_of(path, layers):
    matching = [l for l in layers if path == l or path.startswith(l + "/") or path.startswith(l + ".")]
    return max(matching, key=len) if matching else None


def library_of(include):
    for pattern, layer in LIBRARIES:
        if re.match(pattern, include):
            return layer
    return None


def allowed(own, target, arrows):
    if target == own or target in EVERYBODY:
        return True
    return any(target == a or target.startswith(a + "/") for a in arrows[own])


def check_includes(files, read, arrows):
    problems = []
    for path in files:
        own = layer_of(path, arrows)
        if own is None:
            problems.append(f"{path}: in no layer of tests/lint/arrows.txt")
            continue
        for number, line in enumerate(read(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not match:
                continue
            include = match[2]
            target = layer_of(include, arrows) if (ROOT / include).is_file() else library_of(include)
            if target is None:
                problems.append(f"{path}:{number}: {include} belongs to no known layer")
            elif not allowed(own, target, arrows):
                problems.append(f"{path}:{number}: {own} must not include {include} ({target})")
    return problems


def check_listed(files, lists):
    """Every .cc stands in the CMakeLists.txt of its folder or of a folder above it."""
    problems = []
    for path in files:
        if not path.endswith(".cc"):
            continue
        folder = pathlib.PurePath(path).parent
        named = False
        for above in [folder, *folder.parents]:
            text = lists.get(str(above / "CMakeLists.txt"), "")
            relative = str(pathlib.PurePath(path).relative_to(above))
            if re.search(r"(?<![\w/.-])" + re.escape(relative) + r"(?![\w.-])", text):
                named = True
                break
        if not named:
            problems.append(f"{path}: no CMake list names it, so nothing builds it")
    return problems


def self_test():
    arrows, problems = read_arrows("a: std -- base\nb: a -- uses it\nbad line\n")
    assert len(problems) == 1, problems
    read = {"a/x.h": '#include "b/y.h"\n', "b/y.h": "#include <string>\n"}.get
    assert allowed("b", "a", arrows) and not allowed("a", "b", arrows)
    assert check_listed(["a/x.cc"], {"a/CMakeLists.txt": "add_library(a z.cc)"})
    assert not check_listed(["a/x.cc"], {"a/CMakeLists.txt": "add_library(a x.cc)"})
    assert read("a/x.h")


def main():
    self_test()
    arrows, problems = read_arrows((ROOT / "tests/lint/arrows.txt").read_text())
    files = tracked()
    sources = [f for f in files if f.endswith(SOURCES)]
    lists = {f: (ROOT / f).read_text() for f in files if f.endswith("CMakeLists.txt")}
    problems += check_includes(sources, lambda p: (ROOT / p).read_text(), arrows)
    problems += check_listed(sources, lists)
    print("\n".join(problems) if problems else f"{len(sources)} files keep the arrows")
    return 1 if problems else 0


sys.exit(main())
