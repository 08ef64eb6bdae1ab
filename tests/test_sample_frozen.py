"""The sample is frozen: results may be compared over time because the pictures stay byte for byte what they are.

A change of these hashes means new data; every AP measured on the sample before it becomes incomparable.
"""

import hashlib

import pytest

from stages import params
from stages.sample import available_workers
from stages.synthetic.dataset import write_sample

SEED = 20141
TINY = {
    "train.zip": "6459b0958c79ef0955d4d7b08e405170",
    "val.zip": "70ed03ace5bf413fa9b86044bc6c4361",
    "annotations.zip": "2db957cde397ca3191ae43f1821b1ca7",
    "val1k.txt": "2ebe1f25cb20adafb9d10eabb8f31f6a",
}
DEFAULT = {
    "train.zip": "739470c198164103956ccc920619913d",
    "val.zip": "cc4b11ec5d65fec626dbff9e4f8db159",
    "annotations.zip": "56fbc3d56d46e6b67f0b847d0cb78a47",
    "val1k.txt": "f26f3ecd2b8b2c3801aaf2f843c7d95a",
}


def _hashes(folder, names):
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in names}


def test_tiny_sample_is_frozen(tmp_path):
    write_sample(tmp_path, seed=SEED, counts={"train": 80, "val": 20}, val1k_images=10, workers=1)
    assert _hashes(tmp_path, TINY) == TINY


@pytest.mark.slow
def test_default_sample_is_frozen(tmp_path):
    sample = params.load(params.PRESETS / "sample.yaml").sample
    assert sample.seed == SEED
    counts = {"train": sample.train_images, "val": sample.val_images}
    workers = available_workers()
    write_sample(tmp_path, seed=SEED, counts=counts, val1k_images=sample.val1k_images, workers=workers)
    assert _hashes(tmp_path, DEFAULT) == DEFAULT
