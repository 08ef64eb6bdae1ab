"""A second opinion on COCO's keypoint figures: hotcoco, where it is installed (extra `judge`).

pycocotools stays what is reported.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pycocotools.coco import COCO

from stages.openpose.evaluation.scoring import METRICS
from stages.openpose.skeleton import Skeleton

NAME = "hotcoco"
SAME = 1e-9  # differences of the order of additions
_PERSON_KEYS = (
    "id",
    "image_id",
    "category_id",
    "keypoints",
    "num_keypoints",
    "bbox",
    "area",
    "iscrowd",
)
_RESULT_KEYS = ("image_id", "category_id", "keypoints", "score")

Figures = dict[str, float | None]


def judge(
    ground_truth: COCO, image_ids: Iterable[int], skeleton: Skeleton
) -> Callable[[Sequence[dict[str, Any]]], Figures] | None:
    """A function that gives METRICS of COCO results of the images `image_ids`; None where hotcoco
    is not installed.
    """
    if find_spec(NAME) is None:
        return None
    hotcoco, ids = import_module(NAME), sorted(set(image_ids))
    people = [person for i in ids for person in ground_truth.imgToAnns.get(i, [])]
    truth = hotcoco.COCO(
        {
            "images": [ground_truth.imgs[i] for i in ids],
            "annotations": [{key: person[key] for key in _PERSON_KEYS} for person in people],
            "categories": ground_truth.dataset["categories"],
        }
    )

    def figures(results: Sequence[dict[str, Any]]) -> Figures:
        bare = [{key: result[key] for key in _RESULT_KEYS} for result in results]
        evaluation = hotcoco.COCOeval(truth, truth.load_res(bare), "keypoints")
        evaluation.params.kpt_oks_sigmas = list(skeleton.oks_sigmas)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sigmas that are not COCO's: they are meant
            evaluation.run()
        return {
            name: float(value) if value >= 0 else None
            for name, value in zip(METRICS, evaluation.stats, strict=True)
        }

    return figures


def disagreement(ours: dict[str, Figures], theirs: dict[str, Figures]) -> str:
    """Figures of pycocotools and of hotcoco that differ, by inference; empty where none does."""
    different = []
    for inference, figures in theirs.items():
        for name, value in figures.items():
            mine = ours[inference][name]
            same = mine is value if mine is None or value is None else abs(mine - value) <= SAME
            if not same:
                different.append(f"{inference} {name} {mine} and {value}")
    return ", ".join(different)
