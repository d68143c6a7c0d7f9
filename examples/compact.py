"""What exact zeros are good for: a network that L1 has emptied, as a smaller one that predicts the same.
Handwritten digits, 8 x 8 pixels, ten classes. It must run as it is, with NumPy and scikit-learn alone."""

from fastreg.utils import set_random_seed

set_random_seed(0)

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastreg.layers import Dense, Input
from fastreg.models import Sequential, compact
from fastreg.regularizers import l1

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, train_size=1000, random_state=0)

model = Sequential(
    [
        Input((64,)),
        Dense(512, activation="relu", kernel_regularizer=l1(2e-4)),
        Dense(512, activation="relu", kernel_regularizer=l1(2e-4)),
        Dense(10, activation="softmax", kernel_regularizer=l1(2e-4)),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(X_train, y_train, epochs=100)

many = np.repeat(X_test, 125, axis=0).astype("float32")
for name, network in (("trained", model), ("compact", compact(model))):
    accuracy = network.evaluate(X_test, y_test, verbose=0)[1]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        network.predict(many, verbose=0)
        times.append(time.perf_counter() - started)
    units = ", ".join(str(layer.units) for layer in network.layers)
    print(
        f"{name}: layers of {units} units, {network.count_params()} parameters, test accuracy {accuracy:.1%}, "
        f"{1e3 * min(times):.0f} ms for {len(many)} rows"
    )
difference = np.abs(compact(model).predict(X_test, verbose=0) - model.predict(X_test, verbose=0)).max()
print(f"largest difference of a predicted probability: {difference:.1e}")
