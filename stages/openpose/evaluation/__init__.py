"""From COCO results to figures.

In: ground truth and results in COCO's form. Out: AP and AR with intervals, curves, kinds of errors,
AP of held-out images of a packed file, a file for COCO's server.
"""
