"""Transfers over HTTP that break in every way a server can break them."""

import hashlib
import resource
from contextlib import suppress
from threading import Event, Thread

import numpy as np
import pytest

from stages.openpose.errors import InputError
from stages.openpose.fetch import transfer
from stages.openpose.fetch.transfer import Patience, Remote, Stopped, fetch
from tests.http_server import FileServer, wait_until

CONTENT = np.random.default_rng(0).bytes(300_000)
QUICK = Patience(retries=3, timeout_s=0.3, first_pause_s=0.001)


@pytest.fixture
def server():
    made = FileServer()
    made.files["/a.zip"] = CONTENT
    yield made
    made.close()


def remote(server, *, size=300_000, content=CONTENT, paths=("/a.zip",)):
    return Remote(
        "a.zip", tuple(server.url(path) for path in paths), size, hashlib.md5(content).hexdigest()
    )


def ranges(server):
    return [asked for _, asked in server.asked]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize(
    "habits",
    [
        [],
        ["drop"],
        ["drop", "drop", "drop"],
        ["drop", "no ranges"],
        ["drop", "no ranges", "drop"],
        ["drop", "shifted"],
        ["stall"],
        ["drop", "stall"],
        [500, 503, 429],
        ["drop", 500],
        ["no length"],
    ],
)
def test_whole_file_arrives_in_spite_of(server, tmp_path, habits, size):
    server.habits["/a.zip"] = habits
    counts = []
    fetch(remote(server, size=size), tmp_path / "a.zip", QUICK, advance=counts.append)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert sum(counts) == len(CONTENT), "progress counts each byte of the finished file once"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_broken_transfer_goes_on_where_it_broke(server, tmp_path):
    server.habits["/a.zip"] = ["drop"]
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert ranges(server) == [None, f"bytes={len(CONTENT) // 2}-"]


