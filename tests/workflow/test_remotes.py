"""Push, second clone, pull, with real remotes: a folder, an ssh server and an S3 server on this
machine.
"""

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

pytestmark = pytest.mark.slow

OUTPUTS = (
    "data",
    "models",
    "results/detect",
    "results/evaluate",
    "results/report",
    "results/train",
)
KEY, SECRET = (token_hex(16), token_hex(16))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(command: list[str], port: int, log: Path, **environment: str):
    """Run `command` until the end of the block, which starts when the port answers."""
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def tree(folder: Path) -> dict[str, bytes]:
    """Bytes of all outputs of all stages, by path; not `results/runs`, which neither engine
    tracks.
    """
    files = (path for part in OUTPUTS for path in (folder / part).rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {
        name: content
        for name, content in found.items()
        if not name.endswith(".snakemake_timestamp")
    }


def travels(project, tmp_path: Path, url: str, secrets: dict[str, str]) -> None:
    """Assert that a clone gets everything by `dvc pull`, byte for byte, and that neither engine
    then does anything.
    """
    home = {"HOME": str(tmp_path)}  # nothing of the user's own ssh or AWS settings
    local = " && ".join(
        ["true", *(f"dvc remote modify --local storage {key} {secrets[key]}" for key in secrets)]
    )
    project.run(f"dvc remote add -d storage {url} && git commit -qam remote")
    project.run(local)
    project.run("dvc push", **home)
    clone = project.__class__(tmp_path / "elsewhere" / "clone")
    project.run(f"git clone -q . {clone.folder}")
    for value in secrets.values():
        assert project.run(f"git grep -F -e {value}", fails=True) == ""
    clone.run(local)
    clone.run("dvc pull", **home)
    assert len(tree(clone.folder)) > 10
    assert tree(clone.folder) == tree(project.folder)
    assert "Nothing to be done" in clone.run("snakemake --cores 4")
    assert clone.work_of("dvc repro") == []
    assert clone.run("git status --porcelain") == ""


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


@pytest.fixture
def ssh_server(tmp_path) -> tuple[str, Path]:
    """URL of a folder behind an ssh server that runs as this user, and the key that opens it."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if not sshd or not shutil.which("ssh-keygen"):
        pytest.skip("no sshd (Debian, Ubuntu: apt install openssh-server)")
    if not importlib.util.find_spec("dvc_ssh"):
        pytest.skip("dvc-ssh is not installed (envs/requirements-extras.lock)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it when it is started by root
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM "
        f"no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication "
        f"no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    with server([sshd, "-D", "-e", "-f", str(folder / "config")], port, folder / "log"):
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote", folder / "user"


@pytest.fixture
def s3_server(tmp_path) -> tuple[str, str]:
    """URL of a bucket, and the address of the server that has it."""
    if not importlib.util.find_spec("dvc_s3"):
        pytest.skip("dvc-s3 is not installed (envs/requirements-extras.lock)")
    wheel = importlib.util.find_spec("rclone_api")
    rclone = Path(wheel.origin).parent / "bin" / "rclone" if wheel else shutil.which("rclone")
    if not rclone:
        pytest.skip("no rclone (envs/requirements-extras.lock)")
    (tmp_path / "served" / "bucket").mkdir(parents=True)
    port = free_port()
    command = [str(rclone), "serve", "s3", "--addr", f"127.0.0.1:{port}", str(tmp_path / "served")]
    environment = {
        "RCLONE_AUTH_KEY": f'"{KEY},{SECRET}"',
        "RCLONE_CONFIG": str(tmp_path / "none.conf"),
    }
    with server(command, port, tmp_path / "rclone.log", **environment):
        yield "s3://bucket/pipeline", f"http://127.0.0.1:{port}"


def test_a_clone_gets_everything_from_a_folder(project, tmp_path):
    travels(project, tmp_path, str(tmp_path / "remote"), {})


def test_a_stranger_pulls_by_http_what_a_web_server_shows(project, tmp_path):
    project.run("dvc push")
    shown = project.folder.parent / "openpose-pipeline-remote"
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    command += ["--directory", str(shown)]
    clone = project.__class__(tmp_path / "elsewhere" / "clone")
    project.run(f"git clone -q . {clone.folder}")
    with server(command, port, tmp_path / "http.log"):
        clone.run(f"dvc remote add --local published http://127.0.0.1:{port}")
        clone.run("dvc pull --remote published")
    assert len(tree(clone.folder)) > 10
    assert tree(clone.folder) == tree(project.folder)
    assert clone.work_of("snakemake --cores 4") == []


def test_a_clone_gets_everything_by_ssh(project, tmp_path, ssh_server):
    url, key = ssh_server
    travels(project, tmp_path, url, {"keyfile": str(key)})


def test_a_clone_gets_everything_from_s3(project, tmp_path, s3_server):
    url, address = s3_server
    travels(
        project,
        tmp_path,
        url,
        {"endpointurl": address, "access_key_id": KEY, "secret_access_key": SECRET},
    )


def test_s3_refuses_a_wrong_secret(project, s3_server):
    """The server really asks for the credentials."""
    url, address = s3_server
    project.run(
        f"dvc remote add -d storage {url} && dvc remote modify --local storage endpointurl "
        f"{address}"
    )
    project.run(f"dvc remote modify --local storage access_key_id {KEY}")
    project.run(f"dvc remote modify --local storage secret_access_key {token_hex(16)}")
    assert "Forbidden" in project.run("dvc push", fails=True)
