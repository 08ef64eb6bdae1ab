"""Find the people in your own images and draw them.

    python -m stages.predict holiday.jpg folder/ --output out
    python -m stages.predict --model human-pose-estimation-0001 holiday.jpg --output out
    python -m stages.predict --model models/trained --params params.yaml holiday.jpg --output out

Writes each image with its skeletons, with --maps also the network's maps as NAME.maps.jpg, and
people.json. Images are turned upright as their EXIF data say; coordinates belong to the upright
image. No file that is read is ever written over. Settings: sections `detect` and `decoder` of
--params; else those of the preset `photos` for networks that go by a name, of params.yaml for
folders.
"""

import argparse
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import orjson
from tqdm import tqdm

from stages import cli, models, params
from stages.openpose import drawing
from stages.openpose.decoding.decoder import decode
from stages.openpose.decoding.people import People
from stages.openpose.errors import InputError
from stages.openpose.files import whole_file
from stages.openpose.inference.detection import ImageEntry, detect_people
from stages.openpose.inference.tta import OUTPUTS, scaled_size
from stages.openpose.network.backend import thread_count, use_backend
from stages.openpose.network.forward import load_forward, read_model, skeleton_of
from stages.openpose.skeleton import Skeleton

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
JPEG_QUALITY = 92
MODEL, PRESET = "light", "photos"  # what is used where nothing is said


def predict(arguments: argparse.Namespace) -> dict:
    """Find the people in all images; write drawings and people.json."""
    settings = settings_for(arguments.model, arguments.params)
    reference = settings.decoder.mode == "parity"
    if reference and arguments.maps:
        raise InputError(
            "--maps: not with `decoder.mode: parity`, which keeps no maps; expected exact or fast"
        )
    files = images_in(arguments.images)
    refuse_overwriting(files, arguments.output, maps=arguments.maps)
    use_backend(settings.train.backend)
    folder = models.folder_named(arguments.model)
    skeleton = skeleton_of(read_model(folder))
    detections = detect_people(
        [[ImageEntry(index, str(file))] for index, file in enumerate(files)],
        read=lambda entry: read_upright(Path(entry.file_name)),
        forward=load_forward(folder, settings.detect.precision),
        decode=partial(decode_keeping_maps, settings=settings.decoder, skeleton=skeleton),
        skeleton=skeleton,
        settings=settings.detect,
        outputs=(arguments.inference,),
        reference=reference,
        threads=thread_count(),
    )
    entries = []
    for image, by_output in tqdm(detections, "predict", len(files), unit="image", mininterval=0.5):
        people, file = by_output[arguments.inference], files[image.image_id]
        pixels = read_upright(file)
        certain = people.parts[certainty(people) >= arguments.min_score]
        write_image(
            drawing_path(file, arguments.output), drawing.draw_people(pixels, certain, skeleton)
        )
        if arguments.maps:
            maps = drawn_maps(pixels, people, settings.detect.height_px, skeleton)
            write_image(maps_path(file, arguments.output), maps)
        entries.append(described(file, pixels.shape[:2], people))
    with whole_file(arguments.output / "people.json") as temporary:
        temporary.write_bytes(
            orjson.dumps(
                {"keypoints": skeleton.keypoints, "images": entries}, option=orjson.OPT_INDENT_2
            )
        )
    total = sum(len(entry["people"]) for entry in entries)
    print(f"predict: {total} people in {len(entries)} images, drawn in {arguments.output}")
    return {"images": len(entries), "people": total}


@dataclass(frozen=True)
class PeopleAndMaps(People):
    """People and the maps they were decoded from."""

    heatmaps: np.ndarray
    pafs: np.ndarray
    stride_px: int


def decode_keeping_maps(
    heatmaps: np.ndarray,
    pafs: np.ndarray,
    *,
    stride: int,
    settings: params.Decoder,
    skeleton: Skeleton,
) -> PeopleAndMaps:
    """`decode` without guessed keypoints: what is drawn is what the network saw."""
    chosen = asdict(settings) | {"complete": False, "skeleton": skeleton}
    people = decode(heatmaps, pafs, stride=stride, **chosen)
    return PeopleAndMaps(**vars(people), heatmaps=heatmaps, pafs=pafs, stride_px=stride)


