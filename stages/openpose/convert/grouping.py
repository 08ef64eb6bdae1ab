"""Which keypoint belongs to whom, where a tool has only boxes around people."""

from collections.abc import Iterable, Iterator

from stages.openpose.convert.labelled import Keypoint, Person


def by_box(
    points: Iterable[Keypoint], people: Iterable[Person], margin: float
) -> Iterator[tuple[Keypoint, Person | None]]:
    """Each point with the only person in whose box it lies, or beside it by `margin` (unit of the
    boxes); None where there is none, or more than one.
    """
    boxed = [(person, person.box) for person in people if person.box]
    for point in points:
        around = [
            person
            for person, (left, top, width, height) in boxed
            if left - margin <= point.x <= left + width + margin
            and top - margin <= point.y <= top + height + margin
        ]
        yield point, around[0] if len(around) == 1 else None
