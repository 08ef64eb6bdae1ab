"""Make the file that COCO's evaluation server takes for images whose annotations nobody publishes
(test-dev).

    python -m stages.detect --model models/trained --data data/coco2017 --split test-dev \\
        --shards 1 --output results/detect/trained/test-dev/0
    python -m stages.submit --images data/coco2017/annotations/test-dev.json \\
        --detections results/detect/trained/test-dev --set test-dev2017 --name mymethod \\
        --output submission

Writes person_keypoints_<set>_<name>_results.zip, which is to be uploaded, and the JSON inside it.
Every image of the list must be among the detections.
"""

import argparse
from pathlib import Path

from stages import cli
from stages.evaluate import owners_of, read_results, shard_folders
from stages.openpose.coco.annotations import read_images
from stages.openpose.evaluation import submission
from stages.openpose.files import whole_folder
from stages.openpose.inference.tta import OUTPUTS


def submit(arguments: argparse.Namespace) -> dict:
    """Gather the detections of all shards; write the JSON and the zip."""
    name = submission.base_name(arguments.set, arguments.name)
    ids = read_images(arguments.images).ids.tolist()
    folders = shard_folders(arguments.detections, (), ())
    results = read_results(
        folders, owners_of(ids, folders, arguments.detections), arguments.inference
    )
    with whole_folder(arguments.output) as temporary:
        submission.write(temporary, name, submission.to_json(results))
    print(f"{arguments.output / name}.zip: {len(results)} people in {len(ids)} images")
    return {"images": len(ids), "people": len(results)}


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        help="COCO's list of the images, image_info_<set>.json",
    )
    parser.add_argument(
        "--detections",
        type=Path,
        required=True,
        help="folder with what stage detect wrote, all shards",
    )
    parser.add_argument(
        "--inference", choices=OUTPUTS, default=OUTPUTS[-1], help="which of its results to take"
    )
    parser.add_argument("--set", required=True, help="name of the set of images, as test-dev2017")
    parser.add_argument(
        "--name", required=True, help="name of the method: letters, digits, hyphens"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to write; one that is there is replaced"
    )
    cli.run(submit, parser.parse_args())


if __name__ == "__main__":
    main()
