"""Fits the polynomials of csrc/rules/mathfn.h and prints csrc/rules/mathfn_coefficients.h.

It must not know the C++ around the polynomials: only which function each one approximates, where, and to what weight.

Run:  python tools/fit_mathfn.py > csrc/rules/mathfn_coefficients.h     (needs mpmath; seconds)

Each polynomial is a weighted minimax fit (Remez exchange). The lowest coefficient is rounded to the target format
first and the others are fitted again around it; then they are rounded too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpmath import mp, mpf

mp.dps = 50

Function = Callable[[mpf], mpf]
Grid = Sequence[tuple[mpf, mpf, mpf]]  # x, target(x), weight(x)

# Mills ratio: w = offset / (a + offset); x = w - center keeps the powers small on both sides.
MILLS_OFFSET = {"float": mpf("3.5"), "double": mpf(4)}
MILLS_CENTER = {"float": mpf("0.59375"), "double": mpf("0.546875")}
MILLS_LARGEST = {"float": mpf(15), "double": mpf(39)}
PRECISION = {"float": 24, "double": 53}


@dataclass(frozen=True)
class Fit:
    """A polynomial p with |weight * (p - target)| at its smallest over [low, high]."""

    name: str
    equation: str
    target: Function
    weight: Function
    low: mpf
    high: mpf
    degree: int


def solve(fit: Fit, nodes: Sequence[mpf], known: Sequence[mpf]) -> list[mpf]:
    """Coefficients beyond `known` whose weighted error alternates with equal size over the nodes."""
    powers = range(len(known), fit.degree + 1)
    system = mp.matrix(len(nodes), len(nodes))
    right = mp.matrix(len(nodes), 1)
    for row, x in enumerate(nodes):
        for column, power in enumerate(powers):
            system[row, column] = x**power
        system[row, len(nodes) - 1] = (-1) ** row / fit.weight(x)
        right[row] = fit.target(x) - mp.polyval(known[::-1], x)
    return list(mp.lu_solve(system, right))[:-1]


def extrema(errors: Sequence[mpf]) -> list[int]:
    """Where the error is largest between two changes of its sign."""
    peaks = [0]
    for i, error in enumerate(errors):
        if (error > 0) != (errors[peaks[-1]] > 0):
            peaks.append(i)
        elif abs(error) > abs(errors[peaks[-1]]):
            peaks[-1] = i
    return peaks


def chebyshev(fit: Fit, n: int) -> list[mpf]:
    """n Chebyshev points of the interval, ascending."""
    middle, half = (fit.high + fit.low) / 2, (fit.high - fit.low) / 2
    return [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]


def weighted_errors(grid: Grid, coefficients: Sequence[mpf]) -> list[mpf]:
    """weight * (p - target) at every point of the grid."""
    return [weight * (mp.polyval(coefficients[::-1], x) - y) for x, y, weight in grid]


def remez(fit: Fit, grid: Grid, known: Sequence[mpf]) -> list[mpf]:
    """The minimax coefficients, lowest first, when the first ones are `known`."""
    n_nodes = fit.degree + 2 - len(known)
    nodes = chebyshev(fit, n_nodes)
    best, smallest_worst = list(known), mp.inf
    for _ in range(8):
        coefficients = [*known, *solve(fit, nodes, known)]
        errors = weighted_errors(grid, coefficients)
        worst = max(abs(error) for error in errors)
        if worst < smallest_worst:
            best, smallest_worst = coefficients, worst
        peaks = extrema(errors)
        while len(peaks) > n_nodes:  # keep a run of alternating peaks: drop the weaker end
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        if len(peaks) < n_nodes or worst < min(abs(errors[i]) for i in peaks) * mpf("1.001"):
            break
        nodes = [grid[i][0] for i in peaks]
    return best


def rounded(value: mpf, type_name: str) -> mpf:
    """value in the target format (all coefficients are far from its exponent limits)."""
    with mp.workprec(PRECISION[type_name]):
        return +value


def fit_rounded(fit: Fit, type_name: str) -> tuple[list[mpf], mpf]:
    """Coefficients in the target format, lowest first, and the weighted error they leave."""
    grid = [(x, fit.target(x), fit.weight(x)) for x in chebyshev(fit, 40 * (fit.degree + 2))]
    free = remez(fit, grid, [])
    held = remez(fit, grid, [rounded(free[0], type_name)])
    coefficients = [rounded(value, type_name) for value in held]
    return coefficients, max(abs(error) for error in weighted_errors(grid, coefficients))


def mills(type_name: str, degree: int) -> Fit:
    """M(a) / w with M(a) = Phi(-a) exp(a^2 / 2), w = k / (a + k); smooth from a = 0 to infinity, as in
    Shepherd and Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc(x) in 0 <= x < inf"."""
    k, center = MILLS_OFFSET[type_name], MILLS_CENTER[type_name]

    def target(x: mpf) -> mpf:
        w = x + center
        a = k / w - k
        return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2) / w

    low = k / (MILLS_LARGEST[type_name] + k) - center
    equation = (
        f"Phi(-a) exp(a^2/2) / w, w = {k} / (a + {k}), x = w - {center}, 0 <= a <= {MILLS_LARGEST[type_name]}"
    )
    return Fit("mills", equation, target, lambda x: 1 / target(x), low, 1 - center, degree)


