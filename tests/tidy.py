#!/usr/bin/env python3
"""The rules of the source tree that no compiler checks; run by `./run test` and `./run lint`.

Each rule is a function of (path, text) that yields (line, complaint). The rules are tried on bad
snippets first, so that a rule that catches nothing fails the run.
"""

import collections.abc
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
Complaints = collections.abc.Iterator[tuple[int, str]]

# Which layers a layer may include. bpf/ holds the maps' layout that C++ shares with the program.
LAYERS = {
    "dataplane/wire": {"dataplane/wire"},
    "dataplane/core": {"dataplane/wire", "dataplane/core"},
    "dataplane/io": {"dataplane/wire", "dataplane/core", "dataplane/io", "bpf"},
    "dataplane/host": {"dataplane/wire", "dataplane/core", "dataplane/host"},
    "dataplane/splice": {"dataplane/wire", "dataplane/core", "dataplane/host", "dataplane/splice"},
    "dataplane/shard": {"dataplane/wire", "dataplane/core", "dataplane/io", "dataplane/host",
                        "dataplane/splice", "dataplane/shard"},
    "control": {"dataplane/wire", "dataplane/core", "dataplane/io", "dataplane/shard", "control",
                "bpf"},
}
PURE = ("dataplane/wire", "dataplane/core")
IMPURE_INCLUDE = re.compile(
    r"sys/|unistd|fcntl|poll|netdb|signal|time\.h|ctime|chrono|random|thread|mutex|"
    r"condition_variable|future|semaphore|iostream|fstream|filesystem|bpf/|xdp/|linux/|net/|"
    r"netinet/|arpa/|rte_|spdlog|fmt/|yaml-cpp|nlohmann|netlink")
IMPURE_CALL = re.compile(r"(?<![\w.>:])(rand|srand|time|clock|clock_gettime|getenv)\s*\(")
RING_HOMES = ("dataplane/io/chunk_ring.", "dataplane/shard/mailbox.")
FILE_LIMITS = {".cpp": 500, ".hpp": 300, ".c": 500, ".h": 300}
FUNCTION_LIMIT = 70
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|GTEST_SKIP|DISABLED_\w*)\b")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
CODE = (".cpp", ".hpp", ".c", ".h")


def includes(text: str) -> collections.abc.Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1]


def layer_of(path: str) -> str | None:
    return next((layer for layer in (*LAYERS, "bpf") if path.startswith(layer + "/")), None)


def check_layering(path: str, text: str) -> Complaints:
    own = layer_of(path)
    for number, name in includes(text):
        other = layer_of(name)
        if own in LAYERS and other and other not in LAYERS[own]:
            yield number, f"{own} may not include {other}"
        if own and name.startswith(("tests/", "perf/", "../")):
            yield number, f"{own} may not include {name}"


def check_purity(path: str, text: str) -> Complaints:
    if not path.startswith(PURE):
        return
    for number, name in includes(text):
        if IMPURE_INCLUDE.match(name):
            yield number, f"<{name}> in a layer without syscalls, clocks, threads or randomness"
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        if match := IMPURE_CALL.search(line):
            yield number, f"{match[1]}() in a layer without syscalls, clocks or randomness"


def check_ring_homes(path: str, text: str) -> Complaints:
    for number, name in includes(text):
        if name.startswith("rte_") and not path.startswith(RING_HOMES):
            yield number, "rte_ring is wrapped by io/chunk_ring and shard/mailbox; use those"


def check_file_length(path: str, text: str) -> Complaints:
    limit = FILE_LIMITS.get(pathlib.PurePath(path).suffix)
    lines = len(text.splitlines())
    if limit and lines > limit and not path.startswith("tests/"):
        yield lines, f"{lines} lines; {limit} are allowed"


def check_unfinished(_path: str, text: str) -> Complaints:
    for number, line in enumerate(text.splitlines(), 1):
        if match := UNFINISHED.search(line):
            yield number, f"{match[1]} is left"


