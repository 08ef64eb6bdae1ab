"""Published results that stand beside measured ones (docs/sources.md 6): AP in per cent, OKS 0.50
to 0.95, COCO 2014.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row: AP on Val-1k and on all of val2014 (None where nobody published it), where it
    stands, and `model`, the name under models/ by which the same network is measured here."""

    method: str
    val1k: float | None
    val: float | None
    source: str
    model: str = ""
    notes: tuple[str, ...] = ()


ROWS = (
    Published("OpenPose paper", 58.4, None, "README of keras-openpose-reproduce"),
    Published(
        "OpenPose model, converted to Keras",
        56.3,
        58.9,
        "README of keras-openpose-reproduce",
        model="openpose",
    ),
    Published(
        "keras-openpose-reproduce (the reference)",
        58.9,
        59.0,
        "its README",
        model="reference",
        notes=(
            "Val-1k 58.9 until commit 78b6ffa of the reference, 58.2 from 02ca6b5 on.",
            "The reference trains on train2014 and on val2014 except the first 2,645 images in "
            "dictionary order. Its "
            "figure on all of val2014 is measured on images it was trained on (37,859 of 40,504), "
            "and so, probably, "
            "is most of its Val-1k.",
        ),
    ),
    Published(
        "OpenPose paper, one scale", 48.6, None, "discussion at lightweight-human-pose-estimation"
    ),
    Published("HyperPose, OpenPose-VGG", 57.0, None, "HyperPose, pull request 316"),
    Published(
        "human-pose-estimation-0001, 4.1 M parameters",
        42.8,
        None,
        'Open Model Zoo ("validation subset from the original paper")',
        model="real_net",
    ),
)
THIS_RUN = "trained"