def certainty(people: People) -> np.ndarray:
    """Mean score of each person's keypoints that were found, float [P]."""
    scores = people.keypoints[..., 2]
    return scores.sum(axis=1) / np.maximum((scores > 0).sum(axis=1), 1)


def drawn_maps(
    pixels: np.ndarray, people: PeopleAndMaps, height_px: int, skeleton: Skeleton
) -> np.ndarray:
    """The image beside its heatmaps and its fields."""
    size_px = scaled_size(pixels.shape[:2], height_px)
    covered_hw = [
        cells * people.stride_px * side / scaled
        for cells, side, scaled in zip(
            people.heatmaps.shape, pixels.shape[:2], size_px, strict=False
        )
    ]
    return drawing.draw_maps(pixels, people.heatmaps, people.pafs, tuple(covered_hw), skeleton)


def settings_for(model: str, path: Path | None) -> params.Params:
    """The settings in the file `path`, else those that suit the model."""
    if path is not None or model not in models.table():
        return params.load(path or Path("params.yaml"))
    return params.build(params.parse_yaml(params.preset_text(PRESET), PRESET), PRESET)


def drawing_path(file: Path, output: Path) -> Path:
    """Where the drawing of an image goes."""
    return output / f"{file.stem}.jpg"


def maps_path(file: Path, output: Path) -> Path:
    """Where the drawing of an image's maps goes."""
    return output / f"{file.stem}.maps.jpg"


def refuse_overwriting(files: list[Path], output: Path, *, maps: bool) -> None:
    """Raise InputError where a drawing would replace an image that is read."""
    read = {file.resolve() for file in files}
    for file in files:
        for place in (drawing_path(file, output), maps_path(file, output))[: 1 + maps]:
            if place.resolve() in read:
                raise InputError(
                    f"--output {output}: the drawing of {file} would replace {place}, which is one "
                    f"of the images; name another folder"
                )


def images_in(paths: list[Path]) -> list[Path]:
    """The image files named, and those in the folders named; InputError where there are none, or
    equal names.
    """
    files: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such image or folder")
        inside = (
            sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
            if path.is_dir()
            else [path]
        )
        if not inside:
            raise InputError(f"{path}: no image in this folder; known are {', '.join(SUFFIXES)}")
        for file in inside:
            if file.stem in files and files[file.stem] != file:
                raise InputError(
                    f"{file} and {files[file.stem]}: both would be drawn as {file.stem}.jpg; run "
                    f"them apart"
                )
            files[file.stem] = file
    return list(files.values())


def read_upright(file: Path) -> np.ndarray:
    """The image as a person sees it, uint8 [H, W, 3] BGR, EXIF orientation applied."""
    data = file.read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"{file}: not an image that can be decoded")
    return image


def described(file: Path, size_hw: tuple[int, int], people: People) -> dict:
    """One image's entry of people.json: keypoints are [x, y, score], null where not found."""
    return {
        "image": file.name,
        "height": size_hw[0],
        "width": size_hw[1],
        "people": [
            {
                "score": round(float(people.scores[person]), 4),
                "keypoints": [
                    [round(float(x), 2), round(float(y), 2), round(float(score), 3)]
                    if score > 0
                    else None
                    for x, y, score in people.keypoints[person]
                ],
            }
            for person in np.argsort(-people.scores, kind="stable")
        ],
    }


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a JPEG."""
    with whole_file(path) as temporary:
        temporary.write_bytes(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        )


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at"
    )
    parser.add_argument(
        "--model",
        default=MODEL,
        help="a name (python -m stages.models list), or the folder of a model; default: light",
    )
    parser.add_argument(
        "--inference", choices=OUTPUTS, default="multi", help="scales: one, several, mirrored too"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.2,
        help="mean keypoint score of people to draw; people.json lists all",
    )
    parser.add_argument("--maps", action="store_true", help="draw the network's maps too")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.set_defaults(params=None)
    cli.run(predict, parser.parse_args())


if __name__ == "__main__":
    main()
