"""Fit the pose prior anew to the people of a packed training file, and write its table.

python -m benchmarks.pose_prior --packed data/sample/packed/train.h5 --output
stages/openpose/decoding/pose_prior.csv

Each person counts twice, as it is and mirrored. People with fewer than eight known parts are left
out.
"""

import argparse
from pathlib import Path

import numpy as np

from stages.openpose.coco.annotations import ABSENT
from stages.openpose.coco.pose_prior import fit, write_prior
from stages.openpose.samples.packed import open_packed
from stages.openpose.skeleton import COCO

LEAST_PARTS = 8


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    places, is_known = people(arguments.packed)
    prior = fit(places, is_known)
    write_prior(prior, COCO, arguments.output)
    print(f"{len(places)} people, mirrored ones included; {arguments.output} written")


def people(packed_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Places [N, K, 2] and whether they are known [N, K], of all people and their mirror images."""
    with open_packed(packed_path) as packed:
        parts = np.concatenate(
            [packed.parts(image) for image in range(len(packed.image_ids))]
        ).astype(np.float64)
    is_known = parts[..., 2] != ABSENT
    enough = is_known.sum(axis=1) >= LEAST_PARTS
    places, is_known = parts[enough, :, :2], is_known[enough]
    mirror = list(COCO.mirrored_parts)
    return (
        np.concatenate([places, places[:, mirror] * (-1, 1)]),
        np.concatenate([is_known, is_known[:, mirror]]),
    )


if __name__ == "__main__":
    main()
