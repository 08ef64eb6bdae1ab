"""The whole pipeline with its real stages, through both engines, on the tiny preset and on real
images.
"""

import contextlib
import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.processes import active_environment, kill_at_once

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = "snakemake --cores 2"
KILLED = ("sample", "download", "inspect_data", "masks", "pack", "train", "detect", "evaluate")
SAME = (*KILLED, "coco_api")  # the report shows times
PARTS = (
    "Snakefile",
    "config",
    "dvc.yaml",
    "workflow",
    "envs",
    "stages",
    ".gitignore",
    ".dvcignore",
)

pytestmark = pytest.mark.slow


def project(folder: Path, preset: str) -> Path:
    """A copy of this project with an empty history, the preset active and nothing run."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    (folder / "profiles").symlink_to("workflow/profiles")  # as in the project
    run(
        folder,
        "git init -q && git config user.email a@example.org && git config user.name a && dvc init "
        "-q",
    )
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    run(folder, f"python -m stages.params use {preset}")
    run(folder, "git add -A && git commit -qm start")
    return folder


def run(folder: Path, command: str, **environment: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=active_environment() | environment, text=True,
        capture_output=True
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{command} exited with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    )
    return done.stdout + done.stderr


def kill_in(folder: Path, stage: str) -> None:
    """Start Snakemake and end all its processes at once when `stage` is at work, training when it
    has a checkpoint.
    """
    with open(folder / "logs.txt", "w") as printed:
        started = subprocess.Popen(
            SNAKEMAKE.split(), cwd=folder, env=active_environment(), stdout=printed,
            stderr=subprocess.STDOUT
        )  # fmt: skip
    main = psutil.Process(started.pid)
    while stage not in at_work(main) or (
        stage == "train" and not list(folder.glob("results/checkpoints/*/*.npz"))
    ):
        assert started.poll() is None, (folder / "logs.txt").read_text()[-4000:]
        time.sleep(0.02)
    kill_at_once(started.pid)
    started.wait()


def at_work(main: psutil.Process) -> set[str]:
    """Stages whose commands run below the process `main`."""
    found = set()
    for process in main.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found |= {
                word.removeprefix("stages.")
                for word in process.cmdline()
                if word.startswith("stages.")
            }
    return found


def hashes(folder: Path, *stages: str) -> dict:
    """What dvc.lock holds of the outputs of `stages`, the report left out (it shows times)."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {name: entry["outs"] for name, entry in lock.items() if name.split("@")[0] in stages}


# every Python that starts with this on its path writes down which addresses it asks for
WATCH = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        if isinstance(address, tuple) or event == "socket.getaddrinfo":  # else a file's path
            with open(os.environ["ADDRESSES"], "a") as addresses:
                addresses.write(f"{sys.argv} asks for {address}\\n")
