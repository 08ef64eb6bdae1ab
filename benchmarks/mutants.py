"""Random mutants of the rooms coco, decoding, samples and inference: which do the quick tests kill?

    pip install cosmic-ray
    python -m benchmarks.mutants FOLDER --count 360 --seed 18

cosmic-ray's operators make the mutants: a place of the code is drawn, each as likely, then one of
the changes that are possible there. Left out are annotations of types, decorators, and what is no
Python. A mutant is put into a copy of the working tree, and the tests that call the mutated
function run, the fastest first, until one fails or the time is over (both: killed); where none
does, those that call anything of its file, as they do for compiled functions.

FOLDER keeps mutants.jsonl, made once, and results.jsonl. The same command again tries the survivors
again, with the tests as they are then; `--tests` names others than those of the four rooms.
"""

import argparse
import ast
import collections
import contextlib
import difflib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import pytest
from numba.core.caching import _CacheLocator
from numba.core.registry import CPUDispatcher

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("coco", "decoding", "samples", "inference")
ROOMS = tuple(f"stages/openpose/{name}/" for name in NAMES)
# what takes seconds to import is imported once, before the processes of the mutants fork
SLOW_TO_IMPORT = ("keras", "h5py", "hypothesis", "matplotlib", "pandas", "PIL.Image", "pycocotools")
# no plugin but hypothesis's: to look for others takes as long as many a test
OPTIONS = ("-m", "not slow", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin",
           "--hypothesis-profile", "ci")  # fmt: skip
LEFT_OUT = ("RemoveDecorator", "VariableInserter", "VariableReplacer")
# a mutant that takes longer hangs; processor time, so that a busy machine kills none
LIMIT_CPU_S, LIMIT_S = 200, 600


def draw(count: int, seed: int) -> list[dict]:
    """Mutants: id, file, line, function (its first line, 0 outside), operator, diff, text."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    names = [name for name in operator_names() if name.split("/")[1] not in LEFT_OUT]
    operators = {name: get_operator(name)() for name in names}
    files = {
        str(path.relative_to(ROOT)): path.read_text()
        for room in ROOMS
        for path in sorted((ROOT / room).glob("*.py"))
    }
    ways = collections.defaultdict(list)
    for file, text in files.items():
        for place, name, occurrence in changes(text, operators):
            ways[file, place].append((name, occurrence))
    rng = random.Random(seed)
    mutants = []
    for file, place in rng.sample(sorted(ways), len(ways)):
        name, occurrence = rng.choice(ways[file, place])
        mutant = mutate_code(files[file], operators[name], occurrence)
        if mutant != files[file] and is_python(mutant):
            lines = [text.splitlines(keepends=True) for text in (files[file], mutant)]
            mutants.append(
                {
                    "id": len(mutants),
                    "file": file,
                    "line": place[0][0],
                    "function": function_of(files[file], place[0][0]),
                    "operator": name,
                    "diff": "".join(list(difflib.unified_diff(*lines, n=2))[3:]),
                    "text": mutant,
                }
            )
        if len(mutants) == count:
            break
    return mutants


def changes(text: str, operators: dict):
    """(place, operator, occurrence) of all changes of a file."""
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast(text)))
    spans = annotations(text)
    for name, operator in operators.items():
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, stop) in enumerate(places):
            if not any(first <= start < last for first, last in spans):
                yield (start, stop), name, occurrence


def annotations(text: str) -> list[tuple]:
    """Where annotations of types begin and end: ((line, column), (line, column))."""
    tree = ast.walk(ast.parse(text))
    found = [getattr(node, field, None) for node in tree for field in ("annotation", "returns")]
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in found
        if node is not None
    ]


def is_python(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def function_of(text: str, line: int) -> int:
    """First line, decorators included, of the innermost function around `line`; 0 where there is
    none, or a compiled one: whom that one calls is not recorded.
    """
    inside = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= node.end_lineno
    ]
    if not inside or any(ast.unparse(one) == "jit" for one in inside[-1].decorator_list):
        return 0
    return min(inside[-1].lineno, *(one.lineno for one in inside[-1].decorator_list), line)


class Recorder:
    """A plugin: which functions of the rooms does each test call, and how long does it take."""

    def __init__(self):
        self.tests = {}
        self.called = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self.called.clear()
        begin = time.perf_counter()
        sys.settrace(self.see)
        yield
        sys.settrace(None)
        seconds = time.perf_counter() - begin
        self.tests[item.nodeid] = {"seconds": seconds, "called": sorted(self.called)}

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.tests.pop(report.nodeid, None)

    def see(self, frame, event, argument):
        self.note(frame.f_code)

    def note(self, code):
        if "stages/openpose/" in code.co_filename and code.co_name != "<module>":
            file = code.co_filename[code.co_filename.index("stages/openpose/") :]
            if file.startswith(ROOMS):
                self.called.add((file, code.co_firstlineno))


def record(tree: Path, tests: list[str], out: Path) -> None:
    """Run `tests` in `tree` and write what the Recorder saw."""
    recorder = Recorder()

    class Seen(CPUDispatcher):
        """A compiled function that tells when Python calls it."""

        def __call__(self, *values, **named):
            recorder.note(self.py_func.__code__)
            tracer = sys.gettrace()
            sys.settrace(None)  # it would make the compiler several times slower
            try:
                return super().__call__(*values, **named)
            finally:
                sys.settrace(tracer)

    enter(tree, tree / ".numba")
    import stages.openpose.compiled as compiled

    plain_jit = compiled.jit

    def jit(function):
        dispatcher = plain_jit(function)
        dispatcher.__class__ = Seen
        return dispatcher

    compiled.jit = jit
    threading.settrace(recorder.see)
    pytest.main([*OPTIONS, *tests], plugins=[recorder])
    passed = {name: test for name, test in recorder.tests.items() if test["called"]}
    out.write_text(json.dumps(passed, indent=0))


class Killer:
    """A plugin: runs `chosen` tests, fastest first, and keeps the name of the first that fails."""

    def __init__(self, chosen: dict):
        self.chosen = chosen
        self.failed = ""

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid in self.chosen]
        items.sort(key=lambda item: self.chosen[item.nodeid])

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid


def attempt(tree: Path, cache: Path, chosen: dict, out: Path) -> None:
    """Run the chosen tests and write the name of the one that failed."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, LIMIT_CPU_S))
    enter(tree, cache)
    killer = Killer(chosen)
    files = sorted({name.split("::")[0] for name in chosen})
    code = pytest.main([*OPTIONS, "-x", *files], plugins=[killer])
    out.write_text(killer.failed or ("" if code == 0 else f"pytest's exit code {int(code)}"))


