"""Snakemake and DVC share one notion of "up to date" (the table of situations in
docs/how-it-works.md).
"""

import pytest
import yaml

SNAKEMAKE = "snakemake --cores 4"
REPRO = "dvc repro"
MODEL_ON = ["detect", "detect", "evaluate", "evaluate", "held_out", "report", "train"]


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


@pytest.mark.parametrize("first", [SNAKEMAKE, REPRO])
@pytest.mark.parametrize("second", [SNAKEMAKE, REPRO])
def test_what_one_engine_finished_the_other_does_not_run_again(fresh, tmp_path, first, second):
    project = fresh.copy(tmp_path / "project")
    assert "train" in project.work_of(first)
    lock = (project.folder / "dvc.lock").read_text()
    assert project.work_of(second) == []
    assert (project.folder / "dvc.lock").read_text() == lock


def test_plain_snakemake_finds_the_default_profile(project):
    assert "profile profiles/default" in project.run(SNAKEMAKE)
    assert (project.folder / "profiles" / "default").samefile(
        project.folder / "workflow" / "profiles" / "default"
    )


def test_a_second_snakemake_says_that_there_is_nothing_to_be_done(project):
    assert "Nothing to be done" in project.run(SNAKEMAKE)


def test_dvc_writes_no_ignore_lists_into_results_that_stages_read(project):
    assert not list((project.folder / "results").rglob(".gitignore"))
    assert project.run("git status --porcelain") == ""


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_a_changed_parameter_runs_its_stage_and_what_depends_on_it(project, engine):
    project.edit("params.yaml", "min_keypoints: 5", "min_keypoints: 6")
    assert project.work_of(engine) == sorted([*MODEL_ON, "pack", "pack"])


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_a_changed_code_file_runs_its_stage_and_what_depends_on_it(project, engine):
    project.edit("stages/train.py", "main()", "main()  # changed")
    assert project.work_of(engine) == MODEL_ON


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_another_version_of_a_library_runs_the_stages_that_use_it(project, engine):
    versions = "envs/versions.yaml"
    recorded = yaml.safe_load((project.folder / versions).read_text())["tensorflow"]
    project.edit(versions, f'tensorflow: "{recorded}"', 'tensorflow: "99.0"')
    # their results are the same here, so those that do not use it themselves are not run
    assert project.work_of(engine) == ["detect", "detect", "held_out", "train"]
    assert project.work_of(REPRO if engine == SNAKEMAKE else SNAKEMAKE) == []


def test_another_version_of_a_tool_runs_nothing(project):
    project.edit("envs/requirements.lock", "ruff==", "ruff==99.")
    project.edit("envs/pipeline.yaml", "tqdm==", "tqdm==99.")
    assert project.work_of(SNAKEMAKE) == []
    assert project.work_of(REPRO) == []


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_a_change_undone_is_restored_without_work(project, engine):
    project.edit("stages/train.py", "main()", "main()  # changed")
    project.run(engine)
    project.edit("stages/train.py", "main()  # changed", "main()")
    assert project.work_of(engine) == []
    assert project.run("git status --porcelain") == ""


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_settings_without_a_split_leave_none_of_its_results_and_back_restores_them(project, engine):
    evaluated = project.folder / "results/evaluate/trained"
    project.use("tiny", "evaluate.splits=[val]")
    assert [path.name for path in sorted(evaluated.iterdir())] == ["val", "val.json"]
    assert project.work_of(engine) == ["evaluate", "report"]
    project.use("tiny")
    assert project.work_of(engine) == []
    assert project.run("git status --porcelain") == ""
    project.use("tiny", "evaluate.splits=[val]")
    assert project.work_of(engine) == []


def test_settings_without_a_model_leave_no_empty_folder_of_it(project):
    project.use("tiny", "detect.models=[]")
    assert not list((project.folder / "results/evaluate").iterdir())
    assert not list((project.folder / "results/detect").iterdir())
    assert (project.folder / "models/trained").exists()
    project.use("tiny")
    assert project.work_of(REPRO) == []


def test_touched_files_start_nothing(project):
    project.run("find stages params.yaml dvc.yaml -exec touch {} +")
    assert "Nothing to be done" in project.run(SNAKEMAKE)


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
def test_a_fresh_clone_with_pulled_data_has_nothing_to_do(project, tmp_path, engine):
    project.run("dvc push")
    clone = project.__class__(tmp_path / "clone")
    project.run(f"git clone -q . {clone.folder}")
    clone.run("dvc pull")
    assert clone.work_of(engine) == []
    assert clone.run("git status --porcelain --untracked-files=no") == ""


