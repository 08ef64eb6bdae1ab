"""DVC's experiments, metrics and plots on this pipeline."""

import json
import re
import time
import zipfile

import pytest

SNAKEMAKE = "snakemake --cores 4"


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def shown(project) -> dict[str, str]:
    """Experiment names and their states, from `dvc exp show`."""
    commits = json.loads(project.run("dvc exp show --json 2>/dev/null"))
    runs = [run for commit in commits for run in commit["experiments"] or []]
    return {run["name"]: (run["executor"] or {}).get("state", "success") for run in runs}


@pytest.mark.slow
def test_an_experiment_runs_is_shown_compared_and_applied(project):
    project.run("dvc exp run --name longer -S train.epochs=2")
    project.run("git checkout -q . && dvc checkout")
    project.run("dvc exp run --temp --name away -S train.epochs=3")
    assert project.run("git status --porcelain") == ""
    assert shown(project) == {"longer": "success", "away": "success"}
    compared = json.loads(project.run("dvc exp diff HEAD longer --json 2>/dev/null"))
    assert compared["params"]["params.yaml"]["train.epochs"]["new"] == 2
    project.run("dvc exp apply longer")
    assert project.work_of(SNAKEMAKE) == []
    changed = json.loads(project.run("dvc metrics diff --json 2>/dev/null") or "{}")
    assert set(changed) >= {
        "results/evaluate/trained/val1k.json",
        "results/evaluate/trained/val.json",
    }


@pytest.mark.slow
def test_queued_experiments_run_with_two_workers(project):
    for epochs in (2, 3):
        project.run(f"dvc exp run --queue --name epochs{epochs} -S train.epochs={epochs}")
    project.run("dvc queue start --jobs 2")
    until = time.monotonic() + 240
    while time.monotonic() < until:
        time.sleep(2)
        states = re.findall(
            r"epochs\d.*?(Success|Failed|Queued|Running)", project.run("dvc queue status")
        )
        if sorted(states) == ["Success", "Success"]:
            break
    assert sorted(states) == ["Success", "Success"]
    assert set(shown(project)) == {"epochs2", "epochs3"}


def test_the_pages_of_plots_load_nothing_from_the_network(project):
    project.edit("results/train/log.csv", "0,", "1,")
    for command in ("show", "diff"):
        project.run(f"dvc plots {command} --out page")
        page = (project.folder / "page" / "index.html").read_text()
        assert "vegaEmbed('#" in page
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)


def test_the_report_of_snakemake_holds_the_page_and_the_tables_and_is_read_offline(project):
    project.run("snakemake --cores 1 --report report.zip")
    with zipfile.ZipFile(project.folder / "report.zip") as packed:
        names = {name.rpartition("/")[2] for name in packed.namelist()}
        page = packed.read("report/report.html").decode()
    assert names >= {"index.html", "log.csv", "val.json", "val1k.json", "pr.csv"}
    assert not re.search(r"<(script|link)[^>]*(src|href)=.https?:", page)
