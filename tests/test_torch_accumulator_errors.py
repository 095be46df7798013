"""What an accumulator of torch batches refuses, and how it says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ncfast
import ncfast.torch as nct

LABELS = torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "features is a ndarray", (np.ones((4, 2)), LABELS)),
        (TypeError, "features has dtype torch.int64", (torch.ones(4, 2).long(), LABELS)),
        (ValueError, r"features has shape \(4, 3\); wanted \(n, 2\)", (torch.ones(4, 3), LABELS)),
        (ValueError, r"features has shape \(4,\)", (torch.ones(4), LABELS)),
        (ValueError, "labels is on device meta; wanted cpu", (torch.ones(4, 2), LABELS.to("meta"))),
        (ValueError, "features is on device meta", (torch.ones(4, 2, device="meta"), LABELS)),
        (TypeError, "labels has dtype torch.float32", (torch.ones(4, 2), LABELS.float())),
        (TypeError, "labels has dtype torch.bool", (torch.ones(4, 2), LABELS.bool())),
        (ValueError, r"labels has shape \(3,\); wanted \(4,\)", (torch.ones(4, 2), LABELS[:3])),
        (TypeError, "mask has dtype torch.int64", (torch.ones(4, 2), LABELS, LABELS)),
        (ValueError, r"mask has shape \(3,\)", (torch.ones(4, 2), LABELS, LABELS[:3].bool())),
    ],
)
def test_batches_that_do_not_fit(error, message, arguments):
    acc = nct.Accumulator(3, 2)
    with pytest.raises(error, match=message):
        acc.update(*arguments)
    assert not any(tensor.any() for tensor in acc.tensors().values())


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "num_classes is 1", {"num_classes": 1}),
        (ValueError, "scatter is 'class'", {"scatter": "class"}),
        (ValueError, "backend is 'cuda'", {"backend": "cuda"}),
        (ValueError, "precision is 'double' without float64", {"backend": "compensated", "precision": "double"}),
        (ValueError, "wanted 'torch', native is for the CPU", {"backend": "native", "device": "meta"}),
        (ValueError, "wanted consecutive classes", {"classes": range(0, 3, 2)}),
        (ValueError, "wanted consecutive classes", {"classes": slice(3, 3)}),
        (TypeError, "wanted a range or a slice", {"classes": [0, 1]}),
        (ValueError, "precision is 'half'", {"precision": "half"}),
    ],
)
def test_arguments_that_do_not_fit(error, message, options):
    with pytest.raises(error, match=message):
        nct.Accumulator(**{"num_classes": 3, "num_features": 2} | options)


def test_states_and_partners_that_do_not_fit():
    acc = nct.Accumulator(3, 2)
    for other, message in (
        (nct.Accumulator(4, 2), "num_classes = 4; wanted 3"),
        (nct.Accumulator(3, 1), "num_features = 1; wanted 2"),
        (nct.Accumulator(3, 2, scatter=True), "scatter = True; wanted False"),
    ):
        with pytest.raises(ValueError, match=message):
            acc.merge(other)
        with pytest.raises(ValueError, match=r"state (is of|was collected)"):
            acc.load_state_dict(other.state_dict())
    with pytest.raises(TypeError, match="other is a Accumulator"):
        acc.merge(ncfast.Accumulator(3, 2))
    with pytest.raises(ValueError, match="no entry 'engine'"):
        acc.load_state_dict({})
