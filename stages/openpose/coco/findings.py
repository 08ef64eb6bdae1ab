"""What reading a data set brought to light: what was refused, derived, or looks suspicious."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.openpose.errors import InputError

MOST_SHOWN = 20
MOST_EXAMPLES = 8


class Words(str):
    """Text that stands in messages without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shortened(value: Any) -> str:
    """A value as it may stand in a message: on one line, not too long."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


@dataclass
class Suspicion:
    """How often something was seen that is probably wrong, and the first cases."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    image_ids: list[int] = field(default_factory=list)


@dataclass
class Findings:
    """What was found in one annotation file and its images.

    Attributes:
        path: the annotation file, named in every message.
        strict: raise InputError at the first refusal; else refusals are collected.
        problems: the first MOST_SHOWN refusals of `problem_count`.
        refused_images: ids of images among them, whose annotations are not looked at.
        derived: how often something missing was derived, or something harmless put right.
        suspicious: by kind.
    """

    path: Path
    strict: bool = False
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    refused_images: set[int | None] = field(default_factory=set)
    derived: Counter[str] = field(default_factory=Counter)
    suspicious: dict[str, Suspicion] = field(default_factory=dict)

    def refuse(self, text: str) -> None:
        """Note what cannot be right; InputError where `strict`."""
        text = " ".join(text.splitlines())  # names may hold line ends
        if self.strict:
            raise InputError(f"{self.path}: {text}")
        self.problem_count += 1
        if len(self.problems) < MOST_SHOWN:
            self.problems.append(text)

    def refuse_element(self, name: str, found: Any, place: int) -> None:
        """The same of an element of the list `name` that is no object; `place` in it, from 1."""
        self.refuse(
            f"not COCO annotations: expected objects in `{name}`, found as the {place}. "
            f"{shortened(found)}"
        )

    def refuse_value(self, owner: str, name: str, found: Any, expected: str, advice: str) -> None:
        """The same of one field: what was expected, what was found, what to do."""
        self.refuse(f"{owner}: `{name}`: expected {expected}, found {shortened(found)}; {advice}")

    def suspect(self, kind: str, example: str, image_id: int | None = None, count: int = 1) -> None:
        """Note what is possible but probably wrong."""
        suspicion = self.suspicious.setdefault(kind, Suspicion())
        suspicion.count += count
        if len(suspicion.examples) < MOST_EXAMPLES:
            suspicion.examples.append(example)
            if image_id is not None:
                suspicion.image_ids.append(image_id)

    def check(self) -> None:
        """Raise InputError where anything was refused: how many, and the first."""
        if self.problem_count == 1:
            raise InputError(f"{self.path}: {self.problems[0]}")
        if self.problem_count:
            raise InputError(
                f"{self.path}: {self.problem_count} problems, the first: {self.problems[0]}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for health.json."""
        return {
            "file": str(self.path),
            "problems": self.problem_count,
            "first_problems": self.problems,
            "derived": dict(sorted(self.derived.items())),
            "suspicious": {kind: vars(one) for kind, one in sorted(self.suspicious.items())},
        }
