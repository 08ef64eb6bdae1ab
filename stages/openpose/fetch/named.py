"""Networks that can be had by name: what the table says of them, and their files on this machine.

The table (workflow/models.yaml) says of each network whose it is, what it was trained on, and where
its files come from: an address, the repository itself, or the user. Fetched files lie in a cache
folder, one folder a network, with a model.yaml: a model folder as network/forward.py reads it. A
file that is there is never overwritten; it is refused where its hash is another.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError

from stages.openpose.errors import InputError
from stages.openpose.fetch.sources import TO_BE_SUPPLIED, places
from stages.openpose.fetch.transfer import Advance, Patience, Remote, fetch, hash_name
from stages.openpose.files import file_digest, whole_file, whole_folder

PLACE_VARIABLE = "OPENPOSE_MODELS"
DESCRIPTION = "model.yaml"
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
DIGEST = rf"^([0-9a-fA-F]{{32}}|[0-9a-fA-F]{{64}}|{TO_BE_SUPPLIED})$"
Digest = Annotated[str, StringConstraints(pattern=DIGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedFile(_Strict):
    """A file: its address, or its `path` in the repository, or neither where the user supplies it;
    sha256 or md5, or `to be supplied` where no hash is known and none is checked.
    """

    url: str = ""
    path: str = ""
    bytes: PositiveInt | None = None
    hash: Digest = TO_BE_SUPPLIED

    @property
    def known_hash(self) -> str:
        """The hash in small letters, empty where none is known."""
        return "" if self.hash == TO_BE_SUPPLIED else self.hash.lower()


class PublishedAP(_Strict):
    """An AP that somebody published: 0..1, of which images, and where it stands."""

    value: float = Field(ge=0, le=1)
    images: str
    source: str


class NamedModel(_Strict):
    """One entry of the table; the first file is the one with the weights of `network`."""

    name: Name
    about: str
    network: str
    files: dict[Name, NamedFile] = Field(min_length=1)
    licence: str
    trained_on: str
    input: str
    AP: PublishedAP | None = None
    milliseconds: PositiveInt | None = None  # how measured: head of the table

    @property
    def bytes(self) -> int:
        """Size of all files, as far as it is known."""
        return sum(file.bytes or 0 for file in self.files.values())

    @property
    def shipped(self) -> bool:
        """Whether the files are part of the repository."""
        return all(file.path for file in self.files.values())


def parse_models(values: Any, origin: str) -> dict[str, NamedModel]:
    """The networks of a table (the parsed YAML) by name; `origin` names it in errors.

    Raises:
        InputError: a key is missing, unknown or ill-formed.
    """
    if not isinstance(values, dict):
        raise InputError(f"{origin}: expected networks by name, found {type(values).__name__}")
    return {name: _parsed(name, entry, f"{origin}: {name}") for name, entry in values.items()}


def _parsed(name: str, entry: Any, origin: str) -> NamedModel:
    try:
        return NamedModel.model_validate({"name": name} | dict(entry))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{origin}: `{place}`: {first['msg']}, found {first['input']!r}") from None
    except (TypeError, ValueError):
        raise InputError(f"{origin}: expected keys of a network, found {entry!r}") from None


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where fetched files are kept: $OPENPOSE_MODELS, else below $XDG_CACHE_HOME or ~/.cache."""
    if environment.get(PLACE_VARIABLE):
        return Path(environment[PLACE_VARIABLE]).expanduser()
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "openpose-pipeline" / "models"


def folder_of(model: NamedModel, cache: Path, repository: Path) -> Path:
    """The model folder of a network, whether or not its files are there."""
    if model.shipped:
        return (repository / next(iter(model.files.values())).path).parent
    return cache / model.name


def missing_files(model: NamedModel, folder: Path) -> list[str]:
    """Names of the files that are not in `folder`; those that are there are verified.

    Raises:
        InputError: a file has another hash than the table says.
    """
    missing = []
    for name, file in model.files.items():
        path = folder / name
        if not path.is_file():
            missing.append(name)
        elif file.known_hash and (digest := _hash_of(path, file)) != file.known_hash:
            raise InputError(
                f"{path}: expected {hash_name(file.known_hash)} {file.known_hash} (model "
                f"`{model.name}`), found {digest}; it is not overwritten: move or delete it"
            )
    return missing


def _hash_of(path: Path, file: NamedFile) -> str:
    return file_digest(path, hash_name(file.known_hash))


def how_to_get(model: NamedModel, folder: Path, missing: list[str]) -> str:
    """One line: which files are to be put where, from which address."""
    wanted = "; ".join(_described(name, model.files[name]) for name in missing)
    return f"model `{model.name}`: put into {folder}: {wanted}"


def _described(name: str, file: NamedFile) -> str:
    size = f"{file.bytes} bytes, " if file.bytes else ""
    known = f"{hash_name(file.known_hash)} {file.known_hash}" if file.known_hash else "hash unknown"
    origin = f"from {file.url}" if file.url else "which has no address here"
    if file.path:
        origin = f"{file.path} of the repository"
    return f"{name} ({size}{known}), {origin}"


def fetch_model(
    model: NamedModel, folder: Path, patience: Patience, *, mirror: str = "", advance: Advance = int
) -> None:
    """Bring the files that are missing into `folder`; a broken transfer goes on next time.

    Args:
        mirror: URL prefix or folder that replaces the host of addresses; empty for none.
        advance: called with the number of bytes newly in hand.

    Raises:
        InputError: a file cannot be had, or is another one than the table says; the message ends
            with what can be put where by hand.
    """
    missing = missing_files(model, folder)
    if any(not (model.files[name].url and model.files[name].known_hash) for name in missing):
        raise InputError(how_to_get(model, folder, missing))
    for name in missing:
        file = model.files[name]
        candidates = places(file.url, root="", mirror=mirror, sources_folder=folder)
        urls = tuple(place for place in candidates if isinstance(place, str))
        try:
            if urls:
                remote = Remote(name, urls, file.bytes, file.known_hash)
                fetch(remote, folder / name, patience, advance=advance)
            else:
                _copy(
                    [place for place in candidates if isinstance(place, Path)], folder / name, file
                )
        except InputError as problem:
            rest = [name for name in missing if not (folder / name).is_file()]
            raise InputError(f"{problem}; or {how_to_get(model, folder, rest)}") from None


def _copy(places_of_file: list[Path], target: Path, file: NamedFile) -> None:
    """Copy the first of several places that has the file, right hash included."""
    for place in places_of_file:
        if place.is_file() and _hash_of(place, file) == file.known_hash:
            with whole_file(target) as part:
                shutil.copyfile(place, part)
            return
    raise InputError(
        f"{target.name}: not with this hash in {' or '.join(map(str, places_of_file))}"
    )


def describe(model: NamedModel, folder: Path) -> None:
    """Write model.yaml of a folder of fetched files; one that says the same is left alone."""
    described: dict[str, Any] = {
        "kind": "keras",
        "network": model.network,
        "file": next(iter(model.files)),
    }
    described |= {"name": model.name, "sha256": {n: f.known_hash for n, f in model.files.items()}}
    described |= {"imported": True, "trained_on": model.trained_on, "licence": model.licence}
    text, path = yaml.safe_dump(described, sort_keys=False), folder / DESCRIPTION
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")


def copy_model(model: NamedModel, folder: Path, target: Path) -> None:
    """Copy a network's files to the model folder `target`."""
    with whole_folder(target) as part:
        for name in model.files:
            shutil.copyfile(folder / name, part / name)
        describe(model, part)
