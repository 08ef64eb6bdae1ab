"""What is possible in annotations but probably wrong."""

from collections.abc import Iterator

import numpy as np

from stages.openpose.coco.annotations import Images, People
from stages.openpose.coco.findings import Findings
from stages.openpose.skeleton import COCO, Skeleton

SLACK_PX = 2.0
FAR_FROM_BOX = 0.25  # of the box's longer side
SAME_PERSON_OKS = 0.9
FEWEST_COMMON = 3
FEWEST_FACING = 8
LEAST_SHARE = 0.4
MOST_INSIDE, ALL_INSIDE = 0.8, 0.95  # shares of keypoints within their box


def suspect_people(images: Images, people: People, skeleton: Skeleton, findings: Findings) -> None:
    """Note suspicious places, boxes, areas, twins and exchanged sides of labelled people."""
    if not len(people):
        return
    sizes = images.sizes[people.image].astype(np.float64)
    _suspect_places(images, people, sizes, findings)
    _suspect_boxes(images, people, sizes, findings)
    for kind, text in other_frames(people, sizes):
        findings.suspect(kind, text)
    for first, second, same in twins(people, skeleton):
        _note(
            "people labelled twice (duplicates)" if same else "people labelled twice (nearly)",
            images, people, second, f"as annotation {people.ids[first]}", findings,
        )  # fmt: skip
    for text in exchanged_sides(people, skeleton):
        findings.suspect("left and right exchanged on most people", text)


def _note(
    kind: str, images: Images, people: People, person: int, what: str, findings: Findings
) -> None:
    image_id = int(images.ids[people.image[person]])
    findings.suspect(kind, f"annotation {people.ids[person]} of image {image_id}: {what}", image_id)


def _suspect_places(images: Images, people: People, sizes: np.ndarray, findings: Findings) -> None:
    points, labelled = people.keypoints[..., :2].astype(np.float64), people.keypoints[..., 2] > 0
    low, high = people.boxes[:, None, :2], (people.boxes[:, :2] + people.boxes[:, 2:])[:, None]
    slack = FAR_FROM_BOX * people.boxes[:, 2:].max(axis=1)[:, None, None]
    beyond_image = ((points < -SLACK_PX) | (points > sizes[:, None, ::-1] + SLACK_PX)).any(axis=2)
    beyond_box = ((points < low - slack) | (points > high + slack)).any(axis=2)
    shares = ((points >= 0) & (points <= 1)).all(axis=2) | ~labelled
    at_origin = (points == 0).all(axis=2)
    for kind, where in (
        ("keypoints outside their image", (beyond_image & labelled).any(axis=1)),
        (
            "most keypoints far outside their box",
            2 * (beyond_box & labelled).sum(axis=1) > labelled.sum(axis=1),
        ),
        (
            "shares 0..1 in place of pixels, it seems",
            shares.all(axis=1) & (sizes.min(axis=1) > 2) & ~(at_origin & labelled).all(axis=1),
        ),
        ("labelled keypoints at 0, 0", (at_origin & labelled).any(axis=1)),
        (
            "keypoints with a place but visibility 0",
            ((points > 1).all(axis=2) & ~labelled).any(axis=1),
        ),
    ):
        for person in np.flatnonzero(where).tolist():
            shown = points[person][labelled[person]][:2].round(2).tolist()
            _note(kind, images, people, person, f"keypoints {shown} ...", findings)


def other_frames(people: People, sizes: np.ndarray) -> Iterator[tuple[str, str]]:
    """(kind, text) where keypoints of all people lie in their boxes only if read otherwise.

    Args:
        sizes: float64 [P, 2], (height, width) of each person's image.
    """
    points, labelled = people.keypoints[..., :2].astype(np.float64), people.keypoints[..., 2] > 0
    low, extent = people.boxes[:, None, :2], people.boxes[:, None, 2:]

    def inside(points: np.ndarray, high: np.ndarray) -> float:
        beyond = np.maximum(low - points, points - high).max(axis=2)
        return float((beyond[labelled] <= SLACK_PX).mean())

    as_is = inside(points, low + extent)
    for kind, read_so in (
        ("x and y exchanged, it seems", points[..., ::-1]),
        ("keypoints counted from the corner of their box, it seems", points + low),
    ):
        share = inside(read_so, low + extent)
        if as_is < MOST_INSIDE and share > ALL_INSIDE:
            yield kind, f"{as_is:.0%} of the keypoints lie in their box, read so {share:.0%}"
    beyond = ((low + extent)[:, 0] > sizes[:, ::-1] + SLACK_PX).any(axis=1)
    corners = (extent > low).all() and inside(points, extent) > ALL_INSIDE
    if corners and beyond.mean() > 1 - ALL_INSIDE:
        yield (
            "boxes as corners x, y, x, y in place of x, y, width, height, it seems",
            f"{beyond.sum()} of {len(people)} boxes reach beyond their image, read so none",
        )


