"""Limbs to people: limbs that share a peak belong to one person."""

import numpy as np

from stages.openpose.compiled import jit


@jit
def assemble(peaks, part_count, limbs, decode_order, late, ends, scores, firsts):
    """Join limbs to people, each peak owned by one person at most.

    A limb starts a person, adds a peak to one, or joins two people who have no part in common;
    where they have, the limb is dropped (the reference overwrites the part, and counts it twice).
    Late limbs start nobody.

    Args:
        peaks, ends, scores, firsts: see `limbs.match`.
        part_count: number of parts.
        limbs, decode_order: int64 [kinds, 2] and [kinds].
        late: bool [kinds].

    Returns:
        members int64 [P, parts] (peak or -1; people who were joined to others are empty rows) and
        limb_sums float32 [P]: the sum of the scores of their limbs.
    """
    members = np.full((ends.shape[0], part_count), -1, np.int64)
    limb_sums = np.zeros(ends.shape[0], np.float32)
    owner = np.full(peaks.shape[0], -1, np.int64)
    count = 0
    for kind in decode_order:
        for limb in range(firsts[kind], firsts[kind + 1]):
            start_peak, end_peak = ends[limb, 0], ends[limb, 1]
            person, other = owner[start_peak], owner[end_peak]
            if person < 0 and other < 0:
                if late[kind]:
                    continue
                person = count
                count += 1
            elif person < 0:
                person = other
            elif person == other or (
                other >= 0 and not _join(members, limb_sums, owner, person, other)
            ):
                continue
            if _take(members[person], limbs[kind, 0], start_peak) and _take(
                members[person], limbs[kind, 1], end_peak
            ):
                owner[start_peak] = person
                owner[end_peak] = person
                limb_sums[person] += scores[limb]
    return members[:count], limb_sums[:count]


@jit
def _take(person, part, peak):
    """Give a person a peak, unless it has another one of that part."""
    if person[part] < 0:
        person[part] = peak
    return person[part] == peak


@jit
def _join(members, limb_sums, owner, person, other):
    """Move everything of `other` to `person`; False, and nothing moves, where both have the same
    part.
    """
    for part in range(members.shape[1]):
        if members[person, part] >= 0 and members[other, part] >= 0:
            return False
    for part in range(members.shape[1]):
        if members[other, part] >= 0:
            members[person, part] = members[other, part]
            owner[members[other, part]] = person
            members[other, part] = -1
    limb_sums[person] += limb_sums[other]
    limb_sums[other] = 0
    return True