def beyond_slope(function: Function, slope: int) -> Function:
    """What an odd function adds to slope * y, as a function of z = y^2: (function(y) / y - slope) / z."""

    def target(z: mpf) -> mpf:
        y = mp.sqrt(z)
        return (function(y) / y - slope) / z

    return target


def fits(type_name: str, degrees: dict[str, int]) -> list[Fit]:
    """Every polynomial of one number format."""
    half_ln2 = mp.log(2) / 2
    log_limit = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    turn = 2 * mp.pi
    tiny = mpf(10) ** -12  # stands for an excluded 0, where the quotients are 0 / 0
    # exp: the rounding of x / ln 2 may fall just beyond 1/2, and unequal ends keep nodes off 0.
    return [
        Fit("expm1", "(exp(x) - 1 - x) / x^2, |x| <= ln(2) / 2", lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: abs(r**2 / mp.expm1(r)), -half_ln2 * mpf("1.0001"), half_ln2 * mpf("1.0002"), degrees["expm1"]),
        Fit("log", "(2 atanh(s) / s - 2) / x, x = s^2, s <= (sqrt(2) - 1) / (sqrt(2) + 1)",
            beyond_slope(lambda s: 2 * mp.atanh(s), 2), lambda z: z, tiny, log_limit**2, degrees["log"]),
        Fit("softplus", "(2 atanh(t / 2) / t - 1) / x, x = t^2, t <= 2/3",
            beyond_slope(lambda t: 2 * mp.atanh(t / 2), 1), lambda z: z, tiny, mpf(4) / 9, degrees["softplus"]),
        Fit("tanh", "(tanh(y) / y - 1) / x, x = y^2, y <= 0.26",
            beyond_slope(mp.tanh, 1), lambda z: z, tiny, mpf("0.0676"), degrees["tanh"]),
        mills(type_name, degrees["mills"]),
        Fit("sin", "sin(2 pi r) / r, x = r^2, r <= 1/8", lambda z: mp.sin(turn * mp.sqrt(z)) / mp.sqrt(z),
            lambda z: mp.sqrt(z) / mp.sin(turn * mp.sqrt(z)), tiny, mpf(1) / 64, degrees["sin"]),
        Fit("cos", "(cos(2 pi r) - 1) / x, x = r^2, r <= 1/8", lambda z: (mp.cos(turn * mp.sqrt(z)) - 1) / z,
            lambda z: z / mp.cos(turn * mp.sqrt(z)), tiny, mpf(1) / 64, degrees["cos"]),
    ]  # fmt: skip


def literal(value: mpf, type_name: str) -> str:
    """A C++17 hexadecimal literal of the target type."""
    mantissa, exponent = float(value).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent + ("f" if type_name == "float" else "")


def call(words: Sequence[str], width: int = 120) -> str:
    """The C++ statement `return horner(x, ...);`, wrapped as clang-format does."""
    start = " " * 8 + "return horner("
    lines = [start + "x,"]
    for i, word in enumerate(words):
        text = word + ("," if i + 1 < len(words) else ");")
        if len(lines[-1]) + 1 + len(text) > width:
            lines.append(" " * len(start) + text)
        else:
            lines[-1] += " " + text
    return "\n".join(lines)


def table(type_name: str, degrees: dict[str, int]) -> str:
    """The C++ struct with one function per polynomial."""
    constants = {"offset": MILLS_OFFSET, "center": MILLS_CENTER, "largest": MILLS_LARGEST}
    text = f"template <>\nstruct Polynomial<{type_name}> {{\n"
    for name, values in constants.items():
        text += f"    static constexpr {type_name} mills_{name} = {literal(values[type_name], type_name)};\n"
    for fit in fits(type_name, degrees):
        coefficients, error = fit_rounded(fit, type_name)
        text += f"\n    // {fit.equation}; error 2^{mp.nstr(mp.log(error, 2), 3)}\n"
        text += f"    template <class V>\n    FR_RULE static V {fit.name}(V x) {{\n"
        text += call([literal(c, type_name) for c in coefficients]) + "\n    }\n"
    return text + "};\n"


HEAD = """\
// The polynomials of mathfn.h, per number format; generated by tools/fit_mathfn.py, not to be edited.
// It must not know what surrounds them: reductions, scalings and special values are mathfn.h's.
#pragma once
#include "rules/hd.h"

namespace fastreg::rules {

// c0 + x (c1 + x (c2 + ...)): Horner's rule, one fma per degree.
template <class V>
FR_RULE V horner(V, typename V::T c) {
    return V::set(c);
}
template <class V, class... C>
FR_RULE V horner(V x, typename V::T c, C... higher) {
    return fma(x, horner(x, higher...), V::set(c));
}

// "error": of the finished function, relative to it, with the coefficients as printed and exact arithmetic.
template <class T>
struct Polynomial;
"""


def main() -> None:
    """Print the header."""
    print(HEAD)
    print(table("float", {"expm1": 4, "log": 2, "tanh": 2, "softplus": 3, "mills": 9, "sin": 3, "cos": 3}))
    print(table("double", {"expm1": 9, "log": 6, "tanh": 6, "softplus": 9, "mills": 22, "sin": 6, "cos": 6}))
    print("}  // namespace fastreg::rules")


if __name__ == "__main__":
    main()
