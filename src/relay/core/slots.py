"""Slots: how many spawns of one sort may be in hand at once on a broker.

A slot's name says who needs one: an agent's name, `label:KEY` for what carries that label with any value,
`label:KEY=VALUE` for one value of it. A spawn needs one of each sort that it is of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from relay.core import ids
from relay.core.values import frozen

LABEL = "label:"
MOST_SLOTS = 1_024
_LABEL_SLOT = re.compile(r"label:[A-Za-z0-9._-]{1,64}(=[^\x00-\x1f]{0,256})?\Z")


def is_slot_name(name: str) -> bool:
    """Whether this may name slots: an agent, `label:KEY` or `label:KEY=VALUE`."""
    return ids.is_name(name) or _LABEL_SLOT.match(name) is not None


def needs(agent: str, labels: Mapping[str, str], slots: Mapping[str, int]) -> list[str]:
    """The names of the slots that a spawn needs one of, of those there are.

    Args:
        agent: its agent.
        labels: its labels.
        slots: how many there are, by name.
    """
    own = [agent, *(f"{LABEL}{key}" for key in labels), *(f"{LABEL}{key}={value}" for key, value in labels.items())]
    return [name for name in own if name in slots]


def shown(name: str) -> str:
    """A slot's name in a sentence: `claude`, `gpu`, `gpu=a100`."""
    return name.removeprefix(LABEL)


@frozen
class Occupancy:
    """How many slots are taken.

    Attributes:
        parallel: how many spawns may be in hand at once.
        slots: how many there are of each sort.
        total: how many spawns are in hand.
        taken: how many of each sort are.
    """

    parallel: int
    slots: Mapping[str, int]
    total: int
    taken: Mapping[str, int]

    @classmethod
    def of(
        cls, parallel: int, slots: Mapping[str, int], in_hand: Iterable[tuple[str, Mapping[str, str]]]
    ) -> Occupancy:
        """The occupancy by what is in hand.

        Args:
            parallel: how many may be.
            slots: how many slots there are of each sort.
            in_hand: agent and labels of each.
        """
        total, taken = 0, dict.fromkeys(slots, 0)
        for agent, labels in in_hand:
            total += 1
            for name in needs(agent, labels, slots):
                taken[name] += 1
        return cls(parallel, slots, total, taken)

    @property
    def is_full(self) -> bool:
        """Whether nothing at all may start."""
        return self.total >= self.parallel

    def full_sort(self, agent: str, labels: Mapping[str, str]) -> str | None:
        """The first sort of slots that a spawn needs and that has none left, or None."""
        return next(filter(self.is_full_of, needs(agent, labels, self.slots)), None)

    def is_full_of(self, name: str) -> bool:
        """Whether all slots of one sort are taken."""
        return self.taken[name] >= self.slots[name]

    def busy(self, sort: str | None) -> str:
        """`4 of 4 slots busy`, `2 of 2 claude slots busy`.

        Args:
            sort: a slot's name, or None for all that there are.
        """
        if sort is None:
            return f"{self.total} of {self.parallel} slots busy"
        return f"{self.taken[sort]} of {self.slots[sort]} {shown(sort)} slots busy"
