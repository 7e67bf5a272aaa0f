"""The requests about the trees that spawns work in, as `routes` has the others."""

from __future__ import annotations

from relay.api.routes import Call, operation_body, ref_in_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.tree_shapes import Cleaned, TreeLine

CLEAN_S = 600.0


def write_tree(spawn: str, folder: str) -> Call[TreeLine]:
    """Write what a spawn changed into a folder of one's own; a line each of how far it is."""
    return Call(f"spawns/{ref_in_path(spawn)}/tree", operation_body(None, to=folder))


def clean(older_s: float, trial: bool) -> Call[Cleaned]:
    """Remove the folders of spawns that ended so long ago."""
    return Call("clean", operation_body(None, older_s=older_s, trial=trial), CLEAN_S)
