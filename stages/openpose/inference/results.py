"""People -> COCO results."""

import numpy as np

from stages.openpose.coco.categories import PERSON
from stages.openpose.decoding.people import GUESS_SCORE, People

DIGITS = 2  # of coordinates: a hundredth of a pixel


def to_results(people: People, image_id: int) -> list[dict]:
    """COCO results of one image, best person first.

    Keypoints are [x, y, v] times 17 in pixels of the image, pixel centres at integers as in COCO's
    annotations; v = 2 where found, 1 where guessed (completion.py), else x = y = v = 0.
    `keypoint_scores` (17 numbers) is ours; pycocotools ignores it.
    """
    results = []
    for person in np.argsort(-people.scores, kind="stable"):
        # compared in float32, as scores are stored: in float64 the score GUESS_SCORE of a guess
        # would lie above GUESS_SCORE
        visibility = np.where(people.keypoints[person, :, 2] > np.float32(GUESS_SCORE), 2, 1)
        # float64: a hundredth rounded in float32 would be written with all its digits
        points = people.keypoints[person].astype(np.float64)
        is_found = points[:, 2] > 0
        xyv = np.where(
            is_found[:, None], np.column_stack([points[:, :2].round(DIGITS), visibility]), 0
        )
        results.append(
            {
                "image_id": int(image_id),
                "category_id": PERSON,
                "keypoints": xyv.ravel().tolist(),
                "score": round(float(people.scores[person]), 5),
                "keypoint_scores": points[:, 2].round(4).tolist(),
            }
        )
    return results
