"""Saving: a model as one safetensors file, written so that a crash leaves the old file or the new one.

It must not know training; the metadata holds the architecture and the compile arguments as JSON. It is over 250 lines
because whatever may be wrong with a file has its own message.

Examples
--------
>>> from fastreg import Dense, Sequential
>>> model = Sequential([Dense(2, input_shape=(3,))], seed=0)
>>> same = from_bytes(to_bytes(model))
>>> bool((same.get_weights()[0] == model.get_weights()[0]).all())
True
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import safetensors.numpy
from safetensors import SafetensorError

from fastreg import _core
from fastreg._arguments import flag, integer
from fastreg._arrays import Array
from fastreg._foreign import FLOATS

if TYPE_CHECKING:
    from fastreg.models import Sequential

Path = str | bytes | os.PathLike[str]

_FORMAT = "fastreg"
_VERSION = 1
_MODEL_KEYS = {"model": dict, "compiled": (dict, type(None)), "slots": list, "step": int, "epoch": int}


def save_model(model: Sequential, filepath: Path, overwrite: bool = True) -> None:
    """Write architecture, weights, compile arguments, optimizer state, step, epoch and seed to `filepath`.

    Any file ending will do; a symbolic link is written through to its target. Raises FileExistsError if the file
    exists and `overwrite` is False, OSError if it is no regular file, ValueError if the model has no weights yet.
    """
    _write(filepath, to_bytes(model), overwrite)


def save_weights(model: Sequential, filepath: Path, overwrite: bool = True) -> None:
    """Write the weights alone to `filepath`."""
    names = _names(model)
    weights = dict(zip(names, model.get_weights(), strict=True))
    _write(filepath, _packed(weights, {"parameters": names}), overwrite)


def export_onnx(model: Sequential, filepath: Path, opset_version: int | None = None) -> None:
    """Write what the model computes at inference to `filepath`: see `Sequential.export`."""
    from fastreg import _onnx

    opset = _onnx.OPSET if opset_version is None else integer(opset_version, "opset_version")
    weights, row = model.get_weights(), model._require_input_shape()
    _write(
        filepath, _onnx.to_bytes(model.layers, weights, row, model.dtype, model.name, opset), overwrite=True
    )


def load_model(
    filepath: Path,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Sequential:
    """The model that `save_model` wrote: see `fastreg.models.load_model`."""
    _refuse(custom_objects)
    compiled, source = flag(compile, "compile"), os.fsdecode(filepath)
    with open(source, "rb") as file:
        return from_bytes(file.read(), source, compiled)


def _refuse(custom_objects: Mapping[str, Any] | None) -> None:
    if custom_objects:
        raise ValueError(f"custom_objects must be empty: fastreg has none, not {list(custom_objects)}")


def load_weights(model: Sequential, filepath: Path) -> None:
    """Set the weights that `save_weights` or `save_model` wrote; their shapes must be the model's."""
    source = os.fsdecode(filepath)
    with open(source, "rb") as file:
        arrays, header = _unpacked(file.read(), source)
    weights = _tensors(arrays, header["parameters"], source)
    found, expected = [w.shape for w in weights], [w.shape for w in model.get_weights()]
    if found != expected:
        raise ValueError(f"{source} holds weights of the shapes {found}; the model has {expected}")
    model.set_weights(weights)


def to_bytes(model: Sequential) -> bytes:
    """What `save_model` writes."""
    header, weights, slots = _parts(model)
    names = header["parameters"]
    arrays = dict(zip(names, weights, strict=True))
    for slot, values in zip(header["slots"], slots, strict=True):
        arrays.update({f"slots/{slot}/{name}": value for name, value in zip(names, values, strict=True)})
    return _packed(arrays, header)


def from_bytes(data: bytes, source: str = "the data", compiled: bool = True) -> Sequential:
    """The model in what `to_bytes` gave, compiled as it was, or not; `source` is its name in messages."""
    arrays, header = _unpacked(data, source)
    if "model" not in header:
        raise ValueError(f"{source} holds weights only; use load_weights on a model of the same architecture")
    _require(header, _MODEL_KEYS, source)
    names = header["parameters"]
    weights = _tensors(arrays, names, source)
    slots = [_tensors(arrays, (f"slots/{slot}/{name}" for name in names), source) for slot in header["slots"]]
    with _described_in(source):
        return _of_parts(header if compiled else {**header, "compiled": None}, weights, slots)


def copy_of(model: Sequential) -> Sequential:
    """The model that `from_bytes` makes of `to_bytes`, in half the time."""
    parts = _parts(model)
    with _described_in("the model"):
        return _of_parts(*parts)


def _parts(model: Sequential) -> tuple[dict[str, Any], list[Array], list[list[Array]]]:
    """All that there is to a model: what JSON can hold, the weights, and the optimizer's slots."""
    session = model._ready()
    state = session.state()
    header = {
        **describe(model),
        "parameters": _names(model),
        "slots": session.slot_names(),
        "step": state["step"],
        "epoch": state["epoch"],
    }
    return header, state["weights"], state["slots"]


