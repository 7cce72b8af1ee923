"""Rounds the weights of linear layers to the nearest of 2**bits values; needs no data.

The baseline of every quantisation: scales from the largest weight of a row or a
group. Codes stay packed in memory. Knows nothing of activations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.layers import linears, replace
from edgerig_workload.compress.packed import (
    KERNEL,
    Format,
    PackedEmbedding,
    PackedLinear,
    PackedWeight,
    linear,
    nearest,
)
from edgerig_workload.faults import WorkerFault
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Quantise every linear layer; embeddings and output head too where the choice says so.

    Raises:
        WorkerFault: of class bad_model, where the model has no layers of the kinds known here.
    """
    del material
    bits = int(choice.kind.removeprefix("rtn-int"))
    written = Format(bits, choice.integer("group"), bool(choice.parameters["symmetric"]))
    with torch.no_grad():
        quantise(loaded.model, written)
        if choice.parameters["embeddings"]:
            quantise_embeddings(loaded.model, written)
    return finished(loaded, (), KERNEL)


def quantise(model: Any, written: Format) -> None:
    """Exchange the linear layers of a model, one at a time, for packed ones."""
    for layer in linears(model):
        replace(model, layer.name, linear(layer.module, nearest(layer.module.weight, written), written))


def quantise_embeddings(model: Any, written: Format) -> None:
    """Exchange the token embeddings and the output head; a table that both share stays shared.

    Raises:
        WorkerFault: of class bad_model, where either is more than a plain table.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if type(table) is not nn.Embedding or type(head) is not nn.Linear:
        raise WorkerFault(
            "bad_model",
            f"the embeddings ({type(table).__name__}) and head ({type(head).__name__}) of this model are "
            "no plain tables; leave them as they are with embeddings: false",
        )
    rows, dtype = table.weight.shape[0], table.weight.dtype
    shared = head.weight is table.weight
    packed_table = PackedWeight(nearest(table.weight, written), written, dtype)
    packed_head = (
        packed_table if shared else PackedWeight(nearest(head.weight, written), written, head.weight.dtype)
    )
    model.set_input_embeddings(PackedEmbedding(packed_table, rows))
    model.set_output_embeddings(PackedLinear(packed_head, head.out_features, head.bias))
