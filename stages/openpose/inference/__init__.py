"""From an image to people.

In: images uint8 [H, W, 3] BGR of any size and a forward function. Out: People in pixels of the
image, found at one scale (`single`), at several (`multi`) and mirrored too (`multi_flip`); COCO
results.
"""
