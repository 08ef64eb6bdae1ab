"""What kind of errors stand behind an AP: keypoint errors by kind, OKS, size, crowding, the worst
images.

Kinds of keypoint errors after Ronchi & Perona 2017 (arXiv:1707.05388, section 3), by ks = exp(-d^2
/ (2 s^2 k^2)) of a found keypoint against a labelled one, with s^2 the person's area and k twice
the OKS sigma:

    good        ks >= 0.85 with the right keypoint
    jitter      0.5 <= ks < 0.85 with the right keypoint
    inversion   nearer (ks >= 0.5) to the left/right counterpart of the same person
    swap        nearer (ks >= 0.5) to the same keypoint or its counterpart of another person
    miss        near none of them
    absent      not in the detection at all: a deliberate addition, because bottom-up methods leave
        keypoints out

Detections are matched to people greedily by score at OKS >= 0.1. Crowd regions and people without
keypoints are left out.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO

from stages.openpose.coco.categories import PERSON
from stages.openpose.evaluation.scoring import Matches, precision_at_recall
from stages.openpose.skeleton import COCO as COCO_BODY
from stages.openpose.skeleton import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss", "absent")
GOOD_KS, NEAR_KS, MATCH_OKS = 0.85, 0.5, 0.1
DETECTIONS_PER_IMAGE = 20  # as COCO's AP
CROWDING = ((1, 1), (2, 3), (4, 8), (9, None))  # people to be found in an image
CURVE_OKS = (0.5, 0.75)
PCK_SHARE = 0.2


@dataclass(frozen=True)
class Scene:
    """One image: the people labelled in it and what was found.

    Attributes:
        image_id: COCO id.
        labelled: float64 [G, K, 3], x, y, v of COCO's annotations.
        areas: float64 [G], square pixels.
        detected: float64 [D, K, 3], x, y, v of COCO's results, best first.
        oks: float64 [D, G].
        match: int64 [G], the detection matched to each person, -1 for none.
    """

    image_id: int
    labelled: np.ndarray
    areas: np.ndarray
    detected: np.ndarray
    oks: np.ndarray
    match: np.ndarray

    @property
    def person_oks(self) -> np.ndarray:
        """OKS of each labelled person with its detection, float64 [G]; 0 for the unmatched."""
        people = np.arange(len(self.match))
        return (
            np.where(self.match >= 0, self.oks[self.match, people], 0.0)
            if len(self.oks)
            else np.zeros(len(people))
        )


def scenes(
    ground_truth: COCO,
    results: Iterable[dict],
    image_ids: Collection[int],
    skeleton: Skeleton = COCO_BODY,
) -> list[Scene]:
    """Scenes of `image_ids`, sorted by id."""
    by_image: dict[int, list[dict]] = {image_id: [] for image_id in sorted(image_ids)}
    for result in results:
        if result["image_id"] in by_image:
            by_image[result["image_id"]].append(result)
    return [
        _scene(ground_truth, image_id, detections, skeleton)
        for image_id, detections in by_image.items()
    ]


def _scene(ground_truth: COCO, image_id: int, results: list[dict], skeleton: Skeleton) -> Scene:
    people = [
        person
        for person in ground_truth.imgToAnns.get(image_id, [])
        if person["category_id"] == PERSON
        and not person.get("iscrowd")
        and any(person["keypoints"][2::3])
    ]
    best = sorted(results, key=lambda result: -result["score"])[:DETECTIONS_PER_IMAGE]
    count = len(skeleton.keypoints)
    labelled = _points((person["keypoints"] for person in people), count)
    areas = np.array([person["area"] for person in people], np.float64)
    detected = _points((result["keypoints"] for result in best), count)
    similarity = oks(detected, labelled, areas, skeleton)
    return Scene(image_id, labelled, areas, detected, similarity, _greedy(similarity))


def _points(keypoint_lists: Iterable[Sequence[float]], count: int) -> np.ndarray:
    points = list(keypoint_lists)
    return np.array(points, np.float64).reshape(len(points), count, 3)


def keypoint_similarity(
    points: np.ndarray, labelled: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """ks of `points` [..., K, 2 or 3] with `labelled` points of people of `areas` [..., 1]; shapes
    broadcast.
    """
    # np.spacing(1) as in pycocotools: a person of area 0 divides nothing by zero
    squared = ((points[..., :2] - labelled[..., :2]) ** 2).sum(axis=-1)
    return np.exp(-squared / (2 * (2 * sigmas) ** 2 * (areas + np.spacing(1))))


def oks(
    detected: np.ndarray,
    labelled: np.ndarray,
    areas: np.ndarray,
    skeleton: Skeleton = COCO_BODY,
) -> np.ndarray:
    """OKS float64 [D, G] of detections [D, K, 3] with people [G, K, 3] that have at least one
    labelled keypoint.
    """
    sigmas = np.array(skeleton.oks_sigmas)
    similarity = keypoint_similarity(
        detected[:, None], labelled[None], areas[None, :, None], sigmas
    )
    visible = labelled[None, :, :, 2] > 0
    return (similarity * visible).sum(axis=2) / np.maximum(visible.sum(axis=2), 1)


def _greedy(similarity: np.ndarray) -> np.ndarray:
    match = np.full(similarity.shape[1], -1)
    for detection, similarities in enumerate(similarity):
        free = np.where(match < 0, similarities, -1)
        if len(free) and free.max() >= MATCH_OKS:
            match[free.argmax()] = detection
    return match


def keypoint_errors(scene_list: Iterable[Scene], skeleton: Skeleton = COCO_BODY) -> np.ndarray:
    """How often each kind occurs, int64 [K, len(KINDS)], over labelled keypoints of matched
    people.
    """
    counts = np.zeros((len(skeleton.keypoints), len(KINDS)), np.int64)
    for scene in scene_list:
        for person in np.flatnonzero(scene.match >= 0):
            kinds = _kinds(scene, int(person), skeleton)
            labelled = scene.labelled[person, :, 2] > 0
            counts[np.flatnonzero(labelled), kinds[labelled]] += 1
    return counts


def _kinds(scene: Scene, person: int, skeleton: Skeleton) -> np.ndarray:
    """Index into KINDS of each of the person's keypoints."""
    keypoints = scene.detected[scene.match[person]]
    same, mirrored = np.arange(len(keypoints)), np.array(skeleton.mirrored_keypoints)
    sigmas = np.array(skeleton.oks_sigmas)
    own = _near(keypoints, scene, same, sigmas)
    other = _near(keypoints, scene, mirrored, sigmas)
    others = np.arange(len(scene.labelled)) != person
    right = own[person]
    inverted = np.where(same == mirrored, 0.0, other[person])
    swapped = np.maximum(own[others], other[others]).max(axis=0, initial=0.0)
    kinds = np.full(len(keypoints), KINDS.index("miss"))
    kinds[swapped >= NEAR_KS] = KINDS.index("swap")
    kinds[(inverted >= NEAR_KS) & (inverted >= swapped)] = KINDS.index("inversion")
    kinds[right >= NEAR_KS] = KINDS.index("jitter")
    kinds[right >= GOOD_KS] = KINDS.index("good")
    kinds[keypoints[:, 2] == 0] = KINDS.index("absent")
    return kinds


