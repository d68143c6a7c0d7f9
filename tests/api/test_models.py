"""Sequential as an object: building, weights, seeds, summary, copies, descriptions.

It must not train for numbers: test_fit.py and test_keras_semantics.py do. It is over 250 lines: a model can do much.
"""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastreg
from api_cases import X, Y, classifier, same_weights
from fastreg import initializers, layers, utils
from fastreg.layers import Activation, Dense, Dropout, Input
from fastreg.models import Sequential


# ---- building -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "first",
    [
        [Input(shape=(4,)), Dense(3)],
        [Dense(3, input_shape=(4,))],
        [Dense(3, input_dim=4)],
        [Input((4,), name="x"), Dropout(0.5), Dense(3)],
    ],
    ids=["Input", "input_shape", "input_dim", "dropout first"],
)
def test_a_stated_width_gives_weights_before_fit(first: list[Any]) -> None:
    model = Sequential([*first, Dense(2)])
    assert model.built
    assert [w.shape for w in model.get_weights()] == [(4, 3), (3,), (3, 2), (2,)]
    assert all(not isinstance(layer, layers.InputLayer) for layer in model.layers)
    assert (model.input_shape, model.output_shape, model.count_params()) == ((None, 4), (None, 2), 23)


@pytest.mark.parametrize("shape", [(None, 4), (4,), [None, 4], 4])
def test_build_takes_the_width(shape: Any) -> None:
    model = classifier()
    model.build(shape)
    assert model.get_weights()[0].shape == (4, 8)


def test_fit_takes_the_width_from_the_data() -> None:
    model = classifier()
    assert not model.built
    with pytest.raises(ValueError, match="the model has no weights yet"):
        model.get_weights()
    model.fit(X, Y, verbose=0)
    assert model.input_shape == (None, 4)


def test_a_failed_first_fit_leaves_the_model_unbuilt() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="y has 49 rows; x has 50"):
        model.fit(X, Y[:-1], verbose=0)
    assert not model.built


def test_add_and_pop_keep_the_weights_of_the_others() -> None:
    model = Sequential(seed=0)
    model.add(Input((4,)))
    model.add(Dense(3))
    before = model.get_weights()
    model.add(Dense(2))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=False))
    assert isinstance(model.pop(), Dense)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_names_are_unique_and_layers_are_found_by_them() -> None:
    model = Sequential([Dense(3), Dense(3), Dropout(0.1), Dense(1, name="head")])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "dropout", "head"]
    assert model.get_layer("head") is model.layers[3] is model.get_layer(index=3)


def test_layer_weights_read_and_write() -> None:
    model = classifier()
    model.build((None, 4))
    layer = model.layers[2]
    assert isinstance(layer, Dense)
    layer.set_weights([np.ones((8, 1)), np.zeros(1)])
    assert (layer.kernel == 1).all()
    assert layer.bias is not None
    assert (layer.bias == 0).all()
    assert (model.get_weights()[2] == 1).all()
    assert layer.count_params() == 9


def test_set_weights_is_all_or_nothing() -> None:
    model = classifier()
    model.build((None, 4))
    before = model.get_weights()
    wrong = [np.zeros_like(before[0]), *before[1:-1], np.zeros(2)]
    with pytest.raises(ValueError, match=r"weights\[3\]"):
        model.set_weights(wrong)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# ---- seeds --------------------------------------------------------------------------------------------------------
def test_the_same_seed_gives_the_same_bits() -> None:
    runs = [classifier() for _ in range(2)]
    losses = [model.fit(X, Y, epochs=3, verbose=0).history for model in runs]
    assert losses[0] == losses[1]
    assert same_weights(*runs)


def test_other_seeds_give_other_weights_and_set_random_seed_repeats() -> None:
    assert Sequential().seed != Sequential().seed
    utils.set_random_seed(7)
    first = [Sequential().seed, Sequential().seed, np.random.random()]  # noqa: NPY002
    utils.set_random_seed(7)
    assert [Sequential().seed, Sequential().seed, np.random.random()] == first  # noqa: NPY002
    assert first[0] != first[1]


def test_initial_weights_depend_on_the_layer() -> None:
    model = Sequential([Input((5,)), Dense(5), Dense(5)], seed=0)
    assert not np.array_equal(model.get_weights()[0], model.get_weights()[2])


def test_a_seeded_initializer_gives_the_same_values_everywhere() -> None:
    init = initializers.HeNormal(seed=3)
    model = Sequential([Input((5,)), Dense(5, kernel_initializer=init), Dense(5, kernel_initializer=init)])
    assert np.array_equal(model.get_weights()[0], model.get_weights()[2])
    assert np.array_equal(model.get_weights()[0], init((5, 5)))


