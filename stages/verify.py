"""Compare every artifact here with its hash: outputs with dvc.lock, DVC's cache and the checkpoints
with their own names.

    python -m stages.verify           # names what is damaged, and says what to type
    python -m stages.verify --drop    # deletes what is damaged; the next run makes it anew

DVC keeps outputs and its cache in one place on the disk (hard links). An output that was edited in
place, as root for example, is damaged in the cache too, and would come back so. Reads every byte.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from stages.openpose.errors import InputError
from stages.openpose.files import file_digest
from stages.openpose.training.checkpoints import NAME
from stages.params.reading import read_yaml

CACHE = Path(".dvc/cache/files/md5")


@dataclass(frozen=True)
class Artifact:
    """A file that must have a hash: its own (`of` names the output that it is, or belongs to)."""

    path: Path
    digest: str
    of: str
    kind: str = "md5"

    def is_whole(self) -> bool:
        """Whether the file is there and has its hash."""
        if not self.path.is_file():
            return False
        if self.kind == "sha256":
            return file_digest(self.path).startswith(self.digest)
        return file_digest(self.path, "md5") == self.digest


def outputs(project: Path) -> list[dict]:
    """What dvc.lock holds of all outputs."""
    lock = read_yaml(project / "dvc.lock") if (project / "dvc.lock").exists() else {}
    stages = (lock or {}).get("stages", {})
    return [out for stage in stages.values() for out in stage.get("outs", [])]


def artifacts(project: Path) -> Iterator[Artifact]:
    """All files that are there and whose hash is known: outputs, DVC's cache, checkpoints."""
    cache = project / CACHE
    for out in outputs(project):
        if (project / out["path"]).exists():
            yield from _of_output(project, cache, out["path"], out["md5"])
    for path in sorted(cache.glob("??/*")):
        yield Artifact(path, (path.parent.name + path.name).removesuffix(".dir"), str(CACHE))
    for path in sorted((project / "results/checkpoints").glob("*/*.npz")):
        if found := NAME.fullmatch(path.name):
            yield Artifact(path, found[2], "results/checkpoints", "sha256")


def _of_output(project: Path, cache: Path, name: str, digest: str) -> Iterator[Artifact]:
    if not digest.endswith(".dir"):
        yield Artifact(project / name, digest, name)
        return
    listed = cache / digest[:2] / digest[2:]
    if not Artifact(listed, digest.removesuffix(".dir"), name).is_whole():
        return  # a list of the folder's files that is damaged is found with the cache
    for entry in json.loads(listed.read_bytes()):
        yield Artifact(project / name / entry["relpath"], entry["md5"], name)


def damaged(found: Iterable[Artifact]) -> list[Artifact]:
    """Those that do not have their hash; files with several names are read once for each hash."""
    known: dict[tuple, bool] = {}
    bad = []
    for artifact in found:
        status = artifact.path.stat() if artifact.path.is_file() else None
        key = (status and (status.st_dev, status.st_ino), artifact.digest)
        if status is None or key not in known:
            known[key] = artifact.is_whole()
        if not known[key]:
            bad.append(artifact)
    return bad


def drop(project: Path, bad: Iterable[Artifact]) -> None:
    """Delete what is damaged: whole outputs, single files of the cache and checkpoints."""
    for artifact in bad:
        whole = project / artifact.of
        if whole.is_dir() and artifact.of not in (str(CACHE), "results/checkpoints"):
            shutil.rmtree(whole)
        else:
            artifact.path.unlink(missing_ok=True)


def verify(project: Path, *, dropping: bool) -> bool:
    """Print what is damaged, and delete it where asked; whether all is well."""
    found = list(artifacts(project))
    bad = damaged(tqdm(found, "verify", unit="file", delay=2.0))
    for artifact in bad:
        place = artifact.path.relative_to(project)
        print(f"damaged: {place}: expected {artifact.kind} {artifact.digest}")
    absent = [out["path"] for out in outputs(project) if not (project / out["path"]).exists()]
    for path in absent:
        print(f"not here: {path}; dvc pull, or a run, brings it")
    print(f"verify: {len(found)} files, {len(bad)} damaged, {len(absent)} outputs not here")
    if bad and dropping:
        drop(project, bad)
        print("deleted; dvc pull, or a run, brings it again")
    elif bad:
        print("type: python -m stages.verify --drop, then dvc pull or run again")
    return not bad or dropping


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drop", action="store_true", help="delete what is damaged")
    try:
        sys.exit(not verify(Path(), dropping=parser.parse_args().drop))
    except (InputError, OSError) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
