"""The benchmark's own parts: statistics with known answers, checks that catch wrong work, reports and charts of made-up
results. It must not time anything, nor need a peer's package. It is over 250 lines because each part has its test here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastreg import _core

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
sys.path.append(str(BENCHMARKS / "gpu"))

import timeline  # noqa: E402

import charts  # noqa: E402
import ratios  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import runner  # noqa: E402
from peers import protocol  # noqa: E402
from workloads import FAMILIES, WORKLOADS, Workload  # noqa: E402
from workloads.operations import Dense, Dropout, Update  # noqa: E402

EVERY_WORKLOAD = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda w: w.name)


def block(workload: Workload, threads: int) -> dict[str, Any]:
    """A made-up block: the peer takes twice the subject's time in every round, another declines, one fails."""
    times = {"calls": 2, "seconds": [0.5, 0.25, 1.0], "cpu_seconds": [0.5, 0.25, 1.0], "loss": 0.25}
    slow = times | {"seconds": [1.0, 0.5, 2.0], "cpu_seconds": [1.0, 0.5, 2.0], "loss": None}
    checks = {name: dict.fromkeys(workload.limits, 1e-6) for name in ("fastreg", "torch")}
    return {
        "workload": workload.name,
        "threads": threads,
        "load_average": 0.5,
        "checks": checks,
        "unfit": {"jax": "no such thing"},
        "failed": {},
        "rounds": {"fastreg": times, "torch": slow},
    }


@pytest.fixture
def results() -> dict[str, Any]:
    """Made-up results of every workload."""
    who = {"versions": {"p": "1.2.3"}, "threads": 1, "installed_mb": 3.5}
    return {
        "started": "2026-01-02T03:04:05+00:00",
        "argv": ["--quick"],
        "machine": {
            "cpu": "CPU", "cores": 2, "logical_cpus": 2, "isa": ["avx2"], "system": "Linux", "python": "3.11",
        },
        "contestants": {name: who | {"title": f"{name}'s title"} for name in ("fastreg", "torch", "jax")},
        "missing": {"sklearn": "scikit-learn"},
        "minutes": 1.0,
        "blocks": [block(workload, threads) for threads in (1, 2) for workload in WORKLOADS.values()],
    }  # fmt: skip


def test_the_paired_ratio_is_the_median_of_ratios_not_the_ratio_of_medians() -> None:
    assert ratios.paired_ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]).value == 3.0


def test_equal_ratios_have_an_interval_without_width() -> None:
    assert ratios.paired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == ratios.Ratio(2.0, 2.0, 2.0)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    trials = [ratios.paired_ratio(list(np.exp(rng.normal(size=31))), [1.0] * 31) for _ in range(60)]
    covered = sum(trial.low <= 1.0 <= trial.high for trial in trials)
    assert 51 <= covered <= 60  # 57 expected; fewer than 51 has probability 0.002
    assert all(trial.low < trial.value < trial.high for trial in trials)


def test_a_ratio_and_its_inverse_cancel_in_the_mean() -> None:
    assert math.isclose(ratios.geometric_mean([4.0, 0.25, 8.0]), 2.0)


def test_a_time_is_that_of_one_call(results: dict[str, Any]) -> None:
    assert ratios.seconds_per_call(results["blocks"][0]["rounds"]["torch"]) == [0.5, 0.25, 1.0]
    assert ratios.block_ratios(results["blocks"][0]) == {"torch": ratios.Ratio(2.0, 2.0, 2.0)}


@EVERY_WORKLOAD
def test_every_workload_names_its_checks(workload: Workload) -> None:
    assert workload.limits
    assert workload.family in FAMILIES


def test_the_grid_reaches_from_the_smallest_to_the_largest() -> None:
    shapes = {(w.batch, w.inputs, w.outputs) for w in WORKLOADS.values() if isinstance(w, Dense)}
    assert {(1, 16, 16), (7, 13, 5), (4096, 1024, 1024)} <= shapes
    for kind in (Dropout, Update):
        assert {2**12, 2**24} <= {w.size for w in WORKLOADS.values() if isinstance(w, kind)}


