"""Files from elsewhere.

In: a list of sources (URLs with bytes and hashes). Out: verified archives, annotations, id lists
and weights in data/<name>.
"""
