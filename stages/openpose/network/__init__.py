"""The networks, their weights, and foreign formats.

In: images uint8 [B, H, W, 3] BGR, H and W multiples of 8. Out: heatmaps float32 [B, H/8, W/8, 19]
and PAFs float32 [B, H/8, W/8, 38]; model folders (model.yaml and weights).
"""
