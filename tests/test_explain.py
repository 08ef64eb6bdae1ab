"""Two states of a small project: what differs and what it does to AP."""

import contextlib
import json
import shutil
import subprocess

import numpy as np
import pytest
from dvc.repo import Repo

from stages import explain, params
from stages.openpose.evaluation.scoring import Matches
from tests.test_detect import run

DVC_YAML = """
stages:
  evaluate:
    matrix: {model: [trained], split: [val]}
    cmd: "true"
    params: [detect.height_px, detect.scales, envs/versions.yaml: [numpy]]
    deps: [stages/openpose/decoding, data/archives]
    outs: [results/evaluate/trained/val]
    metrics:
      - results/evaluate/trained/val.json: {cache: false}
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def evaluated(folder, hits, split="val", lost=0.1):
    """What the stage evaluate leaves of one person in each of four images."""
    hit, ids = np.tile(np.array(hits, bool), (10, 1)), np.arange(4)
    matches = Matches(
        image_ids=ids,
        image=ids,
        scores=-1.0 * ids,
        hit=hit,
        counted=np.ones_like(hit),
        people=np.ones(4, np.int64),
        thresholds=np.linspace(0.5, 0.95, 10),
        recalls=np.linspace(0, 1, 101),
    )
    (folder / split).mkdir(parents=True, exist_ok=True)
    np.savez(folder / split / "matches.npz", **vars(matches))
    metrics = {"multi": {"AP": sum(hits) / 4}, "lost": {"miss": lost}}
    write(folder / f"{split}.json", json.dumps(metrics))


def commit(folder, settings, code, numpy, hits, lost):
    params.use("tiny", folder / "params.yaml", settings)
    write(folder / "stages/openpose/decoding/decoder.py", code)
    write(folder / "envs/versions.yaml", f"numpy: {numpy}\n")
    evaluated(folder / "results/evaluate/trained", hits, lost=lost)
    with contextlib.chdir(folder), Repo() as repo:
        repo.commit(force=True)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")


def git(folder, *command):
    named = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=b"]
    subprocess.run([*named, *command], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(["git", "init", "-q", folder], check=True)
    Repo.init(folder).close()
    write(folder / "dvc.yaml", DVC_YAML)
    write(folder / "data/archives/a.zip", "1")
    commit(folder, ["detect.height_px=184"], "x = 1\n", "1.0", [0, 0, 0, 0], 0.75)
    commit(folder, ["detect.height_px=368"], "x = 1\n", "1.0", [1, 1, 0, 0], 0.5)
    git(folder, "update-ref", "refs/exps/12/345/half-fig", "HEAD")
    git(folder, "reset", "-q", "--soft", "HEAD~1")
    commit(folder, ["detect.height_px=368"], "x = 2\n", "2.0", [1, 1, 1, 1], 0.25)
    git(folder, "update-ref", "refs/exps/12/345/high-plum", "HEAD")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    folder = shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def explained(monkeypatch, capsys, *names):
    run(monkeypatch, explain.main, *names)
    return capsys.readouterr().out


@pytest.mark.parametrize("after", ["HEAD", "high-plum", "workspace"])
def test_what_differs_is_named_and_ap_is_paired(project, monkeypatch, capsys, after):
    told = explained(monkeypatch, capsys, "HEAD~1", after)
    assert "Parameters:\n  detect.height_px: 184 -> 368\nCode:" in told, "scales do not differ"
    assert "  stages/openpose/decoding: differs (evaluate)\n" in told
    assert "Data from outside: none differs\n" in told
    assert "  numpy: 1.0 -> 2.0\n" in told
    assert "  results/evaluate/trained/val: differs (evaluate)\n" in told
    assert "trained on val: A 0.0, B 100.0, B - A +100.0 [+100.0, +100.0]\n" in told
    assert "lost to miss 75.0 -> 25.0\n" in told


def test_ap_follows_the_recorded_states_between(project, monkeypatch, capsys):
    told = explained(monkeypatch, capsys, "HEAD~1", "workspace")
    _, first, middle, last = told.rsplit("    ", 3)
    assert first == "A HEAD~1: 0.0\n"
    assert middle.startswith("+ detect.height_px (half-fig): 50.0, +50.5 [")
    assert last.startswith("+ numpy, stages/openpose/decoding (workspace): 100.0, +49.5 [")


def test_without_a_state_between_it_says_how_to_record_one(project, monkeypatch, capsys):
    told = explained(monkeypatch, capsys, "half-fig", "HEAD")
    assert "lies between A and B; to record one: make one of the changes in A, then dvc exp" in told
    git(project, "update-ref", "-d", "refs/exps/12/345/half-fig")
    told = explained(monkeypatch, capsys, "HEAD~1", "HEAD")
    assert (
        "none of 2 recorded states lies between A and B; to record one, in A: dvc exp run " in told
    )
    assert "-S detect.height_px=368 (restores what the run cache holds)\n" in told


def test_what_is_in_no_cache_has_no_interval_but_its_ap(project, monkeypatch, capsys):
    shutil.rmtree(project / ".dvc/cache")
    told = explained(monkeypatch, capsys, "HEAD~1", "workspace")
    assert "A 0.0, B 100.0; no interval: results/evaluate/trained/val/matches.npz of HEAD~1" in told


def test_two_folders_of_models_are_compared(project, monkeypatch, capsys):
    evaluated(project / "other", [1, 1, 1, 0])
    evaluated(project / "other", [1, 0, 0, 0], split="val1k")
    told = explained(monkeypatch, capsys, "results/evaluate/trained", "other")
    assert told.count(" on ") == 1, "val1k was evaluated of one only"
    assert "trained and other on val: A 100.0, B 75.0, B - A -24.8 [" in told


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("HEAD", "nothing"), "nothing: no git revision, no experiment"),
        (("HEAD", "empty"), "empty: no git revision"),
        (("HEAD", "third"), "no split that both were evaluated on; found trained on val and third"),
    ],
)
def test_names_that_stand_for_nothing_are_one_line(project, monkeypatch, names, problem):
    (project / "empty").mkdir()
    evaluated(project / "third", [1, 1, 1, 0], split="val1k")
    with pytest.raises(SystemExit, match=problem):
        run(monkeypatch, explain.main, *names)


def test_what_git_says_of_a_repository_of_another_user_is_one_line(project, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(SystemExit, match=r"safe\.directory") as ended:
        run(monkeypatch, explain.main, "HEAD~1", "HEAD")
    assert "\n" not in str(ended.value)
