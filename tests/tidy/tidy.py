#!/usr/bin/env python3
"""Checks the rules that a machine can check: includes, floors, banned calls, the dialect of C, documented headers, numbers of decisions, leftovers.

tidy.py <source folder>: prints one line per finding; exit code 1 if there are any.
tidy.py --self-test: breaks each rule once in a small tree and wants each to be noticed.
"""

import pathlib
import re
import sys
import tempfile

ROOMS = ["base", "json", "model", "plugin", "wire", "link", "exchange"]
# The files of core/exchange, each above those before it: it calls only what is below it (core/README.md).
FLOORS = """decide upward account agenda facts offers assignment names interest payloads partial work delivery newest sink lifetimes incoming packing channel assign recall choose
    decline settle tag emit receive path hear sessions budget peer pass walk contract queue inspect balance exchange""".split()
C_FOLDERS = ["include", "core", "runtime", "transports", "codecs", "tools", "examples", "bench", "conformance",
             "tests"]
# What core/ may take from the C library: nothing that waits, asks the system or keeps state of its own.
CORE_SYSTEM = {"fenv.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdarg.h", "stdatomic.h",
               "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"}
# The one place of core/ that may include this header.
CORE_EXCEPTIONS = {"xxhash.h": "core/wire/hash.c", "immintrin.h": "core/wire/", "xmmintrin.h": "core/json/mode.c"}
HOST_LIBRARIES = {"uv.h"}
BANNED_EVERYWHERE = "strcpy strcat sprintf vsprintf gets strtok atoi"
BANNED_IN_CORE = ("printf fprintf vprintf vfprintf puts fputs putchar perror fopen getenv setenv rand srand random "
                  "time clock clock_gettime gettimeofday localtime gmtime strftime sleep usleep nanosleep "
                  "socket connect accept bind listen poll select fork exit system strdup strndup asprintf "
                  "setlocale strerror")
