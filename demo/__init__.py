"""The demonstration: one small network on real digits under each regularization technique (`python -m demo`).
It must not be part of the package: it uses fastreg as any program would."""
