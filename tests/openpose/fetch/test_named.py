"""Networks by name: the table, and files that are fetched once, verified and never overwritten."""

import hashlib
from pathlib import Path

import pytest
import yaml

from stages.openpose.errors import InputError
from stages.openpose.fetch.named import (
    cache_folder,
    copy_model,
    describe,
    fetch_model,
    folder_of,
    how_to_get,
    missing_files,
    parse_models,
)
from stages.openpose.fetch.transfer import Patience
from tests.http_server import FileServer

FILES = {"/net/a.xml": b"<net/>" * 50, "/net/a.bin": bytes(range(256)) * 4000}
QUICK = Patience(retries=1, timeout_s=1, first_pause_s=0.01)
OTHER_KEYS = {
    "about": "a toy",
    "network": "mobilenet",
    "licence": "Apache-2.0",
    "trained_on": "nothing",
    "input": "BGR",
}


@pytest.fixture
def server():
    server = FileServer()
    server.files.update(FILES)
    yield server
    server.close()


def entry(server, **changes) -> dict:
    files = {
        Path(path).name: {
            "url": server.url(path),
            "bytes": len(content),
            "hash": hashlib.sha256(content).hexdigest(),
        }
        for path, content in FILES.items()
    }
    return OTHER_KEYS | {"files": files} | changes


def toy(server, **changes):
    return parse_models({"toy": entry(server, **changes)}, "models.yaml")["toy"]


def test_files_come_once_and_are_described_as_a_model(server, tmp_path):
    model = toy(server)
    assert missing_files(model, tmp_path / "toy") == ["a.xml", "a.bin"]
    counts = []
    fetch_model(model, tmp_path / "toy", QUICK, advance=counts.append)
    describe(model, tmp_path / "toy")
    assert sum(counts) == model.bytes == sum(map(len, FILES.values()))
    for path, content in FILES.items():
        assert (tmp_path / "toy" / Path(path).name).read_bytes() == content
    described = yaml.safe_load((tmp_path / "toy/model.yaml").read_text())
    assert described["kind"] == "keras"
    assert (described["network"], described["file"]) == ("mobilenet", "a.xml")
    assert described["sha256"]["a.bin"] == hashlib.sha256(FILES["/net/a.bin"]).hexdigest()
    asked = len(server.asked)
    fetch_model(model, tmp_path / "toy", QUICK)
    assert (len(server.asked), missing_files(model, tmp_path / "toy")) == (asked, [])


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    server.habits["/net/a.bin"] = ["drop", "drop"]
    with pytest.raises(InputError, match="bytes received are kept"):
        fetch_model(toy(server), tmp_path / "toy", Patience(0, 1, 0.01))
    fetch_model(toy(server), tmp_path / "toy", QUICK)
    assert (tmp_path / "toy/a.bin").read_bytes() == FILES["/net/a.bin"]
    assert any(asked for path, asked in server.asked if path == "/net/a.bin")


def test_a_file_with_another_hash_is_refused_and_left_alone(server, tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/a.bin").write_bytes(b"mine")
    expected = hashlib.sha256(FILES["/net/a.bin"]).hexdigest()
    for act in (missing_files, lambda *arguments: fetch_model(*arguments, QUICK)):
        with pytest.raises(InputError, match=rf"a\.bin: expected sha256 {expected} .*overwritten"):
            act(toy(server), tmp_path / "toy")
    assert (tmp_path / "toy/a.bin").read_bytes() == b"mine"
    assert not server.asked


def test_what_the_server_sends_is_verified(server, tmp_path):
    server.files["/net/a.bin"] = b"\0" * len(FILES["/net/a.bin"])
    with pytest.raises(InputError, match=r"wrong content: expected sha256 [0-9a-f]{64}, found"):
        fetch_model(toy(server), tmp_path / "toy", QUICK)
    assert not (tmp_path / "toy/a.bin").exists()


def test_without_a_server_one_line_says_what_to_put_where(server, tmp_path):
    model = toy(server)
    server.close()
    with pytest.raises(InputError) as problem:
        fetch_model(model, tmp_path / "toy", QUICK)
    text = str(problem.value)
    assert "\n" not in text
    assert f"model `toy`: put into {tmp_path / 'toy'}: a.xml (300 bytes, sha256 " in text
    for path, content in FILES.items():
        assert f"{hashlib.sha256(content).hexdigest()}), from {server.url(path)}" in text


def test_a_file_without_address_is_the_users_to_supply(server, tmp_path):
    content = b"weights"
    files = {"w.h5": {"hash": hashlib.md5(content).hexdigest()}, "more.h5": {}}
    model = toy(server, files=files)
    words = r"w\.h5 \(md5 [0-9a-f]{32}\), which has no address here; more\.h5 \(hash unknown\)"
    with pytest.raises(InputError, match=words):
        fetch_model(model, tmp_path, QUICK)
    (tmp_path / "w.h5").write_bytes(content)
    (tmp_path / "more.h5").write_bytes(b"anything")
    fetch_model(model, tmp_path, QUICK)
    (tmp_path / "w.h5").write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"w\.h5: expected md5"):
        missing_files(model, tmp_path)


