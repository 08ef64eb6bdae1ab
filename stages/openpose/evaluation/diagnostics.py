"""What kind of errors stand behind an AP: keypoint errors by kind and size, OKS, crowding, the
worst images.

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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.openpose.compiled import jit
from stages.openpose.evaluation.comparison import (
    Comparison,
    box_similarity,
    keypoint_similarity,
    pairs,
)
from stages.openpose.evaluation.scoring import (
    Matches,
    average_precision,
    matches_of,
    precision_at_recall,
)

KINDS = ("good", "jitter", "inversion", "swap", "miss", "absent")
GOOD_KS, NEAR_KS = 0.85, 0.5
CROWDING = ((1, 1), (2, 3), (4, 8), (9, None))  # people to be found in an image
CURVE_OKS = (0.5, 0.75)
PCK_SHARES = (0.1, 0.2, 0.5)  # of the square root of a person's area
PCK_SHARE = 0.2  # where one must do


def kinds(comparison: Comparison) -> np.ndarray:
    """Index into KINDS of each person's keypoints, int64 [G, K]; -1 where the keypoint is not
    labelled or the person not found.
    """
    labelled = comparison.labelled
    return _kinds(
        labelled.start,
        labelled.points,
        labelled.areas,
        labelled.ignored,
        comparison.match,
        comparison.detected.points,
        np.array(comparison.skeleton.oks_sigmas),
        np.array(comparison.skeleton.mirrored_keypoints),
    )


@jit
def _kinds(start, labelled, areas, ignored, match, found, sigmas, mirrored):
    out = np.full(labelled.shape[:2], -1)
    for i in range(len(start) - 1):
        for g in range(start[i], start[i + 1]):
            for k in range(len(sigmas)):
                if match[g] < 0 or labelled[g, k, 2] <= 0:
                    continue
                point = found[match[g], k]
                if point[2] == 0:
                    out[g, k] = 5
                    continue
                right = inverted = swapped = 0.0
                for other in range(start[i], start[i + 1]):
                    if ignored[other]:
                        continue
                    for j in (k, mirrored[k]):
                        if labelled[other, j, 2] <= 0:
                            continue
                        x, y = point[0] - labelled[other, j, 0], point[1] - labelled[other, j, 1]
                        variance = (2 * sigmas[j]) ** 2 * (areas[other] + 2.220446049250313e-16)
                        ks = np.exp(-(x * x + y * y) / (2 * variance))
                        if other != g:
                            swapped = max(swapped, ks)
                        elif j == k:
                            right = ks
                        else:
                            inverted = ks
                if right >= 0.85:
                    out[g, k] = 0
                elif right >= 0.5:
                    out[g, k] = 1
                elif inverted >= 0.5 and inverted >= swapped:
                    out[g, k] = 2
                elif swapped >= 0.5:
                    out[g, k] = 3
                else:
                    out[g, k] = 4
    return out


def keypoint_errors(comparison: Comparison) -> np.ndarray:
    """How often each kind occurs, int64 [K, len(KINDS)], over labelled keypoints of matched
    people.
    """
    found = kinds(comparison)
    return (found[:, :, None] == np.arange(len(KINDS))).sum(axis=0)


@dataclass(frozen=True)
class Distances:
    """How far found keypoints lie from their labels.

    Attributes:
        px: float64 [G, K]; NaN where the person or the keypoint was not found, or is not labelled.
        scale_px: float64 [G], square roots of the people's areas.
        labelled: bool [G, K], keypoints of all people who count.
    """

    px: np.ndarray
    scale_px: np.ndarray
    labelled: np.ndarray

    def pck(self, share: float) -> np.ndarray:
        """How many labelled keypoints lie within `share` of their person's scale, int64 [K]."""
        return (self.px <= share * self.scale_px[:, None]).sum(axis=0)


def distances(comparison: Comparison) -> Distances:
    """Distances of all people, found or not."""
    people = comparison.labelled
    labelled = (people.points[..., 2] > 0) & ~people.ignored[:, None]
    px = np.full(labelled.shape, np.nan)
    person = np.flatnonzero(comparison.match >= 0)
    points = comparison.detected.points[comparison.match[person]]
    gap = np.linalg.norm(points[..., :2] - people.points[person, :, :2], axis=2)
    px[person] = np.where(labelled[person] & (points[..., 2] > 0), gap, np.nan)
    return Distances(px, np.sqrt(people.areas), labelled)