sys.addaudithook(watch)
"""


def watched(folder: Path) -> dict[str, str]:
    """The environment in which addresses that are asked for come into `folder`/addresses.txt."""
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    return {"PYTHONPATH": str(folder / "watch"), "ADDRESSES": str(folder / "addresses.txt")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("pipeline")
    folder = project(top / "project", "tiny")
    run(folder, SNAKEMAKE, **watched(top))
    return folder


def test_a_run_whose_files_are_local_asks_for_no_address(finished):
    addresses = finished.parent / "addresses.txt"
    assert not addresses.exists(), addresses.read_text()


def test_an_address_that_is_asked_for_is_seen(tmp_path):
    ask = "import contextlib, socket\nwith contextlib.suppress(OSError):\n"
    ask += "    socket.create_connection(('127.0.0.1', 9), 1)"
    run(tmp_path, f'python -c "{ask}"', **watched(tmp_path))
    assert "asks for ('127.0.0.1', 9)" in (tmp_path / "addresses.txt").read_text()


def test_the_pipeline_ends_with_metrics_of_two_splits_and_a_report(finished):
    for split in ("val1k", "val"):
        metrics = json.loads((finished / f"results/evaluate/trained/{split}.json").read_text())
        for inference in ("single", "multi", "multi_flip"):
            assert {"AP", "AP50", "AP75", "APm", "APl", "AR"} <= set(metrics[inference])
            assert 0 <= metrics[inference]["AP"] <= 1
        assert metrics["leaked_images"] == 0
        assert not metrics["contaminated"]
    shown = json.loads(run(finished, "dvc metrics show --json 2>/dev/null"))[""]["data"]
    assert "results/evaluate/trained/val1k.json" in shown
    page = (finished / "results/report/index.html").read_text()
    assert "http://" not in page.split("<body")[0]


def test_no_stage_repeats_what_tensorflow_says_at_its_start(finished):
    logs = {path.name: path.read_text() for path in (finished / "logs").glob("*.log")}
    assert {"train.log", "held_out.log", "detect@trained-val-0.log"} <= set(logs)
    assert [name for name, text in logs.items() if "oneDNN custom operations" in text] == []


def test_a_run_leaves_a_page_of_results_for_git(finished):
    assert "Data set `tiny`" in (finished / "results/README.md").read_text()


def test_after_a_run_both_engines_have_nothing_to_do(finished):
    assert "Nothing to be done" in run(finished, SNAKEMAKE)
    assert "up to date" in run(finished, "dvc repro")


def test_a_run_on_one_thread_by_the_other_engine_gives_the_same_hashes(finished, tmp_path):
    other = project(tmp_path / "other", "tiny")
    run(other, "OMP_NUM_THREADS=1 taskset -c 0 dvc repro")
    assert hashes(other, *SAME) == hashes(finished, *SAME)


def test_a_run_killed_in_every_stage_ends_as_an_unbroken_one(finished, tmp_path):
    broken = project(tmp_path / "broken", "tiny")
    for stage in (*KILLED, "report"):
        kill_in(broken, stage)
    run(broken, SNAKEMAKE)
    assert hashes(broken, *SAME) == hashes(finished, *SAME)


def test_another_data_set_and_back_computes_nothing_again(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "project", symlinks=True)
    use, of_first = "python -m stages.params use tiny", results(folder, "tiny")
    changes = ("dataset.name=other", "dataset.generated=[other]", "download.root=data/other/source",
               "download.sources=data/other/source/sources.yaml", "sample.seed=7",
               "sample.train_images=40",
               "pack.holdout_images=5", "detect.height_px=96")  # fmt: skip
    other = " --set ".join((use, *changes))
    run(folder, f"{other} && {SNAKEMAKE}")
    of_other, ran = results(folder, "other"), records(folder)
    assert (
        of_other["models/trained/weights.weights.h5"]
        != of_first["models/trained/weights.weights.h5"]
    )
    for back, engine, name, expected in (
        (use, "dvc repro", "tiny", of_first),
        (other, SNAKEMAKE, "other", of_other),
        (use, SNAKEMAKE, "tiny", of_first),
    ):
        run(folder, f"{back} && {engine}")
        assert results(folder, name) == expected
        assert records(folder) == ran


def results(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file that the stages made for the data set `name`, its report included."""
    found = {}
    for part in (
        f"data/{name}",
        "models",
        "results/train",
        "results/detect",
        "results/evaluate",
        "results/report",
    ):
        for file in sorted((folder / part).rglob("*")):
            if file.is_file() and file.name != ".snakemake_timestamp":
                found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def records(folder: Path) -> dict[str, int]:
    """When each stage last ran: the times of its record in results/runs, which every run writes
    anew.
    """
    return {file.name: file.stat().st_mtime_ns for file in (folder / "results/runs").iterdir()}


def test_own_images_go_through_the_whole_pipeline(shared, tmp_path):
    folder = project(tmp_path / "own", "tiny")
    root = shared / "coco-mini"
    run(folder, f"python -m stages.params use own_data --set download.root={root} --set "
        f"train.epochs=1"
                " --set detect.height_px=184 --set detect.scales=[0.5,1.0]")  # fmt: skip
    run(folder, SNAKEMAKE)
    metrics = json.loads((folder / "results/evaluate/trained/val.json").read_text())
    assert metrics["images"] == 80
    assert metrics["contaminated"]
    assert "data:image" in (folder / "results/report/index.html").read_text()