def test_dropout_with_its_own_seed_ignores_the_models() -> None:
    def trained(model_seed: int, dropout_seed: int | None) -> bytes:
        model = Sequential([Input((4,)), Dropout(0.5, seed=dropout_seed), Dense(1)], seed=model_seed)
        model.set_weights([np.ones((4, 1)), np.zeros(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0, shuffle=False)
        return model.get_weights()[0].tobytes()

    assert trained(1, 5) == trained(2, 5)
    assert trained(1, None) != trained(2, None)


# ---- words and pictures -------------------------------------------------------------------------------------------
def test_summary_shows_shapes_parameters_penalty_and_zeros() -> None:
    model = Sequential([Input((4,)), Dense(2, kernel_regularizer="l1"), Activation("relu"), Dense(1)], seed=0)
    kernel = np.zeros((4, 2))
    kernel[0, 0] = 3.0
    model.layers[0].set_weights([kernel, np.ones(2)])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    first = next(line for line in lines if line.startswith("dense (Dense)"))
    assert first.split()[2:] == ["(None,", "2)", "10", "0.03", "87.5%"]
    assert "Parameters: 13 (8 are exactly 0)   Penalty: 0.03" in lines[-1]


def test_summary_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential([Dense(2)]).summary()
    assert "No weights yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verbose", "out", "err"), [(0, "", ""), (1, "", "Epoch 2/2 "), (2, "Epoch 2/2 - ", "")]
)
def test_verbose(verbose: int, out: str, err: str, capfd: pytest.CaptureFixture[str]) -> None:
    classifier().fit(X, Y, epochs=2, verbose=verbose, validation_split=0.2)
    captured = capfd.readouterr()
    assert out in captured.out
    assert err in captured.err
    assert bool(captured.out) == bool(out)
    assert bool(captured.err) == bool(err)
    if verbose == 1:
        shown = re.findall(r"(\w+)=[\d.]+", captured.err.split("\r")[-1])
        assert shown == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    info = fastreg.show_config(mode="dicts")
    assert info is not None
    assert info["version"] == fastreg.__version__
    fastreg.show_config()
    out = capsys.readouterr().out
    assert str(info["isa"]) in out
    assert "threads" in out


def test_devices() -> None:
    """With and without a GPU; tests/cuda has more."""
    assert Sequential(device="auto").device == "auto"
    config = fastreg.show_config(mode="dicts")
    assert config is not None
    assert str(config["cuda"]).startswith(("built for sm ", "built for the host ", "not built: "))
    if str(config["cuda"]).startswith("not built"):
        with pytest.raises(RuntimeError, match="this build of fastreg has no CUDA plugin"):
            Sequential(device="cuda")
    with pytest.raises(ValueError, match=r"device must be"):
        Sequential(device="gpu")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_train_on_alone(duplicate: Any) -> None:
    model = classifier()
    model.fit(X, Y, epochs=2, verbose=0)
    other = duplicate(model)
    assert same_weights(model, other)
    other.fit(X, Y, epochs=2, verbose=0)
    assert not same_weights(model, other)
    model.fit(X, Y, epochs=2, verbose=0)
    assert same_weights(model, other)


def test_config_round_trip() -> None:
    model = Sequential(
        [
            Input((4,)),
            Dense(
                3, "elu", kernel_regularizer="l1_l2", kernel_constraint="max_norm", bias_initializer="ones"
            ),
            layers.LeakyReLU(0.1),
            layers.LeakyReLU(alpha=0.25),
            Dropout(0.3, seed=4, scale_at="inference"),
            Dense(
                2,
                use_bias=False,
                kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform", 5),
            ),
        ],
        seed=9,
    )
    assert [layer.negative_slope for layer in model.layers if isinstance(layer, layers.LeakyReLU)] == [
        0.1,
        0.25,
    ]
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert same_weights(model, again)
    assert repr(again.layers) == repr(model.layers)


def test_a_setting_of_an_initializer_is_under_its_name() -> None:
    scaling = initializers.VarianceScaling(distribution="uniform", seed=1)
    assert scaling.distribution == "uniform"
    assert scaling.get_config() == {"scale": 1.0, "mode": "fan_in", "distribution": "uniform", "seed": 1}
    assert initializers.GlorotNormal(seed=2).get_config() == {"seed": 2}


def test_import_is_light() -> None:
    import subprocess
    import sys

    code = "import fastreg, sys; print([m for m in ('tqdm', 'safetensors', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
