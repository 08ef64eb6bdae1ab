"""Find people in one shard of a set of images, with one model: at one scale, at several, and
mirrored too.

    python -m stages.detect --model models/trained --data data/sample --split val \\
        --shard 0 --shards 2 --output DIR
    python -m stages.detect --model models/trained --annotations val.json --images val.zip \\
        --output DIR

Writes single.json, multi.json and multi_flip.json (COCO results), images.json (ids of all images of
the shard), model.json (what the model says of itself) and maps.npz (small maps of a hundred images
of the shard, for the report).
Settings: sections `detect` and `decoder` of params.yaml. Threads: OMP_NUM_THREADS, else the
processors of this process.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import orjson
from tqdm import tqdm

from stages import cli, layout, params
from stages.openpose.coco import image_files
from stages.openpose.coco.annotations import Images
from stages.openpose.coco.image_files import ImageArchive
from stages.openpose.coco.pose_prior import PosePrior, read_prior
from stages.openpose.decoding.decoder import decode
from stages.openpose.errors import InputError
from stages.openpose.files import refuse_file, whole_folder
from stages.openpose.inference.detection import (
    Clock,
    ImageEntry,
    PreparedImage,
    detect_people,
    plan_batches,
)
from stages.openpose.inference.results import to_results
from stages.openpose.inference.small_maps import SmallMaps, small_maps, write_small_maps
from stages.openpose.inference.tta import OUTPUTS, Maps
from stages.openpose.network.backend import load_quietly, use_backend
from stages.openpose.network.forward import Forward, load_forward, read_model, skeleton_of
from stages.openpose.network.precision import said_precision
from stages.openpose.skeleton import COCO, Skeleton
from stages.openpose.threads import usable_threads

MAPS_KEPT = 100  # images of a shard
MAPS_OF = "multi"  # the inference whose people the report shows


def detect(arguments: argparse.Namespace) -> dict:
    """Run the model on the images of the shard; write COCO results and the list of images."""
    settings = params.load(arguments.params)
    refuse_file(arguments.output)
    shard = _shard(arguments, settings.detect.shards)
    split = layout.read_split(arguments)
    entries = _images(split, *shard)
    network = _network(arguments, settings, split.skeleton)
    clock, started, started_cpu = Clock(), time.perf_counter(), time.process_time()
    results_by_output, kept_maps = _results(arguments, settings, network, split, entries, clock)
    _write(
        arguments.output,
        results_by_output,
        [image.image_id for image in entries],
        network.described,
        kept_maps,
    )
    return {"images": len(entries), "precision": network.precision} | _time_split(
        clock, time.perf_counter() - started, time.process_time() - started_cpu
    )


@dataclass(frozen=True)
class _Network:
    """A network that is ready, as its model.yaml describes it."""

    described: dict
    skeleton: Skeleton
    forward: Forward
    precision: str


def _network(arguments: argparse.Namespace, settings: params.Params, body: Skeleton) -> _Network:
    """The model of the command line, which must find the keypoints of `body`."""
    use_backend(settings.train.backend)
    described, precision = read_model(arguments.model), "of the file"
    skeleton = skeleton_of(described)
    layout.check_same_body(arguments.model, skeleton, body)
    if described["kind"] == "keras":
        load_quietly()
        precision = said_precision("detect", settings.detect.precision)
    return _Network(described, skeleton, load_forward(arguments.model, precision), precision)


def _results(
    arguments: argparse.Namespace,
    settings: params.Params,
    network: _Network,
    split: layout.Split,
    entries: list[ImageEntry],
    clock: Clock,
) -> tuple[dict[str, dict[int, bytes]], dict[int, SmallMaps]]:
    """COCO results of every image, as JSON by inference and image id; small maps of some images."""
    skeleton, reference = network.skeleton, settings.decoder.mode == "parity"
    decoding = asdict(settings.decoder) | {"skeleton": skeleton}
    decoding["bodies"] = _usual_bodies(arguments.data, skeleton)
    cv2.setNumThreads(1)  # the pool's threads each resize an image of their own
    results_by_output: dict[str, dict[int, bytes]] = {output: {} for output in OUTPUTS}
    maps: dict[int, SmallMaps] = {}
    with image_files.open_images(_archive(arguments)) as archive, _bar(len(entries)) as bar:
        people_by_image = detect_people(
            plan_batches(entries, settings.detect, settings.detect.batch_size, reference=reference),
            read=partial(_read, archive, split.images),
            forward=network.forward,
            decode=partial(decode, **decoding),
            settings=settings.detect,
            reference=reference,
            skeleton=skeleton,
            threads=usable_threads(),
            clock=clock,
            watch=partial(_keep, maps, _spread(entries), settings.detect.height_px, skeleton),
        )
        for image, by_output in people_by_image:
            for output, people in by_output.items():
                results = orjson.dumps(to_results(people, image.image_id))
                results_by_output[output][image.image_id] = results[1:-1]
            bar.update()
    return results_by_output, maps


def _usual_bodies(data: Path | None, skeleton: Skeleton) -> PosePrior | None:
    """What bodies other than COCO's usually look like, as the stage inspect_data saw them."""
    table = data / "inspected" / "body" / layout.PRIOR if data else None
    known = skeleton != COCO and table is not None and table.exists()
    return read_prior(skeleton.parts, table) if known else None


