#!/usr/bin/env python3
"""What the controller says has words in the page's other language: titles of operations' steps and what they are at, what is wrong with a field,
and why something was refused."""
import re
import sys

from tree import ROOT

WORDS = ROOT / "web-gateway/page/src/i18n"
STEP = re.compile(r'(?:\btitle = |\badd\(|\bstep\(|\bReport\(\d+, )"([a-z][^"]*)"')
PROBLEM = re.compile(r"(?:\bInvalidField|\b[vV]iolations_?(?:\.|->)Add)\(")
# Functions that answer what is wrong with a text or a mask.
RULES = ("controller/api/shapes.cc", "controller/api/request_check.cc")
RULE = re.compile(r"return (?:[^;\"]*[?] *\"\" *: )?(?=\"[^\"]|absl::StrCat\()")
REASON = re.compile(r'"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)"')
# Names that look like reasons, and reasons that no person meets on the page: told to agents, to hooks, or at the start of a program.
ELSEWHERE = {
    "GRPC_VERBOSITY", "LC_ALL", "NOTIFY_SOCKET", "STEP_WAITS", "AGENT_RUNNING", "BAD_SIGNATURE", "CERTIFICATE_REFUSED", "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED", "ENROLMENT_TOKEN_REFUSED", "IDENTITY_QUARANTINED", "KEY_FILE_DAMAGED", "NOT_A_STORE", "STORE_ALTERED", "STORE_IN_USE",
    "STORE_TOO_NEW", "UNSAFE_PERMISSIONS", "WRONG_KEY_FILE",
}
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
CALL = re.compile(r"(?:absl::)?StrCat\(")


def expression(text, start):
    """The code from `start` to what ends the argument: a comma, bracket or semicolon that is its own."""
    depth, place, quoted = 0, start, False
    while place < len(text):
        sign = text[place]
        if quoted:
            if sign == "\\":
                place += 1
            quoted = sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in "([{":
            depth += 1
        elif sign in ")]}" or sign in ",;":
            if depth == 0:
                break
            depth -= sign in ")]}"
        place += 1
    return text[start:place], place


def spoken(code):
    """The sentence that `code` makes, with an X for each value in it; "" for one that has no words of its own."""
    code = code.strip()
    call = CALL.match(code)
    parts = []
    if call:
        place = call.end()
        while place < len(code) and code[place - 1] != ")":
            part, end = expression(code, place)
            parts.append(part.strip())
            place = end + 1
    else:
        parts = [code]
    sentence, words = "", False
    for part in parts:
        if re.fullmatch(r'(?:"(?:[^"\\]|\\.)*"\s*)+', part):
            text = "".join(LITERAL.findall(part)).replace('\\"', '"')
            words = words or re.search("[a-z]", text) is not None
            sentence += text
        elif part:
            sentence += "X"
    return sentence if words else ""


def problems(text, rules):
    """What calls that name a wrong field say."""
    for found in PROBLEM.finditer(text):
        _, end = expression(text, found.end())
        yield spoken(expression(text, end + 1)[0])
    for found in RULE.finditer(text) if rules else ():
        yield spoken(expression(text, found.end())[0])


def said(rooms, find):
    words = {}
    for room in rooms:
        for path in sorted((ROOT / "controller" / room).glob("*.cc")):
            name = str(path.relative_to(ROOT))
            for sentence in find(path.read_text(), name):
                words.setdefault(sentence, name)
    words.pop("", None)
    return words


def missing(what, file, words, least):
    texts = [double or single for single, double in
             re.findall(r"""^  \[(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"), ['"]""", (WORDS / file).read_text(), re.MULTILINE)]
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", ".+?", re.escape(text.replace("\\'", "'")))) for text in texts]
    if len(words) < least:
        sys.exit(f"{what}: {len(words)} things only: the search must be wrong")
    return [f'{path}: "{sentence}" has no Chinese words in {file}' for sentence, path in words.items()
            if not any(pattern.fullmatch(sentence) for pattern in patterns)]


def reasons():
    """All reasons, and a line for each that no table of the page has."""
    given = set()
    for room in ("controller", "agent", "web-gateway"):
        for path in sorted((ROOT / room).glob("**/*.cc")):
            given.update(REASON.findall(path.read_text()))
    known = set(re.findall(r"^  'error\.([A-Z0-9_]+)'", (WORDS / "zh.ts").read_text(), re.MULTILINE))
    known |= set(re.findall(r"^  ([A-Z0-9_]+): ", (WORDS / "reasons.ts").read_text(), re.MULTILINE))
    if len(given) < 120:
        sys.exit(f"{len(given)} reasons only: the search must be wrong")
    return given, [f"reason {reason} has no Chinese words in reasons.ts" for reason in sorted(given - known - ELSEWHERE)]


def main():
    steps = said(("core", "vsphere"), lambda text, name: STEP.findall(text))
    wrong = said(("agents", "api", "core", "store", "vsphere", "."), lambda text, name: problems(text, name in RULES))
    lacking = missing("operations", "operations.ts", steps, 40) + missing("problems", "problems.ts", wrong, 90)
    given, unknown = reasons()
    lacking += unknown
    if lacking:
        sys.exit("\n".join(lacking))
    print(f"{len(steps)} things operations say and {len(wrong)} that are wrong with fields have words, and {len(given)} reasons")


main()
