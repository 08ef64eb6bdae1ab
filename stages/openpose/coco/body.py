"""The skeleton of a data set whose keypoints are not COCO's: what its annotations say, what the
places of its labelled keypoints tell, and what settings put in their stead.

Definitions and their limits: docs/own-bodies.md.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.openpose.coco.annotations import ABSENT, People, network_parts
from stages.openpose.errors import InputError
from stages.openpose.skeleton import COCO, COCO_KEYPOINTS, ESTIMATED, GIVEN, Skeleton

# OKS sigma over the median distance to the nearest other keypoint, in square roots of the area:
# the ratio of COCO's 17 (docs/own-bodies.md).
SIGMA_OF_SPACING = 0.284
SMALLEST_SIGMA, LARGEST_SIGMA = 0.02, 0.15
USUAL_SIGMA = 0.06  # where nothing can be measured: the geometric mean of COCO's
FEWEST_PEOPLE = 5  # who show a pair of keypoints, for its length to count
MOST_PEOPLE = 5000
# Limbs beyond those that hold the body together, as a share of its keypoints, where the file has no
# edges: COCO's body has two such of 18.
SPARE_LIMBS = 1 / 8
UNKNOWN_COST = 1e3
# A keypoint lies always on one side when the mean of its place across is so many deviations off.
ONE_SIDED = 2.0
NEAR_MIRROR = 0.35  # of the distance between two keypoints that mirror each other
UNLIKE = 1.6  # factor between lengths on the left and on the right that is suspicious
SIDES = (("left", "right"), ("l", "r"))


@dataclass(frozen=True)
class Given:
    """What settings say of the body; whatever is empty is taken from the data.

    Attributes:
        edges, mirror: pairs of names. sigmas: one a keypoint. derived: {part: (part, part)}.
    """

    edges: Sequence[tuple[str, str]] = ()
    mirror: Sequence[tuple[str, str]] = ()
    sigmas: Sequence[float] = ()
    derived: dict[str, tuple[str, str]] = field(default_factory=dict)


NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Derived:
    """A skeleton, what is to be said of how it came about, and what is suspicious in that."""

    skeleton: Skeleton
    notes: list[str]
    suspicions: list[str]


@dataclass(frozen=True)
class Places:
    """Where labelled parts are.

    Attributes:
        xy: float64 [P, K, 2], from the person's middle, in square roots of its area.
        known: bool [P, K].
    """

    xy: np.ndarray
    known: np.ndarray


def derive(
    keypoints: tuple[str, ...],
    edges: Sequence[tuple[int, int]],
    people: People,
    given: Given = NOTHING_GIVEN,
) -> Derived:
    """The skeleton of people with `keypoints`.

    Args:
        edges: pairs of keypoints' indices, as the annotations have them.
        people: labelled ones, whose places decide what is not given.

    Raises:
        InputError: a setting names a keypoint that does not exist.
    """
    if keypoints == COCO_KEYPOINTS and not any(vars(given).values()):
        return Derived(COCO, ["body: COCO's 17 keypoints"], [])
    _check(keypoints, given)
    parts = (*keypoints, *given.derived)
    bare = Skeleton(
        keypoints, (USUAL_SIGMA,) * len(keypoints), parts, ((0, 0),), (0,), (), given.derived, ()
    )
    places = places_of(people, bare)
    lengths, cost = pair_lengths(places)
    pairs, suspicions = mirror_pairs(parts, places, lengths, given.mirror)
    swap = _swap(parts, pairs)
    cost = (cost + cost[np.ix_(swap, swap)]) / 2
    asked = [(parts.index(a), parts.index(b)) for a, b in given.edges] or list(edges)
    limbs, spare, how = _limbs(len(parts), asked, swap, cost)
    sigmas, source = _sigmas(keypoints, lengths, swap, given.sigmas)
    order = sorted(range(len(limbs)), key=lambda i: (limbs[i] in spare, cost[limbs[i]]))
    skeleton = Skeleton(
        keypoints,
        sigmas,
        parts,
        tuple(limbs),
        tuple(order),
        tuple(i for i, limb in enumerate(limbs) if limb in spare),
        given.derived,
        pairs,
        source,
    )
    mirrors = f"mirror pairs: {len(pairs)}, " + ("given" if given.mirror else "by their names")
    return Derived(skeleton, [_heading(keypoints), how, mirrors, _told(sigmas, source)], suspicions)


def _heading(keypoints: tuple[str, ...]) -> str:
    more = " ..." if len(keypoints) > 6 else ""
    return f"body: {len(keypoints)} keypoints ({', '.join(keypoints[:6])}{more})"


def _told(sigmas: tuple[float, ...], source: str) -> str:
    shown = ", ".join(f"{value:.3f}" for value in sigmas[:8])
    return f"OKS sigmas {source}: {shown}" + (" ..." if len(sigmas) > 8 else "")


def _check(keypoints: tuple[str, ...], given: Given) -> None:
    """Refuse settings that name what is not there."""
    parts = (*keypoints, *given.derived)
    groups = {
        "edges": (given.edges, parts),
        "mirror": (given.mirror, parts),
        "derived": (given.derived.values(), keypoints),
    }
    for key, (entries, known) in groups.items():
        for entry in entries:
            unknown = [name for name in entry if name not in known]
            if unknown or len(set(entry)) < len(entry):
                raise InputError(
                    f"parameter `skeleton.{key}`: expected different names of keypoints, found "
                    f"{', '.join(entry)}; there are {', '.join(known[:20])}"
                )
    if given.sigmas and len(given.sigmas) != len(keypoints):
        raise InputError(
            f"parameter `skeleton.sigmas`: expected {len(keypoints)} numbers, one a keypoint, "
            f"found {len(given.sigmas)}"
        )
    twice = set(given.derived).intersection(keypoints)
    if twice:
        raise InputError(f"parameter `skeleton.derived`: {', '.join(twice)}: is a keypoint already")


def places_of(people: People, skeleton: Skeleton) -> Places:
    """Where the parts of at most MOST_PEOPLE people are, spread evenly over all."""
    rows = np.linspace(0, len(people) - 1, min(len(people), MOST_PEOPLE)).astype(int)
    parts = network_parts(people.keypoints[rows], skeleton).astype(np.float64)
    known = parts[..., 2] < ABSENT
    size = np.sqrt(np.maximum(people.areas[rows], 1))[:, None, None]
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    middle = (parts[..., :2] * known[..., None]).sum(axis=1) / count
    return Places((parts[..., :2] - middle[:, None]) / size, known)


def pair_lengths(places: Places) -> tuple[np.ndarray, np.ndarray]:
    """Median distance of each pair of parts, and how ill it serves as a limb: the deviation of its
    length, in square roots of the area, more where few people show both; float64 [K, K] each.

    Pairs that FEWEST_PEOPLE do not show have distance NaN and the cost UNKNOWN_COST and more.
    """
    count = places.known.shape[1]
    median = np.full((count, count), np.nan)
    # neighbours in the list first, where nothing is known
    cost = UNKNOWN_COST + np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(
        float
    )
    for a in range(count):
        both = places.known & places.known[:, a : a + 1]
        lengths = np.linalg.norm(places.xy - places.xy[:, a : a + 1], axis=2)
        for b in np.flatnonzero(both.sum(axis=0) >= FEWEST_PEOPLE):
            if a != b:
                length, share = lengths[both[:, b], b], both[:, b].mean()
                median[a, b], cost[a, b] = np.median(length), length.std() / np.sqrt(share)
    return median, cost


def mirror_pairs(
    names: tuple[str, ...],
    places: Places,
    lengths: np.ndarray,
    given: Sequence[tuple[str, str]] = (),
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Pairs of parts that change places in a mirrored image: given, else by the words of their
    names; and what is suspicious of them.

    Args:
        lengths: float64 [K, K], median distances (`pair_lengths`).
    """
    if given:
        return tuple(given), _unlike(names, given, lengths)
    pairs = [(name, other) for name in names if (other := counterpart(name, names))]
    alone = [name for name in names if not any(name in pair for pair in pairs)]
    suspicions = _unlike(names, pairs, lengths)
    if candidates := pairs_by_place(names, alone, places):
        shown = ", ".join(f"[{a}, {b}]" for a, b in candidates[:6])
        suspicions.append(
            f"{len(candidates)} pairs of keypoints lie on opposite sides of most bodies, but are "
            f"not called left and right: {shown}; where one becomes the other in a mirrored image "
            f"list them in `skeleton.mirror`"
        )
    return tuple(pairs), suspicions


