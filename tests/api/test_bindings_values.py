"""Numbers, booleans, names and dicts at the gate of the native module: strict types, and errors that name the culprit.

It must not check what the values do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from binding_cases import ADAM, DENSE, DROPOUT, LOSS, data, raises, session
from fastreg import _core


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_seeds_out_of_range(seed: int) -> None:
    for call in (
        lambda: _core.permutation(3, seed, 0),
        lambda: _core.dropout_mask(3, 0.5, seed, 0, 0, False),
        lambda: _core.philox(seed, 0, 0, 0, 1, 10),
        lambda: _core.initialize("normal", (3,), 0.0, 1.0, seed, 0, "float32"),
        lambda: session(seed=seed),
    ):
        with raises(ValueError, f"seed must be in [0, 2**64), got {seed}"):
            call()
    with raises(ValueError, f"layers[0]['seed'] must be in [0, 2**64), got {seed}"):
        session([DROPOUT | {"seed": seed}])


def test_the_largest_seed_is_a_seed() -> None:
    assert session(seed=2**64 - 1).seed == 2**64 - 1
    assert session(seed=np.uint64(2**64 - 1)).seed == 2**64 - 1


@pytest.mark.parametrize("value", [1.0, True, "1", None, np.float64(1)], ids=repr)
def test_integers_are_integers(value: Any) -> None:
    got = type(value).__name__
    with raises(TypeError, "seed must be an int, got ", got):
        session(seed=value)
    with raises(TypeError, "layers[1]['units'] must be an int, got ", got):
        session([DENSE, DENSE | {"units": value}])
    with raises(TypeError, "batch_size must be an int, got ", got):
        session().begin_epoch(*data(), None, value, False)


def test_sizes_are_not_negative() -> None:
    with raises(ValueError, "batch_size must be in [0, 2**63), got -1"):
        session().begin_epoch(*data(), None, -1, False)
    with raises(ValueError, "layers[0]['units'] must be in [0, 2**63), got -2"):
        session([DENSE | {"units": -2}])
    with raises(ValueError, "input_units must be in [0, 2**63), got -3"):
        session(input_units=-3)
    with raises(ValueError, "shape[1] must be in [0, 2**63), got -4"):
        _core.initialize("normal", (3, -4), 0.0, 1.0, 0, 0, "float32")
    with raises(ValueError, "n must be in [0, 2**63), got 9223372036854775808"):
        _core.permutation(2**63, 0, 0)
    with raises(ValueError, "stream must be in [0, 2**32), got 4294967296"):
        _core.philox(0, 2**32, 0, 0, 1, 10)


def test_reals_are_real() -> None:
    for value in (True, "0.5", None, 1j, np.ones(1)):
        with raises(TypeError, "l1 must be a real number, got ", type(value).__name__):
            _core.elastic_net(np.ones(3), value, 0.0)
    with raises(ValueError, "l1 is too large for a float"):
        _core.elastic_net(np.ones(3), 10**400, 0.0)
    for value in (2, 2.0, np.float32(2), np.int64(2)):
        assert _core.elastic_net(np.ones(3), value, 0.0) == 6.0


@pytest.mark.parametrize("value", [1, 0, None, "yes", np.bool_(True)], ids=repr)
def test_booleans_are_booleans(value: Any) -> None:
    words = ("must be True or False, got ", type(value).__name__)
    with raises(TypeError, "shuffle ", *words):
        session().begin_epoch(*data(), None, 2, value)
    with raises(TypeError, "packed ", *words):
        _core.dropout_mask(3, 0.5, 0, 0, 0, value)
    with raises(TypeError, "layers[0]['kernel_penalty']['proximal'] ", *words):
        session([DENSE | {"kernel_penalty": {"proximal": value}}])


def test_unknown_names_are_told_the_known_ones() -> None:
    for call, words in (
        (
            lambda: _core.activation_forward(np.ones(3), "ReLU", 0.0, np.ones(3)),
            "activation must be one of linear, relu, ",
        ),
        (
            lambda: session([DENSE | {"activation": "ReLU"}]),
            "layers[0]['activation'] must be one of linear, relu, ",
        ),
        (
            lambda: session([{"kind": "ReLU"}]),
            "layers[0]['kind'] must be one of dense, activation, dropout; ",
        ),
        (lambda: session(dtype="ReLU"), "dtype must be one of float32, float64; "),
        (
            lambda: session().compile({"kind": "ReLU"}, ADAM, []),
            "loss['kind'] must be one of mean_squared_error, ",
        ),
        (
            lambda: session().compile(LOSS, {"kind": "ReLU"}, []),
            "optimizer['kind'] must be one of sgd, adam, ",
        ),
        (lambda: session().compile(LOSS, ADAM, [{"kind": "ReLU"}]), "metrics[0]['kind'] must be one of "),
        (lambda: _core.initialize("ReLU", (1,), 0.0, 1.0, 0, 0, "float32"), "kind must be one of uniform, "),  # type: ignore[arg-type]
    ):
        with raises(ValueError, words, "got 'ReLU'"):
            call()
    with raises(TypeError, "dtype must be a str, got type"):
        session(dtype=np.float32)
    with raises(ValueError, r"dtype must be text, got '\udc80'"):
        session(dtype="\udc80")


def test_unknown_and_missing_keys() -> None:
    for call, words in (
        (lambda: session([DENSE | {"unit": 1}]), "layers[0] has an unknown key 'unit'; known are kind, units, "),
        (lambda: session([DROPOUT | {"units": 1}]), "layers[0] has an unknown key 'units'; known are kind, rate, "),
        (lambda: session([DENSE | {"bias_penalty": {"L1": 1.0}}]), "layers[0]['bias_penalty'] has an unknown key 'L1'"),
        (lambda: session([{"kind": "dense"}]), "layers[0] lacks the key 'units'"),
        (lambda: session([{"units": 3}]), "layers[0] lacks the key 'kind'"),
        (lambda: session([DENSE, 3]), "layers[1] must be a dict, got int"),
        (lambda: session(DENSE), "layers must be a list, got dict"),
        (lambda: session([{1: 2} | DENSE]), "a key of layers[0] must be a str, got int"),
        (lambda: session().compile({}, ADAM, []), "loss lacks the key 'kind'"),
        (lambda: session().compile(LOSS, ADAM | {"lr": 1.0}, []), "optimizer has an unknown key 'lr'"),
        (lambda: session().compile(LOSS, ADAM, [{"kind": "loss", "loss": {"kind": "huber", "d": 1}}]),
         "metrics[0]['loss'] has an unknown key 'd'; known are kind, from_logits, label_smoothing, delta"),
        (lambda: session().compile(LOSS, ADAM, [{"kind": "thresholds", "thresholds": [0.5, "x"]}]),
         "metrics[0]['thresholds'][1] must be a real number, got str"),
    ):  # fmt: skip
        with raises(TypeError, words):
            call()


def test_values_the_core_refuses_are_value_errors() -> None:
    for call in (
        lambda: _core.set_isa("mmx"),
        lambda: _core.set_num_threads(0),
        lambda: _core.dropout_mask(3, 1.5, 0, 0, 0, False),
        lambda: _core.philox(0, 0, 0, 0, 1, 8),  # type: ignore[arg-type]
        lambda: session().begin_epoch(*data(), None, 0, False),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 (the words are the core's, and tested there)
            call()


def test_what_does_not_fit_in_memory() -> None:
    with pytest.raises(MemoryError):
        _core.dropout_mask(2**62, 0.5, 0, 0, 0, False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.5, "-0.5"),
        (-0.1234567, "-0.1234567"),
        (-1e-7, "-1e-07"),
        (-1e5, "-100000"),
        (-1 / 3, "-0.3333333333333333"),
    ],
)
def test_numbers_in_messages_have_the_digits_that_tell_them(value: float, text: str) -> None:
    w = np.ones(3)
    with pytest.raises(ValueError) as error:  # noqa: PT011 (its last word follows)
        _core.prox(w, value, 0.0, 1.0, w)
    assert str(error.value).split()[-1] == text
    assert float(text) == value
