"""Loss, optimizers, the course of a run, checkpoints, devices.

In: batches of room samples and a network. Out: EMA weights in the network, rows of the log,
checkpoints.
"""