def counterpart(name: str, names: Iterable[str]) -> str | None:
    """The right one of a left name, where it is among `names`: left_ear, l_ear, leftear, ear_l."""
    for left, right in SIDES:
        words = name.split("_")
        turned = ["_".join(right if word == left else word for word in words)]
        if len(left) > 1:
            turned += [re.sub(f"^{left}|{left}$", right, name)]
        for other in turned:
            if other != name and other in names:
                return other
    return None


def pairs_by_place(
    names: tuple[str, ...], alone: Sequence[str], places: Places
) -> list[tuple[str, str]]:
    """Pairs among the names `alone` whose usual places mirror each other.

    That need not mean anything: head and tail of animals that all look one way do so too.
    """
    rows = [names.index(name) for name in alone]
    rows = [row for row in rows if places.known[:, row].sum() >= 2 * FEWEST_PEOPLE]
    xy = [places.xy[places.known[:, row], row] for row in rows]
    mean = np.array([points.mean(axis=0) for points in xy]).reshape(-1, 2)
    spread = np.array([points[:, 0].std() for points in xy])
    sided = np.flatnonzero(np.abs(mean[:, 0]) > ONE_SIDED * spread + 1e-9)
    if len(sided) < 2:
        return []
    mean = mean[sided]
    gaps = np.linalg.norm((mean * (-1, 1))[:, None] - mean[None], axis=2)
    nearest = gaps.argmin(axis=1)
    return [
        (names[rows[sided[i]]], names[rows[sided[j]]])
        for i, j in enumerate(nearest)
        if i < j
        and nearest[j] == i
        and gaps[i, j] < NEAR_MIRROR * np.linalg.norm(mean[i] - mean[j])
    ]