def without_comments(text: str) -> str:
    """Blanks comments, strings and character literals, keeps the line structure."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
        re.DOTALL)
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


TYPE_HEAD = re.compile(r"^(template\s*<.*>\s*)?(typedef\s+)?"
                       r"(class|struct|union|enum|namespace|extern|inline namespace)\b[^(]*$",
                       re.DOTALL)


def opens_function(head: str) -> bool:
    """Whether the text before a brace is the head of a function, not of a type or value."""
    head = re.sub(r"\b(public|private|protected)\s*:(?!:)", "", head)
    head = re.sub(r"\balignas\([^)]*\)|__attribute__\(\(.*?\)\)", "", head).strip()
    return "(" in head and not head.endswith("=") and not TYPE_HEAD.match(head)


def functions(text: str) -> collections.abc.Iterator[tuple[int, int]]:
    """(first line, number of lines) of each outermost function, its head included.

    Relies on clang-format: a body's brace has a space before it, a member initialiser's has none.
    """
    code = re.sub(r"^\s*#(?:.*\\\n)*.*$", lambda m: re.sub(r"[^\n]", " ", m[0]),
                  without_comments(text), flags=re.MULTILINE)
    head_start, depth = 0, 0
    opened_at, outer_depth = 0, None  # of the function or initialiser that the position is in
    for position, character in enumerate(code):
        if character == "{":
            head = code[head_start:position]
            if outer_depth is None and head and not head[-1].isspace():
                opened_at, outer_depth = None, depth
            elif outer_depth is None and opens_function(head):
                start = head_start + len(head) - len(head.lstrip())
                opened_at, outer_depth = code.count("\n", 0, start) + 1, depth
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == outer_depth:
                outer_depth = None
                if opened_at is None:
                    continue  # an initialiser is part of the head that it is in
                yield opened_at, code.count("\n", 0, position) + 2 - opened_at
        if character in "{};" and outer_depth is None:
            head_start = position + 1


def check_function_length(path: str, text: str) -> Complaints:
    if pathlib.PurePath(path).suffix not in CODE:
        return
    for line, length in functions(text):
        if length > FUNCTION_LIMIT:
            yield line, f"function of {length} lines; {FUNCTION_LIMIT} are allowed"


RULES = (check_layering, check_purity, check_ring_homes, check_file_length, check_unfinished,
         check_function_length)

LONG_FUNCTION = "int f() {\n" + "    g();\n" * 70 + "}\n"
SELF_TESTS = (  # rule, path, text, whether the rule must complain
    (check_layering, "dataplane/wire/a.hpp", '#include "dataplane/core/chunk.hpp"\n', True),
    (check_layering, "dataplane/core/a.hpp", '#include "dataplane/io/frame_port.hpp"\n', True),
    (check_layering, "dataplane/io/a.cpp", '#include "dataplane/shard/shard.hpp"\n', True),
    (check_layering, "dataplane/host/a.cpp", '#include "dataplane/io/frame_port.hpp"\n', True),
    (check_layering, "dataplane/splice/a.cpp", '#include "dataplane/io/frame_port.hpp"\n', True),
    (check_layering, "control/a.cpp", '#include "dataplane/host/poller.hpp"\n', True),
    (check_layering, "control/a.cpp", '#include "tests/support/fake_port.hpp"\n', True),
    (check_layering, "control/a.cpp", '#include "dataplane/shard/shard.hpp"\n', False),
    (check_layering, "tests/core/a.cpp", '#include "dataplane/io/frame_port.hpp"\n', False),
    (check_purity, "dataplane/core/a.cpp", "#include <sys/socket.h>\n", True),
    (check_purity, "dataplane/core/a.cpp", "#  include <chrono>\n", True),
    (check_purity, "dataplane/wire/a.cpp", "int x = time(nullptr);\n", True),
    (check_purity, "dataplane/wire/a.cpp", "// time(x)\nint y = flow.time(2);\n", False),
    (check_purity, "dataplane/shard/a.cpp", "#include <thread>\n", False),
    (check_ring_homes, "dataplane/shard/shard.cpp", "#include <rte_ring.h>\n", True),
    (check_ring_homes, "dataplane/shard/mailbox.cpp", "#include <rte_ring.h>\n", False),
    (check_file_length, "dataplane/core/a.hpp", "\n" * 301, True),
    (check_file_length, "control/a.cpp", "\n" * 501, True),
    (check_file_length, "control/a.cpp", "\n" * 500, False),
    (check_unfinished, "run", "# TO" "DO: later\n", True),
    (check_unfinished, "tests/a.cpp", "GTEST_" "SKIP();\n", True),
    (check_unfinished, "tests/a.cpp", "TEST(A, DISABLED" "_b) {}\n", True),
    (check_function_length, "control/a.cpp", LONG_FUNCTION, True),
    (check_function_length, "control/a.cpp", f"namespace a {{\n{LONG_FUNCTION}}}\n", True),
    (check_function_length, "control/a.cpp",
     "class A : public B {\n  public:\n" + LONG_FUNCTION.replace("f()", "f() const override") +
     "};\n", True),
    (check_function_length, "control/a.cpp",
     LONG_FUNCTION.replace("int f() {", "A::A(int b)\n    : b_(b), c_{1} {"), True),
    (check_function_length, "control/a.cpp",
     LONG_FUNCTION.replace("g();", 'g("}", \'}\', 1\'000);  // }'), True),
    (check_function_length, "control/a.cpp", LONG_FUNCTION.replace("    g();\n", "", 1), True),
    (check_function_length, "control/a.cpp", LONG_FUNCTION.replace("    g();\n", "", 2), False),
    (check_function_length, "control/a.cpp",
     "namespace a {\n" + "int f() {\n    g();\n}\n" * 40 + "}\n", False),
    (check_function_length, "control/a.cpp", "struct A {\n" + "    int a;\n" * 90 + "};\n", False),
    (check_function_length, "control/a.cpp",
     "#define F(X) \\\n" + "    X(a) \\\n" * 90 + "    X(b)\n\nstruct A {\n    int a;\n};\n", False),
)


def self_test() -> list[str]:
    return [f"tests/tidy.py: {rule.__name__} {'misses' if wanted else 'complains about'} {text!r}"
            for rule, path, text, wanted in SELF_TESTS if any(rule(path, text)) != wanted]


def source_files() -> collections.abc.Iterator[pathlib.Path]:
    for top in ("dataplane", "control", "bpf", "tests", "perf", "configs"):
        yield from sorted(path for path in (ROOT / top).rglob("*")
                          if path.is_file() and "__pycache__" not in path.parts)
    yield from (ROOT / name for name in ("run", "CMakeLists.txt"))


def main() -> int:
    complaints = self_test()
    for path in source_files():
        name = path.relative_to(ROOT).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary, such as a fuzzing corpus
        if path == pathlib.Path(__file__).resolve():
            continue  # names what it forbids
        complaints += [f"{name}:{line}: {complaint}" for rule in RULES
                       for line, complaint in rule(name, text)]
    print("\n".join(complaints) if complaints else "tidy")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
