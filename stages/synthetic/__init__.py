"""The sample's artist: articulated figures before drawn scenes, with exact COCO keypoint
annotations.
"""