def _unlike(
    names: tuple[str, ...], pairs: Sequence[tuple[str, str]], lengths: np.ndarray
) -> list[str]:
    """Pairs whose two sides have other distances to the same third part: probably no pairs."""
    swap = _swap(names, pairs)
    mirrored = lengths[np.ix_(swap, swap)]
    notes = []
    for left, right in pairs:
        here, there = lengths[names.index(left)], mirrored[names.index(left)]
        both = (here > 0) & (there > 0)  # not NaN
        both[names.index(right)] = False  # as far from each other either way
        ratio = np.maximum(here[both] / there[both], there[both] / here[both])
        if len(ratio) and np.median(ratio) > UNLIKE:
            notes.append(f"{left} and {right} do not look like mirror images of each other")
    return notes


def _swap(names: tuple[str, ...], pairs: Iterable[tuple[str, str]]) -> list[int]:
    """For each name the index of the one it changes places with."""
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return [names.index(other.get(name, name)) for name in names]


def _limbs(
    count: int, asked: Sequence[tuple[int, int]], swap: list[int], cost: np.ndarray
) -> tuple[list[tuple[int, int]], set[tuple[int, int]], str]:
    """Limbs, those of them that only complete people, and how they were found.

    They are the edges asked for, made symmetric and connected, or the tree of least cost and a few
    more.
    """
    if count == 1:
        return [(0, 0)], set(), "limbs: none, each keypoint is one"
    limbs: list[tuple[int, int]] = []
    for edge in asked:
        _add(limbs, edge, swap)
    given = len(limbs)
    for edge in sorted(_pairs(count), key=lambda pair: (cost[pair], pair)):
        if _component(limbs, edge[0]).isdisjoint([edge[1]]):
            _add(limbs, edge, swap)
    joined, spare = len(limbs), set()
    if not asked:
        wanted = joined + round(SPARE_LIMBS * count)
        for edge in sorted(_pairs(count), key=lambda pair: (cost[pair], pair)):
            if len(limbs) < wanted and cost[edge] < UNKNOWN_COST:
                _add(limbs, edge, swap)
        spare = set(limbs[joined:])
    how = f"limbs: {given} by `skeleton`, {joined - given} to connect the body"
    if not asked:
        how = f"limbs: {joined} found by how little their lengths vary, {len(spare)} more"
    return limbs, spare, how


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(count) for b in range(a + 1, count)]


def _add(limbs: list[tuple[int, int]], edge: tuple[int, int], swap: list[int]) -> None:
    """Append a limb and its mirror image, where they are not there yet."""
    for a, b in (edge, (swap[edge[0]], swap[edge[1]])):
        if (a, b) not in limbs and (b, a) not in limbs:
            limbs.append((a, b))


def _component(limbs: Sequence[tuple[int, int]], start: int) -> set[int]:
    """All parts that limbs connect with `start`."""
    found, before = {start}, set[int]()
    while found != before:
        before = set(found)
        for limb in limbs:
            if not found.isdisjoint(limb):
                found.update(limb)
    return found


def _sigmas(
    keypoints: tuple[str, ...], lengths: np.ndarray, swap: list[int], given: Sequence[float]
) -> tuple[tuple[float, ...], str]:
    """OKS sigmas in the order of `keypoints`, and where they come from."""
    if given:
        return tuple(map(float, given)), GIVEN
    count = len(keypoints)
    spacing = np.where(np.isnan(lengths), np.inf, lengths)[:count, :count].min(
        axis=1, initial=np.inf
    )
    sigmas = np.clip(SIGMA_OF_SPACING * spacing, SMALLEST_SIGMA, LARGEST_SIGMA)
    sigmas = np.where(np.isinf(spacing), USUAL_SIGMA, sigmas)
    both = (sigmas + sigmas[swap[:count]]) / 2
    return tuple(round(float(sigma), 4) for sigma in both), ESTIMATED
