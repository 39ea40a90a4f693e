"""The namespace of this build's operations in ``torch.ops``: two versions can be loaded into one process."""

import torch

NAME = "@ID@"

ops = getattr(torch.ops, NAME)


def add_op_namespace_prefix(op_name: str) -> str:
    """The operation's full name."""
    return f"{NAME}::{op_name}"
