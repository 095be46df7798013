"""Neural collapse as a callback of the Trainer of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ..report import Report
from ._watch import Watch, watch

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError('TransformersCallback needs transformers: pip install "ncfast[transformers]"') from error

_FILE = "ncfast-{}.pt"


class TransformersCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Measure neural collapse during training and evaluation, and log it where the trainer logs.

    ``trainer.add_callback(TransformersCallback(trainer))``: metrics go through ``trainer.log``, so to all of its
    reporting integrations and to ``log_history``, as ``nc1_pinv``, ... at the end of epochs and ``eval_nc1_pinv``,
    ... after evaluations.

    No event of the trainer has inputs or labels, so these are taken on the way into the model: from the argument
    ``labels`` of its ``forward``. With label smoothing or a loss function of its own the trainer keeps them from the
    model; the report then says that nothing was counted.

    Training features are those of the epoch as it goes, from weights that move and with dropout; those of an
    evaluation are in eval mode, and may have a few duplicates where ranks were evened out.

    Parameters
    ----------
    trainer : transformers.Trainer
    head : str, optional
        The linear classifier, as in `watch`; by default the last ``nn.Linear``.
    metrics : str or iterable of str
        What to measure, as in `ncfast.measure`.
    shift : bool, optional
        Whether the label of a position is that of the next one; by default for causal language models.
    **options
        Further keywords of `watch`: ``layers``, ``positions``, ``num_classes``, ``ignore_index``, ``scatter``.

    Attributes
    ----------
    reports : dict of str to Report
        The last report of ``"train"`` and ``"eval"``.
    """

    def __init__(
        self,
        trainer: Any,
        head: str | None = None,
        *,
        metrics: str | Iterable[str] = "standard",
        shift: bool | None = None,
        **options: Any,
    ) -> None:
        self.reports: dict[str, Report] = {}
        self._trainer = trainer
        self._head = head
        self._metrics = metrics
        self._shift = shift
        self._options = options
        self._taps: dict[str, Watch] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put hooks on the model, and go on from the checkpoint that training goes on from."""
        del control
        model = kwargs["model"]
        shift = _is_causal(model) if self._shift is None else self._shift
        for mode in ("train", "eval"):
            self._taps[mode] = watch(model, self._head, labels="labels", mode=mode, shift=shift, **self._options)
        saved = self._file(args, state)
        if saved.exists():
            self._taps["train"].load_state_dict(torch.load(saved, weights_only=True))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take hooks off."""
        del args, state, control, kwargs
        for tap in self._taps.values():
            tap.remove()
        self._taps.clear()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure what was trained on."""
        del args, state, control, kwargs
        self._measure("train", "")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure what was evaluated."""
        del args, state, control, kwargs
        self._measure("eval", "eval_")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save what was counted of the epoch so far, of each process beside its checkpoint."""
        del control, kwargs
        if self._taps and self._file(args, state).parent.is_dir():
            torch.save(self._taps["train"].state_dict(), self._file(args, state))

    def _measure(self, split: str, prefix: str) -> None:
        if split in self._taps:
            report = self._taps[split].report(metrics=self._metrics)
            self._taps[split].reset()
            self.reports[split] = report
            self._trainer.log({f"{prefix}{name}": value for name, value in report.items()})

    @staticmethod
    def _file(args: TrainingArguments, state: TrainerState) -> Path:
        folder = Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
        return folder / _FILE.format(args.process_index)


def _is_causal(model: Any) -> bool:
    """Whether a model shifts labels itself, each position to predict the next."""
    return getattr(model, "loss_type", None) == "ForCausalLM" or type(model).__name__.endswith("LMHeadModel")