def test_a_wrong_result_fails_the_check() -> None:
    right = {"y": np.array([[1.0, 100.0]])}
    name = "dense-forward-1x16x16"
    assert runner.check("peer", name, {"y": np.array([[1.0005, 100.0]])}, right)["y"] < 1e-5
    with pytest.raises(RuntimeError, match=r"peer fails the check of .*: y: 2\.0e-02"):
        runner.check("peer", name, {"y": np.array([[1.0, 98.0]])}, right)
    with pytest.raises(RuntimeError, match="nan"):
        runner.check("peer", name, {"y": np.array([[1.0, np.nan]])}, right)
    with pytest.raises(RuntimeError, match="nothing to compare"):
        runner.check("peer", name, {}, right)


def test_a_dropout_that_repeats_its_mask_or_keeps_its_scale_fails() -> None:
    workload = WORKLOADS["dropout-65536"]
    assert isinstance(workload, Dropout)
    rng, x = np.random.default_rng(2), workload.array()
    masks = [rng.random(x.size) < 0.7 for _ in range(2)]
    first, second = (np.where(mask, x / np.float32(0.7), 0) for mask in masks)
    runner.check("peer", workload.name, {"first": first, "second": second}, {})
    for wrong in ((first, first), (first * np.float32(0.7), second), (x, second)):
        with pytest.raises(RuntimeError, match="fails the check"):
            runner.check("peer", workload.name, dict(zip(("first", "second"), wrong)), {})


def test_rounds_fit_the_time_but_are_never_too_few_or_too_many() -> None:
    assert runner.rounds_that_fit(1.0, budget=8.0, most=31) == 8
    assert runner.rounds_that_fit(100.0, budget=8.0, most=31) == runner.MIN_ROUNDS
    assert runner.rounds_that_fit(1e-3, budget=8.0, most=31) == 31
    assert runner.rounds_that_fit(100.0, budget=math.inf, most=3) == 3


def test_the_report_shows_every_workload_the_missing_and_the_failed(results: dict[str, Any]) -> None:
    results["blocks"][0]["failed"]["jax"] = "jax fails the check of train-seed: losses: 1e-2"
    text = report.markdown(results, pictures={"dense": "some.png"})
    for workload in WORKLOADS.values():
        assert f"| {workload.name} | 2 | " in text
    assert "**2.00** [2.00, 2.00]" in text
    assert "**sklearn did not take part: the package scikit-learn is not installed.**" in text
    assert "**jax was not timed on train-seed, 1 thread(s): jax fails the check" in text
    assert "train-seed (no such thing)" in text
    assert "![dense](some.png)" in text
    for lines in (text.splitlines(), report.summary(results).splitlines()):
        widths = [
            (a.count("|"), b.count("|")) for a, b in pairwise(lines) if a.startswith("|") and b[:1] == "|"
        ]
        assert widths
        assert all(a == b for a, b in widths)


def test_the_summary_has_command_date_and_a_row_per_group(
    results: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(results))
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "r.json"), "--summary"])
    report.main()
    text = capsys.readouterr().out
    assert "`python benchmarks/run.py --quick`, 2026-01-02" in text
    assert text.count("| dropout | ") == 2
    assert "2.00 (2.00 to 2.00)" in text


def test_a_chart_is_drawn_of_each_family(results: dict[str, Any], tmp_path: Path) -> None:
    run.write(results, tmp_path, "stem")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"stem.json", "stem.md", *(f"stem-{family}.png" for family in FAMILIES)}
    assert (tmp_path / "stem-dense.png").read_bytes().startswith(b"\x89PNG")
    assert charts.draw(results | {"blocks": []}, tmp_path, "none") == {}


def test_the_quick_run_is_a_part_of_the_whole() -> None:
    quick, whole = run.parse(["--quick"]), run.parse([])
    assert set(quick.workloads) < set(whole.workloads) == set(WORKLOADS)
    assert set(quick.contestants) < set(whole.contestants)
    assert run.parse(["--families", "dense"]).workloads == [n for n in WORKLOADS if n.startswith("dense-")]
    known = {path.stem.removesuffix("_worker") for path in BENCHMARKS.glob("peers/*_worker.py")}
    assert set(whole.contestants) == known <= set(charts.STYLE)


def test_a_task_counts_its_calls_and_waits_once() -> None:
    log: list[str] = []
    task = protocol.Task(dict, run=lambda: log.append("run"), finish=lambda _: log.append("wait"))
    answer = task.measure(3)
    assert log == ["run", "run", "run", "wait"]
    assert answer["seconds"] > 0


