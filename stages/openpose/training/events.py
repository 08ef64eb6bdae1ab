"""TensorBoard events of a training run: the numbers of the log and images of predicted maps. Needs
no TensorFlow.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

MAPS_OPACITY = 0.6


class Events:
    """Event file in `folder`; later files of the same folder continue its curves. Where a disk
    turns full, training goes on without them.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)  # says plainly why it cannot
        self._writer = self._attempt(lambda: EventFileWriter(str(folder)))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each curve."""
        self._add(
            step,
            [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()],
        )

    def image(self, step: int, tag: str, pixels: np.ndarray) -> None:
        """Add an image, uint8 [H, W, 3] BGR."""
        png = cv2.imencode(".png", pixels)[1].tobytes()
        image = Summary.Image(
            height=pixels.shape[0], width=pixels.shape[1], colorspace=3, encoded_image_string=png
        )
        self._add(step, [Summary.Value(tag=tag, image=image)])

    def close(self) -> None:
        """Write what is left and end the file."""
        if self._writer:
            self._attempt(self._writer.close)

    def _add(self, step: int, values: list) -> None:
        writer = self._writer
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        if writer:
            self._attempt(lambda: (writer.add_event(event), writer.flush()))

    def _attempt(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as problem:  # TensorFlow's file system has errors of its own
            self._writer = None
            warnings.warn(
                f"{self.folder}: no more TensorBoard events ({problem}); training goes on",
                stacklevel=3,
            )
        return None


def maps_image(image: np.ndarray, pafs: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Side by side: the image, the highest part heatmap laid over it, the longest PAF vector laid
    over it.

    Args:
        image: uint8 [H, W, 3] BGR.
        pafs: float32 [h, w, 2 limbs].
        heatmaps: float32 [h, w, parts + 1], the background last.

    Returns:
        uint8 [H, 3 W, 3] BGR.
    """
    vectors = pafs.reshape(*pafs.shape[:2], -1, 2)
    over = [heatmaps[..., :-1].max(axis=-1), np.linalg.norm(vectors, axis=-1).max(axis=-1)]
    return np.concatenate([image, *(_overlay(image, values) for values in over)], axis=1)


def _overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    grey = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    size = (image.shape[1], image.shape[0])
    coloured = cv2.applyColorMap(
        cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC), cv2.COLORMAP_VIRIDIS
    )
    return cv2.addWeighted(image, 1 - MAPS_OPACITY, coloured, MAPS_OPACITY, 0)
