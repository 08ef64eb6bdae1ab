"""dvc.yaml declares exactly what each stage uses: code files, parameter sections, rules."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.versions import LIBRARIES

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
# these carry messages, arguments, names of files, numbers of threads; no result depends on them
PLUMBING = {"stages/__init__.py", "stages/cli.py", "stages/params/__init__.py",
            "stages/unchanged.py", "stages/versions.py", "stages/openpose/__init__.py",
            "stages/openpose/errors.py", "stages/openpose/files.py",
            "stages/openpose/compiled.py", "stages/openpose/plain_yaml.py",
            "stages/openpose/threads.py"}  # fmt: skip
# of these no result depends on the version: they read and write text, look at headers, show
# progress and curves; JAX, PyTorch and OpenVINO are of the user's choice and not in the lock
PLUMBING_LIBRARIES = {"dvc", "jax", "jsonschema", "matplotlib", "openvino", "orjson", "packaging",
                      "pillow", "pydantic", "pyyaml", "ruamel.yaml", "ruamel.yaml.clib",
                      "tensorboard",
                      "torch", "tqdm"}  # fmt: skip
LAZY = {"stages/pose.py"}  # stages/openpose/__init__.py opens it for who asks for Pose
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
    "_ruamel_yaml": "ruamel.yaml.clib",
}
MOST_CODE_ENTRIES, MOST_LINES = 8, 220
SHOWN_ONLY = {"train": {"held_out"}}  # AP on the terminal while training: no output depends on it


def names_imported(path: str) -> list[str]:
    """Dotted names that `path` imports, wherever in the file the import stands."""
    names = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def imported(path: str) -> set[str]:
    """Project files that `path` imports directly."""
    names = names_imported(path)
    modules = [name.replace(".", "/") for name in names if name.startswith("stages.")]
    files = {f"{module}{end}" for module in modules for end in (".py", "/__init__.py")}
    return {file for file in files if (ROOT / file).exists()}


def closure(path: str, without: set[str] = PLUMBING) -> set[str]:
    """All project files that running `path` loads."""
    seen, todo = set(), {path}
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= imported(file) - seen - without
    return seen


def libraries(path: str) -> set[str]:
    """Packages that decide the result of running `path`, by the names of envs/versions.yaml."""
    files = closure(path, without=LAZY)
    assert not any("stages.openpose.Pose" in names_imported(file) for file in files)
    modules = {name.split(".")[0] for file in files for name in names_imported(file)}
    modules -= {*sys.stdlib_module_names, "stages"}
    backend = {"tensorflow"} if "keras" in modules else set()  # Keras computes with it
    ruamel = {"ruamel.yaml"} if "ruamel" in modules else set()
    named = {PACKAGES.get(module, module) for module in modules - {"ruamel"}} | backend | ruamel
    return named - PLUMBING_LIBRARIES


def entry_of(file: str) -> str:
    """What dvc.yaml names for a file: its room or package, or the file itself where it is in
    none.
    """
    room = Path(file).parent
    return file if room in (Path("stages"), Path("stages/openpose")) else str(room)


def code_of(stage: str) -> set[str]:
    return {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_rooms_that_it_runs(stage):
    assert sorted(code_of(stage)) == sorted(
        {entry_of(file) for file in closure(f"stages/{stage}.py")}
    )
    assert len(code_of(stage)) <= MOST_CODE_ENTRIES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_exactly_the_libraries_that_decide_its_result(stage):
    named = [entry for entry in STAGES[stage].get("params", []) if isinstance(entry, dict)]
    declared = [library for entry in named for library in entry["envs/versions.yaml"]]
    assert declared == sorted(libraries(f"stages/{stage}.py"))
    assert set(declared) <= set(LIBRARIES)


def test_no_result_of_train_depends_on_decoding_inference_evaluation_or_report():
    watching = {
        f"stages/openpose/{room}" for room in ("decoding", "inference", "evaluation", "report")
    }
    assert not code_of("train") & watching


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_parameter_sections_that_it_reads(stage):
    named = [name for name in STAGES[stage].get("params", []) if isinstance(name, str)]
    declared = {name.split(".")[0] for name in named}
    text = (ROOT / "stages" / f"{stage}.py").read_text()
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    read = {name for name in re.findall(r"\b(?:params|settings)\.(\w+)", text) if name in sections}
    assert read - SHOWN_ONLY.get(stage, set()) <= declared


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_line_of_rules_one_module_one_test_file(stage):
    rules = (ROOT / "workflow" / "rules" / "stages.smk").read_text()
    assert len(re.findall(rf'^    "{stage}": dict\(mem_mb=', rules, re.MULTILINE)) == 1
    assert (ROOT / "stages" / f"{stage}.py").exists()
    assert (ROOT / "tests" / f"test_{stage}.py").exists()


def test_a_room_that_imports_one_above_it_breaks_the_contract(tmp_path):
    command = Path(sys.executable).with_name("lint-imports")
    for import_line in ("from stages.openpose.report import page", "from stages import cli"):
        copy = tmp_path / import_line.split()[-1]
        shutil.copytree(ROOT / "stages", copy / "stages")
        shutil.copy(ROOT / "pyproject.toml", copy)
        with open(copy / "stages/openpose/decoding/peaks.py", "a") as code:
            code.write(f"\n{import_line}\n")
        done = subprocess.run([command, "--no-cache"], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 1
        assert "stages.openpose.decoding.peaks -> stages." in done.stdout


@pytest.mark.parametrize("top", ["stages", "workflow", "benchmarks"])
def test_no_module_imports_a_private_name_of_another(top):
    for path in sorted((ROOT / top).rglob("*.py")):
        private = [
            name
            for name in names_imported(path.relative_to(ROOT))
            if name.startswith(("stages.", "workflow.", "benchmarks."))
            and re.search(r"\._[a-z]", name)
        ]
        assert private == [], path


def test_dvc_yaml_is_read_at_one_sitting():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= MOST_LINES
