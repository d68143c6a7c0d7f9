"""fastreg.torch: a PyTorch network whose L1 weights become exactly 0. Handwritten digits, 8 x 8 pixels, ten classes.
It must not use fastreg's own models: torch holds the network and runs the loop."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastreg import EarlyStoppingMonitor
from fastreg.torch import Dropout, ElasticNetAdam

torch.set_num_threads(1)  # batches this small are faster so

X, y = load_digits(return_X_y=True)
X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)
rows, test = train_test_split(torch.arange(len(y)), test_size=0.25, stratify=y, random_state=0)
train, val = train_test_split(rows, test_size=0.2, stratify=y[rows], random_state=0)
cross_entropy = torch.nn.functional.cross_entropy


def fit():
    """The network of the best epoch, its monitor and its optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 64), torch.nn.ReLU(), Dropout(0.2, seed=1), torch.nn.Linear(64, 10)
    )
    kernels = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    optimizer = ElasticNetAdam([{"params": kernels, "l1": 3e-4, "l2": 1e-5}, {"params": biases}], lr=5e-3)
    monitor = EarlyStoppingMonitor(patience=5)
    for _ in range(50):
        model.train()
        for batch in train[torch.randperm(len(train))].split(64):
            optimizer.zero_grad()
            cross_entropy(model(X[batch]), y[batch]).backward()  # no penalty here: it is in the step
            optimizer.step()
        model.eval()
        with torch.no_grad():
            value = cross_entropy(model(X[val]), y[val]).item() + optimizer.penalty
        if monitor.step(value, model.state_dict()):
            break
    model.load_state_dict(monitor.best_state)
    return model, monitor, optimizer


model, monitor, optimizer = fit()
print(f"best epoch: {monitor.best_epoch + 1} of {monitor.epoch + 1}; last penalty: {optimizer.penalty:.4f}")
for name, layer in (("first", model[0]), ("output", model[3])):
    zeros = (layer.weight == 0).float().mean()
    print(f"{name} layer: {zeros:.1%} of {layer.weight.numel()} weights are exactly 0")
with torch.no_grad():
    print(f"test accuracy: {(model(X[test]).argmax(1) == y[test]).float().mean():.1%}")
again = fit()[0].state_dict()
print("the same bits when run again:", all(torch.equal(a, again[n]) for n, a in model.state_dict().items()))
