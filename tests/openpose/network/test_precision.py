"""Precision by what the processor does well."""

import pytest

from stages.openpose.network.precision import processor_flags, resolve_precision


@pytest.mark.parametrize("wanted", ["float32", "mixed_bfloat16"])
def test_an_explicit_precision_stays_as_it_is(wanted):
    assert resolve_precision(wanted, flags=[], gpu=True, onednn=False)[0] == wanted


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


def test_a_gpu_does_bfloat16_whatever_the_processor():
    assert resolve_precision("auto", flags=[], gpu=True)[0] == "mixed_bfloat16"


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
