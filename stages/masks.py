"""Crowd masks: which pixels of each image may be learned from, as RLE, without opening an image.

    python -m stages.masks --annotations data/sample/annotations/train.json --shard 0 --shards 2 \\
        --output data/sample/masks/train-0.h5
"""

import argparse
from pathlib import Path

from stages import cli, params
from stages.openpose.errors import InputError
from stages.openpose.samples import crowd_masks


def main() -> None:
    arguments = cli.parser(__doc__)
    arguments.add_argument("--annotations", type=Path, required=True, help="COCO keypoint JSON")
    arguments.add_argument("--shard", type=int, default=0, help="which shard of the images, from 0")
    arguments.add_argument(
        "--shards", type=int, help="number of shards; default: as many as masks.shards lists"
    )
    arguments.add_argument("--output", type=Path, required=True, help="HDF5 file to write")
    cli.run(stage, arguments.parse_args())


def stage(arguments: argparse.Namespace) -> dict:
    shards = arguments.shards or len(params.load(arguments.params).masks.shards)
    if not 0 <= arguments.shard < shards:
        raise InputError(f"--shard: expected 0 .. {shards - 1}, found {arguments.shard}")
    facts = crowd_masks.write_masks(
        arguments.output, arguments.annotations, arguments.shard, shards
    )
    print(
        f"masks: {facts['masked']} of {facts['images']} images have a region not to learn from, "
        f"{facts['bytes']} bytes"
    )
    return facts


if __name__ == "__main__":
    main()