def test_part_of_an_earlier_run_is_hashed_and_gone_on_with(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:200_000])
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert ranges(server) == ["bytes=200000-"]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_complete_part_needs_no_byte_more(server, tmp_path, size):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    fetch(remote(server, size=size), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert ranges(server) == ([] if size else ["bytes=300000-"])


@pytest.mark.parametrize("rest", [b"x" * 1000, b"x" * 400_000])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_damaged_part_is_thrown_away_and_fetched_anew(server, tmp_path, rest, size):
    (tmp_path / "a.zip.part").write_bytes(rest)
    fetch(remote(server, size=size), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_two_versions_of_a_file_are_never_joined(server, tmp_path):
    server.tags["/a.zip"] = '"old"'
    server.habits["/a.zip"] = ["drop", 500, 500, 500, 500]
    with pytest.raises(InputError, match="500"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    new = bytes(reversed(CONTENT))
    server.files["/a.zip"], server.tags["/a.zip"] = new, '"new"'
    server.habits.clear()
    server.asked.clear()
    fetch(remote(server, content=new), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == new
    assert len(server.asked) == 1, "the server's answer to If-Range is the whole new file"


def test_same_version_is_resumed_under_its_tag(server, tmp_path):
    server.tags["/a.zip"] = '"one"'
    server.habits["/a.zip"] = ["drop"]
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert ranges(server) == [None, "bytes=150000-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_file_that_is_not_there_is_not_asked_for_twice(server, tmp_path, code):
    server.habits["/a.zip"] = [code]
    with pytest.raises(InputError, match=f"a.zip: .*{code}.*download.mirror"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert len(server.asked) == 1
    assert not (tmp_path / "a.zip").exists()


def test_next_address_is_tried_where_one_lacks_the_file(server, tmp_path):
    fetch(remote(server, paths=("/zips/a.zip", "/a.zip")), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_server_that_stays_broken_is_given_up_and_the_part_kept(server, tmp_path):
    server.habits["/a.zip"] = ["drop"] + [502] * 10
    with pytest.raises(InputError, match=r"502.*4 tries in a row.*150000 bytes received are kept"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:150_000]
    assert len(server.asked) == 4, "the first try and three more"


def test_tries_that_bring_the_file_further_do_not_count(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS_BYTES", 1000)
    server.habits["/a.zip"] = ["drop"] * 7
    fetch(remote(server), tmp_path / "a.zip", Patience(retries=1, timeout_s=1, first_pause_s=0.001))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(server.asked) == 8


def test_moved_file_is_followed(server, tmp_path):
    server.files["/elsewhere/a.zip"] = server.files["/a.zip"]
    server.habits["/a.zip"] = ["moved", "moved"]
    server.habits["/elsewhere/a.zip"] = ["drop"]
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


class Pauses(Event):
    """Takes no time, remembers how long it was to wait."""

    def __init__(self):
        super().__init__()
        self.lengths: list[float] = []

    def wait(self, timeout=None):
        self.lengths.append(timeout)
        return False


@pytest.mark.parametrize(
    ("habits", "lengths"),
    [
        ([503, "drop", 503], [0.25, 0.5, 1.0]),
        (["drop"], [0.25]),
        (["busy", 503, 503], [1.0, 0.5, 1.0]),  # Retry-After first
    ],
)
def test_pauses_begin_with_the_first_try_again_and_double(server, tmp_path, habits, lengths):
    server.habits["/a.zip"], pauses = habits, Pauses()
    fetch(remote(server), tmp_path / "a.zip", Patience(3, 1, first_pause_s=0.25), stop=pauses)
    assert pauses.lengths == lengths


def test_no_pause_is_longer_than_a_minute(server, tmp_path):
    server.habits["/a.zip"], pauses = [503] * 8, Pauses()
    fetch(remote(server), tmp_path / "a.zip", Patience(9, 1), stop=pauses)
    assert pauses.lengths == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_weak_tag_is_not_asked_by_since_no_server_joins_parts_under_it(server, tmp_path):
    """RFC 9110 section 13.1.5: If-Range takes strong validators only."""
    server.tags["/a.zip"] = 'W/"one"'
    server.habits["/a.zip"] = ["drop", "drop"]
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert ranges(server) == [None, "bytes=150000-", "bytes=225000-"]


def test_full_disk_is_named_at_once_and_the_part_kept(server, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"a\.zip\.part: cannot write: File too large"):
            fetch(remote(server), tmp_path / "a.zip", QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(server.asked) == 1
    part = (tmp_path / "a.zip.part").read_bytes()
    assert part == CONTENT[: len(part)]
    fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_silent_server_counts_as_broken(server, tmp_path):
    server.habits["/a.zip"] = ["stall", "stall"]
    with pytest.raises(InputError, match=r"no byte for 0.1 s"):
        fetch(
            remote(server),
            tmp_path / "a.zip",
            Patience(retries=1, timeout_s=0.1, first_pause_s=0.001),
        )


def test_no_server_at_all_is_named(server, tmp_path):
    gone = remote(server)
    server.close()
    with pytest.raises(InputError, match=r"127\.0\.0\.1.*refused"):
        fetch(gone, tmp_path / "a.zip", QUICK)


def test_wrong_bytes_are_an_error_and_leave_nothing(server, tmp_path):
    server.files["/a.zip"] = bytes(len(CONTENT))
    with pytest.raises(InputError, match=r"wrong content: expected md5 .* found"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", [b"more", b"m" * 10**6])
@pytest.mark.parametrize("habit", [None, "no length"])
def test_more_than_declared_is_an_error(server, tmp_path, extra, habit):
    server.files["/a.zip"] = CONTENT + extra
    server.habits["/a.zip"] = [habit]
    with pytest.raises(InputError, match=r"expected 300000 bytes|more than the 300000 bytes"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert not (tmp_path / "a.zip").exists()


def test_error_page_instead_of_the_file_does_not_destroy_the_part(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:200_000])
    server.files["/a.zip"] = b"<html>please log in</html>"
    server.habits["/a.zip"] = ["no ranges"]
    with pytest.raises(InputError, match="expected 300000 bytes, the server has 26"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:200_000]


def test_stop_ends_a_transfer_and_keeps_its_part(server, tmp_path):
    server.habits["/a.zip"] = ["stall"]
    stop, problems = Event(), []

    def work():
        try:
            fetch(remote(server), tmp_path / "a.zip", Patience(5, 0.2, 30.0), stop=stop)
        except Stopped as stopped:
            problems.append(stopped)

    thread = Thread(target=work)
    thread.start()
    wait_until(
        lambda: (
            (tmp_path / "a.zip.part").exists()
            and (tmp_path / "a.zip.part").stat().st_size == 150_000
        )
    )
    stop.set()
    thread.join(5)
    assert problems
    assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:150_000]


def test_part_in_use_by_another_transfer_is_left_alone(server, tmp_path):
    server.habits["/a.zip"] = ["stall"]
    stop = Event()

    def work():
        with suppress(Stopped):
            fetch(remote(server), tmp_path / "a.zip", QUICK, stop=stop)

    thread = Thread(target=work)
    thread.start()
    wait_until(lambda: server.asked)
    with pytest.raises(InputError, match="another process"):
        fetch(remote(server), tmp_path / "a.zip", QUICK)
    stop.set()
    thread.join(5)


@pytest.mark.parametrize("code", [404, 503, None])
def test_what_follows_an_addresss_question_mark_is_in_no_message_and_no_file(
    server, tmp_path, code
):
    path = "/a.zip?X-Amz-Signature=hunter2"
    server.files[path] = CONTENT
    server.habits[path] = [code] * 9 if code else ["drop"] * 9
    with pytest.raises(InputError, match=r"/a\.zip: .*") as problem:
        fetch(remote(server, paths=(path,), size=5 if code is None else 300_000),
              tmp_path / "a.zip", QUICK)  # fmt: skip
    assert "hunter2" not in str(problem.value)
    server.habits[path] = ["drop"] * 9
    with pytest.raises(InputError, match=r"/a\.zip: the connection closed"):
        fetch(remote(server, paths=(path,)), tmp_path / "a.zip", QUICK)
    assert "hunter2" not in "".join(file.read_text("latin-1") for file in tmp_path.iterdir())
    server.habits[path] = []
    fetch(remote(server, paths=(path,)), tmp_path / "a.zip", QUICK)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_an_address_with_letters_that_none_has_is_named(server, tmp_path):
    with pytest.raises(InputError, match=r"a\.zip: http.*: no address"):
        fetch(remote(server, paths=("/ä.zip",)), tmp_path / "a.zip", QUICK)
