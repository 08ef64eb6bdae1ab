"""The stage download: from a sources file to archives, annotations and id lists."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from stages import params
from stages.download import download
from stages.openpose.errors import InputError
from stages.openpose.fetch import delivery
from stages.openpose.fetch.archives import check_archive, extract_member
from stages.openpose.fetch.sources import parse_sources, places
from tests.http_server import FileServer, wait_until

MEMBER = "annotations/person_keypoints_{}2014.json"


def zipped(entries):
    """The bytes of a zip with these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


FILES = {
    "/zips/train2014.zip": zipped(
        {"train2014/1.jpg": os.urandom(50_000), "train2014/2.jpg": b"two"}
    ),
    "/zips/val2014.zip": zipped({"val2014/3.jpg": os.urandom(30_000)}),
    "/annotations/both.zip": zipped(
        {MEMBER.format(name): json.dumps({"of": name}) * 100 for name in ("train", "val")}
    ),
    "/weights/vgg.h5": b"weights" * 1000,
}


def listed(path, **more):
    content = FILES[path]
    return {"url": path, "bytes": len(content), "md5": hashlib.md5(content).hexdigest(), **more}


def coco_like():
    """A sources file with the shape of COCO 2014's, its addresses relative to the root."""
    return {
        "archives": {"train": listed("/zips/train2014.zip"), "val": listed("/zips/val2014.zip")},
        "annotations": {
            name: listed("/annotations/both.zip", member=MEMBER.format(name))
            for name in ("train", "val")
        },
        "ids": {"val1k": {"url": "ids.txt"}},
        "weights": {"vgg": listed("/weights/vgg.h5")},
    }


class Case:
    """A working folder with params.yaml, sources.yaml and an id list; `server` serves FILES."""

    def __init__(self, folder, server):
        self.folder, self.server, self.output = folder, server, folder / "data" / "case"
        self.sources = coco_like()
        for group in ("archives", "annotations", "weights"):
            for entry in self.sources[group].values():
                entry["url"] = server.url(entry["url"])
        (folder / "ids.txt").write_text("# where it comes from\n12\n3\n")
        self.changes = ["download.timeout_s=1", "download.retries=1", "download.root="]

    def write(self, *changes):
        (self.folder / "sources.yaml").write_text(yaml.safe_dump(self.sources, sort_keys=False))
        given = [*self.changes, f"download.sources={self.folder / 'sources.yaml'}", *changes]
        params.use("sample", self.folder / "params.yaml", given)

    def run(self, *changes):
        self.write(*changes)
        download(self.command())
        return self.output

    def command(self):
        return Namespace(
            params=self.folder / "params.yaml", output=self.output, mirror=None, have=None
        )


