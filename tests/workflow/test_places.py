"""Where a project may lie: on another disk, outside git, below names with blanks, in a worktree."""

import shutil

import pytest

from stages.params.place import WITHOUT_GIT

SNAKEMAKE = "snakemake --cores 4"
REPRO = "dvc repro"


@pytest.fixture
def project(fresh, tmp_path):
    return fresh.copy(tmp_path / "project")


@pytest.fixture
def linked(project, tmp_path):
    """A project whose folder `data` is a link to another disk."""
    (tmp_path / "disk").mkdir()
    (project.folder / "data").symlink_to(tmp_path / "disk")
    return project


@pytest.mark.parametrize("engine", [SNAKEMAKE, REPRO])
@pytest.mark.parametrize("folder", ["data", "data/tiny", "models"])
def test_a_folder_that_is_a_link_is_refused_before_any_work(project, tmp_path, engine, folder):
    (tmp_path / "disk").mkdir()
    (project.folder / folder).parent.mkdir(exist_ok=True)
    (project.folder / folder).symlink_to(tmp_path / "disk")
    (project.folder / ".journal").unlink(missing_ok=True)
    printed = project.run(engine, fails=True)
    assert f"{folder}: leads out of the project" in printed
    assert WITHOUT_GIT in printed
    assert not (project.folder / ".journal").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(SNAKEMAKE, REPRO), (REPRO, SNAKEMAKE)])
def test_a_link_works_the_way_that_the_message_says(linked, first, second):
    linked.run(WITHOUT_GIT)
    assert "report" in linked.work_of(first)
    assert (linked.folder / "data").is_symlink()
    assert (linked.folder / "data/tiny/packed/train.h5").resolve().parent != linked.folder
    assert linked.work_of(second) == []


def test_without_git_snakemake_says_what_to_type(project):
    shutil.rmtree(project.folder / ".git")
    assert "type: git init" in project.run(SNAKEMAKE, fails=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["git init -q", WITHOUT_GIT])
def test_a_folder_out_of_a_zip_works_either_way(project, way):
    shutil.rmtree(project.folder / ".git")
    project.run(way)
    assert "report" in project.work_of(SNAKEMAKE)
    assert project.work_of(REPRO) == []


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(SNAKEMAKE, REPRO), (REPRO, SNAKEMAKE)])
def test_a_path_with_blanks_umlauts_and_quotes_is_a_path(fresh, tmp_path, first, second):
    project = fresh.copy(tmp_path / "Peter's Übung (neu) & $HOME")
    assert "report" in project.work_of(first)
    assert project.work_of(second) == []


@pytest.mark.slow
def test_a_worktree_runs_by_itself_and_leaves_the_first_tree_alone(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    tree = project.__class__(tmp_path / "tree")
    project.run(f"git worktree add -q {tree.folder}")
    assert "report" in tree.work_of(SNAKEMAKE)
    assert tree.work_of(REPRO) == []
    assert tree.run("git status --porcelain") == ""
    assert project.work_of(SNAKEMAKE) == []


@pytest.mark.slow
def test_a_shallow_clone_with_pulled_data_has_nothing_to_do(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.run("dvc push")
    clone = project.__class__(tmp_path / "clone")
    project.run(f"git clone -q --depth 1 file://{project.folder} {clone.folder}")
    clone.run("dvc pull")
    assert clone.work_of(SNAKEMAKE) == []
    assert clone.work_of(REPRO) == []
