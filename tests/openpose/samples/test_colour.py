"""Random changes of a crop's colours and sharpness."""

from dataclasses import replace

import numpy as np
import pytest

from stages.openpose.samples.colour import recolour, recolours
from tests.openpose.samples.test_loader import AUGMENT

STRONG = replace(
    AUGMENT,
    brightness=0.2,
    contrast=0.4,
    colour_gain=0.2,
    grey_probability=0.3,
    blur_probability=0.3,
)


def crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)


def recoloured(augment, seed: int = 0, image: np.ndarray | None = None) -> np.ndarray:
    changed = crop() if image is None else image.copy()
    recolour(changed, np.random.default_rng(seed), augment)
    return changed


def test_without_settings_nothing_changes():
    assert not recolours(AUGMENT)
    assert np.array_equal(recoloured(AUGMENT), crop())


def test_same_seed_same_colours_and_another_seed_others():
    assert np.array_equal(recoloured(STRONG, 3), recoloured(STRONG, 3))
    assert not np.array_equal(recoloured(STRONG, 3), recoloured(STRONG, 4))


@pytest.mark.parametrize("seed", range(8))
def test_brightness_moves_middle_grey_by_no_more_than_its_share(seed):
    grey = np.full((32, 32, 3), 127, np.uint8)
    moved = recoloured(replace(AUGMENT, brightness=0.1), seed, grey).astype(int) - 127
    assert abs(moved).max() <= 26
    assert np.ptp(moved) == 0


def test_contrast_keeps_the_order_of_values_and_middle_grey():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).copy()
    changed = recoloured(replace(AUGMENT, contrast=0.5), 1, ramp).astype(int)
    assert (np.diff(changed, axis=1) >= 0).all()
    assert abs(changed[0, 127] - 127).max() <= 1
    assert np.ptp(changed) != 255 or (changed[0, 64] != 64).all()


def test_grey_crop_has_equal_colours():
    changed = recoloured(replace(AUGMENT, grey_probability=1.0))
    assert np.ptp(changed, axis=2).max() == 0
    assert np.ptp(changed) > 50


def test_blur_takes_away_differences_of_neighbours():
    changed = recoloured(replace(AUGMENT, blur_probability=1.0))
    assert (
        np.abs(np.diff(changed.astype(int), axis=1)).mean()
        < 0.9 * np.abs(np.diff(crop().astype(int), axis=1)).mean()
    )