MEMORY = "malloc calloc realloc free aligned_alloc"
# The dialect of C, as far as clang-format does not hold it: folders, pattern in the code, what to write instead.
COLUMNS_MAX = 100
PRODUCT = ("core", "runtime", "transports", "codecs", "tools", "examples")
STATUS = r"(?:\w+(?:->|\.))*\bstatus\b"
DIALECT = [
    (C_FOLDERS, r"\bsizeof\b(?!\()", "write sizeof(x)"),
    (PRODUCT, r"[!=]=\s*HAKUBAN_OK\b", "a failure is status < 0, a success status >= 0; the one exception is HAKUBAN_OK_FULL"),
    (PRODUCT, rf"\b(?:if|while)\s*\(\s*{STATUS}\s*\)|!\s*{STATUS}|(?:\(|,|&&|\|\||(?<![=!<>])=)\s*{STATUS}\s*(?:&&|\|\||\?)"
              rf"|(?:&&|\|\|)\s*{STATUS}\s*[;)]", "compare the status with 0: a positive one is a success"),
]
BANNER = re.compile(r"/\* -- [^-\s].* -- \*/")
LEFTOVERS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
# Where programs are not spoken of as persons.
PLAIN_FOLDERS = ["include", "core", "docs", "bench", "tests", "runtime", "transports", "tools", "examples", "conformance", "codecs", "man", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PERSONS = re.compile(r"\b([Ww]ho|[Ww]hoever|[Ww]hom|[Ss]omebody|[Nn]obody|[Aa]nybody|[Ee]verybody|[Hh]imself|[Hh]e|[Hh]is|[Hh]im)\b")
TEXT_SUFFIXES = {".c", ".h", ".in", ".py", ".sh", ".cmake", ".txt", ".md", ".json"}


def strip(text, keep):
    """Blanks comments (keep="code") or everything but comments (keep="comments"); offsets stay as they are."""
    out = []
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    at = 0
    for match in pattern.finditer(text):
        token, between = match.group(), text[at:match.start()]
        comment = token.startswith("/")
        blank = re.sub(r"[^\n]", " ", token)
        if keep == "code":
            out += [between, blank if comment else token[0] + blank[2:] + token[0]]
        else:
            out += [re.sub(r"[^\n]", " ", between), token if comment else blank]
        at = match.end()
    rest = text[at:]
    out.append(rest if keep == "code" else re.sub(r"[^\n]", " ", rest))
    return "".join(out)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Tidy:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.findings = []
        status = self.root / "include/hakuban/status.h"
        names = re.findall(r"\bHAKUBAN_(\w+) = -?\d+", status.read_text()) if status.exists() else []
        self.status_names = set(names)

    def find(self, path, line, text):
        self.findings.append(f"{path}:{line}: {text}")

    def run(self):
        sources = []
        for folder in C_FOLDERS:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix in (".c", ".h") and path.is_file():
                    sources.append(path.relative_to(self.root))
        for path in sources:
            text = (self.root / path).read_text(encoding="utf-8")
            code = strip(text, "code")
            if not text.startswith("/*"):
                self.find(path, 1, "a file opens with a comment: what it is for, what it must not know")
            self.includes(path, text)
            self.calls(path, code)
            self.dialect(path, text, code)
            self.status_in_comments(path, strip(text, "comments"))
            if path.parts[0] == "include":
                self.documentation(path, text, code)
        self.unique_names(sources)
        self.floors([path for path in sources if path.parts[:2] == ("core", "exchange")])
        self.decisions()
        self.leftovers()
        self.words()
        return self.findings

    # ---- includes

    def includes(self, path, text):
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', text, re.M):
            why = self.include_problem(path, match.group(1) == '"', match.group(2))
            if why:
                self.find(path, line_of(text, match.start()), f"includes {match.group(2)}: {why}")

    def include_problem(self, path, quoted, name):
        place, own = path.parts[0], path.parts[1] if len(path.parts) > 2 else ""
        top = name.split("/")[0]
        if not quoted and top == "hakuban":
            if not (self.root / "include" / name).exists():
                return "there is no such public header"
            return None
        if place == "core":
            if quoted:
                if top not in ROOMS or "/" not in name:
                    return 'core includes "room/file.h" and public headers only'
                if ROOMS.index(top) > ROOMS.index(own):
                    return f"{own} stands left of {top}: " + " < ".join(ROOMS)
            elif name in CORE_EXCEPTIONS:
                if not str(path).startswith(CORE_EXCEPTIONS[name]):
                    return f"only {CORE_EXCEPTIONS[name]} may"
            elif name not in CORE_SYSTEM:
                return "core does no I/O, takes no lock and reads no clock"
        elif place in ("transports", "codecs"):
            # What a transport shares with others is in transports/common and /stream, which know none of them.
            shared = (place == "transports" and top in ("common", "stream") and
                      (own, top) != ("common", "stream") and (self.root / place / name).exists())
            if quoted and not shared and (top == ".." or not (self.root / path.parent / name).exists()):
                if not (str(path.parent) in ("codecs/json", "codecs/msgpack") and
                        (name == "json/json.h" or top == "base")):
                    return "a plugin includes <hakuban/...>, system headers and its own"
            if not quoted and name in HOST_LIBRARIES:
                return "a plugin knows no event loop"
        elif place in ("tools", "examples"):
            if quoted and not any((self.root / folder / name).exists()
                                  for folder in (path.parent, "tools")):
                return "programs include public headers and their own"
            if not quoted and name in HOST_LIBRARIES:
                return "programs use the public headers"
        elif place == "include" and quoted:
            target = (self.root / path.parent / name).resolve()
            if not target.is_file() or (self.root / "include").resolve() not in target.parents:
                return "a public header includes public headers only"
        return None

    # ---- floors

    def floors(self, paths):
        """Of core/exchange: nothing that a file defines is named in a file below it."""
        definition = re.compile(r"^(?!static\b)\w[^;{}()=]*?\b(hkb_\w+)\s*(?:\([^;{}]*\)\s*\{|=)", re.M)
        codes = {}
        for path in paths:
            if path.suffix == ".c" and path.stem not in FLOORS:
                self.find(path, 1, "stands on no floor: give it one in tests/tidy/tidy.py")
            elif path.stem in FLOORS:
                codes[path] = strip((self.root / path).read_text(encoding="utf-8"), "code")
        floor_of = {}
        for path, code in codes.items():
            if path.suffix == ".c":
                floor_of.update((name, path.stem) for name in definition.findall(code))
        for path, code in codes.items():
            for match in re.finditer(r"(?<![\w.>])hkb_\w+", code) if path.suffix == ".c" else []:
                above = floor_of.get(match.group())
                if above and FLOORS.index(above) > FLOORS.index(path.stem):
                    self.find(path, line_of(code, match.start()), f"{match.group()} is of {above}.c, a floor above")
            for match in re.finditer(r'#include "exchange/(\w+)\.h"', (self.root / path).read_text(encoding="utf-8")):
                above = match.group(1)
                if above != "exchange" and above in FLOORS and FLOORS.index(above) > FLOORS.index(path.stem):
                    self.find(path, 1, f"includes {above}.h, a floor above")
            for match in re.finditer(r"&?[\w.>-]+assigned\b(?:\.\w+)?\s*(=(?!=)|[+|-]=|\+\+|--)?", code):
                if path.stem != "assignment" and match.group(1):
                    self.find(path, line_of(code, match.start()), "assignment.c is the only writer of an assignment")

    # ---- calls

    def calls(self, path, code):
        self.banned(path, code, BANNED_EVERYWHERE, "never safe enough")
        if path.parts[0] == "core":
            self.banned(path, code, BANNED_IN_CORE, "not in core")
            self.banned(path, code, r"pthread_\w+ mtx_\w+ thrd_\w+", "no thread and no lock in core")
            if str(path) != "core/base/alloc.c":
                self.banned(path, code, MEMORY, "only core/base/alloc.c; use hkb_alloc()")

    def banned(self, path, code, names, why):
        pattern = r"(?<![\w.>])(" + "|".join(names.split()) + r")\s*\("
        for match in re.finditer(pattern, code):
            self.find(path, line_of(code, match.start()), f"{match.group(1)}(): {why}")

    # ---- the dialect of C

    def dialect(self, path, text, code):
        for folders, pattern, instead in DIALECT:
            if path.parts[0] in folders:
                for match in re.finditer(pattern, code):
                    self.find(path, line_of(code, match.start()), f"{' '.join(match.group().split())}: {instead}")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > COLUMNS_MAX:
                self.find(path, number, f"{len(line)} columns: {COLUMNS_MAX} at most")
            if re.match(r"\s*/[/*]+ ?[-=*#~_]{2}(?![\w/])", line) and not BANNER.fullmatch(line):
                self.find(path, number, "a banner is /* -- Name -- */, from the first column on")

    # ---- public headers

    def documentation(self, path, text, code):
        thread_for_all = re.search(r"@thread.*so for all below", text) is not None
        groups = []  # (offset of the first declaration, names)
        end_of_last = 0
        for match in re.finditer(r"\bHAKUBAN_API\b([^;{]*);", code):
            if code.rfind("\n", 0, match.start()) + 1 <= code.rfind("#define", 0, match.start()):
                continue
            name = re.search(r"\b(\w+)\s*\(", match.group(1).replace("HAKUBAN_NODISCARD", ""))
            between = text[end_of_last:match.start()]
            if groups and end_of_last and between.strip() == "" and between.count("\n") < 2:
                groups[-1][1].append(name.group(1) if name else "?")
            else:
                groups.append((match.start(), [name.group(1) if name else "?"]))
            end_of_last = match.end()
        for offset, names in groups:
            line = line_of(text, offset)
            above = re.search(r"/\*((?:(?!\*/).)*)\*/\s*\Z", text[:offset], re.S)
            if not above:
                self.find(path, line, f"{names[0]}() has no comment")
                continue
            comment = above.group(1)
            if not comment.startswith("*"):
                # One line of prose may stand above a group of twins.
                if len(names) < 2:
                    self.find(path, line, f"{names[0]}() has no /** comment")
                continue
            if "@since" not in comment:
                self.find(path, line, f"{names[0]}() has no @since")
            if "@thread" not in comment and not thread_for_all:
                self.find(path, line, f"{names[0]}() has no @thread")
        for _, names in groups:
            for name in names:
                if not name.startswith("hakuban_"):
                    self.find(path, 1, f"{name}() is public but not hakuban_...")

    def status_in_comments(self, path, comments):
        for match in re.finditer(r"\b(?:HAKUBAN_)?(ERR_[A-Z][A-Z_]*[A-Z])\b(?!\w)", comments):
            if match.group(1) not in self.status_names:
                self.find(path, line_of(comments, match.start()),
                          f"{match.group()} is not in status.h")

    # ---- files

    def unique_names(self, sources):
        seen = {}
        for path in sources:
            if path.suffix != ".c" or path.name == "main.c":
                continue
            if path.parts[0] not in ("core", "runtime", "transports", "codecs", "tools"):
                continue
            if path.name in seen:
                self.find(path, 1, f"has the name of {seen[path.name]}")
            seen[path.name] = path

    def decisions(self):
        seen = {}
        for path in sorted((self.root / "docs/adr").glob("*.md")):
            relative = path.relative_to(self.root)
            number = int(path.name[:4]) if re.match(r"\d{4}-", path.name) else None
            if number is None or not path.read_text(encoding="utf-8").startswith(f"# {number}. "):
                self.find(relative, 1, "a decision is docs/adr/NNNN-name.md and opens with '# N. '")
            elif number in seen:
                self.find(relative, 1, f"has the number of {seen[number]}")
            seen.setdefault(number, relative)

    # ---- words

    def words(self):
        """Programs are no persons: the subject of a sentence is a noun of the glossary (README, "The words")."""
        for folder in PLAIN_FOLDERS:
            place = self.root / folder
            for path in sorted(place.rglob("*") if place.is_dir() else [place]):
                if not path.is_file() or path.suffix not in (".c", ".h", ".md", ".1"):
                    continue
                text = path.read_text(encoding="utf-8")
                relative = path.relative_to(self.root)
                told = strip(text, "comments") if path.suffix in (".c", ".h") else text
                for match in PERSONS.finditer(told):
                    self.find(relative, line_of(told, match.start()), f"{match.group()}: name the exchange, peer, observer …")
        for path in sorted((self.root / "tests").rglob("*.c")):
            text = path.read_text(encoding="utf-8")
            for match in re.finditer(r"\bSTART_TEST\((\w+)\)", text):
                if PERSONS.search(match.group(1).replace("_", " ")):
                    self.find(path.relative_to(self.root), line_of(text, match.start()),
                              f"{match.group(1)}: a test's name speaks of exchanges, peers, observers …")

    def leftovers(self):
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if relative.parts[0] in ("build", ".git") or "corpus" in relative.parts:
                continue
            if path.suffix not in TEXT_SUFFIXES or not path.is_file():
                continue
            for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
                match = LEFTOVERS.search(line)
                if match:
                    self.find(relative, number, f"{match.group()}: finish it, or write an issue")


def self_test():
    doc = "/**\n * Does it.\n *\n * @thread any\n * @since 0.1\n */\n"
    status = ('/* x */\ntypedef enum hakuban_status {\n    HAKUBAN_OK = 0,\n    HAKUBAN_ERR_URL = -4,\n} hakuban_status;\n'
              + doc + "HAKUBAN_API int hakuban_good(void);\nHAKUBAN_API int hakuban_twin(void);\n")
    # path, content, what a finding must say (None: nothing may be found)
    cases = [
        ("core/base/a.c", '/* x */\n#include "base/b.h"\n#include <string.h>\n', None),
        ("core/base/a.c", '/* x */\n#include "wire/b.h"\n', "base stands left of wire"),
        ("core/base/a.c", "/* x */\n#include <uv.h>\n", "core does no I/O"),
        ("core/base/a.c", "/* x */\n#include <time.h>\n", "core does no I/O"),
        ("core/base/a.c", "/* x */\n#include <xxhash.h>\n", "only core/wire/hash.c may"),
        ("core/link/a.c", '/* x */\n#include "runtime/b.h"\n', "core includes"),
        ("transports/tcp/a.c", '/* x */\n#include "base/base.h"\n', "a plugin includes"),
        ("transports/tcp/a.c", "/* x */\n#include <uv.h>\n", "no event loop"),
        ("transports/tcp/a.c", '/* x */\n#include "../zmq/b.h"\n', "a plugin includes"),
        ("transports/common/a.c", '/* x */\n#include "common/a.c"\n', None),
        ("transports/stream/a.c", '/* x */\n#include "stream/a.c"\n', None),
        ("transports/common/a.c", '/* x */\n#include "stream/a.c"\n', "a plugin includes"),
        ("codecs/json/a.c", '/* x */\n#include "common/a.c"\n', "a plugin includes"),
        ("codecs/json/a.c", '/* x */\n#include "json/json.h"\n', None),
        ("codecs/json/a.c", '/* x */\n#include "wire/delta.h"\n', "a plugin includes"),
        ("codecs/msgpack/a.c", '/* x */\n#include "json/json.h"\n', None),
        ("codecs/zstd/a.c", '/* x */\n#include "json/json.h"\n', "a plugin includes"),
        ("tools/hakuban/main.c", '/* x */\n#include "base/base.h"\n', "programs include"),
        ("examples/a.c", "/* x */\n#include <hakuban/none.h>\n", "no such public header"),
        ("core/base/a.c", "/* x */\nvoid f(void) { free(p); }\n", "only core/base/alloc.c"),
        ("core/base/alloc.c", "/* x */\nvoid f(void) { free(p); }\n", None),
        ("core/base/a.c", "/* free(p) */\nvoid f(void) { t->free(p); t.free(p); }\n", None),
        ("core/base/a.c", '/* x */\nvoid f(void) { g("printf(");\n snprintf(b, 1, "x"); }\n', None),
        ("core/base/a.c", "/* x */\nvoid f(void) { printf(p); }\n", "printf(): not in core"),
        ("core/base/a.c", "/* x */\nvoid f(void) { pthread_create(p); }\n", "no thread"),
        ("runtime/a.c", "/* x */\nvoid f(void) { strcpy(p, q); }\n", "strcpy(): never"),
        ("runtime/a.c", "/* ERR_NEVER comes */\n", "ERR_NEVER is not in status.h"),
        ("runtime/a.c", "/* HAKUBAN_ERR_URL comes, ERR_URL too */\n", None),
        ("runtime/a.c", "int x;\n", "opens with a comment"),
        ("runtime/a.c", "/* x */\nint x = sizeof y;\n", "write sizeof(x)"),
        ("tests/a.c", "/* x */\nint x = sizeof (y);\n", "write sizeof(x)"),
        ("core/base/a.c", '/* sizeof this */\nint x = sizeof(y), z = f("sizeof x");\n', None),
        ("core/base/a.c", "/* x */\nvoid f(void) { if (g() !=\n HAKUBAN_OK) { h(); } }\n", "a.c:2: != HAKUBAN_OK: a failure"),
        ("codecs/x/a.c", "/* x */\nvoid f(void) { if (status == HAKUBAN_OK) { h(); } }\n", "a failure is status < 0"),
        ("tests/a.c", "/* x */\nvoid f(void) { ck_assert(status == HAKUBAN_OK); }\n", None),
        ("tools/a.c", "/* x */\nvoid f(void) { if (status == HAKUBAN_OK_FULL) { h(); } }\n", None),
        ("runtime/a.c", "/* x */\nvoid f(void) { if (status) { h(); } }\n", "compare the status with 0"),
        ("runtime/a.c", "/* x */\nvoid f(void) { while (!a->status) { h(); } }\n", "compare the status with 0"),
        ("runtime/a.c", "/* x */\nvoid f(void) { g(a && error.status); }\n", "compare the status with 0"),
        ("runtime/a.c", "/* x */\nvoid f(void) { x = status ? 1 : 0; }\n", "compare the status with 0"),
        ("runtime/a.c", "/* x */\nvoid f(void) { g(status); if (x == status && status < 0) { h(status); } }\n", None),
        ("core/base/a.c", "/* x */\n/* ---- Name ---- */\n", "a.c:2: a banner is"),
        ("core/base/a.c", "/* x */\n/* === Name === */\n", "a banner is"),
        ("core/base/a.c", "/* x */\n/* -- -- */\n", "a banner is"),
        ("core/base/a.c", "/* x */\n/* -- Name --\n * more */\n", "a banner is"),
        ("core/base/a.c", "/* x */\n/* -- Name -- */\n/* --for has passed */\n/** x */\n/***/\n", None),
        ("core/base/a.c", "/* " + "ä" * 94 + " */\n", None),
        ("core/base/a.c", "/* " + "x" * 95 + " */\n", "101 columns: 100 at most"),
        ("runtime/a.c", "/* " + "TO" + "DO */\n", "finish it"),
        ("examples/a.c", "/* for whoever reads */\n", "whoever: name the exchange"),
        ("examples/a.c", '/* x */\nchar who[] = "who";\n', None),
        ("man/a.1", "Nobody is told.\n", "Nobody: name the exchange"),
        ("tests/a.c", "/* x */\nSTART_TEST(who_leaves_is_told)\n", "who_leaves_is_told: a test's name"),
        ("tests/a.c", "/* x */\nSTART_TEST(whole_states_come)\n", None),
        ("include/hakuban/x.h", "/* x */\nHAKUBAN_API int hakuban_x(void);\n", "has no /** comment"),
        ("include/hakuban/x.h", "/* x */\nint y;\nHAKUBAN_API int hakuban_x(void);\n", "no comment"),
        ("include/hakuban/x.h", "/* x */\n" + doc.replace("@since", "from")
         + "HAKUBAN_API int hakuban_x(void);\n", "no @since"),
        ("include/hakuban/x.h", "/* x */\n" + doc.replace("@thread", "in")
         + "HAKUBAN_API int hakuban_x(void);\n", "no @thread"),
        ("include/hakuban/x.h", "/* x */\n" + doc + "HAKUBAN_API int other_x(void);\n", "not hakuban_"),
        ("include/hakuban/x.h", '/* x */\n#include "../../core/base/base.h"\n', "public headers only"),
    ]
    failed = 0
    for path, content, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in (("include/hakuban/status.h", status), (path, content)):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            findings = Tidy(root).run()
            good = not findings if expected is None else any(expected in f for f in findings)
            if not good:
                failed += 1
                print(f"{path} {content!r}: wanted {expected!r}, got {findings}")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("core/base/same.c", "core/json/same.c", "include/hakuban/status.h"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("/* x */\n")
        if not any("has the name of" in f for f in Tidy(root).run()):
            failed += 1
            print("two files of one name were not noticed")
    above = "/* x */\nvoid hkb_object_settle(hkb_object *object)\n{\n}\n"
    constant = "/* x */\nconst hkb_events hkb_object_settle = {0};\n"
    below = "/* x */\nvoid hkb_object_mark(void)\n{\n    %s\n}\n"
    for files, expected in (
        ({"settle": above, "agenda": below % "hkb_object_settle(object);"}, "is of settle.c, a floor above"),
        ({"settle": above, "agenda": below % "f(hkb_object_settle);"}, "is of settle.c, a floor above"),
        ({"settle": constant, "agenda": below % "f(&hkb_object_settle);"}, "is of settle.c, a floor above"),
        ({"settle": "static " + above[8:], "agenda": below % "x.hkb_object_settle = 1; /* hkb_object_settle */"}, None),
        ({"agenda": above, "settle": below % "hkb_object_settle(object);"}, None),
        ({"agenda": '/* x */\n#include "exchange/settle.h"\n'}, "includes settle.h, a floor above"),
        ({"agenda": '/* x */\n#include "exchange/records.h"\n#include "exchange/exchange.h"\n'}, None),
        ({"cellar": "/* x */\n"}, "stands on no floor"),
        ({"settle": below % "object->assigned.sink = NULL;"}, "the only writer"),
        ({"settle": below % "if (share->object->assigned.to == HKB_LOCAL) {}"}, None),
        ({"assignment": below % "object->assigned.sink = NULL;"}, None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / "core/exchange").mkdir(parents=True, exist_ok=True)
                (root / f"core/exchange/{name}.c").write_text(text if text.startswith("/*") else "/* x */\n" + text)
            findings = Tidy(root).run()
            if bool(findings) != bool(expected) or not all(expected in finding for finding in findings):
                failed += 1
                print(f"floors {files!r}: wanted {expected!r}, got {findings}")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("docs/adr/0001-a.md", "docs/adr/0001-b.md", "docs/adr/0002-c.md"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("# 1. X\n")
        findings = "\n".join(Tidy(root).run())
        if "has the number of" not in findings or "0002-c.md:1: a decision is" not in findings:
            failed += 1
            print("two decisions of one number, or one that opens with another's, were not noticed")
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    findings = Tidy(sys.argv[1]).run()
    print("\n".join(findings))
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
