"""From annotated images to training samples.

In: the arrays of room coco. Out: masks and the packed file (HDF5, packed.py); from it batches of
images uint8 [B, S, S, 3] BGR, labels float32 [B, S/8, S/8, 57] (38 PAFs, 19 heatmaps) and masks [B,
S/8, S/8, 1].
"""