def _of_parts(header: dict[str, Any], weights: list[Array], slots: list[list[Array]]) -> Sequential:
    model = from_description(header)
    session = model._ready()
    session.set_weights(weights)
    if model._compiled is not None:
        session.set_slots(slots)
        model._compiled.optimizer.iterations = header["step"]
    session.set_position(header["step"], header["epoch"])
    return model


def to_json(model: Sequential) -> str:
    """What `describe` gives, as text."""
    return json.dumps(describe(model))


def from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Sequential:
    """The model that `to_json` described, with initial weights, or none yet."""
    _refuse(custom_objects)
    with _described_in("json_string"):
        return from_description(json.loads(json_string))


@contextlib.contextmanager
def _described_in(source: str) -> Iterator[None]:
    """Turn what goes wrong with a description into a ValueError that names its source."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{source} describes a model that this fastreg cannot make: {error!r}") from error


def describe(model: Sequential) -> dict[str, Any]:
    """The architecture and the compile arguments, as JSON can hold them."""
    compiled = model._compiled
    return {
        "model": model.get_config(),
        "compiled": None if compiled is None else compiled.get_config(),
        "frozen": [layer.name for layer in model._frozen],  # as compile found them
    }


def from_description(description: dict[str, Any]) -> Sequential:
    """A model with initial weights, or none yet, from what `describe` gave."""
    from fastreg.models import Sequential

    model = Sequential.from_config(description["model"])
    if description["compiled"] is not None:
        model.compile(**description["compiled"])
        if "frozen" in description:
            model._frozen = [model.get_layer(name) for name in description["frozen"]]
            model._freeze(model._session)
    return model


def _names(model: Sequential) -> list[str]:
    return [f"{model.layers[layer].name}/{kind}" for kind, _, layer in model._ready().parameter_info()]


def _packed(arrays: dict[str, Array], header: dict[str, Any]) -> bytes:
    described = {"format_version": _VERSION, "fastreg_version": _core.build_info()["version"], **header}
    # safetensors scrambles arrays of another order
    contiguous = {name: array.copy(order="C") for name, array in arrays.items()}
    return safetensors.numpy.save(contiguous, metadata={"format": _FORMAT, "fastreg": json.dumps(described)})


def _unpacked(data: bytes, source: str) -> tuple[dict[str, Array], dict[str, Any]]:
    if data.startswith((b"PK", b"\x89HDF")):
        raise ValueError(
            f"{source} is a file of Keras; fastreg reads its own: make the model anew and set_weights"
        )
    try:
        arrays = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not a complete safetensors file: {error}") from None
    except KeyError as error:
        raise ValueError(f"{source} has tensors of the type {error}, which fastreg does not write") from None
    strange = {str(array.dtype) for array in arrays.values() if array.dtype not in FLOATS}
    if strange:
        raise ValueError(f"{source} has tensors of the types {sorted(strange)}, which fastreg does not write")
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{source} is a safetensors file, but fastreg did not write it")
    try:
        header: dict[str, Any] = json.loads(metadata.get("fastreg", ""))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} has fastreg metadata that is no JSON: {error}") from None
    _require(header, {"format_version": int}, source)
    if header["format_version"] > _VERSION:
        raise ValueError(
            f"{source} has format version {header['format_version']}; this fastreg reads versions up to {_VERSION}"
        )
    _require(header, {"parameters": list}, source)
    return arrays, header


def _require(header: Any, kinds: dict[str, Any], source: str) -> None:
    """Raise ValueError for an entry of the metadata that is missing or of another kind."""
    for key, kind in kinds.items():
        if not isinstance(header, dict) or key not in header:
            raise ValueError(f"{source} has damaged fastreg metadata: {key!r} is missing")
        wrong = isinstance(header[key], bool) or (
            isinstance(header[key], list) and not _all_text(header[key])
        )
        if wrong or not isinstance(header[key], kind):
            raise ValueError(f"{source} has damaged fastreg metadata: {key!r} is {header[key]!r}")


def _all_text(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _tensors(arrays: dict[str, Array], names: Iterable[str], source: str) -> list[Array]:
    """The arrays called `names`."""
    found = list(names)
    missing = [name for name in found if name not in arrays]
    if missing:
        raise ValueError(f"{source} lacks the tensors {missing}; it holds {list(arrays)}")
    return [arrays[name] for name in found]


def _write(filepath: Path, data: bytes, overwrite: bool) -> None:
    """Write beside the target (of a symbolic link: what it points to), flush, rename over it, flush the directory."""
    given = os.fsdecode(filepath)
    path = os.path.realpath(given)
    if not flag(overwrite, "overwrite") and os.path.exists(path):
        raise FileExistsError(f"{given} exists and overwrite is False")
    before = os.stat(path) if os.path.lexists(path) else None  # raises for a link that leads to itself
    if before is not None and not stat.S_ISREG(before.st_mode):
        raise OSError(f"{given} is no regular file, and would be replaced by one")
    temporary = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if before is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:  # it may name the temporary file
            raise OSError(error.errno, error.strerror, given) from None
        raise
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
