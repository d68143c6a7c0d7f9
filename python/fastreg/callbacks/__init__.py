"""Callbacks: what training calls between epochs and, if asked to, between batches.

They must not know how a step is computed.

Examples
--------
>>> import numpy as np
>>> from fastreg import Dense, Sequential
>>> model = Sequential([Dense(1)], seed=0)
>>> model.compile("sgd", "mse")
>>> stopping = EarlyStopping(monitor="loss", min_delta=1e9, patience=2)
>>> history = model.fit(np.eye(4), np.ones(4), epochs=50, verbose=0, callbacks=[stopping])
>>> len(history.epoch), stopping.stopped_reason
(3, 'patience')
"""

from fastreg.callbacks.base import Callback, History, LambdaCallback, TerminateOnNaN
from fastreg.callbacks.checkpoint import ModelCheckpoint
from fastreg.callbacks.csv_logger import CSVLogger
from fastreg.callbacks.early_stopping import EarlyStopping
from fastreg.callbacks.monitor import EarlyStoppingMonitor
from fastreg.callbacks.schedules import LearningRateScheduler, ReduceLROnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "EarlyStoppingMonitor",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
