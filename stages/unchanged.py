"""What a stage read at its start is still there at its end.

DVC hashes code and parameters when the command has ended. Where they were edited meanwhile, it
would tie the old result to the new settings for good; so such a stage fails.
"""

import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from stages.openpose.errors import InputError

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def digests() -> dict[str, str]:
    """Digest by code file and by parameter of what dvc.yaml names for the stage at work; empty
    where no DVC started this process (it says so in DVC_STAGE).
    """
    stage = os.environ.get("DVC_STAGE", "").split("@")[0]
    declared = _read(Path("dvc.yaml")).get("stages", {}) if stage else {}
    entry = declared.get(stage, {}).get("do", declared.get(stage, {}))
    found: dict[str, str] = {}
    read = functools.cache(_read)
    for named in entry.get("params", []):
        files = named if isinstance(named, dict) else {"params.yaml": [named]}
        for file, keys in files.items():
            values = read(Path(file))
            for key in keys:
                key = re.sub(r"\.\$\{.*", "", key)  # models.${key}: all of models
                found[f"{file}: {key}"] = _hash(repr(_at(values, key)).encode())
    for path in entry.get("deps", []):
        if path.startswith("stages/"):
            for code in sorted(Path(path).rglob("*.py")) if Path(path).is_dir() else [Path(path)]:
                found[str(code)] = _hash(code.read_bytes()) if code.exists() else ""
    return found


def check(before: dict[str, str]) -> None:
    """Raise InputError where something is no longer as in `before`, of `digests`."""
    after = digests() if before else {}
    if changed := [name for name in {**before, **after} if before.get(name) != after.get(name)]:
        raise InputError(
            f"{changed[0]} changed while this stage ran, so its result belongs to neither state; "
            "run the same command again"
        )


def _read(file: Path) -> dict:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=YAML) if file.exists() else {}


def _at(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
