"""The body model: keypoints, limbs, mirror pairs and OKS sigmas. COCO's stand here and nowhere
else; those of other bodies are derived from their annotations (coco/body.py).

Two orders of keypoints exist. *COCO order* (17) is that of the annotations and of results; *network
order* (18 parts, the neck added) is that of the heatmaps. Sources: docs/sources.md 1; OKS sigmas
from the COCO keypoint evaluation.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

COCO_SIGMAS, GIVEN, ESTIMATED = "COCO", "given", "estimated"  # values of Skeleton.sigmas_from

COCO_KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

PARTS = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)


@dataclass(frozen=True)
class Skeleton:
    """What the method must know of a body.

    Attributes:
        keypoints: names in annotation (COCO) order.
        oks_sigmas: per-keypoint standard deviation of OKS, annotation order, relative to the
            person's scale.
        parts: names in network order; the background heatmap follows the last part.
        limbs: (from, to) part indices, at least one; limb i owns PAF channels 2 i (x) and 2 i + 1
            (y). A body of one keypoint has the limb (0, 0), whose field is empty.
        decode_order: limb indices in the order in which people are assembled.
        late_limbs: limbs that only complete existing people and never start one.
        derived: parts that no annotation holds, as {part: (part, part)} whose mean they are.
        mirror_pairs: parts that change places in a mirrored image; all others stay themselves.
        sigmas_from: where the sigmas come from: COCO_SIGMAS, GIVEN or ESTIMATED.
    """

    keypoints: tuple[str, ...]
    oks_sigmas: tuple[float, ...]
    parts: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    decode_order: tuple[int, ...]
    late_limbs: tuple[int, ...]
    derived: dict[str, tuple[str, str]]
    mirror_pairs: tuple[tuple[str, str], ...]
    sigmas_from: str = COCO_SIGMAS

    @property
    def heatmap_channels(self) -> int:
        """Number of heatmaps: one a part and the background."""
        return len(self.parts) + 1

    @property
    def paf_channels(self) -> int:
        """Number of part-affinity-field channels: x and y of each limb."""
        return 2 * len(self.limbs)

    @cached_property
    def part_of_keypoint(self) -> tuple[int, ...]:
        """For each keypoint (annotation order) the index of its part."""
        return tuple(self.parts.index(name) for name in self.keypoints)

    @cached_property
    def mirrored_parts(self) -> tuple[int, ...]:
        """For each part the part it becomes in a mirrored image."""
        return tuple(self.parts.index(self._other_side(name)) for name in self.parts)

    @cached_property
    def mirrored_keypoints(self) -> tuple[int, ...]:
        """For each keypoint (annotation order) the one it becomes in a mirrored image."""
        return tuple(self.keypoints.index(self._other_side(name)) for name in self.keypoints)

    @cached_property
    def mirrored_limbs(self) -> tuple[int, ...]:
        """For each limb the limb it becomes in a mirrored image, whichever way round."""
        swap = self.mirrored_parts
        pairs = [frozenset(limb) for limb in self.limbs]
        return tuple(pairs.index(frozenset((swap[a], swap[b]))) for a, b in self.limbs)

    @cached_property
    def mirrored_limb_signs(self) -> tuple[int, ...]:
        """For each limb 1, or -1 where the one it becomes in a mirrored image runs the other way:
        from left shoulder to right shoulder, say.
        """
        swap = self.mirrored_parts
        return tuple(
            1 if self.limbs[other] == (swap[a], swap[b]) else -1
            for (a, b), other in zip(self.limbs, self.mirrored_limbs, strict=True)
        )

    def scaled_count(self, count: int) -> int:
        """A number of keypoints that was meant for COCO's body, in proportion where this one has
        fewer; at least 1.
        """
        return min(count, max(1, -(-count * len(self.keypoints) // len(COCO_KEYPOINTS))))

    def _other_side(self, name: str) -> str:
        for left, right in self.mirror_pairs:
            if name in (left, right):
                return right if name == left else left
        return name


def to_dict(skeleton: Skeleton) -> dict[str, Any]:
    """The skeleton as plain lists, texts and numbers."""
    return asdict(skeleton)


def from_dict(values: dict[str, Any] | None) -> Skeleton:
    """The skeleton of `to_dict`, COCO itself where it is equal or `values` is None."""
    if values is None:
        return COCO
    plain: dict[str, Any] = {
        name: tuple(tuple(item) if isinstance(item, list | tuple) else item for item in value)
        if isinstance(value, list | tuple)
        else value
        for name, value in values.items()
    }
    plain["derived"] = {part: tuple(sources) for part, sources in values["derived"].items()}
    skeleton = Skeleton(**plain)
    return COCO if skeleton == COCO else skeleton


def check_whole(skeleton: Skeleton) -> None:
    """Raise ValueError, IndexError or TypeError where parts, limbs and mirror do not go together,
    as in a damaged file.
    """
    counts = len(skeleton.keypoints), len(skeleton.parts), len(skeleton.limbs)
    if len(skeleton.oks_sigmas) != counts[0] or not all(
        isinstance(name, str) for name in (*skeleton.keypoints, *skeleton.parts)
    ):
        raise ValueError("expected a name and a sigma for every keypoint")
    if not all(0 <= end < counts[1] for limb in skeleton.limbs for end in limb):
        raise ValueError("a limb to a part that is not there")
    if sorted(skeleton.decode_order) != list(range(counts[2])):
        raise ValueError("`decode_order`: expected each limb once")
    _ = skeleton.part_of_keypoint, skeleton.mirrored_keypoints, skeleton.mirrored_limb_signs


COCO = Skeleton(
    keypoints=COCO_KEYPOINTS,
    oks_sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
        0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
    parts=PARTS,
    limbs=(
        (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16),
        (1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
    ),
    decode_order=(6, 10, 7, 8, 11, 12, 0, 1, 2, 3, 4, 5, 14, 15, 17, 16, 18, 9, 13),
    late_limbs=(9, 13),
    derived={"neck": ("left_shoulder", "right_shoulder")},
    mirror_pairs=tuple((f"left_{name[6:]}", name) for name in PARTS if name.startswith("right_")),
)  # fmt: skip
