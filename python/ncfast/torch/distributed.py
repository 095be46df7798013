"""Statistics of the ranks of a process group, and of tensors that are spread over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..statistics import ClassStatistics
from ._arithmetic import plain_arithmetic
from ._moments import Moments

if TYPE_CHECKING:
    from torch.utils.data.distributed import DistributedSampler

    from .accumulator import Accumulator


def all_reduce(
    acc: Accumulator, group: dist.ProcessGroup | None = None, *, expected_rows: int | None = None
) -> Accumulator:
    """Return the statistics of all ranks together, on every rank; `acc` itself stays what it is.

    Two collectives: counts and weighted means give common points next to the class means, then sums, squares and
    scatters about these points add up. The result does not depend on how samples were dealt to ranks, but for the
    last bits of float64; a rank may have no sample of some class, or none at all. Any backend will do.

    Parameters
    ----------
    acc : Accumulator
        Made with the same arguments on every rank.
    group : ProcessGroup, optional
        The default group, or under tensor or sequence parallelism that of the data-parallel ranks alone: ranks that
        see the same samples must not count them twice.
    expected_rows : int, optional
        How many samples all ranks together must have counted, such as the length of the data set: a
        `DistributedSampler` evens ranks out with duplicates, which only `sampler_mask` tells from samples.

    Returns
    -------
    Accumulator

    Raises
    ------
    ValueError
        On every rank alike, if the ranks counted more or fewer than `expected_rows`.

    Notes
    -----
    Moves 2 K d + d^2 float64 values (the last with a scatter). Nothing is gathered: memory does not grow with ranks.
    """
    merged = acc.empty_like()
    moments, tally = reduce_moments(acc.moments(), acc.tensors()["tally"], group)
    merged.adopt(moments, tally)
    if expected_rows is not None:
        _require_rows(merged, int(moments.counts.sum()), expected_rows)
    return merged


def _require_rows(acc: Accumulator, counted: int, expected: int) -> None:
    if counted == expected:
        return
    reasons = ", ".join(f"{rows} {reason}" for reason, rows in acc.left_out().items() if rows)
    raise ValueError(
        f"the ranks counted {counted} rows; wanted expected_rows = {expected}"
        + (f" (left out: {reasons})" if reasons else "")
        + ("; update(..., mask=) with sampler_mask leaves duplicates out" if counted > expected else "")
    )


def reduce_moments(moments: Moments, tally: Tensor, group: dist.ProcessGroup | None) -> tuple[Moments, Tensor]:
    """Merge moments over a group, and add up integers that go with them."""
    with plain_arithmetic(moments.sums.device):
        counts, weighted = _sum([moments.counts, moments.weighted_means()], group)
        points = weighted / counts.clamp(min=1)[:, None]
        ours = moments.shifted(points)
        scatter = [] if ours.scatter is None else [ours.scatter]
        tally = tally.to(counts.device)
        sums, squares, tally_sum, *scatters = _sum([ours.sums, ours.squares, tally, *scatter], group)
        merged = Moments.about(counts.to(torch.int64), points, sums, squares, scatters[0] if scatters else None)
    return merged, tally_sum.to(torch.int64)


def _sum(tensors: Sequence[Tensor], group: dist.ProcessGroup | None) -> list[Tensor]:
    """Add up tensors over a group in one collective; integers are exact in float64 up to 2^53."""
    flat = torch.cat([tensor.reshape(-1).to(torch.float64) for tensor in tensors])
    summed = flat.to(device_for(group, flat.device))
    dist.all_reduce(summed, group=group)
    parts = torch.split(summed.to(flat.device), [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def device_for(group: dist.ProcessGroup | None, device: torch.device | None = None) -> torch.device:
    """Return the device on which a group reduces what is on `device`, the CPU by default."""
    here = torch.device("cpu") if device is None else device
    return torch.device("cuda") if dist.get_backend(group) == "nccl" and here.type != "cuda" else here


def join_classes(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """Put together the statistics of different classes, as from accumulators with ``classes=``.

    Parameters
    ----------
    parts : sequence of ClassStatistics
        No class in two of them. Their pooled scatters, if all have one, are of different samples and add up.

    Raises
    ------
    ValueError
        If a class is in two parts, or only some have a scatter.
    """
    labels = np.concatenate([part.labels for part in parts])
    order = np.argsort(labels, kind="stable")
    repeated = np.flatnonzero(np.diff(labels[order]) == 0)
    if repeated.size:
        raise ValueError(f"parts hold class {labels[order][repeated[0]]} more than once; wanted each class once")
    with_scatter = [part.pooled for part in parts if part.pooled is not None]
    if len(with_scatter) not in (0, len(parts)):
        raise ValueError(f"{len(with_scatter)} of {len(parts)} parts have a scatter; wanted all or none")
    dtypes = {part.feature_dtype for part in parts} - {None}

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    chosen = labels[order]
    return ClassStatistics(
        counts=joined("counts"),
        pivots=joined("pivots"),
        sums=joined("sums"),
        square_sums=joined("square_sums"),
        pooled=np.sum(with_scatter, axis=0) if with_scatter else None,
        feature_dtype="mixed" if len(dtypes) > 1 else next(iter(dtypes), None),
        chosen=None if (chosen == np.arange(chosen.size)).all() else chosen,
    )


def sampler_mask(sampler: DistributedSampler[Any]) -> Tensor:
    """Tell the samples a `DistributedSampler` deals to this rank from the duplicates it pads with.

    Returns
    -------
    Tensor of bool, shape (len(sampler),)
        In the order in which the sampler deals; its slices are the ``mask`` of `Accumulator.update`.
    """
    positions: Tensor = sampler.rank + torch.arange(len(sampler)) * sampler.num_replicas
    real: Tensor = positions < len(sampler.dataset)  # type: ignore[arg-type]
    return real
