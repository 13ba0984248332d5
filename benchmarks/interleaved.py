"""Measures contenders in turn, so that a noisy machine is noisy for all of them, and prints medians and ratios."""

import statistics
import time
from collections.abc import Callable, Mapping

RUNS = 5


def compare(title: str, contenders: Mapping[str, Callable[[], object]], runs: int = RUNS) -> None:
    """Time each contender `runs` times after one run that does not count; the first is the 1.0 of the ratios.

    A contender may return the seconds it took; otherwise the whole call counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 1):
        for name, contender in contenders.items():
            began = time.perf_counter()
            told = contender()
            taken = told if isinstance(told, float) else time.perf_counter() - began
            if number:
                seconds[name].append(taken)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = next(iter(medians.values()))
    print(f"{title} (median of {runs})")
    for name, median in medians.items():
        print(f"  {name:42} {median:8.3f} s  ratio {median / first:6.2f}")
