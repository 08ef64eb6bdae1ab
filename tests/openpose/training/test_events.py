"""TensorBoard events are no reason to end a training run."""

import pytest

from stages.openpose.training import events as events_module
from stages.openpose.training.events import Events


def test_events_that_can_no_longer_be_written_end_with_a_warning_and_not_the_run(tmp_path):
    events = Events(tmp_path / "run")
    events.scalars(1, {"loss": 0.5})

    def full(_):
        raise RuntimeError("no space left")

    events._writer.add_event = full
    with pytest.warns(UserWarning, match=r"run: no more TensorBoard events \(no space left\)"):
        events.scalars(2, {"loss": 0.25})
    events.scalars(3, {"loss": 0.1})
    events.close()


def test_a_disk_that_is_full_from_the_start_is_no_reason_either(tmp_path, monkeypatch):
    def full(_):
        raise RuntimeError("no space left")

    monkeypatch.setattr(events_module, "EventFileWriter", full)
    with pytest.warns(UserWarning, match=r"run: no more TensorBoard events \(no space left\)"):
        events = Events(tmp_path / "run")
    events.scalars(1, {"loss": 0.5})
    events.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError, match="run"):
        Events(tmp_path / "run")
