"""Annotations and images of a data set.

In: COCO keypoint JSON; images in a zip archive or a folder, read by name.
Out: arrays of images and people (annotations.py), ignored regions as run lengths (regions.py),
which image belongs to which packed file (splits.py), decoded images uint8 [H, W, 3] BGR
(image_files.py).
"""