def _suspect_boxes(images: Images, people: People, sizes: np.ndarray, findings: Findings) -> None:
    low, high = people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]
    box_area = people.boxes[:, 2] * people.boxes[:, 3]
    for kind, where in (
        (
            "boxes outside their image",
            ((low < -SLACK_PX) | (high > sizes[:, ::-1] + SLACK_PX)).any(axis=1),
        ),
        (
            "boxes of less than a pixel: shares in place of pixels?",
            (people.boxes[:, 2:] <= 1).all(1),
        ),
        (
            "areas larger than the box",
            people.areas > 1.05 * box_area + 4,
        ),
        ("areas below 2 % of the box", people.areas < 0.02 * box_area),
    ):
        for person in np.flatnonzero(where).tolist():
            what = f"bbox {people.boxes[person].round(2).tolist()}, area {people.areas[person]:g}"
            _note(kind, images, people, person, what, findings)


def twins(people: People, skeleton: Skeleton = COCO) -> Iterator[tuple[int, int, bool]]:
    """(first, second, whether equal) of people of one image whose keypoints coincide: OKS of at
    least SAME_PERSON_OKS over the common ones.
    """
    starts = np.flatnonzero(np.r_[True, people.image[1:] != people.image[:-1]])
    ends = np.r_[starts[1:], len(people)]
    variance = (2 * np.array(skeleton.oks_sigmas)) ** 2
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        xyv = people.keypoints[start:end].astype(np.float64)
        common = (xyv[:, None, :, 2] > 0) & (xyv[None, :, :, 2] > 0)
        squared = ((xyv[:, None, :, :2] - xyv[None, :, :, :2]) ** 2).sum(axis=3)
        area = np.maximum(people.areas[start:end], 1)[:, None, None]
        similar = (np.exp(-squared / (2 * variance * area)) * common).sum(axis=2)
        count = common.sum(axis=2)
        close = (count >= FEWEST_COMMON) & (similar >= SAME_PERSON_OKS * np.maximum(count, 1))
        for first, second in zip(*np.nonzero(np.triu(close, 1)), strict=True):
            equal = bool((xyv[first] == xyv[second]).all())
            yield int(start + first), int(start + second), equal


def exchanged_sides(people: People, skeleton: Skeleton = COCO) -> list[str]:
    """Pairs of keypoints whose left one lies at the left of most upright people that face us.

    Who faces us shows the nose; a person's left side is then at the right of the image.
    """
    names = skeleton.keypoints
    if "nose" not in names:
        return []
    xyv = people.keypoints
    found = []
    for left in (name for name in names if name.startswith("left_")):
        right = left.replace("left_", "right_")
        if right not in names or left not in ("left_eye", "left_shoulder", "left_hip"):
            continue  # arms and legs cross too often
        pair = [names.index(left), names.index(right)]
        facing = (xyv[:, names.index("nose"), 2] == 2) & (xyv[:, pair, 2] > 0).all(axis=1)
        facing &= _upright(people, skeleton)
        right_way = xyv[facing][:, pair[0], 0] > xyv[facing][:, pair[1], 0]
        if len(right_way) >= FEWEST_FACING and right_way.mean() < LEAST_SHARE:
            found.append(
                f"{left} lies left of {names[pair[1]]} in the image of "
                f"{(~right_way).sum()} of {len(right_way)} upright people with a visible nose"
            )
    return found


def _upright(people: People, skeleton: Skeleton) -> np.ndarray:
    """bool [P], the nose lies above whatever is labelled of shoulders and hips."""
    names = skeleton.keypoints
    lower = [i for i, name in enumerate(names) if name.endswith(("shoulder", "hip"))]
    nose = people.keypoints[:, names.index("nose"), 1]
    y = np.where(people.keypoints[:, lower, 2] > 0, people.keypoints[:, lower, 1], np.inf)
    return nose < y.min(axis=1, initial=np.inf)