def pck(comparison: Comparison) -> float | None:
    """Share of the labelled keypoints of all people that lie within PCK_SHARE square roots of the
    person's area of those of its detection; None where nobody is labelled.

    Needs no OKS sigma. Keypoints of people who were not found, and left out or guessed ones that
    lie elsewhere, are wrong.
    """
    found = distances(comparison)
    labelled = int(found.labelled.sum())
    return int(found.pck(PCK_SHARE).sum()) / labelled if labelled else None


def keypoint_figures(comparison: Comparison) -> list[dict[str, float | None]]:
    """Per keypoint: PCK at PCK_SHARES, median and 90th percentile of the distance of found ones in
    pixels and in sigmas; None where nothing is labelled or found.

    One sigma is the keypoint's OKS sigma times the square root of the person's area: what people
    who label the same keypoint differ by.
    """
    found = distances(comparison)
    sigmas_px = found.scale_px[:, None] * np.array(comparison.skeleton.oks_sigmas)
    in_sigmas = np.divide(found.px, sigmas_px, out=np.full(found.px.shape, np.nan),
                          where=sigmas_px > 0)  # fmt: skip
    labelled = found.labelled.sum(axis=0)
    within = {f"PCK{round(100 * share)}": found.pck(share) for share in PCK_SHARES}
    return [
        {
            name: int(counts[k]) / int(labelled[k]) if labelled[k] else None
            for name, counts in within.items()
        }
        | _percentiles(found.px[:, k], "px")
        | _percentiles(in_sigmas[:, k], "sigmas")
        for k in range(len(labelled))
    ]


def _percentiles(values: np.ndarray, unit: str) -> dict[str, float | None]:
    known = values[~np.isnan(values)]
    median, high = np.percentile(known, [50, 90]).tolist() if len(known) else (None, None)
    return {f"median_{unit}": median, f"p90_{unit}": high}


def keypoint_ap(comparison: Comparison) -> np.ndarray:
    """AP of each keypoint alone, as if no other were labelled, float64 [K]; NaN where nobody shows
    it. People without it count neither way.
    """
    single = np.empty((len(comparison.oks), len(comparison.skeleton.keypoints)))
    beside = np.empty(len(comparison.oks))
    labelled = comparison.labelled.points[..., 2] > 0
    for chosen, detection, person in pairs(comparison):
        beside[chosen] = box_similarity(comparison, detection, person).mean(axis=1)
        similarity = keypoint_similarity(comparison, detection, person)
        single[chosen] = np.where(labelled[person], similarity, beside[chosen][:, None])
    people = comparison.labelled
    return np.array(
        [
            average_precision(
                matches_of(
                    comparison, np.ascontiguousarray(single[:, k]), people.crowd | ~labelled[:, k]
                )
            )
            for k in range(single.shape[1])
        ]
    )


def oks_histogram(comparison: Comparison, bins: int = 20) -> np.ndarray:
    """Labelled people by OKS with their detection, int64 [bins] over 0..1; unmatched people count
    as OKS 0.
    """
    values = comparison.person_oks[~comparison.labelled.ignored]
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
        groups.append(image_group(matches, in_group, f"people {name}"))
    return groups


def image_group(matches: Matches, in_group: np.ndarray, name: str) -> dict:
    """AP of the images `in_group`, bool [I], with their counts; NaN where there is nobody to
    find.
    """
    precision = precision_at_recall(matches, in_group.astype(np.int64))
    return {
        "group": name,
        "images": int(in_group.sum()),
        "people": int(matches.people[in_group].sum()),
        "AP": float(precision.mean()),
    }


def worst(comparison: Comparison) -> Sequence[tuple[int, int, int, float]]:
    """Images with people, most OKS lost (sum of 1 - OKS over labelled people) first: id, people,
    detections, that loss.
    """
    people = comparison.labelled
    images, counted = len(people.image_ids), ~people.ignored
    count = np.bincount(people.image[counted], minlength=images)
    lost = np.bincount(people.image[counted], 1 - comparison.person_oks[counted], minlength=images)
    found = np.diff(comparison.detected.start)
    lines = zip(
        people.image_ids.tolist(), count.tolist(), found.tolist(), lost.tolist(), strict=True
    )
    return sorted((line for line in lines if line[1]), key=lambda line: (-line[3], line[0]))
