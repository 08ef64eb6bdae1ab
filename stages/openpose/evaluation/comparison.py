"""Labelled people beside found ones as flat arrays: the OKS of every pair in one go, and who is
matched with whom.

People of one image stand together; `start` says where each image's begin. A *pair* is a detection
and a labelled person of one image; pairs of an image stand together too, by detection, then by
person, so that an image's pairs are its matrix [D, G] laid out in a row. OKS after pycocotools'
`COCOeval.computeOks`, matching after its `evaluateImg`.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from pycocotools.coco import COCO

from stages.openpose.coco.categories import PERSON
from stages.openpose.compiled import jit
from stages.openpose.skeleton import COCO as COCO_BODY
from stages.openpose.skeleton import Skeleton

DETECTIONS_PER_IMAGE = 20  # as COCO's AP
MATCH_OKS = 0.1  # from here on a detection means the person (Ronchi & Perona 2017)
_PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Labelled:
    """People of an annotation file, image by image in the order of the file.

    Attributes:
        image_ids: int64 [I], sorted.
        start: int64 [I + 1].
        points: float64 [G, K, 3], x, y, v of COCO's annotations.
        areas: float64 [G], square pixels.
        boxes: float64 [G, 4], x, y, width, height.
        crowd: bool [G].
        ignored: bool [G], crowds and people without keypoints: who is found there counts neither
            way.
    """

    image_ids: np.ndarray
    start: np.ndarray
    points: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """Row of `image_ids` that each person belongs to, int64 [G]."""
        return _owner(self.start)

    def only(self, kept: np.ndarray) -> "Labelled":
        """Without the people outside `kept`, bool [G]."""
        return replace(
            self,
            start=_starts(self.image[kept], len(self.image_ids)),
            points=self.points[kept],
            areas=self.areas[kept],
            boxes=self.boxes[kept],
            crowd=self.crowd[kept],
            ignored=self.ignored[kept],
        )


@dataclass(frozen=True)
class Detected:
    """What was found, image by image, best first, at most DETECTIONS_PER_IMAGE an image.

    Attributes:
        start: int64 [I + 1].
        points: float64 [D, K, 3], x, y, v of COCO's results.
        scores: float64 [D].
        keypoint_scores: float64 [D, K], where the results hold them.
    """

    start: np.ndarray
    points: np.ndarray
    scores: np.ndarray
    keypoint_scores: np.ndarray | None = None

    @property
    def image(self) -> np.ndarray:
        """Row of the image that each detection belongs to, int64 [D]."""
        return _owner(self.start)

    def taken(self, order: np.ndarray) -> "Detected":
        """The detections numbered `order`, which keeps images together."""
        scores = self.keypoint_scores
        return Detected(
            _starts(self.image[order], len(self.start) - 1),
            self.points[order],
            self.scores[order],
            None if scores is None else scores[order],
        )


@dataclass(frozen=True)
class Comparison:
    """Labelled people and detections of the same images.

    Attributes:
        pair_start: int64 [I + 1].
        oks: float64 [P], of each pair.
    """

    skeleton: Skeleton
    labelled: Labelled
    detected: Detected
    pair_start: np.ndarray
    oks: np.ndarray

    def block(self, image: int) -> np.ndarray:
        """OKS of the image in row `image`, float64 [D, G]."""
        people = self.labelled.start[image + 1] - self.labelled.start[image]
        pairs = self.oks[self.pair_start[image] : self.pair_start[image + 1]]
        return pairs.reshape(-1, people) if people else np.zeros((0, 0))

    @cached_property
    def match(self) -> np.ndarray:
        """The detection that means each person, int64 [G], -1 for none: greedily by score at
        MATCH_OKS; nobody means an ignored person.
        """
        return _greedy(*self._layout, self.oks, self.labelled.ignored, MATCH_OKS)

    @property
    def person_oks(self) -> np.ndarray:
        """OKS of each labelled person with its detection, float64 [G]; 0 for the unmatched."""
        found = self.match >= 0
        out = np.zeros(len(found))
        out[found] = self.oks[self.pair_of(self.match[found], np.flatnonzero(found))]
        return out

    def pair_of(self, detection: np.ndarray, person: np.ndarray) -> np.ndarray:
        """Number of the pair of each detection and person of one image, int64."""
        image = self.labelled.image[person]
        first_person, first_detection = self.labelled.start[image], self.detected.start[image]
        people = self.labelled.start[image + 1] - first_person
        return (
            self.pair_start[image] + (detection - first_detection) * people + person - first_person
        )

    def matched(self, thresholds: np.ndarray, oks: np.ndarray, ignored: np.ndarray) -> np.ndarray:
        """The person that each detection is given at each threshold, as pycocotools does it, int64
        [T, D]; -1 for none.

        Args:
            oks: float64 [P], of the pairs.
            ignored: bool [G], people who count neither way.
        """
        return _matched(*self._layout, oks, ignored, self.labelled.crowd, thresholds)

    @property
    def _layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.detected.start, self.labelled.start, self.pair_start


def labelled_people(
    ground_truth: COCO, image_ids: Collection[int], skeleton: Skeleton = COCO_BODY
) -> Labelled:
    """People of the images `image_ids`."""
    ids = np.array(sorted(set(image_ids)), np.int64)
    of_image = [
        [person for person in ground_truth.imgToAnns.get(i, []) if person["category_id"] == PERSON]
        for i in ids.tolist()
    ]
    people = [person for persons in of_image for person in persons]
    crowd = np.array([bool(person.get("iscrowd")) for person in people], bool)
    keypoint_counts = np.array([person["num_keypoints"] for person in people], np.int64)
    return Labelled(
        image_ids=ids,
        start=np.cumsum([0, *map(len, of_image)]),
        points=_points((person["keypoints"] for person in people), skeleton),
        areas=np.array([person["area"] for person in people], np.float64),
        boxes=np.array([person["bbox"] for person in people], np.float64).reshape(-1, 4),
        crowd=crowd,
        ignored=crowd | (keypoint_counts == 0),
    )


def detections(
    results: Iterable[dict], image_ids: np.ndarray, skeleton: Skeleton = COCO_BODY
) -> Detected:
    """COCO results of the images `image_ids` (sorted); those of other images are left out."""
    results = list(results)
    ids = np.array([result["image_id"] for result in results], np.int64)
    scores = np.array([result["score"] for result in results], np.float64)
    order = np.lexsort((-scores, ids))
    order = order[np.isin(ids[order], image_ids)]
    image = np.searchsorted(image_ids, ids[order])
    rank = np.arange(len(order)) - _starts(image, len(image_ids))[image]
    order, image = order[rank < DETECTIONS_PER_IMAGE], image[rank < DETECTIONS_PER_IMAGE]
    kept = [results[i] for i in order]
    with_scores = bool(kept) and all("keypoint_scores" in result for result in kept)
    return Detected(
        _starts(image, len(image_ids)),
        _points((result["keypoints"] for result in kept), skeleton),
        scores[order],
        np.array([result["keypoint_scores"] for result in kept], float) if with_scores else None,
    )


def compare(labelled: Labelled, detected: Detected, skeleton: Skeleton = COCO_BODY) -> Comparison:
    """Both, with the OKS of every pair."""
    counts = np.diff(detected.start) * np.diff(labelled.start)
    pair_start = np.concatenate([[0], np.cumsum(counts)])
    unfilled = Comparison(skeleton, labelled, detected, pair_start, np.empty(pair_start[-1]))
    for chosen, detection, person in pairs(unfilled):
        unfilled.oks[chosen] = _oks(unfilled, detection, person)
    return unfilled


def pairs(comparison: Comparison) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The pairs in handy pieces: which, and the detection and the person of each, int64."""
    labelled, detected, pair_start = (
        comparison.labelled,
        comparison.detected,
        comparison.pair_start,
    )
    people = np.diff(labelled.start)
    for first in range(0, int(pair_start[-1]), _PAIRS_AT_ONCE):
        number = np.arange(first, min(first + _PAIRS_AT_ONCE, int(pair_start[-1])))
        image = np.searchsorted(pair_start, number, side="right") - 1
        detection, person = np.divmod(number - pair_start[image], people[image])
        yield (
            slice(first, first + len(number)),
            detected.start[image] + detection,
            labelled.start[image] + person,
        )


