import numpy as np
import pytest

from stages.openpose.coco import protocols, splits
from stages.openpose.coco.annotations import read_images
from stages.openpose.errors import InputError
from tests.tiny_coco import image, write_json


@pytest.fixture
def sources(tmp_path):
    train = write_json(tmp_path / "train.json", [image(i) for i in (1, 2, 3, 4, 5)], [])
    val = write_json(tmp_path / "val.json", [image(i) for i in (30, 10, 20, 50, 40)], [])
    return {"train": read_images(train), "val": read_images(val)}


PEOPLE = {"train": np.arange(5), "val": np.array([1, 1, 3, 4])}  # val ids 20, 40, 50


def ids(sources, protocol, split, **settings):
    settings = {"holdout_images": 2, "reference_images": 2} | settings
    chosen = splits.choose(protocol, split, sources, PEOPLE, **settings)
    return {name: sources[name].ids[belongs].tolist() for name, belongs in chosen.items()}


def test_clean_takes_train_images_and_holds_the_last_out(sources):
    assert protocols.sources_read("clean") == ("train",)
    assert ids(sources, "clean", "train") == {"train": [1, 2, 3]}
    assert ids(sources, "clean", "val") == {"train": [4, 5]}
    assert ids(sources, "clean", "val", holdout_images=0) == {"train": []}


def test_reference_holds_out_the_first_val_images_of_the_file(sources):
    assert ids(sources, "reference", "train") == {"train": [1, 2, 3, 4, 5], "val": [20, 40, 50]}
    assert ids(sources, "reference", "val") == {"train": [], "val": [10, 30]}


def test_reference_persons_holds_out_the_first_val_images_with_people(sources):
    assert ids(sources, "reference_persons", "train") == {
        "train": [1, 2, 3, 4, 5],
        "val": [10, 30, 50],
    }
    assert ids(sources, "reference_persons", "val") == {"train": [], "val": [20, 40]}


def test_clean_and_val_takes_the_val_images_that_no_list_holds(sources):
    assert protocols.sources_read("clean_and_val") == ("train", "val")
    assert ids(sources, "clean_and_val", "train", listed_ids={10, 40}) == {
        "train": [1, 2, 3],
        "val": [20, 30, 50],
    }
    assert ids(sources, "clean_and_val", "val", listed_ids={10, 40}) == {"train": [4, 5], "val": []}


@pytest.mark.parametrize("protocol", ["clean", "clean_and_val", "reference", "reference_persons"])
def test_train_and_val_share_no_image(sources, protocol):
    train, val = ids(sources, protocol, "train"), ids(sources, protocol, "val")
    assert not any(set(train[name]) & set(val[name]) for name in train)


def test_holding_out_everything_is_an_error(sources):
    with pytest.raises(InputError, match=r"pack\.holdout_images.*fewer than the 5"):
        ids(sources, "clean", "train", holdout_images=5)


def test_leaks_are_the_shared_ids_where_photographs_are_not_known():
    assert splits.leaks(np.array([5, 1, 9]), np.array([0, 0, 1]), [9, 2, 5, 5]) == [5, 9]
    assert splits.leaks(np.empty(0, int), np.empty(0, int), [1]) == []


def test_leaks_are_the_same_photographs_whatever_their_ids():
    same = splits.SamePhotographs(train_val=[[7, 2], [8, 3]], val_val=[[9, 4], [4, 9]])
    ids, sources = np.array([5, 7, 9]), np.array([0, 0, 1])
    assert splits.leaks(ids, sources, [2, 3, 4, 5, 9], same) == [2, 4, 9]
