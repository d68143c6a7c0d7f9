"""fastreg: regularized dense networks, trained natively, with the words of Keras.

This file only gathers names. It must stay fast to import: nothing beyond NumPy and the native module.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastreg import _interpreter  # noqa: F401  isort: skip: it may refuse, before the native module is loaded
from fastreg import (
    _core,
    activations,
    backend,
    callbacks,
    constraints,
    cuda,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    utils,
)
from fastreg.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    EarlyStoppingMonitor,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastreg.config import (
    get_cmake_dir,
    get_include,
    get_library_dir,
    get_num_threads,
    get_pkgconfig_dir,
    set_num_threads,
    show_config,
)
from fastreg.constraints import MaxNorm, NonNeg, UnitNorm
from fastreg.layers import Activation, Dense, Dropout, Flatten, Input
from fastreg.losses import ElasticNet
from fastreg.models import Model, Sequential, load_model
from fastreg.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from fastreg.regularizers import L1, L1L2, L2, l1, l1_l2, l2

if TYPE_CHECKING:
    from fastreg import saving as saving

__version__ = _core.build_info()["version"]

__all__ = [
    "L1", "L1L2", "L2", "SGD", "Activation", "Adagrad", "Adam", "AdamW", "CSVLogger", "Callback", "Dense", "Dropout",
    "EarlyStopping", "EarlyStoppingMonitor", "ElasticNet", "Flatten", "History", "Input", "LambdaCallback",
    "LearningRateScheduler", "MaxNorm", "Model", "ModelCheckpoint", "NonNeg", "RMSprop", "ReduceLROnPlateau",
    "Sequential", "TerminateOnNaN", "UnitNorm", "__version__", "activations", "backend", "callbacks", "constraints",
    "cuda", "get_cmake_dir", "get_include", "get_library_dir", "get_num_threads", "get_pkgconfig_dir", "initializers",
    "l1", "l1_l2", "l2", "layers", "load_model", "losses", "metrics", "models", "ops", "optimizers", "regularizers",
    "set_num_threads", "show_config", "utils",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The modules that are imported when they are first used."""
    if name in ("saving", "sklearn", "torch"):
        return importlib.import_module(f"fastreg.{name}")
    raise AttributeError(f"module 'fastreg' has no attribute {name!r}")