def test_a_fresh_clone_without_data_runs_the_whole_pipeline(project, tmp_path):
    clone = project.__class__(tmp_path / "elsewhere" / "clone")
    project.run(f"git clone -q . {clone.folder}")
    assert set(clone.work_of(SNAKEMAKE)) >= {
        "sample",
        "download",
        "masks",
        "pack",
        "train",
        "detect",
        "report",
    }
    assert clone.run("git status --porcelain --untracked-files=no") == ""


def test_checking_out_an_old_commit_with_its_data_has_nothing_to_do(project):
    project.edit("stages/train.py", "main()", "main()  # changed")
    project.run(SNAKEMAKE)
    project.run("git commit -qam newer && git checkout -q HEAD~1 && dvc checkout")
    assert project.work_of(SNAKEMAKE) == []
    project.run("git checkout -q - && dvc checkout")
    assert project.work_of(REPRO) == []


def test_a_failing_stage_ends_with_its_message_and_the_next_run_goes_on(project):
    project.edit("stages/train.py", "main()", "main()  # changed")
    told = project.run(f"{SNAKEMAKE} 2>&1", fails=True, TOY_FAIL="train").strip().splitlines()
    assert told[-1] == "train: error: train fails on purpose"
    told = project.run("dvc repro 2>&1", fails=True, TOY_FAIL="train").strip().splitlines()
    assert told[-2] == "error: train fails on purpose", "DVC's own line comes last"
    assert project.work_of(SNAKEMAKE) == MODEL_ON


def test_outside_the_environment_the_message_says_how_to_activate_it(project):
    import sys

    text = project.run(f"PATH=/usr/bin:/bin {sys.executable} -m snakemake --cores 1", fails=True)
    assert "source " in text
    assert "activate" in text


def test_a_run_ends_with_one_line_for_each_stage(project):
    project.edit("stages/report.py", "main()", "main()  # changed")
    lines = [line.split() for line in project.run(SNAKEMAKE).splitlines()]
    assert ["report", "ran", "1.5", "s", "20", "MB"] in lines
    assert ["train", "cached", "1.5", "s", "20", "MB"] in lines


def test_a_rule_keeps_the_messages_of_its_stage_and_a_benchmark(project):
    project.edit("stages/train.py", "main()", 'main()  # changed\nprint("a message of train")')
    project.run(SNAKEMAKE)
    assert "a message of train" in (project.folder / "logs" / "train.log").read_text()
    assert "max_rss" in (project.folder / "logs" / "train.tsv").read_text()


def test_a_stage_without_a_rule_is_refused(project):
    project.edit(
        "dvc.yaml", "\n  report:\n", "\n  more:\n    cmd: python -m stages.more\n\n  report:\n"
    )
    assert "no rule for stage more" in project.run(SNAKEMAKE, fails=True)


def test_a_list_of_running_commands_cut_short_by_a_kill_stops_nothing(project):
    (project.folder / ".dvc/tmp/rwlock").write_text('{"models/tra')
    assert project.work_of(SNAKEMAKE) == []
    assert project.work_of("dvc repro") == []


def test_a_job_that_is_tried_again_passes_a_list_that_its_killed_dvc_cut_short(project):
    """As Slurm's jobs are: the run that started them goes on, nothing looks at the list anew."""
    project.edit("stages/report.py", "main()", "main()  # changed")
    (project.folder / ".dvc/tmp/rwlock").write_text("")
    job = "bash workflow/one_stage.sh report logs/report.log"
    assert project.work_of(job) == ["report"]


@pytest.mark.parametrize("room", ["decoding", "inference", "evaluation", "report"])
def test_a_change_behind_the_network_does_not_train_again(project, room):
    (project.folder / "stages/openpose" / room / "changed.py").write_text("# changed\n")
    work = project.work_of(REPRO)
    assert work
    assert "train" not in work


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
@pytest.mark.parametrize("name", ["$(touch pwned)", "a; touch pwned", "../outside", "{tiny}"])
def test_a_name_that_a_shell_would_read_is_refused_before_any_command(project, engine, name):
    project.edit("params.yaml", "name: tiny", f"name: '{name}'")
    (project.folder / ".journal").unlink(missing_ok=True)
    printed = project.run(engine, fails=True)
    assert "dataset.name" in printed
    assert not list(project.folder.rglob("pwned"))
    assert not (project.folder / ".journal").exists()
