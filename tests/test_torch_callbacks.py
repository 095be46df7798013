"""Callbacks of PyTorch Lightning and of the transformers Trainer: what they count and where it is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ncfast
import ncfast.torch as nct
from compare import assert_close

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, about workers, devices and the like
pl = pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

K, ROWS = 3, 40


def data(seed: int) -> TensorDataset:
    random = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(ROWS, 4, generator=random), torch.arange(ROWS) % K)


class Module(pl.LightningModule):  # type: ignore[misc, name-defined]
    """A module that calls its network, not itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, K))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, _: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> None:
        self.net(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def measured(net: nn.Module, samples: TensorDataset) -> ncfast.Report:
    """What plain arrays give."""
    x, y = samples.tensors
    with torch.no_grad():
        features = net[:-1](x).numpy()  # type: ignore[index]
    return ncfast.measure(features, y.numpy(), net[-1].weight, net[-1].bias)  # type: ignore[index]


def fit(callback: Any, folder: Path, epochs: int = 2, **options: Any) -> tuple[Any, Module]:
    module = Module()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[callback], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, logger=pl.loggers.CSVLogger(folder), **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data(0), 8, shuffle=True), DataLoader(data(1), 8))
    return trainer, module


def test_lightning_logs_training_and_validation(tmp_path: Path) -> None:
    callback = nct.LightningCallback(metrics="nc1")
    trainer, module = fit(callback, tmp_path)
    assert callback.reports["train"].num_samples == ROWS
    # Not those of the sanity check, which came before; and of the weights at the end.
    assert callback.reports["val"].num_samples == ROWS
    want = measured(module.net, data(1))["nc1_pinv"]
    assert_close(callback.reports["val"]["nc1_pinv"], want, 1e-5)
    assert_close(float(trainer.callback_metrics["val/nc1_pinv"]), want, 1e-5)
    logged = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    assert "train/nc1_pinv" in logged.splitlines()[0]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_lightning_measures_the_training_data_in_eval_mode(tmp_path: Path) -> None:
    callback = nct.LightningCallback(train="pass", validation=False, every_n_epochs=2)
    trainer, module = fit(callback, tmp_path, epochs=3)
    assert list(callback.reports) == ["train"]
    assert trainer.callback_metrics["train/nc4_disagreement"] == callback.reports["train"]["nc4_disagreement"]

    final = nct.LightningCallback(train="pass", validation=False)
    module = fit(final, tmp_path)[1]
    assert_close(final.reports["train"]["nc1_pinv"], measured(module.net, data(0))["nc1_pinv"], 1e-5)
    assert module.training


def test_lightning_goes_on_from_a_checkpoint_in_mid_epoch(tmp_path: Path) -> None:
    checkpoints = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1, filename="{step}")
    trainer = pl.Trainer(
        max_steps=3, accelerator="cpu", callbacks=[nct.LightningCallback(), checkpoints], logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(data(0), 8))
    callback = nct.LightningCallback(validation=False)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(data(0), 8), ckpt_path=tmp_path / "step=3.ckpt", weights_only=False)
    assert callback.reports["train"].num_samples == ROWS


@pytest.mark.parametrize("options", [{"train": "both"}, {"every_n_epochs": 0}])
def test_lightning_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(options))} is .* wanted"):
        nct.LightningCallback(**options)


class Rows(Dataset[dict[str, Tensor]]):
    """Samples as the Trainer wants them."""

    def __init__(self, samples: TensorDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x, y = self.samples[index]
        return {"x": x, "labels": y}


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, K))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def trainer_of(model: nn.Module, folder: Path, **options: Any) -> Any:
    options = {"num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "no", **options}
    arguments = transformers.TrainingArguments(
        folder, per_device_train_batch_size=8, per_device_eval_batch_size=8, use_cpu=True, report_to="none",
        disable_tqdm=True, gradient_accumulation_steps=2, **options,
    )  # fmt: skip
    return transformers.Trainer(model, arguments, train_dataset=Rows(data(0)), eval_dataset=Rows(data(1)))


def test_the_trainer_logs_training_and_evaluation(tmp_path: Path) -> None:
    model = Classifier()
    trainer = trainer_of(model, tmp_path)
    callback = nct.TransformersCallback(trainer, metrics="nc1")
    trainer.add_callback(callback)
    trainer.train()
    # Each is of its own samples, once an epoch, with gradients accumulated over two batches.
    assert callback.reports["train"].num_samples == callback.reports["eval"].num_samples == ROWS
    want = measured(model.net, data(1))["nc1_pinv"]
    assert_close(callback.reports["eval"]["nc1_pinv"], want, 1e-5)
    logged = [entry["eval_nc1_pinv"] for entry in trainer.state.log_history if "eval_nc1_pinv" in entry]
    assert len(logged) == 2
    assert_close(logged[-1], want, 1e-5)
    assert sum("nc1_pinv" in entry for entry in trainer.state.log_history) == 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_trainer_goes_on_from_a_checkpoint_in_mid_epoch(tmp_path: Path) -> None:
    reports = []
    for resume in (False, True):
        trainer = trainer_of(
            Classifier(), tmp_path, eval_strategy="no", save_strategy="steps", save_steps=2, num_train_epochs=1
        )
        callback = nct.TransformersCallback(trainer, metrics="nc1")
        trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2") if resume else None)
        reports.append(callback.reports["train"])
    assert reports[0].num_samples == reports[1].num_samples == ROWS
    assert_close(reports[1]["nc1_pinv"], reports[0]["nc1_pinv"], 1e-12)


def test_a_causal_language_model_has_its_labels_shifted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=5, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(5, (16, 8))

    class Texts(Dataset[dict[str, Tensor]]):
        def __len__(self) -> int:
            return len(tokens)

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"input_ids": tokens[index], "labels": tokens[index]}

    trainer = trainer_of(model, tmp_path)
    trainer.train_dataset = trainer.eval_dataset = Texts()
    callback = nct.TransformersCallback(trainer, "lm_head", metrics="nc1")
    trainer.add_callback(callback)
    trainer.train()
    report = callback.reports["eval"]
    assert report.num_samples == 16 * 7
    with torch.no_grad():
        hidden = model.eval().transformer(tokens).last_hidden_state[:, :-1].reshape(-1, 8).numpy()
    labels = tokens[:, 1:].flatten().numpy()
    assert_close(report["nc1_trace_ratio"], ncfast.measure(hidden, labels, metrics="nc1")["nc1_trace_ratio"], 1e-5)


def test_labels_that_do_not_reach_the_model_are_missed(tmp_path: Path) -> None:
    class Plain(Classifier):
        def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002
            return {"logits": self.net(x)}

    trainer = trainer_of(Plain(), tmp_path, eval_strategy="no")
    trainer.compute_loss_func = lambda outputs, labels, **_: nn.functional.cross_entropy(outputs["logits"], labels)
    trainer.add_callback(nct.TransformersCallback(trainer))
    with pytest.raises(ValueError, match=r"nothing was counted by 'net\.2'"):
        trainer.train()
