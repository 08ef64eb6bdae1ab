"""The method: pure functions on arrays. Nothing here parses arguments, reads YAML or knows a path
of its own.
"""
