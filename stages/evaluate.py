"""Average precision of one model on one split, with 95 % intervals, and what kinds of errors stand
behind it.

    python -m stages.evaluate --data data/sample --split val --detections results/detect/trained \\
        --output results/evaluate/trained/val.json --plots results/evaluate/trained/val
    python -m stages.evaluate --annotations val.json --ids val1k.txt --detections DIR \\
        --output FILE --plots DIR --train-packed train.h5 val.h5

AP is pycocotools'; where hotcoco is installed (extra `judge`), it computes every figure again.

Reads the shards that stage detect left below --detections; they must hold every image of the split.
Settings: section `evaluate` of params.yaml. Processes on many images: OMP_NUM_THREADS, else the
processors of this process.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stages import cli, layout, params
from stages.openpose.coco.categories import PERSON
from stages.openpose.coco.protocols import CLEAN
from stages.openpose.coco.splits import leaks
from stages.openpose.errors import InputError, damage_refused
from stages.openpose.evaluation import (
    crowd_index,
    diagnostics,
    scoring,
    second_judge,
)
from stages.openpose.evaluation.comparison import (
    compare,
    detections,
    labelled_people,
)
from stages.openpose.evaluation.tables import (
    HEADLINE,
    Scored,
    rounded,
    write_losses,
    write_tables,
)
from stages.openpose.evaluation.waterfall import Step, waterfall
from stages.openpose.files import whole_file, whole_folder
from stages.openpose.inference.tta import OUTPUTS
from stages.openpose.samples.packed import open_packed
from stages.openpose.skeleton import COCO, Skeleton, from_dict
from stages.openpose.threads import usable_threads

MANY_IMAGES = 5000  # from here on the three inferences are scored side by side
LEAST_DIFFERENCE = 1e-6  # of two APs: what metrics are rounded to
PACKED_FILES = "the packed files"
AGAIN = "run the stage detect again"
CONTAMINATED = "contaminated"


def evaluate(arguments: argparse.Namespace) -> dict:
    """Score the detections of the split; write the metrics and the tables of errors."""
    settings = params.load(arguments.params)
    split = layout.read_split(arguments)
    folders = shard_folders(arguments.detections, settings.detect.splits, settings.detect.shards)
    inside_id, skeleton = split.images.inside_id, split.skeleton
    owners = owners_of(split.ids, folders, arguments.detections, inside_id)
    check_bodies(folders, skeleton)
    read = partial(read_results, folders, owners, inside_id=inside_id, skeleton=skeleton)
    scored = score_all(split, read, settings.evaluate)
    judges = agreement(scored)
    samples, seed = settings.evaluate.bootstrap_samples, settings.evaluate.seed
    steps = waterfall(scored[HEADLINE].comparison, samples, seed)
    say_difference(steps, scored[HEADLINE].figures["AP"])
    crowd_indices = crowd_index.read(split.images)
    metrics = metrics_of(scored, steps, audit(folders, arguments, split.ids), settings)
    metrics |= _of_other_bodies(scored, skeleton) | _of_crowds(scored, crowd_indices)
    if not metrics["people"]:
        name = arguments.split if arguments.data else split.images.path
        print(f"evaluate: no people with labelled keypoints in {name}: AP cannot be stated")
    with whole_file(arguments.output) as temporary:
        temporary.write_text(json.dumps(rounded(metrics), indent=2) + "\n")
    names = dict(zip(split.ids, (split.images.file_names[row] for row in split.rows), strict=True))
    with whole_folder(arguments.plots) as folder:
        write_tables(folder, scored, names, crowd_indices)
        write_losses(folder, scored[HEADLINE], steps, samples, seed)
        np.savez_compressed(folder / "matches.npz", **vars(scored[HEADLINE].matches))
    return {"images": len(split.ids), "judges": judges}


def score_all(
    split: layout.Split, read: Callable[[str], list[dict]], settings: params.Evaluate
) -> dict[str, Scored]:
    """What the results of each inference (`read` of its name) are worth."""
    ids, skeleton = split.ids, split.skeleton
    ground_truth = scoring.read_ground_truth(split.images.path, split.images)
    people = labelled_people(ground_truth, ids, skeleton)
    second_opinion = second_judge.judge(ground_truth, ids, skeleton)

    def score(output: str) -> Scored:
        results = read(output)
        comparison = compare(people, detections(results, people.image_ids, skeleton), skeleton)
        figures, matches = scoring.evaluate(
            ground_truth, results, ids, output, skeleton, comparison
        )
        rng = np.random.default_rng(settings.seed)
        drawn = scoring.bootstrap(matches, settings.bootstrap_samples, rng)
        second = second_opinion(results) if second_opinion else None
        return Scored(figures | _interval(drawn), matches, comparison, drawn, second)

    return dict(zip(OUTPUTS, in_processes(score, OUTPUTS, processes(ids)), strict=True))


def metrics_of(
    scored: dict[str, Scored], steps: list[Step], audited: dict[str, Any], settings: params.Params
) -> dict[str, Any]:
    """Figures of each inference, gains over `single`, what kinds of errors cost, counts, and what
    the audit of images says.
    """
    single = scored["single"].matches
    return {
        **{name: one.figures for name, one in scored.items()},
        "gains": {name: _gain(scored[name], scored["single"]) for name in OUTPUTS[1:]},
        "lost": {step.name: step.gain for step in steps[1:]},
        "images": len(single.image_ids),
        "people": int(single.people.sum()),
        **audited,
        "protocol": protocol_of(audited, settings.pack.protocol),
    }


def _of_other_bodies(scored: dict[str, Scored], skeleton: Skeleton) -> dict[str, Any]:
    """Where sigmas are not COCO's: where they come from, and PCK, which needs none."""
    if skeleton == COCO:
        return {}
    pck = {name: diagnostics.pck(one.comparison) for name, one in scored.items()}
    return {"sigmas": skeleton.sigmas_from, "PCK": pck}


