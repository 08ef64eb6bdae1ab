"""Labels from a teacher: a network that sees every training crop once, and whose maps are mixed
into the labels.

People whom nobody labelled, keypoints left out and places that may not be learned from by their
labels get the teacher's maps, which are means over what might be there (soft targets,
arXiv:1503.02531; for poses arXiv:1811.05419). The teacher sees a margin around the crop, so that it
judges people who are cut by its edge as a whole.

The crops repeat after `augment.variants` epochs (but for mirroring and colours), so its maps are
made once, before the training: one file a variant, uint8 [S, h, w, channels].
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.openpose.compiled import jit
from stages.openpose.files import whole_file
from stages.openpose.network.forward import Forward
from stages.openpose.skeleton import COCO, Skeleton

FIELD_STEPS = 127  # -1..1 -> 0..254
HEAT_STEPS = 255  # 0..1 -> 0..255


class TeacherMaps:
    """The maps of all variants of all samples, read from their files when asked for.

    Args:
        folder: of `write_maps`.
        variants: `augment.variants`.
        share: of the teacher where a label says something, 0..1.
        skeleton: of the maps.
    """

    def __init__(
        self, folder: Path, variants: int, share: float, skeleton: Skeleton = COCO
    ) -> None:
        self.variants, self.share, self.skeleton = variants, share, skeleton
        self._maps = [np.load(variant_path(folder, i), mmap_mode="r") for i in range(variants)]

    def mix_into(self, targets: np.ndarray, epoch: int, sample: int, mirrored: bool) -> None:
        """Change labels float32 [h, w, channels] of a sample in place, see `mix`."""
        codes = np.asarray(self._maps[epoch % self.variants][sample])
        codes = mirrored_codes(codes, self.skeleton) if mirrored else codes
        mix(targets, codes, self.skeleton.paf_channels, self.share)


def variant_path(folder: Path, variant: int) -> Path:
    """File of the maps of one variant."""
    return Path(folder) / f"variant-{variant}.npy"


def with_margin(augment: Any, margin_px: int) -> Any:
    """The section `augment` for the same crops with a margin, not mirrored, colours unchanged."""
    side = augment.crop_px + 2 * margin_px
    height = augment.target_height * augment.crop_px / side
    colours = dict.fromkeys(
        ("brightness", "contrast", "colour_gain", "grey_probability", "blur_probability"), 0.0
    )
    return replace(augment, crop_px=side, target_height=height, flip_probability=0.0, **colours)


def write_maps(
    path: Path,
    crops: Any,
    forward: Forward,
    *,
    samples: int,
    margin_cells: int,
    progress: Callable = iter,
) -> None:
    """Write the maps of one variant.

    Args:
        path: file to write.
        crops: sequence of batches uint8 [B, S, S, 3], all samples in their order, with margin.
        forward: the teacher.
        samples: in all batches.
        margin_cells: of the maps, cut off on all sides.
        progress: wraps the iteration over batches.
    """
    with whole_file(path) as temporary:
        out: np.ndarray | None = None
        done = 0
        for batch in progress(crops):
            heatmaps, pafs = forward(batch)
            inner = slice(margin_cells, heatmaps.shape[1] - margin_cells)
            codes = encode(pafs[:, inner, inner], heatmaps[:, inner, inner])
            if out is None:
                shape = (samples, *codes.shape[1:])
                out = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            out[done : done + len(codes)] = codes
            done += len(codes)
        if isinstance(out, np.memmap):
            out.flush()


def encode(pafs: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Maps [..., 2 limbs] and [..., parts + 1] as uint8 [..., channels], PAFs first."""
    fields = (np.clip(pafs, -1, 1) + 1) * FIELD_STEPS
    heat = np.clip(heatmaps, 0, 1) * HEAT_STEPS
    return np.rint(np.concatenate([fields, heat], axis=-1)).astype(np.uint8)


def mirrored_codes(codes: np.ndarray, skeleton: Skeleton = COCO) -> np.ndarray:
    """The codes of a mirrored crop from those of the crop, uint8 [h, w, channels]."""
    order = [2 * limb + axis for limb in skeleton.mirrored_limbs for axis in (0, 1)]
    order += [skeleton.paf_channels + part for part in skeleton.mirrored_parts]
    mirrored = codes[:, ::-1, [*order, skeleton.paf_channels + len(skeleton.parts)]]
    # a mirror turns x round; where the other limb runs the other way, y instead
    turned = [2 * i + (sign < 0) for i, sign in enumerate(skeleton.mirrored_limb_signs)]
    mirrored[..., turned] = 2 * FIELD_STEPS - mirrored[..., turned]
    return mirrored


@jit
def mix(targets, codes, paf_channels, share):
    """Mix a teacher's maps into labels, in place.

    Where a label says something (heat above zero, a field present) the teacher weighs `share`,
    elsewhere its maps take the label's place; background stays 1 - max.

    Args:
        targets: float32 [h, w, channels], PAFs first, background last.
        codes: uint8 [h, w, channels], see `encode`.
        paf_channels: how many channels are PAFs.
        share: of the teacher.
    """
    height, width, channels = targets.shape
    for i in range(height):
        for j in range(width):
            for x in range(0, paf_channels, 2):
                weight = share if targets[i, j, x] != 0 or targets[i, j, x + 1] != 0 else 1.0
                for channel in (x, x + 1):
                    taught = (codes[i, j, channel] - 127.0) / 127.0
                    targets[i, j, channel] += weight * (taught - targets[i, j, channel])
            top = 0.0
            for channel in range(paf_channels, channels - 1):
                weight = share if targets[i, j, channel] > 0 else 1.0
                targets[i, j, channel] += weight * (
                    codes[i, j, channel] / 255.0 - targets[i, j, channel]
                )
                top = max(top, targets[i, j, channel])
            targets[i, j, channels - 1] = 1.0 - top
