"""A toy project: the real Snakefile, dvc.yaml and workflow/, with stages that take no time
(toy.py).
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.processes import active_environment

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = (
    "Snakefile",
    "config",
    "dvc.yaml",
    "workflow",
    "envs",
    ".gitignore",
    ".dvcignore",
)


@dataclass
class Project:
    """A project folder in which commands are run as a user would type them in the active
    environment.
    """

    folder: Path

    def run(self, command: str, *, fails: bool = False, **environment: str) -> str:
        """Output of `command` (both streams); asserts that it succeeds, or fails where `fails` is
        set.
        """
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment(**environment),
            text=True,
            capture_output=True,
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{command} exited with {done.returncode}:\n{text}"
        return text

    def start(self, command: str, **environment: str) -> subprocess.Popen:
        """`command` at work in a process group of its own; what it prints is added to
        `.printed`.
        """
        (self.folder / ".journal").unlink(
            missing_ok=True
        )  # `wait_for` is to see this command's stages only
        with open(self.folder / ".printed", "a") as printed:
            return subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment(**environment),
                stdout=printed,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, stages: set[str], process: subprocess.Popen) -> str:
        """The first of `stages` whose body is at work, as soon as it is."""
        journal = self.folder / ".journal"
        while not (
            begun := stages.intersection(journal.read_text().split() if journal.exists() else ())
        ):
            assert process.poll() is None, (self.folder / ".printed").read_text()
            time.sleep(0.05)
        return begun.pop()

    def environment(self, **more: str) -> dict[str, str]:
        return {**active_environment(), "TOY_JOURNAL": str(self.folder / ".journal"), **more}

    def work_of(self, command: str, **environment: str) -> list[str]:
        """Stages whose bodies really ran during `command`, sorted, with repetitions (one for each
        matrix element).
        """
        journal = self.folder / ".journal"
        journal.unlink(missing_ok=True)
        self.run(command, **environment)
        return sorted(journal.read_text().split()) if journal.exists() else []

    def use(self, preset: str, *changes: str) -> None:
        """Make `preset` the active params.yaml; the command itself is that of the real project."""
        words = " --set ".join((preset, *changes))
        self.run(
            f"cd {ROOT} && python -m stages.params --params {self.folder}/params.yaml use {words}"
        )

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def copy(self, to: Path) -> "Project":
        shutil.copytree(self.folder, to, symlinks=True)
        return Project(to)


SNAKEMAKE = "snakemake --cores 4"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Project:
    """A committed toy project in which nothing has run yet."""
    folder = tmp_path_factory.mktemp("toy") / "fresh"
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    (folder / "profiles").symlink_to("workflow/profiles")  # as in the project
    _write_toy_stages(folder)
    project = Project(folder)
    project.use("tiny")
    project.run(
        "git init -q && git config user.email toy@example.org && git config user.name toy && dvc "
        "init -q"
    )
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    project.run(
        "printf '.journal\\n.printed\\n' >> .gitignore && git add -A && git commit -qm start"
    )
    return project


def _write_toy_stages(folder: Path) -> None:
    declared = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    for name, entry in declared.items():
        stage = entry.get("do", entry)
        for path in stage.get("deps", []):
            if path.startswith("stages/"):
                code = folder / (path if Path(path).suffix else f"{path}/__init__.py")
                code.parent.mkdir(parents=True, exist_ok=True)
                code.write_text(f'"""{name}"""\n')
        (folder / "stages" / f"{name}.py").write_text("from stages.toy import main\n\nmain()\n")
    shutil.copy(Path(__file__).with_name("toy.py"), folder / "stages" / "toy.py")
    shutil.copytree(ROOT / "stages/params", folder / "stages/params")  # both engines check with it
    for needed in (
        "leftovers.py",
        "openpose/errors.py",
        "openpose/files.py",
        "openpose/plain_yaml.py",
        "openpose/coco/protocols.py",
        "openpose/fetch/sources.py",
    ):
        shutil.copy(ROOT / "stages" / needed, folder / "stages" / needed)
    for module in ("__init__.py", "summary.py"):
        (folder / "stages" / module).touch()


@pytest.fixture(scope="session")
def finished(fresh: Project, tmp_path_factory) -> Project:
    """A toy project that `snakemake` has finished and whose dvc.lock is committed; tests must copy
    it.
    """
    project = fresh.copy(tmp_path_factory.mktemp("toy") / "finished")
    project.run(SNAKEMAKE)
    project.run("git add -A && git commit -qm finished")
    return project
