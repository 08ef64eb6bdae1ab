"""Files that sleap-io writes: labelled instances come back, of image files, packages and videos."""

import cv2
import numpy as np
import pytest

from stages.openpose.coco.findings import Findings
from stages.openpose.convert import sleap
from stages.openpose.convert.labelled import to_coco
from tests import export_forms as forms

pytest.importorskip("sleap_io", reason="sleap-io (extra convert) is not installed")


@pytest.fixture
def labels(tmp_path):
    """sleap_io.Labels of the two mice, with an instance that was predicted in the empty image."""
    truth = forms.two_mice()
    return forms.sleap_labels(truth, forms.write_images(truth, tmp_path / "images"))


@pytest.mark.parametrize("embed", [False, "user"])
def test_instances_come_back(embed, labels, tmp_path):
    path = tmp_path / ("labels.pkg.slp" if embed else "labels.slp")
    labels.save(str(path), embed=embed)
    findings = Findings(path, strict=True)
    export = sleap.read(sleap.load(path), path.name, findings)
    content = to_coco(export.images, export.bodies, findings)
    truth = forms.two_mice()
    for own, one in zip(content["annotations"], truth["annotations"], strict=True):
        seen = [2 if v else 0 for v in one["keypoints"][2::3]]
        assert own["keypoints"][2::3] == seen
        assert own["keypoints"][0::3] == one["keypoints"][0::3]
        assert own["keypoints"][1::3] == one["keypoints"][1::3]
    assert content["categories"] == [forms.MOUSE]
    if not embed:
        assert findings.derived["instances that SLEAP predicted, left out"] == 1
        assert findings.derived["frames without a labelled instance, left out"] == 1
    else:
        pixels = cv2.imdecode(np.frombuffer(export.images[0].encode(), np.uint8), 1)
        stored = cv2.imread(str(tmp_path / "images/cage 1/frame_001.jpg"))
        assert np.array_equal(pixels, stored)
