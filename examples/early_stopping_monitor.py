"""EarlyStoppingMonitor in a training loop written by hand: L1 logistic regression by proximal gradient descent.
It must not use fastreg's models; only the monitor and the kernels of fastreg.ops."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastreg import EarlyStoppingMonitor, ops

STEP, L1 = 0.5, 0.01

X, y = load_breast_cancer(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_val = scaler.transform(X_train), scaler.transform(X_val)


def log_loss(w, X, y):
    """mean(log(1 + exp(z)) - y z) with z = X w."""
    z = X @ w
    return float(np.mean(np.logaddexp(0, z) - y * z))


w = np.zeros(X.shape[1])
monitor = EarlyStoppingMonitor(patience=20, min_delta=1e-4)
for epoch in range(2000):
    gradient = X_train.T @ (1 / (1 + np.exp(-X_train @ w)) - y_train) / len(X_train)
    w = ops.prox(w - STEP * gradient, l1=L1, l2=0.0, step=STEP)
    if monitor.step(log_loss(w, X_val, y_val), state=w):
        print(f"stopped at epoch {epoch}: {monitor.stopped_reason}")
        break

best = monitor.best_state
print(f"best epoch: {monitor.best_epoch}, validation loss {monitor.best:.6f}")
print(f"validation loss of the kept weights: {log_loss(best, X_val, y_val):.6f}")
print(f"validation accuracy: {np.mean((X_val @ best > 0) == y_val):.1%}")
print(f"weights that are exactly 0: {(best == 0).sum()} of {best.size}")
