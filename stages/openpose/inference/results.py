"""People -> COCO results."""

import numpy as np

from stages.openpose.coco.annotations import PERSON
from stages.openpose.decoding.people import GUESS_SCORE, People

DIGITS = 2  # of coordinates: a hundredth of a pixel


def to_results(people: People, image_id: int) -> list[dict]:
    """COCO results of one image, best person first.

    Keypoints are [x, y, v] times 17 in pixels of the image, pixel centres at integers as in COCO's
    annotations; v = 2 where found, 1 where guessed (decoder_completion.py), else x = y = v = 0.
    `keypoint_scores` (17 numbers) is ours; pycocotools ignores it.
    """
    made = []
    for row in np.argsort(-people.scores, kind="stable"):
        points = people.keypoints[row].astype(np.float64)
        found = points[:, 2] > 0
        seen = np.where(points[:, 2] > GUESS_SCORE, 2, 1)
        xyv = np.where(found[:, None], np.column_stack([points[:, :2].round(DIGITS), seen]), 0)
        made.append(
            {
                "image_id": int(image_id),
                "category_id": PERSON,
                "keypoints": xyv.ravel().tolist(),
                "score": round(float(people.scores[row]), 5),
                "keypoint_scores": points[:, 2].round(4).tolist(),
            }
        )
    return made
