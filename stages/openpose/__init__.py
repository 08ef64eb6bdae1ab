"""The method: pure functions on arrays. Nothing here parses arguments, reads YAML or knows a path
of its own.

    from stages.openpose import Pose

opens the Python interface (stages/pose.py), which does know names and settings; it is imported when
it is asked for, so that importing this package stays cheap.
"""


def __getattr__(name: str):
    if name == "Pose":
        from stages.pose import Pose

        return Pose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
