"""The Python interface: people of an image in three lines.

    from stages.openpose import Pose

    pose = Pose.load("light")
    people = pose("holiday.jpg")            # or uint8 [H, W, 3] RGB

`people` is a FoundPeople (stages/openpose/predicting/found.py): keypoints [P, K, 3], scores [P],
`.draw(image)`, `.to_coco(image_id)`, `.to_dataframe()`. The command line stages/predict.py works by
the same class.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stages import models, params
from stages.openpose.decoding.decoder import decode
from stages.openpose.errors import InputError
from stages.openpose.evaluation.calibration import (
    Calibration,
    check_belongs,
    read_calibration,
    settings_of,
)
from stages.openpose.inference.detection import ImageEntry, detect_people
from stages.openpose.inference.tta import OUTPUTS, Maps
from stages.openpose.network.backend import use_backend
from stages.openpose.network.forward import Forward, read_model, skeleton_of
from stages.openpose.network.precision import resolve_precision
from stages.openpose.predicting.found import FoundPeople, best_first
from stages.openpose.predicting.inputs import read_upright
from stages.openpose.predicting.runtime import AUTO, load_fastest
from stages.openpose.skeleton import COCO, Skeleton
from stages.openpose.threads import usable_threads

MODEL, PRESET = "light", "photos"  # what is used where nothing is said


@dataclass(frozen=True)
class Pose:
    """A network with the settings by which it finds people.

    Attributes:
        forward: the network.
        settings: sections `detect` and `decoder` of the parameters are used.
        inference: of OUTPUTS: one scale, several, mirrored too.
        skeleton: that of the network.
        keep_maps: whether results carry the maps that they were decoded from.
        calibration: what scores are worth, where results are to carry probabilities.
    """

    forward: Forward
    settings: params.Params
    inference: str = "multi"
    skeleton: Skeleton = COCO
    keep_maps: bool = False
    calibration: Calibration | None = None

    @classmethod
    def load(
        cls,
        model: str | Path = MODEL,
        *,
        inference: str = "multi",
        settings: str | Path | None = None,
        runtime: str = AUTO,
        keep_maps: bool = False,
        calibration: str | Path | None = None,
    ) -> "Pose":
        """A network by its name (python -m stages.models list), or of a model folder.

        Args:
            inference: "single" (fastest), "multi" or "multi_flip" (most accurate).
            settings: a params.yaml; default: those for photographs for networks that go by a name,
                ./params.yaml for folders.
            runtime: "openvino", "onnxruntime", "keras", or "auto" for the first of them that is
                installed and can run the model.
            calibration: file of the stage held_out, of this network, inference and settings:
                results then carry probabilities.

        Raises:
            InputError: no such model, a file that cannot be had, or settings that do not fit.
        """
        if inference not in OUTPUTS:
            raise InputError(f"inference: expected one of {', '.join(OUTPUTS)}, found {inference}")
        is_named = str(model) in models.table()
        folder = Path(model) if is_named else models.folder_named(str(model))  # fetches nothing
        chosen = settings_for(str(model), Path(settings) if settings else None)
        if keep_maps and chosen.decoder.mode == "parity":
            raise InputError(
                "--maps: not with `decoder.mode: parity`, which keeps no maps; expected exact or "
                "fast"
            )
        folder = models.folder_named(str(model)) if is_named else folder
        fitted = None
        if calibration is not None:
            fitted = read_calibration(Path(calibration))
            settings_here = settings_of(inference, chosen.detect, chosen.decoder)
            weights = folder / read_model(folder)["file"]
            check_belongs(fitted, Path(calibration), weights, settings_here)
        use_backend(chosen.train.backend)
        precision, _ = resolve_precision(chosen.detect.precision)
        forward = load_fastest(folder, precision, runtime)
        skeleton = skeleton_of(read_model(folder))
        return cls(forward, chosen, inference, skeleton, keep_maps, fitted)

    def __call__(self, image: np.ndarray | str | Path) -> FoundPeople:
        """The people of one image: uint8 [H, W, 3] RGB, or a file (turned upright as its EXIF data
        say).

        Raises:
            InputError: not an image, or one too large for the settings.
        """
        if isinstance(image, str | Path):
            pixels = read_upright(Path(image))
        else:
            pixels = _checked_rgb(image)[..., ::-1]
        return next(iter(self.stream([("the image", np.ascontiguousarray(pixels))])))[2]

    def stream(
        self, images: Iterable[tuple[Any, np.ndarray]]
    ) -> Iterator[tuple[Any, np.ndarray, FoundPeople]]:
        """The people of many images, in their order; memory does not grow with their number.

        Args:
            images: (anything, uint8 [H, W, 3] BGR); read a few ahead of the network.

        Yields:
            What was given, and the people.
        """
        held: dict[int, tuple[Any, np.ndarray]] = {}

        def batches() -> Iterator[list[ImageEntry]]:
            for number, (key, pixels) in enumerate(images):
                held[number] = key, pixels
                yield [ImageEntry(number, str(key))]

        by_image = detect_people(
            batches(),
            read=lambda entry: held[entry.image_id][1],
            forward=self.forward,
            decode=partial(_decode, pose=self),
            settings=self.settings.detect,
            outputs=(self.inference,),
            skeleton=self.skeleton,
            reference=self.settings.decoder.mode == "parity",
            threads=usable_threads(),
        )
        for entry, by_output in by_image:
            yield *held.pop(entry.image_id), self._found(by_output[self.inference])

    def _found(self, people: Any) -> FoundPeople:
        if not isinstance(people, FoundPeople):  # of the reference's decoder
            people = FoundPeople(**vars(people), skeleton=self.skeleton)
        if self.calibration is not None:
            people = replace(people, probabilities=self.calibration(people.scores))
        return best_first(people)


def _decode(heatmaps: np.ndarray, pafs: np.ndarray, *, stride: int, pose: Pose) -> FoundPeople:
    """`decode` without guessed keypoints: what is shown is what the network saw."""
    options = asdict(pose.settings.decoder) | {"complete": False}
    people = decode(heatmaps, pafs, stride=stride, skeleton=pose.skeleton, **options)
    maps = Maps(heatmaps, pafs, stride) if pose.keep_maps else None
    return FoundPeople(**vars(people), skeleton=pose.skeleton, maps=maps)


def _checked_rgb(image: np.ndarray) -> np.ndarray:
    if getattr(image, "dtype", None) != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise InputError(f"image: expected uint8 [H, W, 3] in RGB order or a path, found {found}")
    return image


def settings_for(model: str, path: Path | None) -> params.Params:
    """The settings in the file `path`, else those that suit the model and this machine."""
    if path is not None or model not in models.table():
        return params.load(path or Path("params.yaml"))
    return params.build(params.parse_yaml(params.preset_text(PRESET), PRESET), PRESET)
