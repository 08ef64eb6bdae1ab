"""People in pieces: parts of one person that no limb connects, because the joint between them is
hidden.

The neck, for example, is labelled only where both shoulders are; of a person seen from the side,
arms, legs and face may each hang together and yet have no field between them. Two pieces are joined
when one body could hold both: no part in common, about the same scale, no two parts farther apart
than the body between them is long. Of several such partners each piece takes the one with which it
looks most like a person at rest, and only if that one takes it too.
"""

from functools import lru_cache

import numpy as np

from stages.openpose.compiled import jit
from stages.openpose.skeleton import Skeleton

# A person standing at ease, seen from the front: x, y in body heights. Proportions after the usual
# 7.5 heads.
AT_REST = {
    "nose": (0.0, 0.08), "neck": (0.0, 0.18),
    "right_shoulder": (-0.13, 0.19), "right_elbow": (-0.19, 0.35), "right_wrist": (-0.21, 0.5),
    "left_shoulder": (0.13, 0.19), "left_elbow": (0.19, 0.35), "left_wrist": (0.21, 0.5),
    "right_hip": (-0.08, 0.5), "right_knee": (-0.09, 0.73), "right_ankle": (-0.1, 0.95),
    "left_hip": (0.08, 0.5), "left_knee": (0.09, 0.73), "left_ankle": (0.1, 0.95),
    "right_eye": (-0.03, 0.06), "left_eye": (0.03, 0.06),
    "right_ear": (-0.06, 0.07), "left_ear": (0.06, 0.07),
}  # fmt: skip
# Score per part (heatmap and field, at most about 2) that a piece must have: unsure pieces are
# mostly false.
SURE = 0.5
# Scales of two pieces may differ by this factor: limbs are foreshortened, and proportions differ.
SCALE_RATIO = 2.0
# With more pieces than this nothing is joined: they come of noise, or of a crowd in which joining
# would be guessing.
MOST_PIECES = 1000
MOST_PARTS = 62  # bits that tell which parts a piece has
# Cells by which two parts may be farther apart than the body between them is long.
SLACK_CELLS = 1.0


