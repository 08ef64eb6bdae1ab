"""What stages of the former settings left in folders that stages of the new ones read whole.

The report reads `results/evaluate`, pack reads `data/<name>/masks`: a split, model or shard that
params.yaml no longer names would be taken for one of the active data set, and would change the
hashes of what is read. DVC deletes outputs of the stages that it runs only, so `stages.params use`
deletes these. DVC's run cache gives them back.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def dropped(project: Path) -> Iterator[None]:
    """Around a change of the params.yaml in `project`: delete the outputs that nothing makes and a
    stage reads.
    """
    before, _ = _declared(project)
    yield
    after, read = _declared(project)
    for path in before - after:
        folders = [
            path.parents[: path.parents.index(folder)] for folder in read if folder in path.parents
        ]
        if folders:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            for folder in max(folders, key=len):
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()


def _declared(project: Path) -> tuple[set[Path], set[Path]]:
    """Paths that the stages of dvc.yaml make, and those that they read; none where there is no
    pipeline to be read.
    """
    if not (project / ".dvc").is_dir():
        return set(), set()
    # here: every stage imports stages.params, and DVC takes its time
    from dvc.exceptions import (
        DvcException,
    )
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            stages = repo.index.stages
            made = {Path(entry.fs_path) for stage in stages for entry in stage.outs}
            return made, {Path(entry.fs_path) for stage in stages for entry in stage.deps}
    except DvcException:  # no params.yaml yet, or one of a time when dvc.yaml was another
        return set(), set()
