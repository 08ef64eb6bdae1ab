import csv
import io
from dataclasses import replace

import numpy as np

from stages.openpose.evaluation.calibration import Calibration
from stages.openpose.evaluation.scoring import Matches
from stages.openpose.report import lost
from stages.openpose.report.blocks import Charts, Section, Table, Text
from stages.openpose.report.inputs import Evaluation

TABLES = {
    "waterfall": """step,AP,gain,alone,AP_low,AP_high,gain_low,gain_high
found,0.4,0.0,0.0,0.35,0.45,,
miss,0.7,0.3,0.25,0.65,0.75,0.28,0.32
missed people,0.99,0.29,-0.001,,,,
""",
    "points": """keypoint,AP,PCK10,PCK20,PCK50,median_px,p90_px,median_sigmas,p90_sigmas
left_ear,0.5,0.1,0.2,0.5,2.34,10.4,0.8,2.6
tail,,,,,,,,
""",
    "sensitivity": """attribute,group,people,AR,AR_low,AR_high,AR50
"size, px",under 32,1440,0.4,0.3,0.5,0.6
"size, px",32 to 64,1,1.0,,,1.0
"overlap of boxes, %",under 1,1441,0.4,0.3,0.5,0.6
""",
    "reliability": """of,score_from,score_to,mean_score,count,share,share_low,share_high
person,0.1,0.5,0.3,20,0.2,0.1,0.4
person,0.5,1.5,1.0,20,0.9,0.8,0.97
keypoint,0.5,1.5,1.0,20,0.9,0.8,0.97
""",
    "thresholds": "wanted,score,precision,recall\n0.5,0.1,0.6,0.9\n0.9,,,\n",
}


def evaluation(model="trained", people=500, tables=TABLES):
    read = {name: list(csv.DictReader(io.StringIO(text))) for name, text in tables.items()}
    return Evaluation(model, "val", {"people": people}, read)


def of_kind(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


def test_the_section_says_what_each_error_costs():
    blocks = lost.blocks([evaluation(), evaluation("other")])
    assert [block.title for block in of_kind(blocks, Section)] == [
        "Where AP is lost", "Model: this run, val", "Model: other, val",
    ]  # fmt: skip
    steps, keypoints, thresholds = of_kind(blocks, Table)[:3]
    assert steps.rows[0][2:] == ["40.0 [35.0, 45.0]", "", ""]
    assert steps.rows[1][2:] == ["70.0 [65.0, 75.0]", "+30.0 [28.0, 32.0]", "+25.0"]
    assert steps.rows[2][2:] == ["99.0", "+29.0", "-0.1"]
    assert keypoints.rows[0] == [
        "left ear", "50.0", "10.0", "20.0", "50.0", "2.3", "10.4", "0.8", "2.6",
    ]  # fmt: skip
    assert set(keypoints.rows[1][1:]) == {"–"}
    assert thresholds.rows == [
        ["50.0", "0.100", "60.0", "90.0"],
        ["90.0", "no score does", "–", "–"],
    ]
    drawings = [chart for block in of_kind(blocks, Charts) for chart in block.charts]
    names = ["waterfall", "sensitivity", "reliability-person"]
    assert [chart.name for chart in drawings[:3]] == [f"{name}-trained-val" for name in names]
    assert len(drawings) == 6, "one bin of keypoints is no curve"
    waterfall, sensitivity, _ = (chart.svg.decode() for chart in drawings[:3])
    assert "+30.0" in waterfall
    assert "under 32  (1,440)" in sensitivity
    assert "overlap" not in sensitivity, "all people are in one group of it"
    assert of_kind(blocks, Text) == []


def test_few_people_are_said_and_what_was_not_counted_is_left_out():
    (said,) = of_kind(lost.blocks([evaluation(people=7)]), Text)
    assert "Only 7 people" in said.text
    assert lost.blocks([evaluation(tables={})]) == lost.blocks([]) == []
    assert lost.blocks([evaluation(tables={"waterfall": ""})]) == [], "nobody was to be found"


def test_where_everybody_was_missed_the_last_ap_is_a_dash():
    lines = TABLES["waterfall"].splitlines()
    nobody = "\n".join([*lines[:3], "missed people,,,,,,,"])
    steps = of_kind(lost.blocks([evaluation(tables=TABLES | {"waterfall": nobody})]), Table)[0]
    assert steps.rows[2][2:] == ["–", "–", "–"]


def test_probabilities_stand_beside_the_share_that_is_right_for_the_model_they_belong_to():
    hit = np.arange(40) % 4 > 0  # three of four are right
    found = Matches(
        image_ids=np.array([1]),
        image=np.zeros(40, int),
        scores=np.full(40, 2.5),
        hit=hit[None],
        counted=np.ones((1, 40), bool),
        people=np.array([30]),
        thresholds=np.array([0.5]),
        recalls=np.array([0.5]),
    )
    fitted = Calibration(np.array([2.0, 3.0]), np.array([0.6, 0.8]), 1234, 80, "", {})
    ours = replace(evaluation(), matches=found)
    table = of_kind(lost.blocks([ours, replace(ours, model="other")], fitted), Table)[3]
    assert table.rows[0][:3] == ["2.50 to 2.50", "20", "70.0"]
    assert table.rows[0][3].startswith("75.0 [")
    assert "1,234 people found on 80" in table.caption
    assert "25.0 of the scores as they are" in table.caption
    assert "5.0 of the probabilities" in table.caption
    assert len(of_kind(lost.blocks([ours, replace(ours, model="other")], fitted), Table)) == 7
    few = Calibration(np.zeros(0), np.zeros(0), 7, 3, "", {})
    (said,) = of_kind(lost.blocks([ours], few), Text)
    assert "only 7 people were found on 3 held-out training images" in said.text
