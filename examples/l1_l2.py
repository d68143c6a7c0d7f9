"""L1 and L2 penalties: which weights become exactly zero. Breast cancer data, 30 features, two classes.
It must run as a program for tf.keras would after replacing `tensorflow.keras` with `fastreg`."""

from fastreg.utils import set_random_seed

set_random_seed(0)

# fmt: off
from fastreg.models import Sequential
from fastreg.layers import Dense
from fastreg.regularizers import l1, l2

model = Sequential([
    Dense(64, activation='relu', kernel_regularizer=l1(0.01)), # L1 Regularization
    Dense(64, activation='relu', kernel_regularizer=l2(0.01)), # L2 Regularization
    Dense(1, activation='sigmoid')
])
# fmt: on

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)

model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(scaler.transform(X_train), y_train, epochs=100, verbose=0)
loss, accuracy = model.evaluate(scaler.transform(X_test), y_test, verbose=0)

model.summary()
print(f"test accuracy: {accuracy:.1%} (loss with penalties {loss:.3f})")
kernels = model.get_weights()[::2]
for name, kernel in zip(["L1 layer", "L2 layer", "output layer"], kernels):
    print(f"{name}: {(kernel == 0).mean():.1%} of {kernel.size} weights are exactly 0")
print(f"features the L1 layer still looks at: {(kernels[0] != 0).any(axis=1).sum()} of 30")
