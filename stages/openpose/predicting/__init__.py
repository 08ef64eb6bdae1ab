"""From what people have to what they want: files, folders and films in; people with stable ids,
drawings, COCO results, OpenPose's JSON and CSV out.
"""