@pytest.fixture
def case(tmp_path):
    server = FileServer()
    server.files.update(FILES)
    yield Case(tmp_path, server)
    server.close()


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_everything_comes_to_its_place(case):
    output = case.run()
    names = [
        "annotations/train.json",
        "annotations/val.json",
        "archives/train.zip",
        "archives/val.zip",
        "ids/val1k.txt",
    ]
    assert [name for name in tree(output) if not name.startswith("partial/")] == names
    assert (output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"]
    assert (output / "annotations/val.json").read_text() == json.dumps({"of": "val"}) * 100
    assert (output / "ids/val1k.txt").read_text() == "3\n12\n"
    assert sorted(path for path, _ in case.server.asked) == [
        name for name in sorted(FILES) if "weights" not in name
    ]


def test_no_archive_is_on_the_disk_twice(case):
    output = case.run()
    inodes = {path.stat().st_ino: path.stat().st_size for path in output.rglob("*.zip")}
    assert sum(inodes.values()) == sum(len(FILES[name]) for name in FILES if name.endswith("zip"))


def test_weights_come_when_asked_for(case):
    output = case.run("download.weights=[vgg]")
    assert (output / "weights/vgg.h5").read_bytes() == FILES["/weights/vgg.h5"]
    with pytest.raises(InputError, match="nor the table of models lists resnet"):
        case.run("download.weights=[resnet]")


def test_second_run_fetches_nothing_even_when_its_outputs_were_deleted(case):
    output = case.run()
    before = {name: (output / name).read_bytes() for name in tree(output)}
    case.server.asked.clear()
    for path in (output / "archives").iterdir():
        path.unlink()
    case.run()
    assert case.server.asked == []
    assert {name: (output / name).read_bytes() for name in tree(output)} == before


def test_finished_archives_serve_when_the_partial_folder_was_deleted(case):
    output = case.run()
    for path in (output / "partial").iterdir():
        path.unlink()
    case.server.asked.clear()
    case.run()
    assert [path for path, _ in case.server.asked] == ["/annotations/both.zip"]
    assert (output / "archives/val.zip").read_bytes() == FILES["/zips/val2014.zip"]


def test_damaged_stored_file_is_fetched_again(case):
    output = case.run()
    for path in [*(output / "partial").glob("train*"), output / "archives/train.zip"]:
        content = bytearray(FILES["/zips/train2014.zip"])
        content[100] ^= 1
        path.unlink()
        path.write_bytes(content)
    case.run()
    assert (output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"]


def command_of(case):
    """The stage as a process of its own."""
    return [
        sys.executable,
        "-m",
        "stages.download",
        "--params",
        case.folder / "params.yaml",
        "--output",
        case.output,
    ]


def halfway(case):
    """A process of the stage that waits for a silent server in the middle of an archive, and the
    bytes it has of it.
    """
    case.server.habits["/zips/train2014.zip"] = ["stall"]
    case.write("download.timeout_s=60")
    process = subprocess.Popen(
        command_of(case), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    half = len(FILES["/zips/train2014.zip"]) // 2
    wait_until(
        lambda: [p.stat().st_size for p in (case.output / "partial").glob("train*.part")] == [half],
        20,
    )
    return process, half


def test_kill_in_the_middle_and_the_same_command_again(case):
    process, half = halfway(case)
    wait_until(lambda: len(list((case.output / "partial").glob("*.zip"))) == 2, 20)
    process.kill()
    process.communicate()
    assert not (case.output / "archives").exists(), "nothing is placed before all is there"
    case.server.asked.clear()
    case.run()
    assert case.server.asked == [("/zips/train2014.zip", f"bytes={half}-")]
    assert (case.output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"]


def test_files_come_side_by_side(case):
    case.server.habits["/zips/train2014.zip"] = case.server.habits["/zips/val2014.zip"] = [
        "wait for two",
        "wait for two",
    ]
    case.run()
    assert not case.server.two.broken


def test_ctrl_c_ends_at_once_even_when_the_server_is_silent(case):
    process, _ = halfway(case)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted"


def test_mirror_and_have_may_be_given_on_the_command_line(case):
    case.write()
    folder = have(case, "/zips/train2014.zip", "/zips/val2014.zip")
    command = case.command()
    command.mirror, command.have = case.server.url("/mirror"), folder
    case.server.files["/mirror/both.zip"] = FILES["/annotations/both.zip"]
    download(command)
    assert [path for path, _ in case.server.asked] == [
        "/mirror/annotations/both.zip",
        "/mirror/both.zip",
    ]


def test_user_sees_one_line_and_no_traceback(case):
    case.server.habits["/zips/val2014.zip"] = [404]
    case.write()
    done = subprocess.run(command_of(case), capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: val2014.zip: http://127.0.0.1")
    assert "404" in last
    assert not (case.output / "archives").exists()


def test_wrong_hash_is_named_with_what_was_expected_and_found(case):
    case.sources["archives"]["val"]["md5"] = "0" * 32
    found = hashlib.md5(FILES["/zips/val2014.zip"]).hexdigest()
    with pytest.raises(InputError, match=f"val2014.zip.*expected md5 {'0' * 32}, found {found}"):
        case.run()
    assert not (case.output / "archives").exists()


def test_missing_disk_space_is_said_in_gigabytes_before_anything_is_fetched(case):
    case.sources["archives"]["train"]["bytes"] = 10**18
    with pytest.raises(
        InputError,
        match=r"needs 1000000000\.\d GB more, .* GB of this disk are free: \d+\.\d GB are missing",
    ):
        case.run()
    assert case.server.asked == []


def test_room_is_asked_for_what_is_fetched_and_for_annotations_taken_out_of_it(case, monkeypatch):
    fetched = sum(len(content) for path, content in FILES.items() if "weights" not in path)
    need = fetched + len(FILES["/annotations/both.zip"])
    free = SimpleNamespace(free=need - 1)
    monkeypatch.setattr(delivery.shutil, "disk_usage", lambda _: free)
    with pytest.raises(InputError, match="GB are missing"):
        case.run()
    assert case.server.asked == []
    free.free = need
    case.run()


def test_hashes_to_be_supplied_are_asked_for_by_name(case):
    case.sources["archives"]["val"]["md5"] = "to be supplied"
    del case.sources["annotations"]["train"]["md5"]
    with pytest.raises(
        InputError,
        match=r"to be supplied: archives\.val\.md5 \(val2014\.zip\), annotations\.train\.md5",
    ):
        case.run()
    assert case.server.asked == []


def test_coco2017_asks_for_its_hashes(tmp_path):
    preset = params.build(yaml.safe_load(params.preset_text("coco2017")), "coco2017").download
    origin = params.WORKFLOW / "sources" / "coco2017.yaml"
    entries = parse_sources(params.read_yaml(origin), str(origin))
    with pytest.raises(
        InputError,
        match=r"train2017\.zip.*val2017\.zip.*annotations_trainval2017\.zip.*download\.have",
    ):
        delivery.plan(entries, preset, origin)


def test_mirror_takes_the_place_of_the_host(case):
    for entries in (case.sources["archives"], case.sources["annotations"]):
        for entry in entries.values():
            entry["url"] = entry["url"].replace(case.server.url(), "http://unreachable.invalid")
    for name in list(case.server.files):
        case.server.files[
            "/coco/" + name.rpartition("/")[2] if "val2014" in name else "/coco" + name
        ] = FILES[name]
    output = case.run(f"download.mirror={case.server.url('/coco/')}")
    assert (output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"], (
        "under its full path"
    )
    assert (output / "archives/val.zip").read_bytes() == FILES["/zips/val2014.zip"], (
        "directly below the mirror"
    )


def have(case, *names):
    folder = case.folder / "have"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name.rpartition("/")[2]).write_bytes(FILES[name])
    return folder


def test_zips_that_the_user_has_are_not_fetched(case):
    folder = have(case, "/zips/train2014.zip", "/annotations/both.zip")
    output = case.run(f"download.have={folder}")
    assert [path for path, _ in case.server.asked] == ["/zips/val2014.zip"]
    assert (output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"]


def test_large_zips_of_the_user_are_linked_not_copied(case, monkeypatch):
    monkeypatch.setattr(delivery, "LINK_FROM_BYTES", 40_000)
    folder = have(case, "/zips/train2014.zip", "/zips/val2014.zip")
    output = case.run(f"download.have={folder}")
    assert (output / "archives/train.zip").samefile(folder / "train2014.zip")
    assert not (output / "archives/val.zip").samefile(folder / "val2014.zip"), (
        "a small one is copied: it stays writable"
    )


def test_large_zip_on_another_file_system_is_pointed_to(case, monkeypatch):
    def other_file_system(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(delivery, "LINK_FROM_BYTES", 40_000)
    monkeypatch.setattr(delivery.os, "link", other_file_system)
    folder = have(case, "/zips/train2014.zip")
    output = case.run(f"download.have={folder}")
    assert (output / "archives/train.folder").read_text() == f"{folder / 'train2014.zip'}\n"
    assert (output / "archives/val.zip").read_bytes() == FILES["/zips/val2014.zip"], (
        "what was fetched is moved instead"
    )


@pytest.mark.parametrize("place", ["", "images"])
def test_unpacked_images_of_the_user_stay_where_they_are(case, place):
    images = case.folder / "have" / place / "train2014"
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(b"image")
    output = case.run(f"download.have={case.folder / 'have'}")
    assert (output / "archives/train.folder").read_text() == f"{images}\n"
    assert not (output / "archives/train.zip").exists()


def test_an_exchanged_image_of_the_user_changes_what_later_stages_read(case):
    images = case.folder / "have/train2014"
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(b"image")
    (images / "2.jpg").write_bytes(b"other")
    told = []
    for change in (b"image", b"IMAGE", b"image"):
        (images / "1.jpg").write_bytes(change)
        output = case.run(f"download.have={case.folder / 'have'}")
        told.append((output / "archives/train.content").read_text())
    assert told[0] == told[2] != told[1]


def test_a_closed_folder_beside_the_archives_is_no_harm(case, monkeypatch):
    folder = have(case, "/zips/train2014.zip")
    (folder / "lost+found").mkdir()
    exists = Path.exists

    def closed(path, **options):
        if "lost+found" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", closed)
    output = case.run(f"download.have={folder}")
    assert (output / "archives/train.zip").read_bytes() == FILES["/zips/train2014.zip"]


def test_damaged_zip_of_the_user_is_named(case):
    folder = have(case)
    content = bytearray(FILES["/zips/train2014.zip"])
    content[100] ^= 1
    (folder / "train2014.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"archives\.train: .*have/train2014\.zip: wrong content"):
        case.run(f"download.have={folder}")
    (folder / "train2014.zip").write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"expected \d+ bytes, found \d+: an unfinished"):
        case.run(f"download.have={folder}")


def test_folder_that_should_have_the_data_must_exist(case):
    with pytest.raises(InputError, match=r"download\.have"):
        case.run(f"download.have={case.folder / 'nowhere'}")


def test_own_data_is_used_where_it_lies(tmp_path, shared):
    root = shared / "coco-mini"
    params.use("own_data", tmp_path / "params.yaml", [f"download.root={root}"])
    download(
        Namespace(params=tmp_path / "params.yaml", output=tmp_path / "own", mirror=None, have=None)
    )
    assert (tmp_path / "own/archives/val.folder").read_text() == f"{(root / 'images').resolve()}\n"
    assert len(json.loads((tmp_path / "own/annotations/train.json").read_text())["images"]) == 80


def test_own_data_preset_asks_for_the_folder(tmp_path):
    params.use("own_data", tmp_path / "params.yaml")
    with pytest.raises(InputError, match=r"no folder path/to/your/data/images; .*download\.root"):
        download(
            Namespace(
                params=tmp_path / "params.yaml", output=tmp_path / "own", mirror=None, have=None
            )
        )


def test_local_sources_need_no_hash(case):
    for group in ("archives", "annotations"):
        for entry in case.sources[group].values():
            name = next(name for name in FILES if entry["url"].endswith(name))
            (case.folder / "disk").mkdir(exist_ok=True)
            (case.folder / "disk" / name.rpartition("/")[2]).write_bytes(FILES[name])
            entry["url"] = f"file://{case.folder}/disk/{name.rpartition('/')[2]}"
            del entry["md5"]
    output = case.run()
    assert case.server.asked == []
    assert (output / "archives/val.zip").read_bytes() == FILES["/zips/val2014.zip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a\nb": {}}, "unknown group `a b`"),
        ({"annotations": ["a"]}, "`annotations`: expected entries by name"),
        ({"ids": {"../a": {"url": "a"}}}, "expected a name of letters.* found '../a'"),
        ({"ids": {"a": {"url": "http://["}}}, "no address"),
        ({"archive": {}}, "unknown group `archive`"),
        ({"archives": {"train": {"url": "a.zip"}}}, "`archives` lacks val"),
        (
            {"archives": {"train": {"url": "a", "hash": 1}, "val": {"url": "a"}}},
            r"archives\.train: unknown key `hash`",
        ),
        ({"archives": {"train": {"url": "a", "folder": "b"}, "val": {"url": "a"}}}, "one of both"),
        (
            {"archives": {"train": {"url": "a", "md5": "xyz"}, "val": {"url": "a"}}},
            "32 hexadecimal digits",
        ),
        (
            {"archives": {"train": {"url": "a", "bytes": "5 GB"}, "val": {"url": "a"}}},
            "whole number .* found '5 GB'",
        ),
        (
            {"archives": {"train": "a.zip", "val": {"url": "a"}}},
            "expected keys url, bytes, md5, folder, found 'a.zip'",
        ),
        (
            {"annotations": {"train": {"url": 5}, "val": {"url": "a"}}},
            "`url`: expected text, found 5",
        ),
    ],
)
def test_mistake_in_a_sources_file_is_named(change, message):
    with pytest.raises(InputError, match=f"s.yaml.*{message}"):
        parse_sources({**coco_like(), **change}, "s.yaml")


@pytest.mark.parametrize(
    ("url", "root", "mirror", "found"),
    [
        ("http://h/zips/a.zip", "", "", ["http://h/zips/a.zip"]),
        (
            "http://h/zips/a.zip",
            "/data",
            "http://m/x/",
            ["http://m/x/zips/a.zip", "http://m/x/a.zip"],
        ),
        ("zips/a b.zip", "http://r/", "", ["http://r/zips/a%20b.zip"]),
        ("a.zip", "/data", "http://m", ["/data/a.zip"]),
        ("a.zip", "", "", ["list/a.zip"]),
        ("file:///x/a%20b.zip", "", "", ["/x/a b.zip"]),
        ("http://h/zips/a.zip", "", "/mirror", ["/mirror/zips/a.zip", "/mirror/a.zip"]),
    ],
)
def test_address_is_resolved_against_root_and_mirror(tmp_path, url, root, mirror, found):
    assert [
        str(p) for p in places(url, root=root, mirror=mirror, sources_folder=Path("list"))
    ] == found


@pytest.mark.parametrize("text", ["12\nabc\n", "", "# only a remark\n", "7\n7\n", "1.5\n"])
def test_bad_id_list_is_named(tmp_path, text):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(InputError, match=r"ids\.txt"):
        delivery.read_ids(tmp_path / "ids.txt")


def test_val1k_list_has_the_ids_of_the_reference(shared):
    ours = delivery.read_ids(params.WORKFLOW / "sources" / "coco2014_val1k_ids.txt")
    assert ours == sorted(int(line) for line in (shared / "val2014_1k_ids.txt").read_text().split())
    assert (len(ours), ours[0], ours[-1]) == (1160, 136, 71209)


def test_zip_without_directory_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(FILES["/zips/val2014.zip"][:-30])
    with pytest.raises(InputError, match=r"archives\.val: .*a\.zip: expected a usable zip"):
        check_archive(tmp_path / "a.zip", "archives.val")


def patched(offset_in_directory, value, content=b"abc" * 1000):
    """A zip of one deflated entry, some bytes of its central directory record overwritten."""
    made = bytearray(zipped({"a.json": content}))
    at = made.rindex(b"PK\x01\x02") + offset_in_directory
    made[at : at + len(value)] = value
    return made


@pytest.mark.parametrize("change", [(6, b"\xfe\x00"), (28, b"\x00\x00"), (46, b"\x00")])
def test_zip_whose_directory_is_damaged_is_named(tmp_path, change):
    (tmp_path / "a.zip").write_bytes(patched(*change))
    with pytest.raises(InputError, match=r"archives\.val: .*a\.zip"):
        extract_member(tmp_path / "a.zip", "a.json", tmp_path / "a.json", "archives.val")
    assert tree(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (patched(8, b"\x01\x00"), "a.json is encrypted"),
        (
            patched(24, (2900).to_bytes(4, "little")),
            "a.json is larger than the 2900 bytes declared",
        ),
        (patched(24, (3100).to_bytes(4, "little")), "a.json ends after 3000 of 3100 bytes"),
        (patched(24, (0x7FFFFFFF).to_bytes(4, "little")), "a.json (ends after|of .* needs)"),
        (patched(16, b"\x00\x00\x00\x00"), "a.json is damaged: its checksum"),
        (patched(10, b"\x63\x00"), "a.json is damaged: .*compression"),
        (patched(46, b"b.json"), "no entry a.json; it has: b.json"),
    ],
)
def test_bad_entry_of_the_annotation_zip_is_named_and_leaves_nothing(tmp_path, content, message):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=rf"annotations\.train: .*{message}"):
        extract_member(
            tmp_path / "a.zip", "a.json", tmp_path / "out" / "train.json", "annotations.train"
        )
    assert tree(tmp_path) == ["a.zip"]


def test_encrypted_image_archive_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(patched(8, b"\x01\x00"))
    with pytest.raises(InputError, match=r"archives\.train: .*a\.json is encrypted"):
        check_archive(tmp_path / "a.zip", "archives.train")


@pytest.mark.parametrize("key", ["url", "root", "mirror"])
def test_an_address_with_a_password_is_refused_and_not_repeated(case, key):
    address, changes = "http://me:hunter2@example.org/zips/train2014.zip", []
    if key == "url":
        case.sources["archives"]["train"]["url"] = address
    else:
        changes = [f"download.{key}={address}"]
    with pytest.raises(InputError, match=r"at example\.org holds .*download\.have") as problem:
        case.run(*changes)
    assert "hunter2" not in str(problem.value)
    assert case.server.asked == []


@pytest.mark.parametrize("key", ["root", "mirror"])
def test_a_beginning_of_addresses_with_a_query_is_refused_and_not_repeated(case, key):
    with pytest.raises(InputError, match=r"http://example\.org/set: expected .* query") as problem:
        case.run(f"download.{key}=http://example.org/set?sig=hunter2")
    assert "hunter2" not in str(problem.value)
    assert case.server.asked == []


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    link = zipfile.ZipInfo("annotations/a.json")
    link.external_attr = 0o120777 << 16  # a symbolic link, its target as content
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, str(tmp_path / "secret.json"))
    extract_member(path, "annotations/a.json", tmp_path / "out.json", "links")
    assert not (tmp_path / "out.json").is_symlink()
    assert (tmp_path / "out.json").read_text() == str(tmp_path / "secret.json")
