"""Whether DVC can keep the outputs of the stages where they are to lie."""

import re
from pathlib import Path

from stages.openpose.errors import InputError

WITHOUT_GIT = "dvc config --local core.no_scm true"


def check_place(project: Path, dataset: str) -> None:
    """Raise InputError where a folder of outputs is a link out of the git repository: DVC would
    refuse it after the work, since it lists what git is to ignore beside each output.
    """
    if not (project / ".git").exists() or _is_without_git(project):
        return
    inside = project.resolve()
    for folder in ("data", f"data/{dataset}", "models", "results"):
        target = (project / folder).resolve()
        if not target.is_relative_to(inside):
            raise InputError(
                f"{folder}: leads out of the project, to {target}, where DVC cannot tell git what "
                f"to ignore; type: {WITHOUT_GIT} (all works then but `dvc exp`), or mount "
                f"that folder here (mount --bind) in place of the link"
            )


def _is_without_git(project: Path) -> bool:
    """Whether DVC is told to do without git."""
    files = [project / ".dvc" / name for name in ("config", "config.local")]
    text = "\n".join(file.read_text() for file in files if file.exists())
    return bool(re.search(r"^\s*no_scm\s*=\s*true\b", text, re.IGNORECASE | re.MULTILINE))
