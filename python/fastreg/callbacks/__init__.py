"""Callbacks: what training calls between epochs and, if asked to, between batches.

They must not know how a step is computed.
"""

from fastreg.callbacks.base import Callback, History, LambdaCallback, TerminateOnNaN
from fastreg.callbacks.checkpoint import ModelCheckpoint
from fastreg.callbacks.csv_logger import CSVLogger
from fastreg.callbacks.early_stopping import EarlyStopping, EarlyStoppingMonitor
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
