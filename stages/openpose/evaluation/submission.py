"""Results as COCO's evaluation server wants them: one JSON in a zip, both named after the set of
images and the method.

Source: https://cocodataset.org, pages `upload` and `format-results`.
"""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from stages.openpose.errors import InputError

KEYS = ("image_id", "category_id", "keypoints", "score")
OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip holds times; one for all makes equal results equal files


def base_name(image_set: str, method: str) -> str:
    """person_keypoints_<image_set>_<method>_results, the name of the JSON and of the zip without
    suffix.

    Raises:
        InputError: a set that is not a word with a year (test-dev2017); a method with other than
            letters, digits and -.
    """
    if not re.fullmatch(r"(train|val|test|test-dev)20\d\d", image_set):
        raise InputError(
            f"--set: expected train, val, test or test-dev and a year, as test-dev2017, found "
            f"{image_set!r}"
        )
    if not re.fullmatch(r"[A-Za-z0-9-]+", method):
        raise InputError(f"--name: expected letters, digits and hyphens, found {method!r}")
    return f"person_keypoints_{image_set}_{method}_results"


def to_json(results: Iterable[dict[str, Any]]) -> bytes:
    """COCO results with the server's keys only, ordered by image and falling score."""
    ordered = sorted(results, key=lambda result: (result["image_id"], -result["score"]))
    return orjson.dumps([{key: result[key] for key in KEYS} for result in ordered])


def write(folder: Path, name: str, content: bytes) -> None:
    """Write `name`.json and `name`.zip, which holds it, into `folder`."""
    (folder / f"{name}.json").write_bytes(content)
    entry = zipfile.ZipInfo(f"{name}.json", OLDEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr(entry, content)
