"""The sample is frozen: results may be compared over time because the images stay byte for byte
what they are.

A change of these hashes means new data; every AP measured on the sample before it becomes
incomparable.
"""

import hashlib

import pytest

from stages import params
from stages.sample import available_workers
from stages.synthetic.dataset import write_sample

SEED = 20141
TINY = {
    "train.zip": "845ecfa7b64f9e7e8be6535b538e90ba",
    "val.zip": "d31ffcfe6d30dc5b828a53531a277469",
    "annotations.zip": "ddd2336342f7fd7653911349e398f188",
    "val1k.txt": "2ebe1f25cb20adafb9d10eabb8f31f6a",
}
DEFAULT = {
    "train.zip": "1336c8265c41c045ded1af33e741786f",
    "val.zip": "1cb9f67c18e3c4bc1fbc7e732fd897ac",
    "annotations.zip": "e55829d13411a608caf833572925ae4c",
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
    write_sample(
        tmp_path, seed=SEED, counts=counts, val1k_images=sample.val1k_images, workers=workers
    )
    assert _hashes(tmp_path, DEFAULT) == DEFAULT
