#!/usr/bin/env python3
"""What operations say has words in the page's other language: titles of steps and what they are at, where the controller has them as they are told."""
import re
import sys

from tree import ROOT

WORDS = ROOT / "web-gateway/page/src/i18n/operations.ts"
SAID = re.compile(r'(?:\btitle = |\badd\(|\bstep\(|\bReport\(\d+, )"([a-z][^"]*)"')


def main():
    texts = re.findall(r"^  \['((?:[^'\\]|\\.)*)', '", WORDS.read_text(), re.MULTILINE)
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", ".+?", re.escape(text))) for text in texts]
    said = {}
    for room in ("core", "vsphere"):
        for path in sorted((ROOT / "controller" / room).glob("*.cc")):
            for words in SAID.findall(path.read_text()):
                said.setdefault(words, path.relative_to(ROOT))
    if len(said) < 40:
        sys.exit(f"operations say {len(said)} things only: the search must be wrong")
    missing = [f"{path}: \"{words}\" has no Chinese words in {WORDS.relative_to(ROOT)}" for words, path in said.items()
               if not any(pattern.fullmatch(words) for pattern in patterns)]
    if missing:
        sys.exit("\n".join(missing))
    print(f"{len(said)} things operations say have words")


main()