@lru_cache(maxsize=8)
def body_lengths(skeleton_parts: tuple, skeleton_limbs: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Distances between parts of a body at rest, in body heights, float32 [parts, parts]: straight,
    and along limbs.

    Parts that AT_REST does not know lie at infinity, so that nothing is joined across them.
    """
    places = np.array([AT_REST.get(name, (np.nan, np.nan)) for name in skeleton_parts])
    straight = np.linalg.norm(places[:, None] - places[None], axis=2)
    along = np.full_like(straight, np.inf)
    np.fill_diagonal(along, 0)
    for a, b in skeleton_limbs:
        along[a, b] = along[b, a] = straight[a, b]
    for middle in range(len(places)):  # shortest paths over limbs (Floyd-Warshall)
        along = np.minimum(along, along[:, middle : middle + 1] + along[middle])
    return straight.astype(np.float32), along.astype(np.float32)


def join_pieces(
    peaks: np.ndarray,
    members: np.ndarray,
    limb_sums: np.ndarray,
    limbs: np.ndarray,
    skeleton: Skeleton,
) -> None:
    """Join rows of `members` and `limb_sums` (see `grouping.assemble`) in place; a row joined to
    another is emptied.
    """
    straight, along = body_lengths(skeleton.parts, skeleton.limbs)
    _join(peaks, members, limb_sums, limbs, straight, along)


@jit
def _join(peaks, members, limb_sums, limbs, straight, along):
    pieces = _sure_pieces(peaks, members, limb_sums)
    count = pieces.size
    if count > MOST_PIECES:
        return
    lengths = np.empty((count, 2), np.float32)
    for i in range(count):
        lengths[i] = _lengths(peaks, members[pieces[i]], limbs, straight)
    part_masks = np.zeros(count, np.int64)
    partner, best = np.empty(count, np.int64), np.empty(count, np.float32)
    changed = True
    while changed:
        changed = False
        _find_partners(peaks, members, pieces, lengths, part_masks, straight, along, partner, best)
        for i in range(count):
            j = partner[i]
            if j > i and partner[j] == i:
                _move(members, limb_sums, pieces[i], pieces[j])
                lengths[i] += lengths[j]
                lengths[j] = 0
                changed = True


@jit
def _sure_pieces(peaks, members, limb_sums):
    """Rows of pieces of at least two parts whose score per part is at least SURE."""
    pieces = np.empty(members.shape[0], np.int64)
    piece_count = 0
    for person in range(members.shape[0]):
        part_count, total = 0, limb_sums[person]
        for peak in members[person]:
            if peak >= 0:
                part_count += 1
                total += peaks[peak, 2]
        if part_count >= 2 and total >= SURE * part_count:
            pieces[piece_count] = person
            piece_count += 1
    return pieces[:piece_count]


@jit
def _lengths(peaks, person, limbs, straight):
    """Sum of the lengths of a piece's limbs, in cells and (at rest) in body heights; their ratio is
    its scale.
    """
    cells, heights = np.float32(0), np.float32(0)
    for kind in range(limbs.shape[0]):
        a, b = person[limbs[kind, 0]], person[limbs[kind, 1]]
        if a >= 0 and b >= 0:
            cells += np.hypot(peaks[a, 0] - peaks[b, 0], peaks[a, 1] - peaks[b, 1])
            heights += straight[limbs[kind, 0], limbs[kind, 1]]
    return cells, heights


@jit
def _find_partners(peaks, members, pieces, lengths, part_masks, straight, along, partner, best):
    """For each piece the one with which it looks most like a person at rest, -1 where none fits."""
    partner[:] = -1
    best[:] = np.inf
    for i in range(pieces.size):
        part_masks[i] = 0
        for part in range(members.shape[1]):
            if members[pieces[i], part] >= 0:
                part_masks[i] |= 1 << part
    for i in range(pieces.size):
        for j in range(i + 1, pieces.size):
            if part_masks[i] & part_masks[j] or part_masks[i] == 0 or part_masks[j] == 0:
                continue
            strangeness = _strangeness(
                peaks,
                members[pieces[i]],
                members[pieces[j]],
                lengths[i],
                lengths[j],
                straight,
                along,
            )
            if strangeness < best[i]:
                best[i], partner[i] = strangeness, j
            if strangeness < best[j]:
                best[j], partner[j] = strangeness, i


@jit
def _strangeness(peaks, piece, other, lengths, other_lengths, straight, along):
    """Mean square difference, in body heights, between the distances of two pieces' parts and those
    at rest; infinite where no body could hold both.
    """
    ratio = lengths[0] * other_lengths[1], other_lengths[0] * lengths[1]
    if not (max(ratio) <= SCALE_RATIO * min(ratio) and min(ratio) > 0):
        return np.float32(np.inf)
    scale = (lengths[0] + other_lengths[0]) / (lengths[1] + other_lengths[1])
    total, count = np.float32(0), 0
    for a in range(piece.size):
        for b in range(piece.size):
            if piece[a] >= 0 and other[b] >= 0:
                distance = np.hypot(
                    peaks[piece[a], 0] - peaks[other[b], 0], peaks[piece[a], 1] - peaks[other[b], 1]
                )
                if not distance <= scale * along[a, b] + SLACK_CELLS:
                    return np.float32(np.inf)
                total += (distance / scale - straight[a, b]) ** 2
                count += 1
    return total / np.float32(count)


@jit
def _move(members, limb_sums, person, other):
    """Give everything of `other` to `person`."""
    for part in range(members.shape[1]):
        if members[other, part] >= 0:
            members[person, part] = members[other, part]
            members[other, part] = -1
    limb_sums[person] += limb_sums[other]
    limb_sums[other] = 0
