"""Kill workers of a Dask cluster while it measures, and see that the bits are those of one thread.

python tests/long/kill_workers.py 20
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import ncfast.dask

PARTS, ROWS, FEATURES, CLASSES = 12, 400, 16, 5


def slow_features(seconds: float) -> tuple[Any, Any, Any]:
    """Return features whose parts take their time, labels and weights."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, PARTS * ROWS)
    means = rng.standard_normal((CLASSES, FEATURES))
    whole = (means[labels] + 0.8 * rng.standard_normal((labels.size, FEATURES))).astype(np.float32)

    def take_time(block: Any) -> Any:
        time.sleep(seconds)
        return block

    features = da.from_array(whole, chunks=(ROWS, FEATURES)).map_blocks(take_time, dtype=np.float32)
    return features, labels, means


def run(kills: int, client: Client, seed: int = 0) -> int:
    """Measure as often as workers are to be killed; return how many died while tasks were under way."""
    with dask.config.set(scheduler="synchronous"):
        whole = ncfast.dask.measure(*slow_features(0)).to_dict()
    rng = random.Random(seed)
    died = 0
    for _ in range(kills):
        client.wait_for_workers(2, timeout=60)
        workers = list(client.run(os.getpid).values())
        found: list[dict[str, float]] = []
        measuring = threading.Thread(target=lambda to=found: to.append(_measure(client)))
        measuring.start()
        time.sleep(rng.uniform(0.05, 0.6))
        os.kill(rng.choice(workers), signal.SIGKILL)
        died += measuring.is_alive()
        measuring.join(120)
        assert found, "the measurement did not end"
        assert found[0] == whole, "other bits than one thread"
    return died


def _measure(client: Client) -> dict[str, float]:
    with client.as_current():
        report = ncfast.dask.measure(*slow_features(0.05))
    return report.to_dict()


def main() -> None:
    """Run as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int)
    kills = parser.parse_args().kills
    died = 0
    for seed in range(kills):  # a nanny that lost several workers may start no other
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            died += run(1, client, seed)
    print({"kills": kills, "while measuring": died})


if __name__ == "__main__":
    main()