@pytest.mark.parametrize("place", ["a.bin", "net/a.bin"])
def test_a_folder_can_stand_for_the_server(server, tmp_path, place):
    for name in ("a.xml", place):
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_bytes(FILES[f"/net/{Path(name).name}"])
    fetch_model(toy(server), tmp_path / "toy", QUICK, mirror=str(tmp_path / "mirror"))
    assert (tmp_path / "toy/a.bin").read_bytes() == FILES["/net/a.bin"]
    assert not server.asked


def test_a_mirror_without_the_file_is_named(server, tmp_path):
    with pytest.raises(InputError, match=r"a\.xml: not with this hash in .*mirror/net/a\.xml or"):
        fetch_model(toy(server), tmp_path / "toy", QUICK, mirror=str(tmp_path / "mirror"))


def test_files_of_the_repository_are_used_where_they_lie(server, tmp_path):
    digest = hashlib.sha256(b"ours").hexdigest()
    files = {"w.weights.h5": {"path": "shipped/light/w.weights.h5", "hash": digest}}
    model = toy(server, files=files, network="light")
    folder = folder_of(model, tmp_path / "cache", tmp_path)
    assert folder == tmp_path / "shipped/light"
    with pytest.raises(InputError, match=r"shipped/light/w\.weights\.h5 of the repository"):
        fetch_model(model, folder, QUICK)
    folder.mkdir(parents=True)
    (folder / "w.weights.h5").write_bytes(b"ours")
    assert missing_files(model, folder) == []
    copy_model(model, folder, tmp_path / "copy")
    assert (tmp_path / "copy/w.weights.h5").read_bytes() == b"ours"
    assert yaml.safe_load((tmp_path / "copy/model.yaml").read_text())["network"] == "light"


def test_the_cache_folder_is_that_of_the_environment():
    assert cache_folder({"OPENPOSE_MODELS": "/there", "XDG_CACHE_HOME": "/x"}) == Path("/there")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/openpose-pipeline/models")
    assert cache_folder({}) == Path.home() / ".cache/openpose-pipeline/models"


def test_how_to_get_names_only_what_is_missing(server, tmp_path):
    assert "a.xml" not in how_to_get(toy(server), tmp_path, ["a.bin"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": None}, "models.yaml: toy: `licence`"),
        ({"colour": "BGR"}, "models.yaml: toy: `colour`: Extra inputs are not permitted"),
        ({"files": {}}, "models.yaml: toy: `files`"),
        ({"files": {"../a.h5": {}}}, "models.yaml: toy: `files"),
        ({"files": {"a.h5": {"hash": "12"}}}, r"models.yaml: toy: `files\.a\.h5\.hash`"),
        ({"AP": {"value": 42.8, "images": "x", "source": "y"}}, r"`AP\.value`"),
    ],
)
def test_mistakes_of_the_table_are_named(server, changes, words):
    with pytest.raises(InputError, match=words):
        toy(server, **changes)


def test_a_hash_in_capitals_is_the_same_hash(server, tmp_path):
    model = toy(server)
    fetch_model(model, tmp_path / "toy", QUICK)
    files = entry(server)["files"]
    shouted = {name: file | {"hash": file["hash"].upper()} for name, file in files.items()}
    assert missing_files(toy(server, files=shouted), tmp_path / "toy") == []
