"""Ax search spaces as ours."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from sparsemod.errors import InputError
from sparsemod.space.parameters import Choice, Condition, Float, Int, Parameter, Value

if TYPE_CHECKING:
    from ax.core.search_space import SearchSpace as AxSearchSpace


def parameters_from_ax(space: "AxSearchSpace") -> Mapping[str, Parameter]:
    """The parameters of an Ax `SearchSpace`; hierarchical ones become conditions, parents stand before their children.

    Raises:
        InputError: The Ax space has parameter constraints, which have no counterpart here, or it is no Ax space.
    """
    if not hasattr(space, "parameters"):
        raise InputError(f"the space is a {type(space).__name__}; it must be a SearchSpace of sparsemod or of Ax")
    if getattr(space, "parameter_constraints", None):
        raise InputError(
            "the Ax search space has parameter constraints, which sparsemod does not support: let `build` raise "
            "Infeasible(reason) for the combinations to refuse"
        )
    conditions: dict[str, dict[str, tuple[Value, ...]]] = {}
    for parent, parameter in space.parameters.items():
        if not parameter.is_hierarchical:
            continue
        for value, children in parameter.dependents.items():
            for child in children:
                allowed = conditions.setdefault(child, {})
                allowed[parent] = (*allowed.get(parent, ()), cast(Value, value))
    converted: dict[str, Parameter] = {}
    waiting = dict(space.parameters)
    while waiting:  # a parent must stand before its children
        before = len(waiting)
        for name, parameter in list(waiting.items()):
            if all(parent in converted for parent in conditions.get(name, {})):
                converted[name] = _from_ax_parameter(parameter, conditions.get(name))
                del waiting[name]
        if len(waiting) == before:
            raise InputError(f"the Ax search space is circular: {', '.join(waiting)} depend on each other")
    return converted


def _from_ax_parameter(parameter: object, when: Condition | None) -> Parameter:
    from ax.core.parameter import ChoiceParameter, FixedParameter, ParameterType, RangeParameter

    match parameter:
        case RangeParameter() if parameter.parameter_type == ParameterType.INT:
            return Int(int(parameter.lower), int(parameter.upper), log=parameter.log_scale, when=when)
        case RangeParameter():
            return Float(float(parameter.lower), float(parameter.upper), log=parameter.log_scale, when=when)
        case ChoiceParameter():
            return Choice(cast(Sequence[Value], parameter.values), when=when)
        case FixedParameter():
            return Choice((cast(Value, parameter.value),), when=when)
        case _:
            raise InputError(f"the Ax parameter {parameter!r} is of a kind sparsemod does not know")
