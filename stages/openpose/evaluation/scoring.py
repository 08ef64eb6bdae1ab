"""People -> COCO results -> AP, and how far AP would move with other images.

pycocotools computes every figure that is reported; what it matched, image by image, is kept as
arrays, so that the bootstrap needs no second evaluation. Metrics:
https://cocodataset.org/#keypoints-eval (OKS 0.50:0.05:0.95, 20 people).
"""

import contextlib
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params
from tqdm import tqdm

from stages.openpose.coco.annotations import Images, each_person, read_images
from stages.openpose.coco.categories import PERSON
from stages.openpose.compiled import jit
from stages.openpose.errors import InputError
from stages.openpose.evaluation.comparison import (
    Comparison,
    compare,
    detections,
    labelled_people,
)
from stages.openpose.skeleton import COCO as COCO_BODY
from stages.openpose.skeleton import Skeleton

FEWEST_WITH_PEOPLE = 2  # images that an interval needs
OKS_THRESHOLDS = Params(iouType="keypoints").iouThrs
METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def read_ground_truth(path: Path | str, images: Images | None = None) -> COCO:
    """Annotations as pycocotools holds them, normalised as for all stages: people are category 1.

    Args:
        images: of the file, where they were read already.

    Raises:
        InputError: the file is no COCO keypoint annotations; names annotation and field.
    """
    images = images or read_images(path)
    return to_ground_truth(images, (one for _, one in each_person(path, images)))