def _near(keypoints: np.ndarray, scene: Scene, order: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """ks of one detection's keypoints with keypoints `order` of every person, float64 [G, K]; 0
    where not labelled.
    """
    labelled = scene.labelled[:, order]
    return keypoint_similarity(keypoints, labelled, scene.areas[:, None], sigmas[order]) * (
        labelled[:, :, 2] > 0
    )


def pck(scene_list: Iterable[Scene]) -> float | None:
    """Share of the labelled keypoints of all people that lie within PCK_SHARE square roots of the
    person's area of those of its detection; None where nobody is labelled.

    Needs no OKS sigma. Keypoints of people who were not found, and left out or guessed ones that
    lie elsewhere, are wrong.
    """
    right = labelled_count = 0
    for scene in scene_list:
        labelled = scene.labelled[..., 2] > 0
        labelled_count += int(labelled.sum())
        for person in np.flatnonzero(scene.match >= 0):
            found = scene.detected[scene.match[person]]
            gap = np.linalg.norm(found[:, :2] - scene.labelled[person, :, :2], axis=1)
            near = (gap <= PCK_SHARE * np.sqrt(scene.areas[person])) & (found[:, 2] > 0)
            right += int((near & labelled[person]).sum())
    return right / labelled_count if labelled_count else None


def oks_histogram(scene_list: Iterable[Scene], bins: int = 20) -> np.ndarray:
    """Labelled people by OKS with their detection, int64 [bins] over 0..1; unmatched people count
    as OKS 0.
    """
    values = np.concatenate([np.zeros(0), *[scene.person_oks for scene in scene_list]])
    return np.histogram(values, bins, (0, 1))[0]


def precision_recall(matches: Matches) -> dict[str, np.ndarray]:
    """Curves at the OKS of CURVE_OKS: `recall` and `precision_50`, `precision_75`, float64 [R]."""
    curves = precision_at_recall(matches)
    threshold_index = {
        f"precision_{round(100 * threshold)}": int(np.abs(matches.thresholds - threshold).argmin())
        for threshold in CURVE_OKS
    }
    return {"recall": matches.recalls} | {
        name: curves[index] for name, index in threshold_index.items()
    }


def crowding(matches: Matches) -> list[dict]:
    """AP of images by number of people to be found; NaN where there is no such image."""
    groups = []
    for low, high in CROWDING:
        in_group = (matches.people >= low) & (matches.people <= (high or np.inf))
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        precision = precision_at_recall(matches, in_group.astype(np.int64))
        groups.append(
            {
                "group": f"people {name}",
                "images": int(in_group.sum()),
                "people": int(matches.people[in_group].sum()),
                "AP": float(precision.mean()),
            }
        )
    return groups


def worst(scene_list: Iterable[Scene]) -> list[tuple[Scene, float]]:
    """Scenes with people, most OKS lost (sum of 1 - OKS over labelled people) first, and that
    loss.
    """
    losses = [
        (scene, float((1 - scene.person_oks).sum())) for scene in scene_list if len(scene.labelled)
    ]
    return sorted(losses, key=lambda pair: (-pair[1], pair[0].image_id))