def test_fastreg_answers_the_protocol_and_passes_its_own_checks(tmp_path: Path) -> None:
    requests: list[dict[str, Any]] = [{"command": "describe"}]
    names = "train-tiny", "dense-backward-7x13x5", "dropout-4096", "update-4096", "import"
    for name in names:
        requests += [
            {"command": "prepare", "workload": name},
            {"command": "check", "file": f"{tmp_path}/{name}.npz"},
            {"command": "measure", "calls": 1},
        ]
    done = subprocess.run(
        [sys.executable, "-m", "peers", "fastreg"],
        cwd=BENCHMARKS,
        input="".join(json.dumps(request) + "\n" for request in requests),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    described, *answers = map(json.loads, done.stdout.splitlines())
    assert described["versions"].keys() == {"fastreg", "numpy"}
    assert 0 < described["installed_mb"] < 50
    assert len(answers) == 3 * len(names)
    assert not [answer for answer in answers if "error" in answer or "unfit" in answer]
    for name in names:
        with np.load(tmp_path / f"{name}.npz") as file:
            outputs = dict(file)
        assert runner.check("fastreg", name, outputs, outputs)


def test_a_contestant_is_held_to_an_instruction_set() -> None:
    if "avx2" not in _core.build_info()["isas_runnable"]:
        pytest.skip("this CPU has no AVX2")
    program = (  # apart, for a contestant is forked, and frameworks that other tests imported do not like that
        "import sys, runner\n"
        "with runner.Contestant('fastreg', sys.executable, 1, isa='avx2') as contestant:\n"
        "    print(contestant.ask('describe')['title'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.startswith("fastreg (avx2, library ")


def test_a_missing_package_and_an_unplayed_workload_are_answers_not_crashes() -> None:
    program = "import sys; sys.modules['sklearn'] = None; from peers.protocol import serve; serve('sklearn')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BENCHMARKS, input='{"command": "describe"}\n',
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["missing"].startswith("sklearn")
    peer = protocol.Peer("title", (), lambda: 1, {})
    with pytest.raises(protocol.Unfit, match="not offered"):
        protocol.make(peer, "train-seed")


def test_a_timeline_adds_up_what_ran_and_what_did_not() -> None:
    split = (
        "void fastreg::cuda::fast::split_kernel<(fastreg::cuda::fast::Format)2>(fast::Source, unsigned char*)"
    )
    events = [
        {"cat": "kernel", "name": "wgmma_kernel(fast::Work)", "ts": 14.0, "dur": 6.0, "args": {"grid": [132, 1, 1]}},
        {"cat": "kernel", "name": split, "ts": 10.0, "dur": 5.0, "args": {"grid": [64, 1, 1]}},
        {"cat": "cuda_runtime", "name": "cudaGraphLaunch", "ts": 0.0, "dur": 100.0},
        {"cat": "gpu_memset", "name": "Memset (Device)", "ts": 23.0, "dur": 1.0},
        {"cat": "kernel", "name": split, "ts": 24.0, "dur": 7.0, "args": {"grid": [64, 1, 1]}},
    ]  # fmt: skip
    kernels, span, idle = timeline.kernels_of(events)
    named = [(k.name, k.grid, k.launches, k.microseconds) for k in kernels]
    assert named == [
        ("split_kernel<2>", "64x1x1", 2, 12.0), ("wgmma_kernel", "132x1x1", 1, 6.0), ("Memset", "", 1, 1.0)
    ]  # fmt: skip
    assert (span, idle) == (21.0, 3.0)
    assert timeline.table("a step", 2, events)[4] == "| split_kernel<2> | 64x1x1 | 1 | 6.0 | 57.1% |"


def test_a_kernels_short_name() -> None:
    assert timeline.short("fastreg::cuda::fast::wgmma_kernel(fastreg::cuda::fast::Work)") == "wgmma_kernel"
    update = "void fastreg::cuda::(anonymous namespace)::update_kernel<float, rules::Adam<false> >(Segments<float>)"
    assert timeline.short(update) == "update_kernel"
    assert timeline.short("sm80_xmma_gemm_f32_tn") == "sm80_xmma_gemm_f32_tn"