def enter(tree: Path, cache: Path) -> None:
    """Let this process import and compile what lies in `tree`."""
    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    sys.modules.pop("benchmarks", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(cache)


def forked(function, *arguments, limit_s: float | None = None, log: Path) -> bool:
    """Call the function in a child with its own group of processes; False where it took too
    long.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            log_number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log_number, 1)
            os.dup2(log_number, 2)
            function(*arguments)
            sys.stdout.flush()
        finally:
            os._exit(0)
    end = None if limit_s is None else time.monotonic() + limit_s
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if end is not None and time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return True


def tests_for(mutant: dict, tests: dict) -> dict[str, float]:
    """Seconds of the tests that call the mutated function; where none does (it is compiled, or runs
    at import only), or the place is in no function, of those that call anything of its file.
    """
    file = mutant["file"]
    of_file = {name: test for name, test in tests.items() if file in dict(test["called"])}
    place = [file, mutant["function"]]
    chosen = {name: test for name, test in of_file.items() if place in test["called"]} or of_file
    return {name: test["seconds"] for name, test in chosen.items()}


def try_mutant(mutant: dict, tests: dict, tree: Path, out: Path) -> str:
    """What killed the mutant: a test's name, "time" or "" where it lives."""
    chosen = tests_for(mutant, tests)
    if not chosen:
        return ""
    path, cache = tree / mutant["file"], tree / ".numba-mutant"
    before, stamp = path.read_text(), path.stat()
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(tree / ".numba", cache)
    path.write_text(mutant["text"])
    try:
        out.write_text("pytest ended before its time")
        in_time = forked(
            attempt, tree, cache, chosen, out, limit_s=LIMIT_S, log=out.with_suffix(".log")
        )
    finally:
        path.write_text(before)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    return out.read_text() if in_time else "time"


def copy_of_tree(target: Path) -> Path:
    """The working tree without what git ignores. The code that was compiled in it stays."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        text=True,
        capture_output=True,
    ).stdout.splitlines()
    for path in target.glob("*"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.name != ".numba":
            shutil.rmtree(path)
    for name in names:
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def copy_of_cache(tree: Path, target: Path) -> None:
    """numba's cache of `tree`, filed as it would be for `target`."""
    for room in {path.parent for path in tree.glob("stages/**/*.py")}:
        old, new = (
            _CacheLocator.get_suitable_cache_subpath(str(one / room.relative_to(tree) / "any.py"))
            for one in (tree, target)
        )
        if (tree / ".numba" / old).exists():
            shutil.copytree(tree / ".numba" / old, target / ".numba" / new, dirs_exist_ok=True)


def try_all(folder: Path, trees: list[Path], mutants: list[dict], tests: dict) -> None:
    """Try mutants, one child a tree; append {id, killed_by, seconds} to results.jsonl."""
    children = []
    for number, tree in enumerate(trees):
        child = os.fork()
        children.append(child)
        if child == 0:
            try:
                for mutant in mutants[number :: len(trees)]:
                    begin = time.monotonic()
                    killed_by = try_mutant(mutant, tests, tree, folder / f"tree{number}.txt")
                    seconds = round(time.monotonic() - begin, 1)
                    one = {"id": mutant["id"], "killed_by": killed_by, "seconds": seconds}
                    with open(folder / "results.jsonl", "a") as file:
                        file.write(json.dumps(one) + "\n")
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=360)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--tests", nargs="+", default=[f"tests/openpose/{name}" for name in NAMES])
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mutants.jsonl").exists():
        lines = [json.dumps(mutant) for mutant in draw(arguments.count, arguments.seed)]
        (folder / "mutants.jsonl").write_text("\n".join(lines) + "\n")
    if (ROOT.parent / "shared").exists() and not (folder / "shared").exists():
        (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    trees = [copy_of_tree(folder / f"tree{number}") for number in range(arguments.jobs)]
    out = folder / "tests.json"
    forked(record, trees[0], arguments.tests, out, log=folder / "tests.log")
    tests = json.loads(out.read_text())
    for tree in trees[1:]:
        copy_of_cache(trees[0], tree)
    mutants = read_lines(folder / "mutants.jsonl")
    killed = {one["id"] for one in read_lines(folder / "results.jsonl") if one["killed_by"]}
    try_all(folder, trees, [one for one in mutants if one["id"] not in killed], tests)
    killed = {one["id"] for one in read_lines(folder / "results.jsonl") if one["killed_by"]}
    for mutant in mutants:
        if mutant["id"] not in killed:
            print(f"{mutant['id']} {mutant['file']}:{mutant['line']}\n{mutant['diff']}")
    print(f"{len(mutants)} mutants, {len(killed)} killed")


if __name__ == "__main__":
    main()
