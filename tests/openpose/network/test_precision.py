"""Precision by what the processor does well."""

import math

import pytest

from stages.openpose.network import precision as precision_module
from stages.openpose.network.precision import precision_here, processor_flags, resolve_precision


@pytest.mark.parametrize("wanted", ["float32", "mixed_bfloat16"])
def test_an_explicit_precision_stays_as_it_is(wanted):
    assert resolve_precision(wanted, flags=[], gpu=9.0, onednn=False)[0] == wanted


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        (["avx2", "fma"], "float32"),
        (["avx512f", "avx512_vnni"], "float32"),
        (["avx512f", "avx512_bf16"], "mixed_bfloat16"),
        (["amx_tile", "amx_bf16"], "mixed_bfloat16"),
        (["asimd", "bf16"], "mixed_bfloat16"),
        ([], "float32"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(flags, precision):
    assert resolve_precision("auto", flags=flags, onednn=True)[0] == precision


def test_auto_takes_float32_where_onednn_is_switched_off(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    precision, why = resolve_precision("auto", flags=["amx_bf16"])
    assert precision == "float32"
    assert "oneDNN" in why


@pytest.mark.parametrize(
    ("capability", "precision"),
    [(7.5, "float32"), (8.0, "mixed_bfloat16"), (math.inf, "mixed_bfloat16")],
)
def test_a_gpu_decides_whatever_the_processor(capability, precision):
    for flags in ([], ["amx_bf16"]):
        assert resolve_precision("auto", flags=flags, gpu=capability)[0] == precision


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_take_bfloat16_on_a_gpu_only(backend):
    options = {"flags": ["amx_bf16"], "backend": backend}
    precision, why = resolve_precision("auto", **options)
    assert precision == "float32"
    assert why == f"{backend} computes on the processor"
    assert resolve_precision("auto", **options, gpu=9.0)[0] == "mixed_bfloat16"


def test_what_this_process_computes_with_decides(monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(precision_module, "processor_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(precision_module, "gpu_capability", lambda: 0.0)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    for backend, found in (("tensorflow", "mixed_bfloat16"), ("jax", "float32")):
        monkeypatch.setattr(keras.backend, "backend", lambda backend=backend: backend)
        assert precision_here("auto")[0] == found


def test_a_gpu_is_not_looked_for_when_precision_is_said(monkeypatch):
    monkeypatch.setattr(precision_module, "gpu_capability", lambda: pytest.fail("looked for a GPU"))
    assert precision_here("float32") == ("float32", "as the parameters say")


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (
            "flags\t\t: fpu sse amx_bf16\n\nprocessor: 1\nflags: other\n",
            "fpu sse amx_bf16",
        ),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", "fp asimd bf16"),
        ("nothing here\n", ""),
    ],
)
def test_flags_are_those_of_the_first_processor(tmp_path, text, flags):
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_flags(tmp_path / "cpuinfo") == frozenset(flags.split())


def test_no_description_means_no_flags(tmp_path):
    assert processor_flags(tmp_path / "none") == frozenset()
