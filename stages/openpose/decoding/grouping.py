"""Limbs to people: limbs that share a peak belong to one person."""

import numpy as np

from stages.openpose.compiled import jit


@jit
def assemble(peaks, parts, limbs, decode_order, late, ends, scores, firsts):
    """Join limbs to people, each peak owned by one person at most.

    A limb starts a person, adds a peak to one, or joins two people who have no part in common;
    where they have, the limb is dropped (the reference overwrites the part, and counts it twice).
    Late limbs start nobody.

    Args:
        peaks, ends, scores, firsts: see `decoder_limbs.match`.
        parts: number of parts.
        limbs, decode_order: int64 [kinds, 2] and [kinds].
        late: bool [kinds].

    Returns:
        members int64 [P, parts] (peak or -1; people who were joined to others are empty rows) and
        limb_sums float32 [P]: the sum of the scores of their limbs.
    """
    members = np.full((ends.shape[0], parts), -1, np.int64)
    limb_sums = np.zeros(ends.shape[0], np.float32)
    owner = np.full(peaks.shape[0], -1, np.int64)
    count = 0
    for kind in decode_order:
        for row in range(firsts[kind], firsts[kind + 1]):
            i, j = ends[row, 0], ends[row, 1]
            p, q = owner[i], owner[j]
            if p < 0 and q < 0:
                if late[kind]:
                    continue
                p = count
                count += 1
            elif p < 0:
                p = q
            elif p == q or (q >= 0 and not _join(members, limb_sums, owner, p, q)):
                continue
            if _take(members[p], limbs[kind, 0], i) and _take(members[p], limbs[kind, 1], j):
                owner[i] = p
                owner[j] = p
                limb_sums[p] += scores[row]
    return members[:count], limb_sums[:count]


@jit
def _take(person, part, peak):
    """Give a person a peak, unless it has another one of that part."""
    if person[part] < 0:
        person[part] = peak
    return person[part] == peak


@jit
def _join(members, limb_sums, owner, p, q):
    """Move everything of person q to person p; False, and nothing moves, where both have the same
    part.
    """
    for part in range(members.shape[1]):
        if members[p, part] >= 0 and members[q, part] >= 0:
            return False
    for part in range(members.shape[1]):
        if members[q, part] >= 0:
            members[p, part] = members[q, part]
            owner[members[q, part]] = p
            members[q, part] = -1
    limb_sums[p] += limb_sums[q]
    limb_sums[q] = 0
    return True
