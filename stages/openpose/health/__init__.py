"""Looking a data set over before anything costs time.

In: images and people of an annotation file (coco), the archive of the images.
Out: findings: what cannot be right (files that are missing, damaged, of another size) and what is
possible but probably wrong (places outside images, sides exchanged, people labelled twice,
photographs that are in two sets), as text and plain values.
"""
