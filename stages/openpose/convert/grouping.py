"""Which keypoint belongs to whom, where a tool has only boxes around people."""

from collections.abc import Sequence

from stages.openpose.convert.labelled import Box


def owners(
    points: Sequence[tuple[float, float]], boxes: Sequence[Box], margin: float
) -> list[int | None]:
    """For each point the index of the only box that it lies in, or beside by `margin` (unit of the
    boxes); None where there is none, or more than one.
    """
    found: list[int | None] = []
    for x, y in points:
        around = [
            i
            for i, (left, top, width, height) in enumerate(boxes)
            if left - margin <= x <= left + width + margin
            and top - margin <= y <= top + height + margin
        ]
        found.append(around[0] if len(around) == 1 else None)
    return found
