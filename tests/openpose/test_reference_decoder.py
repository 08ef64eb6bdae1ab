"""The reference's method gives the reference's people."""

import json

import numpy as np

from stages.openpose.reference_decoder import decode_full


def test_people_equal_those_of_the_reference(shared):
    golden = json.loads((shared / "golden" / "seed_detections.json").read_text())
    for path in sorted((shared / "real-maps").glob("*.npz"))[::3]:
        with np.load(path) as maps:
            people = decode_full(maps["heat"], maps["paf"], tuple(maps["resized"]), tuple(maps["original"]))
        expected = [person for person in golden if person["image_id"] == int(path.stem)]
        assert len(people.scores) == len(expected), path.name
        for keypoints, score, wanted in zip(people.keypoints, people.scores, expected, strict=True):
            triples = np.reshape(wanted["keypoints"], (17, 3))
            np.testing.assert_allclose(keypoints[:, :2], triples[:, :2], atol=1)
            np.testing.assert_array_equal(keypoints[:, 2] > 0, triples[:, 2] > 0)
            assert abs(score - wanted["score"]) < 1e-3
