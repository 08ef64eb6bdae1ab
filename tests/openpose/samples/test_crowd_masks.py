import itertools

import cv2
import h5py
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from stages.openpose.coco.annotations import read_images
from stages.openpose.errors import InputError
from stages.openpose.samples import crowd_masks
from tests.tiny_coco import crowd, image, person, write_json

HW = (40, 50)


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def box_mask(x0, y0, x1, y1):
    mask = np.zeros(HW, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def regions(path, rows=None):
    images = read_images(path)
    rles = dict(crowd_masks.unsupervised_regions(path, images, rows or range(len(images))))
    return {
        int(images.ids[row]): crowd_masks.mask_miss(rle, tuple(images.sizes[row]))
        for row, rle in rles.items()
    }


@pytest.mark.parametrize("kept", [1, 5000])
def test_masks_equal_the_golden_ones(shared, monkeypatch, kept):
    monkeypatch.setattr(crowd_masks, "MOST_LISTS", kept)
    rles = regions(shared / "coco-mini" / "annotations" / "person_keypoints.json")
    golden = sorted((shared / "golden" / "mask_miss").glob("*.png"))
    assert len(golden) == 36
    for path in golden:
        expected = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = rles.get(int(path.stem), np.full(expected.shape, 255, np.uint8))
        np.testing.assert_array_equal(mask, expected, err_msg=path.name)
        assert mask.dtype == np.uint8
        assert mask.flags.c_contiguous


def test_labelled_people_without_crowds_mask_nothing(tmp_path):
    path = write_json(tmp_path / "a.json", [image(1, HW)], [person(1, 1, (5, 5, 20, 20))])
    assert regions(path) == {}


def test_crowd_annotated_before_the_people_it_holds_gives_the_same_mask(tmp_path):
    people = [
        crowd(1, 1, box_mask(0, 0, 30, 30)),
        person(2, 1, (5, 5, 10, 10)),
        crowd(3, 1, box_mask(25, 20, 50, 40)),
    ]
    expected = 255 * ~(
        (box_mask(0, 0, 30, 30) | box_mask(25, 20, 50, 40)) & ~box_mask(5, 5, 15, 15)
    )
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        path = write_json(tmp_path / "a.json", [image(1, HW)], [people[i] for i in order])
        np.testing.assert_array_equal(regions(path)[1], expected)


@pytest.mark.parametrize("empty", [None, [], "missing"])
def test_a_person_without_a_segment_masks_its_box(tmp_path, empty):
    boxed = person(1, 1, (4, 6, 20, 10), labelled=0, segmentation=empty)
    if empty == "missing":
        del boxed["segmentation"]
    path = write_json(tmp_path / "a.json", [image(1, HW)], [boxed])
    np.testing.assert_array_equal(regions(path)[1], 255 * ~box_mask(4, 6, 24, 16))


def test_compressed_rles_of_crowds_are_read_too(tmp_path):
    rle = encoded(box_mask(3, 3, 9, 9))
    crowd = person(
        1,
        1,
        labelled=0,
        iscrowd=1,
        segmentation={"size": list(HW), "counts": rle["counts"].decode()},
    )
    path = write_json(tmp_path / "a.json", [image(1, HW)], [crowd])
    np.testing.assert_array_equal(regions(path)[1], 255 * ~box_mask(3, 3, 9, 9))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        "text",
        {"counts": 3},
        {"size": [2, 2], "counts": [4]},
        {"size": [2, 2], "counts": "04"},
        [["a"] * 6],
        5,
    ],
)
def test_a_bad_segmentation_names_image_and_annotation(tmp_path, segmentation):
    path = write_json(
        tmp_path / "a.json", [image(8, HW)], [person(77, 8, labelled=0, segmentation=segmentation)]
    )
    with pytest.raises(InputError, match=r"a\.json: annotation 77: `segmentation"):
        regions(path)


def test_shards_together_are_the_whole(tmp_path):
    images = [image(i, HW) for i in range(1, 12)]
    people = [person(i, i, (i, i, 10, 12), labelled=0) for i in range(1, 12) if i != 5]
    path = write_json(tmp_path / "annotations.json", images, people)
    sha = read_images(path).sha256
    read = []
    for shards in (1, 2, 3, 20):
        folder = tmp_path / str(shards)
        for shard in range(shards):
            crowd_masks.write_masks(folder / f"train-{shard}.h5", path, shard, shards)
        masks = crowd_masks.read_masks(folder, "train", sha)
        read.append([masks.find(entry["id"]) for entry in images])
        assert masks.find(5) == b""
        assert masks.find(99) == b""
    assert read[0][0]
    assert read[1:] == read[:1] * 3


def test_same_annotations_give_the_same_bytes(tmp_path):
    path = write_json(tmp_path / "a.json", [image(1, HW)], [person(1, 1, labelled=0)])
    for name in ("one.h5", "two.h5"):
        crowd_masks.write_masks(tmp_path / name, path, 0, 1)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_masks_of_other_annotations_and_missing_shards_are_errors(tmp_path):
    path = write_json(tmp_path / "a.json", [image(1, HW)], [person(1, 1, labelled=0)])
    crowd_masks.write_masks(tmp_path / "train-0.h5", path, 0, 2)
    sha = read_images(path).sha256
    with pytest.raises(InputError, match=r"train-1\.h5"):
        crowd_masks.read_masks(tmp_path, "train", sha)
    with pytest.raises(InputError, match="other annotations"):
        crowd_masks.read_masks(tmp_path, "train", "0" * 64)
    with h5py.File(tmp_path / "train-0.h5", "a") as file:
        file.attrs["version"] = 99
    with pytest.raises(InputError, match="version"):
        crowd_masks.read_masks(tmp_path, "train", sha)


def test_the_offsets_of_a_shard_say_where_each_region_stands(tmp_path):
    people = [crowd(1, 1, box_mask(3, 4, 20, 20)), crowd(2, 2, box_mask(0, 0, 9, 30))]
    path = write_json(tmp_path / "a.json", [image(1, HW), image(2, HW)], people)
    crowd_masks.write_masks(tmp_path / "train-0.h5", path, 0, 1)
    with h5py.File(tmp_path / "train-0.h5") as file:
        offset, rle = file["offset"][:], file["rle"][:]
    assert (offset[0], offset[-1]) == (0, len(rle))
    masks = [
        crowd_masks.mask_miss(rle[first:last].tobytes(), HW) == 0
        for first, last in itertools.pairwise(offset)
    ]
    np.testing.assert_array_equal(masks[0], box_mask(3, 4, 20, 20))
    np.testing.assert_array_equal(masks[1], box_mask(0, 0, 9, 30))
