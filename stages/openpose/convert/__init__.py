"""From exports of annotation tools to COCO keypoint annotations.

In: what CVAT, Label Studio, YOLO-pose, LabelMe, DeepLabCut and SLEAP write, and COCO files as tools
write them; one module a tool.
Out: `labelled.Export`: images, people, bodies; labelled.to_coco makes one COCO dict a split of it.
What is left out, guessed or derived is counted in `Findings`; what is not of the form is refused.
"""
