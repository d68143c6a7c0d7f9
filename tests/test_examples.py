"""Every program in examples/ runs as its own process and shows what it claims; the demo bears out its table.
It must not know how fastreg works: it reads what a user would read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The three programs of the text this project implements, `tensorflow.keras` replaced by `fastreg`.
TEXTBOOK = {
    "l1_l2.py": """\
from fastreg.models import Sequential
from fastreg.layers import Dense
from fastreg.regularizers import l1, l2

model = Sequential([
    Dense(64, activation='relu', kernel_regularizer=l1(0.01)), # L1 Regularization
    Dense(64, activation='relu', kernel_regularizer=l2(0.01)), # L2 Regularization
    Dense(1, activation='sigmoid')
])
""",
    "dropout.py": """\
from fastreg.layers import Dropout

model = Sequential([
    Dense(64, activation='relu'),
    Dropout(0.5), # 50% neurons dropped
    Dense(64, activation='relu'),
    Dropout(0.3), # 30% neurons dropped
    Dense(1, activation='sigmoid')
])
""",
    "early_stopping.py": """\
from fastreg.callbacks import EarlyStopping

early_stopping = EarlyStopping(monitor='val_loss', patience=5, restore_best_weights=True)

model.fit(X_train, y_train, epochs=100, validation_data=(X_val, y_val), callbacks=[early_stopping])
""",
}


def run(*arguments: str, cwd: Path) -> str:
    """Run a Python program with warnings as errors; return its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{arguments} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The number that the one group of `pattern` matches in `text`."""
    match = re.search(pattern, text)
    assert match, f"nothing matches {pattern!r} in:\n{text}"
    return float(match[1])


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_program_stands_word_for_word(name: str) -> None:
    assert TEXTBOOK[name] in (ROOT / "examples" / name).read_text()


def test_l1_l2(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "l1_l2.py"), cwd=tmp_path)
    assert number(r"L1 layer: ([\d.]+)% of 1920 weights", output) > 50
    assert number(r"L2 layer: ([\d.]+)% of 4096 weights", output) == 0
    assert number(r"output layer: ([\d.]+)% of 64 weights", output) == 0
    assert 0 < number(r"still looks at: (\d+) of 30", output) < 30
    assert number(r"test accuracy: ([\d.]+)%", output) > 90


def test_dropout(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "dropout.py"), cwd=tmp_path)
    dropped = number(r"neurons dropped \(last epoch\): loss ([\d.]+)", output)
    whole = number(r"training rows, all neurons used: loss ([\d.]+)", output)
    assert whole < dropped
    assert number(r"test rows, all neurons used: .* accuracy ([\d.]+)%", output) > 90
    assert "two predictions are the same bits: True" in output


def test_early_stopping(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "early_stopping.py"), cwd=tmp_path)
    epochs = number(r"epochs run: (\d+) of 100", output)
    best_epoch = number(r"best epoch: (\d+)", output)
    best = number(r"best epoch: \d+, val_loss ([\d.]+)", output)
    assert epochs < 100
    assert epochs == best_epoch + 5
    assert number(r"last epoch: \d+, val_loss ([\d.]+)", output) > best
    assert number(r"val_loss of the restored weights: ([\d.]+)", output) == best


def test_early_stopping_monitor(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "early_stopping_monitor.py"), cwd=tmp_path)
    assert 1 <= number(r"weights that are exactly 0: (\d+) of 30", output) < 30
    best = number(r"best epoch: \d+, validation loss ([\d.]+)", output)
    assert number(r"validation loss of the kept weights: ([\d.]+)", output) == best
    assert number(r"stopped at epoch (\d+)", output) == number(r"best epoch: (\d+)", output) + 20


def test_autoencoder(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "autoencoder.py"), cwd=tmp_path)
    plain = number(r"of the mean picture: ([\d.]+)", output)
    assert number(r"error of test pictures: ([\d.]+)", output) < plain / 4
    assert number(r"exactly 0: ([\d.]+)%", output) > 30
    fixed = number(r"with the encoder as it is: ([\d.]+)%", output)
    assert 88 < fixed < number(r"with the encoder trained, too: ([\d.]+)%", output)


def test_compact(tmp_path: Path) -> None:
    output = run(str(ROOT / "examples" / "compact.py"), cwd=tmp_path)
    whole, small = (number(rf"{name}: .* (\d+) parameters", output) for name in ("trained", "compact"))
    units = re.search(r"compact: layers of (\d+), (\d+), 10 units", output)
    assert units
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"{units[1]} and {units[2]} units of the 512 are left, {small:,.0f} of {whole:,.0f} parameters"
        in readme
    )
    accuracies = [number(rf"{name}: .* accuracy ([\d.]+)%", output) for name in ("trained", "compact")]
    assert accuracies[0] == accuracies[1] > 94
    assert number(r"largest difference of a predicted probability: (\S+)", output) < 1e-5


def test_torch_elastic_net(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the example needs PyTorch")
    output = run(str(ROOT / "examples" / "torch_elastic_net.py"), cwd=tmp_path)
    assert number(r"first layer: ([\d.]+)% of 4096 weights", output) > 30
    assert number(r"output layer: ([\d.]+)% of 640 weights", output) > 10
    assert number(r"test accuracy: ([\d.]+)%", output) > 93
    assert "the same bits when run again: True" in output


def test_every_example_has_a_test() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} <= tested


def table_rows(text: str) -> list[list[str]]:
    """The rows of the "Comparison of Techniques" in `text`, cells cut at two or more spaces, without the seconds."""
    rows = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines())
    return [cells[:8] for cells in rows if len(cells) >= 8 and re.fullmatch(r"[\d.]+%", cells[1])]


def test_demo_bears_out_every_claim_and_prints_the_readme_table(tmp_path: Path) -> None:
    output = run("-m", "demo", cwd=tmp_path)
    assert output.count("[yes]") == 8
    assert "[NO]" not in output
    for name in ("learning_curves.png", "weights.png"):
        assert (tmp_path / "demo-output" / name).read_bytes().startswith(b"\x89PNG")
    measured = table_rows(output)
    assert len(measured) == 7
    assert table_rows((ROOT / "README.md").read_text()) == measured


def test_demo_shows_a_bar_per_technique_and_fails_where_a_claim_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--epochs", "2", "--output", str(tmp_path / "figures")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    assert "[NO] early stopping runs fewer epochs" in done.stdout
    drawn = done.stderr.replace("\r", "\n").splitlines()
    # a busy machine draws some twice
    assert len({line.split(":")[0] for line in drawn if "100%" in line}) == 7
    assert (tmp_path / "figures" / "weights.png").is_file()
