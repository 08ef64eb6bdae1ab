"""Limbs to people: limbs that share a peak belong to one person."""

import numpy as np

from stages.openpose.compiled import jit


@jit
def assemble(peaks, parts, limbs, decode_order, late, chosen, firsts):
    """People as peak indices int64 [P, parts] (-1 = not found), and float64 [P, 2]: sum of part scores, of limb scores."""
    members = np.full((chosen.shape[0], parts), -1, np.int64)
    sums = np.zeros((chosen.shape[0], 2), np.float64)
    owner = np.full(peaks.shape[0], -1, np.int64)
    count = 0
    for kind in decode_order:
        a, b = limbs[kind, 0], limbs[kind, 1]
        for row in range(firsts[kind], firsts[kind + 1]):
            i, j, score = int(chosen[row, 0]), int(chosen[row, 1]), chosen[row, 2]
            p, q = owner[i], owner[j]
            if p < 0 and q < 0:
                if late[kind]:
                    continue
                p = count
                count += 1
                members[p, a] = i
                members[p, b] = j
                sums[p, 0] = np.float64(peaks[i, 2]) + peaks[j, 2]
                owner[i] = p
                owner[j] = p
            elif q < 0:
                if members[p, b] >= 0:
                    continue
                members[p, b] = j
                owner[j] = p
                sums[p, 0] += peaks[j, 2]
            elif p < 0:
                if members[q, a] >= 0:
                    continue
                members[q, a] = i
                owner[i] = q
                sums[q, 0] += peaks[i, 2]
                p = q
            elif p == q:
                continue
            else:
                clash = False
                for part in range(parts):
                    if members[p, part] >= 0 and members[q, part] >= 0:
                        clash = True
                if clash:
                    continue
                for part in range(parts):
                    if members[q, part] >= 0:
                        members[p, part] = members[q, part]
                        owner[members[q, part]] = p
                        members[q, part] = -1
                sums[p] += sums[q]
                sums[q] = 0
            sums[p, 1] += score
    return members[:count], sums[:count]
