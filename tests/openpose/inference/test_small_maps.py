"""Small maps show in each place what the maps of the network say there."""

import numpy as np

from stages.openpose.inference.small_maps import (
    LONGEST_SIDE_CELLS,
    small_maps,
    write_small_maps,
)
from stages.openpose.inference.tta import Maps
from stages.openpose.report.gallery import read_maps
from stages.openpose.skeleton import COCO


def maps_of(height, width):
    """A peak of one part in one cell; a limb's vector of half length upwards in another."""
    heatmaps = np.zeros((height, width, COCO.heatmap_channels), np.float32)
    pafs = np.zeros((height, width, COCO.paf_channels), np.float32)
    heatmaps[4, 6, 3], heatmaps[..., -1], pafs[2, 1, 9] = 1.0, 1.0, -0.5
    return Maps(heatmaps, pafs, 8)


def test_the_largest_part_and_the_longest_vector_count_and_the_background_does_not():
    small = small_maps(maps_of(10, 12), (80, 96), 80)
    assert np.argwhere(small.heat).tolist() == [[4, 6]]
    assert small.heat[4, 6] == 255
    assert small.field[2, 1].tolist() == [0, -64]
    assert np.count_nonzero(small.field) == 1


def test_they_cover_the_image_and_its_padding():
    # 150 pixels of the image are seen as 75, of which 8 x 10 cells cover 80
    assert small_maps(maps_of(10, 12), (150, 192), 75).covered_px.tolist() == [160.0, 192.0]


def test_large_maps_are_made_smaller_and_cover_the_same():
    large, small = (small_maps(maps_of(n, 2 * n), (100, 200), 8 * n) for n in (100, 20))
    assert large.heat.shape == (LONGEST_SIDE_CELLS // 2, LONGEST_SIDE_CELLS)
    assert large.covered_px.tolist() == small.covered_px.tolist() == [100.0, 200.0]


def test_written_maps_come_back_by_image(tmp_path):
    path = tmp_path / "0" / "maps.npz"
    path.parent.mkdir()
    kept = {
        7: small_maps(maps_of(10, 12), (80, 96), 80),
        3: small_maps(maps_of(5, 9), (40, 72), 40),
    }
    write_small_maps(path, kept)
    back = read_maps(tmp_path, {3, 99})
    assert back.keys() == {3}
    for name, array in vars(back[3]).items():
        np.testing.assert_array_equal(array, vars(kept[3])[name])
    write_small_maps(tmp_path / "again.npz", dict(reversed(kept.items())))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_values_beyond_one_are_one():
    maps = maps_of(10, 12)
    maps.heatmaps[4, 6, 3], maps.pafs[2, 1, 9] = 1.7, -1.7
    small = small_maps(maps, (80, 96), 80)
    assert small.heat[4, 6] == 255
    assert small.field[2, 1].tolist() == [0, -127]