def to_ground_truth(images: Images, annotations: Iterable[dict]) -> COCO:
    """Normalised annotations as pycocotools holds them."""
    ground_truth = COCO()
    ground_truth.dataset = {
        "info": {},
        "images": [
            {"id": image_id, "height": height, "width": width}
            for image_id, (height, width) in zip(
                images.ids.tolist(), images.sizes.tolist(), strict=True
            )
        ],
        "annotations": list(annotations),
        "categories": [{"id": PERSON, "name": "person"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
    return ground_truth


class _Evaluation(COCOeval):
    """COCOeval of people's keypoints that shows progress and takes every OKS from a comparison."""

    def __init__(
        self,
        ground_truth: COCO,
        results: COCO,
        image_ids: Sequence[int],
        title: str,
        comparison: Comparison,
    ):
        super().__init__(ground_truth, results, "keypoints")
        self.params.imgIds = sorted(image_ids)
        self.params.catIds = [PERSON]
        self.params.kpt_oks_sigmas = np.array(comparison.skeleton.oks_sigmas)
        self._comparison = comparison
        self._row_of = {i: row for row, i in enumerate(self.params.imgIds)}
        self._bar = tqdm(total=len(image_ids), desc=title, unit="image", mininterval=1.0, delay=2.0)

    def computeOks(self, imgId, catId):  # pycocotools chose these names
        self._bar.update()
        return self._comparison.block(self._row_of[imgId])

    def run(self) -> dict[str, float | None]:
        with contextlib.redirect_stdout(io.StringIO()), self._bar:
            self.evaluate()
            self.accumulate()
            self.summarize()
        return {
            name: float(value) if value >= 0 else None
            for name, value in zip(METRICS, self.stats, strict=True)
        }


@dataclass(frozen=True)
class Matches:
    """What pycocotools matched, people of all sizes, best detection first.

    Attributes:
        image_ids: int64 [I], sorted.
        image: int64 [N], row of `image_ids` that each detection belongs to.
        scores: float64 [N], descending.
        hit: bool [T, N], matched to a person at each of the OKS thresholds.
        counted: bool [T, N], not ignored (matched to a crowd or to a person without keypoints).
        people: int64 [I], number of people to be found.
        thresholds: float64 [T], OKS.
        recalls: float64 [R], at which precision is read.
    """

    image_ids: np.ndarray
    image: np.ndarray
    scores: np.ndarray
    hit: np.ndarray
    counted: np.ndarray
    people: np.ndarray
    thresholds: np.ndarray
    recalls: np.ndarray


def read_matches(file: Path | BinaryIO) -> Matches:
    """Matches as the stage evaluate keeps them (npz). Older files hold no scores: those are NaN."""
    with np.load(file) as arrays:
        found = dict(arrays)
    return Matches(**{"scores": np.full(len(found["image"]), np.nan)} | found)


def evaluate(
    ground_truth: COCO,
    results: Iterable[dict],
    image_ids: Collection[int],
    title: str = "AP",
    skeleton: Skeleton = COCO_BODY,
    comparison: Comparison | None = None,
) -> tuple[dict[str, float | None], Matches]:
    """Metrics (of METRICS; 0..1, None where no such person exists) and matches of COCO results on
    `image_ids`.

    Images without detections count. InputError where an image id is not in the annotations.

    Args:
        comparison: of these people and results, where it was made already.
    """
    results = list(results)
    annotated_ids = set(ground_truth.getImgIds())
    for origin, ids in (
        ("image list", image_ids),
        ("detections", {result["image_id"] for result in results}),
    ):
        unknown = sorted(set(ids) - annotated_ids)
        if unknown:
            raise InputError(
                f"{origin}: {len(unknown)} image ids are not in the annotations, the first: "
                f"{unknown[:5]}; expected "
                "ids of the annotation file given"
            )
    evaluated_ids = set(image_ids)
    results = [result for result in results if result["image_id"] in evaluated_ids]
    if comparison is None:
        labelled = labelled_people(ground_truth, evaluated_ids, skeleton)
        detected = detections(results, labelled.image_ids, skeleton)
        comparison = compare(labelled, detected, skeleton)
    results_index = _results_index(ground_truth, results, len(comparison.skeleton.keypoints))
    evaluation = _Evaluation(ground_truth, results_index, sorted(evaluated_ids), title, comparison)
    metrics = evaluation.run()
    return metrics, _matches(evaluation)


def _results_index(ground_truth: COCO, results: list[dict], keypoints: int) -> COCO:
    """What COCO.loadRes makes of results, as far as keypoints are evaluated, in a tenth of its
    time: a detection's area is that of the box around all its points, those at (0, 0) too.
    """
    points = np.array([result["keypoints"] for result in results], np.float64)
    points = points.reshape(len(results), keypoints, 3)[..., :2]
    areas = np.ptp(points, axis=1).prod(axis=1).tolist()
    index = COCO()
    index.dataset = {
        "images": ground_truth.dataset["images"],
        "categories": ground_truth.dataset["categories"],
        "annotations": [
            result | {"id": number, "area": area}
            for number, (result, area) in enumerate(zip(results, areas, strict=True), 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def _matches(evaluation: COCOeval) -> Matches:
    settings = evaluation._paramsEval
    # one category; the first area range is all sizes
    image_results = evaluation.evalImgs[: len(settings.imgIds)]
    scores, image = [np.zeros(0)], [np.zeros(0, np.int64)]
    hit, ignored = (
        [np.zeros((len(settings.iouThrs), 0), bool)],
        [np.zeros((len(settings.iouThrs), 0), bool)],
    )
    people = np.zeros(len(settings.imgIds), np.int64)
    for image_row, result in enumerate(image_results):
        if result is None:
            continue
        scores.append(np.asarray(result["dtScores"], np.float64))
        image.append(np.full(len(result["dtScores"]), image_row, np.int64))
        hit.append(np.asarray(result["dtMatches"]) != 0)
        ignored.append(np.asarray(result["dtIgnore"]) != 0)
        people[image_row] = np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    return Matches(
        image_ids=np.array(settings.imgIds, np.int64),
        image=np.concatenate(image)[order],
        scores=all_scores[order],
        hit=np.ascontiguousarray(np.concatenate(hit, axis=1)[:, order]),
        counted=np.ascontiguousarray(~np.concatenate(ignored, axis=1)[:, order]),
        people=people,
        thresholds=np.array(settings.iouThrs),
        recalls=np.array(settings.recThrs),
    )


def matches_of(
    comparison: Comparison, oks: np.ndarray | None = None, ignored: np.ndarray | None = None
) -> Matches:
    """What pycocotools would match, without it: for evaluations by the dozen, of changed people.

    Args:
        oks: float64 [P], in place of the comparison's.
        ignored: bool [G], in place of the people's.
    """
    ignored = comparison.labelled.ignored if ignored is None else ignored
    person = comparison.matched(OKS_THRESHOLDS, comparison.oks if oks is None else oks, ignored)
    order = np.argsort(-comparison.detected.scores, kind="stable")
    hit = person >= 0
    counted = ~(hit & ignored[person]) if len(ignored) else ~hit
    images = len(comparison.labelled.image_ids)
    return Matches(
        image_ids=comparison.labelled.image_ids,
        image=comparison.detected.image[order],
        scores=comparison.detected.scores[order],
        hit=np.ascontiguousarray(hit[:, order]),
        counted=np.ascontiguousarray(counted[:, order]),
        people=np.bincount(comparison.labelled.image[~ignored], minlength=images),
        thresholds=OKS_THRESHOLDS,
        recalls=Params(iouType="keypoints").recThrs,
    )


def precision_at_recall(matches: Matches, image_counts: np.ndarray | None = None) -> np.ndarray:
    """Precision float64 [T, R] at the recalls of `matches`, each image counted `image_counts` times
    (default once).

    The arithmetic is that of COCOeval.accumulate. NaN where nobody is to be found.
    """
    counts = (
        np.ones(len(matches.image_ids), np.int64)
        if image_counts is None
        else image_counts.astype(np.int64)
    )
    people = int(counts @ matches.people)
    if people == 0:
        return np.full((len(matches.thresholds), len(matches.recalls)), np.nan)
    return _precision(matches.hit, matches.counted, counts[matches.image], people, matches.recalls)


@jit
def _precision(hit, counted, weights, people, recalls):
    """Highest precision at or beyond each recall, float64; a detection counts as often as its
    image.

    Only hits are remembered: between two of them recall stands still and precision falls.
    """
    thresholds, detections = hit.shape
    out = np.zeros((thresholds, len(recalls)))
    true_positives = np.empty(detections + 1, np.int64)
    positives = np.empty(detections + 1, np.int64)
    for t in range(thresholds):
        true, every, hits = 0, 0, 0
        for n in range(detections):  # without branches: what is no hit is written over
            is_hit = hit[t, n] & counted[t, n]
            every += weights[n] * counted[t, n]
            true += weights[n] * is_hit
            true_positives[hits], positives[hits] = true, every
            hits += is_hit
        # 2.2e-16: np.spacing(1), which pycocotools adds
        precision = true_positives[:hits] / (positives[:hits] + 2.220446049250313e-16)
        recall = true_positives[:hits] / people
        r, best = len(recalls) - 1, 0.0
        for n in range(hits - 1, -1, -1):
            while r >= 0 and recall[n] < recalls[r]:
                out[t, r] = best
                r -= 1
            best = max(best, precision[n])
        while r >= 0:
            out[t, r] = best
            r -= 1
    return out


def average_precision(matches: Matches, image_counts: np.ndarray | None = None) -> float:
    """AP over all thresholds, each image counted `image_counts` times; NaN where nobody is to be
    found.
    """
    return float(precision_at_recall(matches, image_counts).mean())


def draws(images: int, samples: int, rng: np.random.Generator) -> Iterable[np.ndarray]:
    """`samples` draws of `images` images with replacement: how often each was drawn, int64 [I]."""
    for _ in range(samples):
        yield np.bincount(rng.integers(0, images, images), minlength=images)


def bootstrap(matches: Matches, samples: int, rng: np.random.Generator) -> np.ndarray:
    """AP of each of `samples` draws of the images with replacement (Efron 1979), float64 [samples];
    NaN where fewer than two images show people: equal draws would look like certainty.
    """
    if (matches.people > 0).sum() < FEWEST_WITH_PEOPLE:
        return np.full(samples, np.nan)
    return np.array(
        [
            average_precision(matches, counts)
            for counts in draws(len(matches.image_ids), samples, rng)
        ],
        np.float64,
    )


def bootstrap_interval(
    matches: Matches, samples: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """95 % percentile interval of AP over images drawn with replacement; None where it is
    undefined.
    """
    return percentile_interval(bootstrap(matches, samples, rng))


def paired_difference(
    ours: Matches, theirs: Matches, samples: int, seed: int
) -> tuple[float, tuple[float, float] | None]:
    """AP of `ours` minus AP of `theirs` and its 95 % interval, both on the same draws of the same
    images.
    """
    if not np.array_equal(ours.image_ids, theirs.image_ids):
        raise InputError(
            "paired difference: the two results are of different images; evaluate both on the "
            "same list"
        )
    bootstraps = [
        bootstrap(matches, samples, np.random.default_rng(seed)) for matches in (ours, theirs)
    ]
    return average_precision(ours) - average_precision(theirs), percentile_interval(
        bootstraps[0] - bootstraps[1]
    )


def percentile_interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 2.5th and the 97.5th percentile of `values`; None where all of them are undefined
    (NaN).
    """
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