def _of_crowds(scored: dict[str, Scored], crowd_indices: dict[int, float] | None) -> dict[str, Any]:
    """AP by how crowded images are, where the annotations tell."""
    if not crowd_indices:
        return {}
    return {
        "crowd_index": {
            name: _by_level(crowd_index.groups(one.matches, crowd_indices))
            for name, one in scored.items()
        }
    }


def processes(ids: Sequence[int]) -> int:
    """How many score side by side: OMP_NUM_THREADS, else the processors of this process; one where
    forking costs more than it saves.
    """
    return usable_threads() if len(ids) >= MANY_IMAGES else 1


_work: Callable | None = None  # what the processes of `in_processes` run: theirs by being forked


def in_processes(work: Callable, items: Sequence, processes: int) -> list:
    """`work` of each item, at most so many at once, each in a process that sees what this one has
    read; here, one after the other, where one process is asked for or none can be forked.
    """
    global _work
    if min(processes, len(items)) < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [work(item) for item in items]
    _work = work
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(min(processes, len(items)), context) as pool:
            return list(pool.map(_run, items))
    except BrokenProcessPool:
        raise InputError(
            "a process that scored one inference was ended from outside, by the system where "
            "memory ran out; score one after the other: OMP_NUM_THREADS=1"
        ) from None
    finally:
        _work = None


def _run(item: Any) -> Any:
    assert _work is not None
    return _work(item)


def agreement(scored: dict[str, Scored]) -> str:
    """Whether the second judge's figures are pycocotools', said aloud where there is one."""
    second = {name: one.second for name, one in scored.items() if one.second}
    if not second:
        return "pycocotools alone"
    figures = {name: one.figures for name, one in scored.items()}
    different = second_judge.disagreement(figures, second)
    judges = f"pycocotools and {second_judge.NAME}"
    told = f"{judges} differ: {different}" if different else f"{judges} agree"
    print(f"evaluate: {told}")
    return told


