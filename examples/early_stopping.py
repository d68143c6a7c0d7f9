"""Early stopping: stop when the validation loss no longer improves, and keep the weights of the best epoch.
It must run as a program for tf.keras would after replacing `tensorflow.keras` with `fastreg`."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastreg.layers import Dense
from fastreg.models import Sequential
from fastreg.utils import set_random_seed

set_random_seed(0)

X, y = load_breast_cancer(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
X_train, X_val, y_train, y_val = train_test_split(X_rest, y_rest, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_val, X_test = map(scaler.transform, (X_train, X_val, X_test))

model = Sequential()
model.add(Dense(64, activation="relu"))
model.add(Dense(64, activation="relu"))
model.add(Dense(1, activation="sigmoid"))
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])

# fmt: off
from fastreg.callbacks import EarlyStopping

early_stopping = EarlyStopping(monitor='val_loss', patience=5, restore_best_weights=True)

model.fit(X_train, y_train, epochs=100, validation_data=(X_val, y_val), callbacks=[early_stopping])
# fmt: on

val_losses = model.history.history["val_loss"]
print(f"epochs run: {len(val_losses)} of 100")
print(f"best epoch: {early_stopping.best_epoch + 1}, val_loss {early_stopping.best:.6f}")
print(f"last epoch: {len(val_losses)}, val_loss {val_losses[-1]:.6f}")
print(f"val_loss of the restored weights: {model.evaluate(X_val, y_val, verbose=0)[0]:.6f}")
print(f"test accuracy: {model.evaluate(X_test, y_test, verbose=0)[1]:.1%}")
