#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py - the house style as a test: sizes, licence lines, and words that have no place here.

    tools/tidy.py [ROOT]        prints every problem as file:line: text; exit status 1 when there are any

What is written by hand in C: functions of at most 60 lines, files of 800 (headers 400), lines of 100 columns,
ASCII only, no function of BANNED. An exception stands in the source, in the line above or in the line itself, with
its reason:

    /* tidy: long switch, one line per operation */

tools/tidy_wide.txt lists files that were wider before this check.
"""
import pathlib
import re
import sys

FUNCTION_LINES_MAX = 60
SOURCE_LINES_MAX = 800
HEADER_LINES_MAX = 400
COLUMNS_MAX = 100

# name: why not
BANNED = {
    "strcpy": "no bound", "strcat": "no bound", "sprintf": "no bound", "vsprintf": "no bound", "gets": "no bound",
    "strtok": "hidden state", "atoi": "no errors", "atol": "no errors", "atof": "no errors",
    "strtol": "use tr_str_to_i64", "strtoul": "use tr_str_to_i64", "alloca": "no bound", "system": "a shell",
    "popen": "a shell", "tmpnam": "a race", "mktemp": "a race", "rand": "use tr_random_bytes",
    "localtime": "not UTC", "ctime": "not UTC",
}
# Raw memory: only behind tr_alloc, so that every allocation is counted and can be made to fail.
MEMORY = {"malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf"}
MEMORY_HOME = {"src/base/memory.c"}

# Tests, fakes and benches may take memory from libraries and trust their own numbers.
RELAXED = re.compile(r"_test\.c$|/fakes|^tests/|^bench/")
RELAXED_WORDS = {"strtol", "strtoul", "atoi", "system"}

# Files that were wider than COLUMNS_MAX before this check, one a line: the list may only shrink, and a file that
# does not need it must go from it.
WIDE_LIST = "tools/tidy_wide.txt"
WIDE_COLUMNS_MAX = 120

SPDX = "SPDX-License-Identifier: Apache-2.0"
FOLDERS = ("src", "query-worker", "tests", "tools", "bench")
LINE_COMMENT = re.compile(r'//.*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')


class Tidy:
    def __init__(self, root):
        self.root = root
        self.problems = []
        self.files = 0
        self.wide = {line for line in (root / WIDE_LIST).read_text().split("\n") if line and line[0] != "#"}

    def say(self, path, number, text):
        self.problems.append(f"{path.relative_to(self.root)}:{number}: {text}")

    def run(self):
        for folder in FOLDERS:
            for path in sorted((self.root / folder).rglob("*")):
                hidden = any(part.startswith((".", "__")) or part == "node_modules" for part in path.parts)
                if path.is_file() and not hidden:
                    self.check(path)
        for name in sorted(self.wide):
            path = self.root / name
            if not path.exists() or max(map(len, path.read_text().splitlines())) <= COLUMNS_MAX:
                self.problems.append(f"{WIDE_LIST}: {name} is not wide any more: take it off the list")
        return self.problems

    def check(self, path):
        kind = path.suffix
        if kind not in (".c", ".h", ".cpp", ".py", ".sh") and path.name != "meson.build":
            return
        self.files += 1
        lines = path.read_text().splitlines()
        if not any(SPDX in line for line in lines[:2]) and path.name != "meson.build":
            self.say(path, 1, f"the first line says {SPDX}")
        if kind in (".c", ".h", ".cpp"):
            self.check_c(path, lines)

    def check_c(self, path, lines):
        name = str(path.relative_to(self.root))
        most = HEADER_LINES_MAX if path.suffix == ".h" else SOURCE_LINES_MAX
        if len(lines) > most:
            self.say(path, 1, f"{len(lines)} lines, at most {most}: look for the second noun in it")
        columns = WIDE_COLUMNS_MAX if name in self.wide else COLUMNS_MAX
        for number, line in enumerate(lines, 1):
            if "tidy:" in line or (number > 1 and "tidy:" in lines[number - 2]):
                continue
            if len(line) > columns:
                self.say(path, number, f"{len(line)} columns, at most {columns}")
            if not line.isascii():
                self.say(path, number, "a letter that is not ASCII")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                self.say(path, number, "an open task belongs into an issue")
        self.check_words(path, name, lines)
        self.check_functions(path, lines)

    def check_words(self, path, name, lines):
        text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), "\n".join(lines), flags=re.S)
        relaxed = RELAXED.search(name) is not None
        for number, line in enumerate(text.splitlines(), 1):
            line = LINE_COMMENT.sub('""', line)
            if "tidy:" in lines[number - 1] or (number > 1 and "tidy:" in lines[number - 2]):
                continue
            for word in re.findall(r"(?<![\w.>])(\w+)\s*\(", line):
                if word in BANNED and not (relaxed and word in RELAXED_WORDS):
                    self.say(path, number, f"{word}: {BANNED[word]}")
                if word in MEMORY and not relaxed and name not in MEMORY_HOME and name.startswith("src/"):
                    self.say(path, number, f"{word}: use the functions of base/memory.h")

    def check_functions(self, path, lines):
        """A function's body begins with a line of "{" alone and ends with one of "}" alone."""
        begin = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                begin = number
            elif line == "}" and begin is not None:
                length = number - begin + 1
                head = lines[max(0, begin - 8):begin]
                if length > FUNCTION_LINES_MAX and not any("tidy:" in above for above in head):
                    self.say(path, begin, f"a function of {length} lines, at most {FUNCTION_LINES_MAX}")
                begin = None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    tidy = Tidy(root)
    problems = tidy.run()
    print("\n".join(problems) or f"tidy: {tidy.files} files")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
