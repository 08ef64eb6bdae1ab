"""SLEAP's .slp files, read by sleap-io: labelled instances of images or frames of videos."""

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.labelled import Body, Export, Keypoint, LabelledImage, Person
from stages.openpose.errors import MOST_SHOWN, InputError


def load(path: Path) -> Any:
    """The `sleap_io.Labels` of a file; videos that are not where it says are looked for beside it.

    Raises:
        InputError: sleap-io is missing, or cannot read the file.
    """
    try:
        import sleap_io
    except ImportError:
        raise InputError(
            "reading .slp files needs sleap-io, which is not installed: pip install sleap-io"
        ) from None
    try:
        labels = sleap_io.load_slp(str(path))
    except Exception as problem:  # whatever HDF5 and its readers make of other files
        said = " ".join(str(problem).split())[:MOST_SHOWN]
        raise InputError(f"{path}: not a SLEAP file ({said})") from None
    for video in labels.videos:
        name = video.filename
        beside = path.parent / PurePath(str(name).replace("\\", "/")).name
        if isinstance(name, str) and not Path(name).exists() and beside.is_file():
            video.replace_filename(str(beside))
    return labels


def read(labels: Any, where: str, findings: Findings) -> Export:
    """The instances that a person labelled; predicted ones are left out.

    A point is absent where SLEAP calls it not visible, as SLEAP's own training takes it. Frames of
    videos become PNG files.

    Args:
        labels: sleap_io.Labels.
    """
    bodies = [
        Body(one.name or "animal", tuple(one.node_names), tuple(map(tuple, one.edge_inds)))
        for one in labels.skeletons
    ]
    images = []
    for frame in labels.labeled_frames:
        owner = f"{where}: video {labels.videos.index(frame.video)}, frame {frame.frame_idx}"
        predicted = len(frame.predicted_instances)
        findings.derived["instances that SLEAP predicted, left out"] += predicted
        people = [_person(one, owner, findings) for one in frame.user_instances]
        if people:
            images.append(_image(frame, labels.videos.index(frame.video), people))
        else:
            findings.derived["frames without a labelled instance, left out"] += 1
    return Export(bodies, images)


def _person(instance: Any, owner: str, findings: Findings) -> Person:
    points = []
    for point in instance.points:
        x, y = map(float, point["xy"])
        if not point["visible"] or not np.isfinite([x, y]).all():
            if np.isfinite([x, y]).all():
                findings.derived["points that SLEAP calls not visible: absent"] += 1
            continue
        points.append(Keypoint(str(point["name"]), x, y))
    return Person(owner, points, instance.skeleton.name or "animal")


def _image(frame: Any, video: int, people: list[Person]) -> LabelledImage:
    """Of a video of image files the file itself, else the frame as a PNG."""
    files = frame.video.filename
    if isinstance(files, list):
        return LabelledImage(str(files[frame.frame_idx]), people)
    name = f"video{video}/{frame.frame_idx:06d}.png"
    return LabelledImage(name, people, encode=_encoder(frame, name))


def _encoder(frame: Any, name: str) -> Callable[[], bytes]:
    def encode() -> bytes:
        try:
            pixels = np.asarray(frame.image)  # uint8 [H, W, 1 or 3], RGB
        except Exception as problem:  # whatever readers of videos make of a missing one
            raise InputError(f"the frame cannot be read ({problem})") from None
        if pixels.shape[-1] == 3:
            pixels = pixels[..., ::-1]
        done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
        if not done:
            raise InputError(f"{name}: the frame cannot be written as PNG")
        return data.tobytes()

    return encode
