"""An autoencoder of handwritten digits: two models, trained as one, with a penalty on the code; then a classifier on
the encoder, first as it is, then trained with it. It must run as a program for tf.keras would after replacing
`tensorflow.keras` with `fastreg`."""

from fastreg.utils import set_random_seed

set_random_seed(0)

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastreg.layers import Dense, Flatten, Input
from fastreg.models import Sequential
from fastreg.regularizers import l1

digits = load_digits()
pictures = digits.images / 16  # (1797, 8, 8), from 0 to 1
train, test, y_train, y_test = train_test_split(pictures, digits.target, test_size=0.3, random_state=0)

encoder = Sequential([Input((8, 8)), Flatten(), Dense(32, activation="relu", activity_regularizer=l1(1e-3))])
decoder = Sequential([Input((32,)), Dense(64, activation="sigmoid")])
autoencoder = Sequential([encoder, decoder])
autoencoder.compile(optimizer="adam", loss="mse")
autoencoder.fit(train, train.reshape(-1, 64), epochs=100)

code = encoder.predict(test)
error = np.mean((decoder.predict(code) - test.reshape(-1, 64)) ** 2)
plain = np.mean((train.mean(axis=0) - test) ** 2)
print(f"mean squared error of test pictures: {error:.4f}, of the mean picture: {plain:.4f}")
print(f"numbers of a code that are exactly 0: {np.mean(code == 0):.1%}")

classifier = Sequential([encoder, Dense(10, activation="softmax")])
for name, trainable in (("as it is", False), ("trained, too", True)):
    encoder.trainable = trainable
    classifier.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(train, y_train, epochs=30)
    print(f"test accuracy with the encoder {name}: {classifier.evaluate(test, y_test, verbose=0)[1]:.1%}")