def keypoint_similarity(
    comparison: Comparison, detection: np.ndarray, person: np.ndarray
) -> np.ndarray:
    """exp(-d^2 / (2 s^2 k^2)) of every keypoint of the pairs, labelled or not, float64 [P, K]; d:
    the distance to the label, s^2: the person's area, k: twice the sigma.
    """
    labels = comparison.labelled.points[person, :, :2]
    offset = comparison.detected.points[detection, :, :2] - labels
    return _similarity(offset, comparison.labelled.areas[person], comparison.skeleton)


def box_similarity(comparison: Comparison, detection: np.ndarray, person: np.ndarray) -> np.ndarray:
    """The same with the distance to the person's box, doubled, float64 [P, K]: what pycocotools
    takes for people without keypoints.
    """
    found = comparison.detected.points[detection, :, :2]
    corner, size = np.split(comparison.labelled.boxes[person][:, None], 2, axis=2)
    offset = np.maximum(0, corner - size - found) + np.maximum(0, found - (corner + size * 2))
    return _similarity(offset, comparison.labelled.areas[person], comparison.skeleton)


def _similarity(offset: np.ndarray, areas: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    variances = (np.array(skeleton.oks_sigmas) * 2) ** 2
    # np.spacing(1) as in pycocotools: a person of area 0 divides nothing by zero
    squared = offset[..., 0] ** 2 + offset[..., 1] ** 2
    return np.exp(-(squared / variances / (areas[:, None] + np.spacing(1)) / 2))


def _oks(comparison: Comparison, detection: np.ndarray, person: np.ndarray) -> np.ndarray:
    """OKS of the pairs, float64 [P], to the last bit that of pycocotools."""
    visible = comparison.labelled.points[person, :, 2] > 0
    similarity = keypoint_similarity(comparison, detection, person)
    unlabelled = ~visible.any(axis=1)
    similarity[unlabelled] = box_similarity(comparison, detection[unlabelled], person[unlabelled])
    visible[unlabelled] = True
    counts = visible.sum(axis=1)
    # a 0 before each pair's terms, as np.sum starts from it: the same order of additions
    start = np.concatenate([[0], np.cumsum(counts + 1)])
    padded = np.zeros(start[-1])
    term = np.arange(counts.sum()) + np.repeat(np.arange(len(counts)), counts) + 1
    padded[term] = similarity[visible]
    return np.add.reduceat(padded, start[:-1]) / counts


def box_overlap(labelled: Labelled) -> np.ndarray:
    """Largest intersection over union of each person's box with that of another person of the
    image, float64 [G]; crowds have none.
    """
    return _box_overlap(labelled.start, labelled.boxes, labelled.crowd)


def _points(keypoint_lists: Iterable, skeleton: Skeleton) -> np.ndarray:
    points = list(keypoint_lists)
    return np.array(points, np.float64).reshape(len(points), len(skeleton.keypoints), 3)


def _owner(start: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


def _starts(image: np.ndarray, images: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])


@jit
def _greedy(detected_start, labelled_start, pair_start, oks, ignored, least):
    match = np.full(len(ignored), -1)
    for i in range(len(pair_start) - 1):
        people = labelled_start[i + 1] - labelled_start[i]
        for d in range(detected_start[i], detected_start[i + 1]):
            row = pair_start[i] + (d - detected_start[i]) * people
            best, best_oks = -1, least
            for g in range(people):
                person = labelled_start[i] + g
                free = match[person] < 0 and not ignored[person]
                if free and (oks[row + g] > best_oks or (best < 0 and oks[row + g] == least)):
                    best, best_oks = person, oks[row + g]
            if best >= 0:
                match[best] = d
    return match


@jit
def _matched(detected_start, labelled_start, pair_start, oks, ignored, crowd, thresholds):
    out = np.full((len(thresholds), detected_start[-1]), -1)
    taken = np.zeros(len(ignored), np.bool_)
    for t in range(len(thresholds)):
        taken[:] = False
        for i in range(len(pair_start) - 1):
            first, end = labelled_start[i], labelled_start[i + 1]
            for d in range(detected_start[i], detected_start[i + 1]):
                row = pair_start[i] + (d - detected_start[i]) * (end - first) - first
                best, best_oks = -1, min(thresholds[t], 1 - 1e-10)
                # people who count, then the ignored, who only get what those left; of equals the
                # last
                for second in range(2):
                    if best >= 0:
                        break
                    for g in range(first, end):
                        if ignored[g] != (second == 1) or (taken[g] and not crowd[g]):
                            continue
                        if oks[row + g] >= best_oks:
                            best, best_oks = g, oks[row + g]
                if best >= 0:
                    out[t, d] = best
                    taken[best] = True
    return out


@jit
def _box_overlap(start, boxes, crowd):
    out = np.zeros(len(boxes))
    for i in range(len(start) - 1):
        for a in range(start[i], start[i + 1]):
            for b in range(start[i], a):
                if crowd[a] or crowd[b]:
                    continue
                width = min(boxes[a, 0] + boxes[a, 2], boxes[b, 0] + boxes[b, 2]) - max(
                    boxes[a, 0], boxes[b, 0]
                )
                height = min(boxes[a, 1] + boxes[a, 3], boxes[b, 1] + boxes[b, 3]) - max(
                    boxes[a, 1], boxes[b, 1]
                )
                common = max(width, 0.0) * max(height, 0.0)
                union = boxes[a, 2] * boxes[a, 3] + boxes[b, 2] * boxes[b, 3] - common
                if union > 0:
                    out[a] = max(out[a], common / union)
                    out[b] = max(out[b], common / union)
    return out
