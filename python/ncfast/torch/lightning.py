"""Neural collapse as a callback of PyTorch Lightning."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .._choices import as_choice
from ..report import Report
from ._batches import Unpack, unpack
from ._measure_model import measure_model
from ._watch import Watch, watch

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
elif "lightning.pytorch" not in sys.modules:
    try:
        from pytorch_lightning import Callback, LightningModule, Trainer
    except ImportError as error:
        try:
            from lightning.pytorch import Callback, LightningModule, Trainer
        except ImportError:
            raise ImportError('LightningCallback needs PyTorch Lightning: pip install "ncfast[lightning]"') from error
else:  # the same package under its other name, with classes of its own
    from lightning.pytorch import Callback, LightningModule, Trainer


class LightningCallback(Callback):
    """Measure neural collapse at the end of epochs and log it with whatever loggers the trainer has.

    Metrics are logged as ``train/nc1_pinv``, ``val/nc1_pinv``, ... Validation features are those of the validation
    epoch, which are in eval mode and of fixed weights. Training features are, with ``train="stream"``, those of the
    epoch as it goes, from weights that move and with dropout and the like, at hardly any cost; with ``"pass"`` those
    of one more pass of the training data through the module in eval mode, NC4 included, which is what papers report.

    Hooks are put on when fitting begins and taken off when it ends. With several devices every number is of all of
    their samples; duplicates by which a ``DistributedSampler`` evens out shards are among them.

    Parameters
    ----------
    head, **options
        As in `watch`: ``layers``, ``positions``, ``num_classes``, ``ignore_index``, ``shift``, ``scatter``.
    unpack : callable, optional
        Function of a batch that returns inputs and labels, as in `measure_model`.
    train : {"stream", "pass", "none"}
        Where training features come from.
    validation : bool
        Whether to measure validation epochs.
    every_n_epochs : int
        Measure each n-th epoch.
    metrics : str or iterable of str
        What to measure, as in `ncfast.measure`.

    Attributes
    ----------
    reports : dict of str to Report
        The last report of ``"train"`` and ``"val"``.
    """

    def __init__(
        self,
        head: str | None = None,
        *,
        unpack: Unpack = unpack,
        train: str = "stream",
        validation: bool = True,
        every_n_epochs: int = 1,
        metrics: str | Iterable[str] = "standard",
        **options: Any,
    ) -> None:
        super().__init__()
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs is {every_n_epochs}; wanted at least 1")
        self.reports: dict[str, Report] = {}
        self._head = head
        self._options = options
        self._unpack = unpack
        self._train = as_choice("train", train)
        self._validation = validation
        self._every = every_n_epochs
        self._metrics = metrics
        self._taps: dict[str, Watch] = {}
        self._resumed: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Put hooks on the module."""
        if stage != "fit":
            return
        splits = {"train": self._train == "stream", "val": self._validation}
        modes = {"train": "train", "val": "eval"}
        for split in (split for split, wanted in splits.items() if wanted):
            self._taps[split] = watch(pl_module, self._head, mode=modes[split], **self._options)
            self._taps[split].load_state_dict(self._resumed.pop(split, {}))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Take hooks off."""
        for tap in self._taps.values():
            tap.remove()
        self._taps.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        del pl_module, outputs, batch_idx
        self._count("train", trainer, batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log."""
        if self._train == "none" or not self._is_due(trainer):
            return
        if self._train == "stream":
            report = self._taps["train"].report(metrics=self._metrics)
            self._taps["train"].reset()
        else:
            options = {name: value for name, value in self._options.items() if name not in ("layers", "scatter")}
            options |= {"unpack": self._unpack, "metrics": self._metrics, "progress": False}
            loader: Any = trainer.train_dataloader
            report = measure_model(pl_module, loader, self._head, **options)
        self._log("train", report, trainer, pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Begin anew."""
        if "val" in self._taps:
            self._taps["val"].reset()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch, if it is of the first loader."""
        del pl_module, outputs, batch_idx
        if dataloader_idx == 0:
            self._count("val", trainer, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log."""
        if "val" in self._taps and not trainer.sanity_checking and self._is_due(trainer):
            self._log("val", self._taps["val"].report(metrics=self._metrics), trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted, for checkpoints."""
        return {split: tap.state_dict() for split, tap in self._taps.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for split, state in state_dict.items():
            if split in self._taps:
                self._taps[split].load_state_dict(state)
            else:
                self._resumed[split] = state

    def _is_due(self, trainer: Trainer) -> bool:
        return (int(trainer.current_epoch) + 1) % self._every == 0

    def _count(self, split: str, trainer: Trainer, batch: Any) -> None:
        # The sanity check runs before training, on a few batches.
        if split in self._taps and not trainer.sanity_checking and self._is_due(trainer):
            labels: Tensor = self._unpack(batch)[1]
            self._taps[split].update(labels)

    def _log(self, split: str, report: Report, trainer: Trainer, module: LightningModule) -> None:
        self.reports[split] = report
        values = {f"{split}/{name}": value for name, value in report.items()}
        module.log_dict(values, on_step=False, on_epoch=True, sync_dist=trainer.world_size > 1)
