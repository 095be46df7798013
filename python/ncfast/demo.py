"""Watch neural collapse happen: train a small network on real images, draw NC1 to NC4 against epochs.

Needs the ``demo`` extra, scikit-learn and matplotlib, and downloads nothing: the digits come with scikit-learn.
The network regresses one-hot targets with the squared loss, the setting of the unconstrained-features theory. There
a small network collapses within seconds; with the cross-entropy, NC1 is still a thousand times higher by then.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ._demo_figure import draw
from ._demo_result import DemoResult
from ._measure import measure
from ._measurement import Progress

HIDDEN_LAYERS = (128,) * 6
WEIGHT_DECAY = 4e-5
# A shorter memory and a larger floor than Adam's usual ones: near the end the gradients are tiny, and with these it
# would now and then answer a batch with far too large a step.
ADAM = {"learning_rate_init": 2e-3, "beta_2": 0.99, "epsilon": 1e-5}
# Rows of a batch until that share of the epochs is done. partial_fit cannot lower its learning rate on the way; whole
# batches calm the last steps as well. 300 leaves no small batch at the end of the 1,797 rows.
BATCHES = ((0.75, 300), (1.0, 1797))
CHECKPOINTS = 40


def run_demo(output: Path, *, seed: int = 0, epochs: int = 800, progress: Progress | None = None) -> DemoResult:
    """Train a network on handwritten digits past zero training error, measure its collapse, draw it.

    Parameters
    ----------
    output : Path
        Where the picture, a PNG, goes; its folder must exist.
    seed : int, default 0
        Decides the initial weights and the order of the samples; on one machine, the whole result.
    epochs : int, default 800
        Passes over the training set; the default takes about 20 seconds.
    progress : callable, optional
        Called with (epochs done, epochs in all) after each epoch.

    Returns
    -------
    DemoResult

    Raises
    ------
    ImportError
        If scikit-learn or matplotlib is missing; it names the extra to install.
    ValueError, FileNotFoundError
        If `epochs` is less than one; if the folder of `output` does not exist.
    """
    output = Path(output)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"the folder for the picture does not exist: {output.parent}")
    try:  # before the training, which should not run for nothing
        import_module("sklearn")
        import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError('the demo needs scikit-learn and matplotlib: pip install "ncfast[demo]"') from error
    # Products this small only lose time to a second thread.
    with threadpool_limits(1, user_api="blas"):
        result = _train(output, seed, epochs, progress)
    draw(result)
    return result


def _train(output: Path, seed: int, epochs: int, progress: Progress | None) -> DemoResult:
    """Train the network, and measure it at the checkpoints."""
    from sklearn.neural_network import MLPRegressor

    inputs, targets, labels = _digits()
    # The generator that scikit-learn takes. From the integer, partial_fit would shuffle alike in every epoch.
    random = np.random.RandomState(seed)
    network = MLPRegressor(hidden_layer_sizes=HIDDEN_LAYERS, random_state=random, **ADAM)

    checkpoints = {int(epoch): None for epoch in np.geomspace(1, epochs, CHECKPOINTS).round()}
    accuracies, reports = [], []
    for epoch in range(1, epochs + 1):
        rows = next(rows for share, rows in BATCHES if epoch - 1 < share * epochs)
        # scikit-learn divides alpha by the rows of the batch, which is undone here.
        network.set_params(batch_size=rows, alpha=WEIGHT_DECAY * rows)
        network.partial_fit(inputs, targets)
        if len(network.loss_curve_) < epoch:  # it has caught the interrupt of the keyboard, and would go on
            raise KeyboardInterrupt
        if epoch in checkpoints:
            features = _penultimate(network, inputs)
            weights, bias = network.coefs_[-1].T, network.intercepts_[-1]
            accuracies.append(float(np.mean((features @ weights.T + bias).argmax(axis=1) == labels)))
            reports.append(measure(features, labels, weights=weights, bias=bias))
        if progress is not None:
            progress(epoch, epochs)
    return DemoResult(tuple(checkpoints), tuple(accuracies), tuple(reports), output)


def _digits() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Images as rows, centred; their classes one-hot; their classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    # Pixels go from 0 to 16. One scale for all: on its own scale, a border pixel that is hardly ever set is noise.
    inputs = (images - images.mean(axis=0)) / 3
    return inputs.astype(np.float32), np.eye(10, dtype=np.float32)[labels], labels


def _penultimate(network: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pass the inputs through all layers but the last."""
    features = inputs
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        features = np.maximum(features @ weights + bias, 0)
    return features
