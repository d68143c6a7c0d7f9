"""Sequential.export: an ONNX file that other runtimes read, and that gives there what `predict` gives.

It must not test activations: here two implementations are compared, the other one that of the package onnx.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import fastreg
from binding_cases import raises
from fastreg.layers import ELU, Activation, Dense, Dropout, Flatten, Input, LeakyReLU, ReLU, Softmax
from fastreg.models import Sequential, compact

ACTIVATIONS = [name for name in fastreg.activations.__all__ if name not in ("get", "swish")]


def exported(model: Sequential, path: Path, **settings: Any) -> onnx.ModelProto:
    model.export(path / "model.onnx", **settings)
    proto = onnx.load(path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (y,) = ReferenceEvaluator(proto).run(None, {"x": x})
    return np.asarray(y)


def agree(model: Sequential, path: Path, x: np.ndarray, **settings: Any) -> None:
    x = x.astype(model.dtype)
    y = run(exported(model, path, **settings), x)
    assert y.dtype == x.dtype
    # ONNX holds what activations have as settings in float32, SELU's own two among them.
    tolerance = 1e-5 if model.dtype == "float32" else 1e-7
    np.testing.assert_allclose(y, model.predict(x), rtol=tolerance, atol=tolerance)


def shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation(name: str, dtype: str, tmp_path: Path) -> None:
    model = Sequential([Input((1,)), Dense(1, name), Activation(name)], seed=1, dtype=dtype)
    if name == "softmax":
        model = Sequential([Input((1,)), Dense(5, name), Activation(name)], seed=1, dtype=dtype)
    model.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) + 0.5 for w in model.get_weights()])
    agree(model, tmp_path, np.linspace(-12, 12, 101)[:, None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_with_settings(dtype: str, tmp_path: Path) -> None:
    layers = [
        LeakyReLU(0.5),
        Dense(7, ELU(0.7)),
        Dense(6, LeakyReLU(0.1)),
        ReLU(negative_slope=0.3),
        Dense(3),
    ]
    model = Sequential([Input((4,)), *layers, Softmax()], seed=2, dtype=dtype)
    agree(model, tmp_path, np.random.default_rng(0).normal(size=(20, 4)))


def test_layers_that_change_shapes_or_scales(tmp_path: Path) -> None:
    classic = [Dropout(0.3, scale_at="inference"), Dense(5, "tanh", use_bias=False), Dropout(0.5)]
    model = Sequential([Input((4, 3)), Flatten(), *classic, Dense(2)], seed=3)
    agree(model, tmp_path, np.random.default_rng(0).normal(size=(20, 4, 3)))
    proto = onnx.load(tmp_path / "model.onnx")
    assert shape(proto.graph.input[0]) == ["n", 4, 3]
    assert shape(proto.graph.output[0]) == ["n", 2]


def test_any_number_of_rows_and_any_names(tmp_path: Path) -> None:
    names = ["x", "y", "flat"]
    layers = [Dense(3, "gelu", name=name) for name in names]
    model = Sequential([Input((2,)), *layers], name="a model", seed=4)
    for rows in (1, 2, 33):
        agree(model, tmp_path, np.random.default_rng(rows).normal(size=(rows, 2)))
    proto = onnx.load(tmp_path / "model.onnx")
    assert (proto.graph.name, proto.producer_name, proto.producer_version) == (
        "a model",
        "fastreg",
        fastreg.__version__,
    )
    assert {"layers/y/kernel", "layers/y/bias"} <= {constant.name for constant in proto.graph.initializer}


@pytest.mark.parametrize("opset", [14, 15, 18, None])
def test_versions_of_operators(opset: int | None, tmp_path: Path) -> None:
    model = Sequential([Input((3,)), *(Dense(3, name) for name in ACTIVATIONS)], seed=5)
    agree(model, tmp_path, np.random.default_rng(0).normal(size=(9, 3)), opset_version=opset)
    proto = onnx.load(tmp_path / "model.onnx")
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset or 17)]
    assert proto.ir_version <= 8


def test_a_trained_model_made_compact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10)).astype(np.float32)
    model = Sequential([Dense(64, "relu", kernel_regularizer="l1"), Dropout(0.2), Dense(1)], seed=6)
    model.compile("adam", "mse")
    model.fit(x, x[:, 0] - x[:, 1], epochs=100, verbose=0)
    whole = exported(model, tmp_path)
    small = exported(compact(model), tmp_path)
    assert small.ByteSize() < whole.ByteSize()
    np.testing.assert_allclose(run(small, x), model.predict(x), rtol=1e-4, atol=1e-5)


def test_an_existing_file_is_replaced_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastreg import _onnx

    model = Sequential([Input((2,)), Dense(1)])
    path = tmp_path / "model.onnx"
    path.write_bytes(b"something else")
    with monkeypatch.context() as patch:
        patch.setattr(_onnx, "_MOST_BYTES", 11)
        with raises(ValueError, "the model has 12 bytes of weights; an ONNX file holds less than 2 GiB"):
            model.export(path)
    assert path.read_bytes() == b"something else"
    model.export(str(path))
    onnx.checker.check_model(onnx.load(path))
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_what_export_refuses(tmp_path: Path) -> None:
    model, path = Sequential([Input((2,)), Dense(1)]), tmp_path / "model.onnx"
    with raises(ValueError, "format must be one of 'onnx', not 'tf_saved_model'"):
        model.export(path, format="tf_saved_model")
    with raises(ValueError, "input_signature must be None, not []: the input is a batch of any size"):
        model.export(path, input_signature=[])  # type: ignore[arg-type]
    with raises(ValueError, f"opset_version must be in [14, {onnx.defs.onnx_opset_version()}], not 13"):
        model.export(path, opset_version=13)
    with raises(TypeError, "opset_version must be an integer, not float: 17.0"):
        model.export(path, opset_version=17.0)  # type: ignore[arg-type]
    with raises(ValueError, "the model has no weights yet"):
        Sequential([Dense(1)]).export(path)
    assert not path.exists()


def test_without_the_package_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "fastreg._onnx", raising=False)
    monkeypatch.delattr(fastreg, "_onnx", raising=False)
    with raises(ImportError, "export needs the package onnx: pip install 'fastreg[onnx]'"):
        Sequential([Input((2,)), Dense(1)]).export(tmp_path / "model.onnx")