def _shard(arguments: argparse.Namespace, planned: tuple[int, ...]) -> tuple[int, int]:
    shards = arguments.shards or len(planned)
    if not 0 <= arguments.shard < shards:
        raise InputError(
            f"--shard: expected 0 to {shards - 1} of {shards} shards, found {arguments.shard}"
        )
    return arguments.shard, shards


def _images(split: layout.Split, shard: int, shards: int) -> list[ImageEntry]:
    """Every `shards`-th image by id, so that shards are alike."""
    images = split.images
    return [
        ImageEntry(int(images.ids[row]), images.file_names[row], tuple(images.sizes[row].tolist()))
        for row in split.rows[shard::shards]
    ]


def _spread(entries: list[ImageEntry]) -> set[int]:
    """Ids of at most MAPS_KEPT images, evenly spread over `entries`."""
    places = np.linspace(0, len(entries) - 1, min(MAPS_KEPT, len(entries)))
    return {entries[place].image_id for place in places.round().astype(int)}


def _keep(
    kept: dict[int, SmallMaps],
    wanted_ids: set[int],
    height_px: int,
    skeleton: Skeleton,
    prepared: PreparedImage,
    maps_by_output: dict[str, Maps],
) -> None:
    """Add small maps of an image to `kept` where its id is wanted."""
    image_id = prepared.image.image_id
    if image_id in wanted_ids:
        maps = maps_by_output[MAPS_OF]
        kept[image_id] = small_maps(maps, prepared.size_hw, height_px, skeleton)


def _read(archive: ImageArchive, images: Images, image: ImageEntry) -> np.ndarray:
    """The pixels that the annotations are of."""
    turn = images.turns[np.searchsorted(images.ids, image.image_id)]
    return image_files.decode_bgr(archive.read(image.file_name), image.file_name, int(turn))


def _archive(arguments: argparse.Namespace) -> Path:
    if arguments.images:
        return arguments.images
    if arguments.data:
        return image_files.find_images(arguments.data / "archives", layout.image_set(arguments))
    raise InputError(
        "expected --images ARCHIVE_OR_FOLDER, or --data FOLDER of a data set; found neither"
    )


def _bar(total: int) -> tqdm:
    return tqdm(
        total=total,
        desc="detect",
        unit="image",
        mininterval=0.5 if sys.stderr.isatty() else 10,
        smoothing=0.05,
    )


def _write(
    folder: Path,
    results_by_output: dict[str, dict[int, bytes]],
    ids: list[int],
    model: dict,
    maps: dict[int, SmallMaps],
) -> None:
    with whole_folder(folder) as temporary:
        for output, by_image in results_by_output.items():
            results = [by_image[image_id] for image_id in sorted(ids) if by_image[image_id]]
            (temporary / f"{output}.json").write_bytes(b"[" + b",\n".join(results) + b"]\n")
        (temporary / "images.json").write_bytes(orjson.dumps(sorted(ids)) + b"\n")
        (temporary / "model.json").write_bytes(orjson.dumps(model) + b"\n")
        write_small_maps(temporary / "maps.npz", maps)


def _time_split(clock: Clock, seconds: float, cpu_seconds: float) -> dict:
    """Processor seconds of reading, averaging, decoding, and what is left: the network and the
    libraries' threads.
    """
    split = {phase: round(clock.seconds[phase], 3) for phase in ("read", "average", "decode")}
    split["network"] = round(cpu_seconds - sum(split.values()), 3)
    return {
        "cpu_seconds_of": split,
        "network_wall_seconds": round(clock.seconds["network"], 3),
        "images_wall_seconds": round(seconds, 3),
        "read_and_decode_share": round(
            (split["read"] + split["decode"]) / max(cpu_seconds, 1e-9), 4
        ),
    }


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    layout.add_split_arguments(parser)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of a model, with its model.yaml"
    )
    parser.add_argument(
        "--images",
        "--pictures",
        dest="images",
        type=Path,
        help="zip archive, folder or .folder file with the images",
    )
    parser.add_argument("--shard", type=int, default=0, help="number of this shard, from 0")
    parser.add_argument(
        "--shards", type=int, help="number of shards; default: as many as detect.shards lists"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    cli.run(detect, parser.parse_args())


if __name__ == "__main__":
    main()