def say_difference(steps: list[Step], ap: float | None) -> None:
    """Say where errors are counted on other matches than pycocotools'."""
    if steps and ap is not None and abs(steps[0].ap - ap) > LEAST_DIFFERENCE:
        print(
            f"evaluate: AP is {ap:.6f} by pycocotools, but {steps[0].ap:.6f} by the matches that "
            "errors are counted on: tables of errors are of the latter"
        )


def shard_folders(detections: Path, splits: Sequence[str], shards: Sequence[int]) -> list[Path]:
    """Folders written by stage detect: those of the planned splits and shards, else all below
    `detections`.

    Left-over shards of an earlier plan are not among them.
    """
    planned = [detections / split / str(shard) for split in splits for shard in shards]
    folders = [folder for folder in planned if (folder / "images.json").exists()]
    folders = folders or sorted(path.parent for path in detections.rglob("images.json"))
    if not folders:
        raise InputError(
            f"{detections}: no images.json below it; expected what the stage detect writes"
        )
    return folders


def owners_of(
    ids: Sequence[int],
    folders: Sequence[Path],
    detections: Path,
    inside_id: Callable[[Any], Any] = int,
) -> dict[int, Path]:
    """For each image the first folder that holds it; InputError where none does, or two of one
    split. `inside_id` gives our id of an image for that of the file.
    """
    owners: dict[int, Path] = {}
    for folder in folders:
        with damage_refused(folder / "images.json", "ids of images", AGAIN):
            image_ids = [inside_id(_id(value)) for value in _read(folder / "images.json")]
        for image_id in image_ids:
            earlier = owners.setdefault(image_id, folder)
            if earlier != folder and earlier.parent == folder.parent:
                raise InputError(
                    f"image {image_id} is in {earlier} and in {folder}; delete the older of the two"
                )
    missing = [image_id for image_id in ids if image_id not in owners]
    if missing:
        raise InputError(
            f"{detections}: {len(missing)} of {len(ids)} images of the split were not looked at, "
            f"ids {missing[:10]}"
            f"{' ...' if len(missing) > 10 else ''}; run the stage detect for all shards of a "
            f"split that holds them"
        )
    return {image_id: owners[image_id] for image_id in ids}


def read_results(
    folders: Sequence[Path],
    owners: dict[int, Path],
    output: str,
    inside_id: Callable[[Any], Any] = int,
    skeleton: Skeleton = COCO,
) -> list[dict]:
    """COCO results of the images of `owners`, each from its folder, as people of category 1."""
    results = []
    for folder in folders:
        path = folder / f"{output}.json"
        shard_results = _read(path)
        with damage_refused(path, "COCO results", AGAIN):
            ids = [inside_id(_id(result["image_id"])) for result in shard_results]
            _check_numbers(shard_results, len(skeleton.keypoints))
        for image_id, result in zip(ids, shard_results, strict=True):
            if owners.get(image_id) == folder:
                results.append(result | {"image_id": image_id, "category_id": PERSON})
    return results


def _id(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"expected an image's id, found {value!r:.60}")
    return value


def _check_numbers(results: list[dict], keypoints: int) -> None:
    """Raise ValueError with the id of the first image where a person is not so many keypoints with
    a score, all of them finite numbers; scores of single keypoints may be left out.
    """
    for key, shape in (
        ("keypoints", (3 * keypoints,)),
        ("score", ()),
        ("keypoint_scores", (keypoints,)),
    ):
        holders = [one for one in results if key in one or key != "keypoint_scores"]
        if not holders or _are_numbers([one.get(key) for one in holders], (len(holders), *shape)):
            continue
        wanted = f"{shape[0]} finite numbers" if shape else "a finite number"
        for one in holders:
            found = one.get(key)
            if not _are_numbers(found, shape):
                image = one["image_id"]
                raise ValueError(f"image {image}: `{key}`: expected {wanted}, found {found!s:.60}")


