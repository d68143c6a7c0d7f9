"""Keras on TensorFlow, with the defaults of fit.
It must not know the other contestants, but for the code it shares with Keras on JAX."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import tensorflow as tf

from peers.keras_networks import prediction, training
from peers.protocol import Peer, thread_count
from peers.startup import imports
from workloads.networks import Prediction, Training

tf.config.threading.set_intra_op_parallelism_threads(thread_count())
tf.config.threading.set_inter_op_parallelism_threads(thread_count())

PEER = Peer(
    title="Keras on TensorFlow, fit",
    modules=("keras", "tensorflow"),
    threads=tf.config.threading.get_intra_op_parallelism_threads,
    makers={Training: training, Prediction: prediction} | imports("keras"),
)
