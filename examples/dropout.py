"""Dropout: at random in training, not at all at inference. Breast cancer data, 30 features, two classes.
It must run as a program for tf.keras would after replacing `tensorflow.keras` with `fastreg`."""

from fastreg.utils import set_random_seed

set_random_seed(0)

# fmt: off
from fastreg.models import Sequential
from fastreg.layers import Dense
from fastreg.layers import Dropout

model = Sequential([
    Dense(64, activation='relu'),
    Dropout(0.5), # 50% neurons dropped
    Dense(64, activation='relu'),
    Dropout(0.3), # 30% neurons dropped
    Dense(1, activation='sigmoid')
])
# fmt: on

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(X_train, y_train, epochs=50, verbose=0).history
loss, accuracy = model.evaluate(X_train, y_train, verbose=0)
print(f"training rows, neurons dropped (last epoch): loss {history['loss'][-1]:.4f}")
print(f"training rows, all neurons used: loss {loss:.4f}, accuracy {accuracy:.1%}")
loss, accuracy = model.evaluate(X_test, y_test, verbose=0)
print(f"test rows, all neurons used: loss {loss:.4f}, accuracy {accuracy:.1%}")

once, again = model.predict(X_test, verbose=0), model.predict(X_test, verbose=0)
print("two predictions are the same bits:", np.array_equal(once, again))