def _are_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether JSON's `value` is an array of finite numbers of this shape."""
    try:
        values = np.array(value)
    except ValueError:  # lists of different lengths
        return False
    return values.shape == shape and values.dtype.kind in "iuf" and bool(np.isfinite(values).all())


def _read(path: Path) -> list:
    """The list in a JSON file of stage detect."""
    try:
        listed = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError) as problem:
        raise InputError(f"{path}: no COCO results ({problem}); {AGAIN}") from None
    if not isinstance(listed, list):
        raise InputError(f"{path}: no COCO results (expected a list); {AGAIN}")
    return listed


def check_bodies(folders: Sequence[Path], skeleton: Skeleton) -> None:
    """Raise InputError where a model finds other keypoints than the data set has."""
    for folder in folders:
        model = folder / "model.json"
        if model.exists():
            with damage_refused(model, "what stage detect wrote", AGAIN):
                found = from_dict(orjson.loads(model.read_bytes()).get("skeleton"))
            layout.check_same_body(folder, found, skeleton)


def audit(folders: Sequence[Path], arguments: argparse.Namespace, ids: Sequence[int]) -> dict:
    """How many images of the split the model was trained or chosen on; None where that is not
    known.

    Of models that were not trained here only their own statement is known.
    """
    model = (
        orjson.loads((folders[0] / "model.json").read_bytes())
        if (folders[0] / "model.json").exists()
        else {}
    )
    if model.get("imported"):
        return {
            "leaked_images": None,
            "contaminated": None,
            "trained_on": model.get("trained_on") or "unknown",
        }
    files = arguments.train_packed or (
        arguments.data and sorted((arguments.data / "packed").glob("*.h5"))
    )
    if not files:
        return {"leaked_images": None, "contaminated": None, "trained_on": "unknown"}
    leaked: set[int] = set()
    same = layout.same_photographs(arguments.data)
    for file in files:
        with open_packed(file) as packed:
            leaked |= set(leaks(packed.image_ids, packed.sources, ids, same))
    return {"leaked_images": len(leaked), "contaminated": bool(leaked), "trained_on": PACKED_FILES}


def protocol_of(audited: dict, protocol: str) -> str | None:
    """Name of the protocol for a figure: `protocol`, but no clean one where images leaked; None
    where it is not ours.
    """
    if audited["trained_on"] != PACKED_FILES:
        return None
    return CONTAMINATED if audited["contaminated"] and protocol in CLEAN else protocol


def _gain(scored: Scored, single: Scored) -> dict[str, float | None]:
    """AP of an inference minus that of `single`, with the interval of the paired difference."""
    ours, theirs = (scoring.average_precision(one.matches) for one in (scored, single))
    return {"AP": ours - theirs} | _interval(scored.drawn - single.drawn)


def _interval(bootstraps: np.ndarray) -> dict[str, float | None]:
    low, high = scoring.percentile_interval(bootstraps) or (None, None)
    return {"AP_low": low, "AP_high": high}


def _by_level(groups: list[dict]) -> dict[str, float]:
    return {row["group"].rpartition(" ")[2]: row["AP"] for row in groups}


def main() -> None:
    """Command line."""
    parser = cli.parser(__doc__)
    layout.add_split_arguments(parser)
    parser.add_argument(
        "--detections", type=Path, required=True, help="folder with what stage detect wrote"
    )
    parser.add_argument(
        "--train-packed",
        type=Path,
        nargs="+",
        help="packed files the model was trained and chosen on",
    )
    parser.add_argument("--output", type=Path, required=True, help="metrics JSON to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder of CSV tables to write")
    cli.run(evaluate, parser.parse_args())


if __name__ == "__main__":
    main()
