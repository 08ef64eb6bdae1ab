"""The profile workflow/profiles/slurm on a real Slurm cluster of one node, which
tests/slurm/cluster.sh starts.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests" / "slurm" / "cluster.sh"
# the profile waits longer before it asks Slurm how a job is doing
SNAKEMAKE = (
    "timeout 900 "  # a job that no node can take would wait for ever
    "snakemake --profile workflow/profiles/slurm --slurm-init-seconds-before-status-checks 1"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> dict[str, str]:
    """Environment in which Slurm's commands find the cluster."""
    path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
    absent = [
        name
        for name in ("slurmctld", "slurmd", "munged", "sbatch")
        if not shutil.which(name, path=path)
    ]
    if absent:
        pytest.skip(
            f"no {', '.join(absent)} (Debian, Ubuntu: apt install slurmctld slurmd slurm-client "
            f"munge)"
        )
    if os.geteuid() != 0:
        pytest.skip("a Slurm cluster is started as root only")
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("no snakemake-executor-plugin-slurm (envs/requirements-extras.lock)")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([CLUSTER, "start", folder], stdout=subprocess.DEVNULL, check=True)
    yield {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{path}",
    }
    subprocess.run([CLUSTER, "stop", folder], check=True)


def jobs(cluster: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """What Slurm knows of its jobs (TimeLimit, TRES, JobState ...), by rule, oldest first."""
    text = subprocess.run(
        ["scontrol", "show", "jobs", "--oneliner"],
        env={**os.environ, **cluster},
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    found: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        job = dict(re.findall(r"(\S+?)=(\S*)", line))
        if "Comment" in job:
            found.setdefault(re.sub(r"^rule_|_wildcards_.*", "", job["Comment"]), []).append(job)
    return found


def state_of(number: str, cluster: dict[str, str]) -> str:
    """JobState of the job of a rule."""
    return next(
        job["JobState"] for runs in jobs(cluster).values() for job in runs if job["JobId"] == number
    )


@pytest.mark.slow
def test_the_whole_pipeline_runs_as_slurm_jobs(fresh, tmp_path, cluster):
    project = fresh.copy(tmp_path / "project")
    work = project.work_of(f"{SNAKEMAKE} --config gpus=1", **cluster)
    submitted = jobs(cluster)
    assert sorted(rule for rule, runs in submitted.items() for _ in runs) == work
    assert {
        "sample",
        "download",
        "inspect_data",
        "coco_api",
        "masks",
        "pack",
        "train",
        "detect",
        "evaluate",
        "report",
    } <= set(work)
    assert all(job["JobState"] == "COMPLETED" for runs in submitted.values() for job in runs)
    (train,), (packed, _) = submitted["train"], submitted["pack"]
    assert train["TimeLimit"] == "14-00:00:00"
    assert (train["MinMemoryNode"], train["CPUs/Task"], train["TresPerJob"]) == (
        "16000M",
        "8",
        "gres:gpu:1",
    )
    assert (packed["TimeLimit"], packed["MinMemoryNode"], packed["CPUs/Task"]) == (
        "04:00:00",
        "2000M",
        "1",
    )
    assert "TresPerJob" not in packed
    assert project.work_of("dvc repro") == []


@pytest.mark.slow
def test_settings_of_the_default_profile_stay_in_force(finished, tmp_path, cluster):
    project = finished.copy(tmp_path / "project")
    project.run("find stages params.yaml dvc.yaml -exec touch {} +")
    text = project.run(SNAKEMAKE, **cluster)
    assert "profiles/default" in text
    assert "Nothing to be done" in text


@pytest.mark.slow
def test_a_failing_job_is_reported_with_its_log(finished, tmp_path, cluster):
    project = finished.copy(tmp_path / "project")
    project.edit("stages/report.py", "main()", "main()  # changed")
    text = project.run(f"{SNAKEMAKE} --retries 0", fails=True, TOY_FAIL="report", **cluster)
    assert "report fails on purpose" in text
    assert "logs/report.log" in text
    (slurm_log,) = set(re.findall(r"\S*slurm_logs/rule_report/\d+\.log", text))
    assert "report fails on purpose" in (project.folder / slurm_log).read_text()
    assert project.work_of(SNAKEMAKE, **cluster) == ["report"]


@pytest.mark.slow
def test_a_killed_job_is_submitted_again(finished, tmp_path, cluster):
    project = finished.copy(tmp_path / "project")
    project.edit("stages/report.py", "main()", "main()  # changed")
    before = len(jobs(cluster).get("report", []))
    journal = project.folder / ".journal"
    journal.unlink(missing_ok=True)
    hold = tmp_path / "hold"
    hold.touch()
    with open(tmp_path / "log", "w") as log:
        environment = project.environment(TOY_HOLD_report=str(hold), **cluster)
        run = subprocess.Popen(
            SNAKEMAKE.split(), cwd=project.folder, env=environment, stdout=log, stderr=log
        )
        while not journal.exists() and run.poll() is None:
            time.sleep(0.2)
        assert run.poll() is None, (tmp_path / "log").read_text()
        job = jobs(cluster)["report"][-1]
        subprocess.run(["scancel", job["JobId"]], env={**os.environ, **cluster}, check=True)
        while state_of(job["JobId"], cluster) != "CANCELLED":  # only then may a job end by itself
            assert run.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        hold.unlink()
        assert run.wait() == 0, (tmp_path / "log").read_text()
    states = [job["JobState"] for job in jobs(cluster)["report"][before:]]
    assert sorted(states) == ["CANCELLED", "COMPLETED"]
    assert journal.read_text().split() == ["report", "report"]
    assert project.work_of("dvc repro") == []


def test_the_profile_changes_no_setting_of_the_default_one():
    """Snakemake merges both profiles; where both have a key the default one wins, silently."""
    default, slurm = (
        yaml.safe_load((ROOT / "workflow" / "profiles" / name / "config.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert set(default).isdisjoint(slurm)


def test_no_job_asks_for_as_many_cores_as_all_jobs_may_take_together():
    """What takes all cores of a machine must have a number of its own in the profile."""
    rules = (ROOT / "workflow" / "rules" / "stages.smk").read_text()
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    greedy = re.findall(r'"(\w+)": dict\([^)]*threads=', rules)
    assert {"sample", "train", "detect"} <= set(greedy)
    assert set(profile["set-threads"]) == set(greedy)
