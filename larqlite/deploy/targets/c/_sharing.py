"""Steps that are the same but for their tables and where they read and write share a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from larqlite.deploy.targets.c._algorithms import Algorithm
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import (
    Slot,
    comment,
    filled,
    indented,
    lines,
    slots_in,
)

# Bytes of code, about: of a line of a body, of a call with one address, of a field and of
# reading it.
OF_LINE, OF_CALL, OF_FIELD = 9, 10, 6


@dataclass(frozen=True)
class StepBody:
    """A step whose function is to be written.

    Attributes:
        layer, algorithm: the step, and how it is computed.
        said: what it does, in a line.
        body: of the function, with places (`_text.py`).
        tables: the text of those that no earlier step has.
        table_bytes: of these.
    """

    layer: Layer
    algorithm: Algorithm
    said: str
    body: str
    tables: str
    table_bytes: int

    @property
    def label(self) -> str:
        """Names of the layers that it stands for."""
        return self.layer.step.label or self.layer.name

    @property
    def slots(self) -> dict[str, Slot]:
        """What has a place in the body, by its role."""
        return {role: self.layer.slots[role] for role in slots_in(self.body)}


def functions_of(
    bodies: Sequence[StepBody], inputs: Callable[[str], dict[str, str]]
) -> list[tuple[str, str]]:
    """The text and the call of each step.

    Args:
        bodies: in order.
        inputs: the inputs of the network that a text reads, each as a parameter of C.

    Returns:
        For each step its tables, what its function takes where it is shared, and, of the first
        step of a function, that; and the statement that runs it.
    """
    alike: dict[tuple, list[StepBody]] = {}
    for body in bodies:
        types = tuple(slot.ctype for slot in body.slots.values())
        alike.setdefault((body.said, body.body, types), []).append(body)
    found = {}
    for group in alike.values():
        fields = _fields_of(group)
        groups = [group] if _pays(group, fields) else [[one] for one in group]
        for some in groups:
            for body, made in zip(some, _written(some, fields, inputs), strict=True):
                found[body.layer.number] = made
    return [found[body.layer.number] for body in bodies]


def _fields_of(group: Sequence[StepBody]) -> dict[str, str]:
    """The field of each role that is not the same in all steps: of what always is the same as
    another, that one."""
    fields: dict[tuple[str, ...], str] = {}
    found = {}
    for role in group[0].slots:
        texts = tuple(body.slots[role].text for body in group)
        if len(set(texts)) > 1:
            found[role] = fields.setdefault(texts, role)
    return found


def _pays(group: Sequence[StepBody], fields: dict[str, str]) -> bool:
    """Whether a shared function takes less flash than one of each step."""
    many, count = len(group), len(set(fields.values()))
    of_function = OF_LINE * (group[0].body.count("\n") + 1)
    return many > 1 and (many - 1) * of_function > OF_FIELD * count + many * (
        OF_CALL + 4 * count
    )


def _written(
    group: Sequence[StepBody],
    fields: dict[str, str],
    inputs: Callable[[str], dict[str, str]],
) -> list[tuple[str, str]]:
    first = group[0]
    if len(group) == 1:
        fields = {}
    names = {
        role: f"own_{fields[role]}" if role in fields else slot.text
        for role, slot in first.slots.items()
    }
    own = dict.fromkeys(fields.values())
    body = filled(first.body, names)
    used = inputs(body)
    taken, given = [*used.values()], [*used]
    name = first.layer.name
    struct = f"struct of_step_{first.layer.number}"
    if len(group) > 1:
        name = f"{name}_and_{len(group) - 1}_more"
    if own:
        taken.insert(0, f"const {struct} *of")
        heads = [
            f"{_const(first.slots[role].ctype)}own_{role} = of->{role};" for role in own
        ]
        body = lines(*heads, body)
    head = f"{first.label}: {first.said}; {first.algorithm.name}."
    if len(group) > 1:
        served = "\n".join(f"{one.layer.number}. {one.label}" for one in group)
        head = f"{first.said}; {first.algorithm.name}. Of the steps:\n{served}"
    head = comment(head)
    function = (
        f"{head}\nSTEP void {name}({', '.join(taken) or 'void'}) {{\n"
        f"{indented(body)}\n}}\n"
    )
    found = []
    for one in group:
        parts = [one.tables] if one.tables else []
        if own and one is first:
            parts.append(_struct_text(struct, {r: one.slots[r].ctype for r in own}))
        address = []
        if own:
            parts.append(_instance_text(struct, one, list(own)))
            address = [f"&{one.layer.name}"]
        if one is first:
            parts.append(function)
        found.append(("\n".join(parts), f"{name}({', '.join([*address, *given])});"))
    return found


def _const(ctype: str) -> str:
    """The type of something that stays as it is: of a pointer, itself."""
    return f"{ctype}const " if ctype.endswith("*") else f"const {ctype}"


def _struct_text(struct: str, types: dict[str, str]) -> str:
    fields = "\n".join(f"  {ctype}{role};" for role, ctype in types.items())
    said = comment("What a function that several layers share takes of each.")
    return f"{said}\n{struct} {{\n{fields}\n}};\n"


def _instance_text(struct: str, body: StepBody, roles: list[str]) -> str:
    values = ",\n".join(f"  {body.slots[role].text}" for role in roles)
    name = body.layer.name
    head = comment(f"{body.label}: its share of {struct.removeprefix('struct ')}.")
    return f"{head}\nstatic const {struct} {name} = {{\n{values}\n}};\n"
