"""Each kind of file writes each operation of a plan, or is not imported."""

import pytest

from larqlite.integer.export import plan


def test_an_operation_without_a_function_is_named_where_functions_are_defined():
    forms = plan.StepForms("Drawings", refused=[plan.StepOp.TRANSPOSED])
    for op in set(plan.StepOp) - {plan.StepOp.RELU, plan.StepOp.TRANSPOSED}:
        forms.of(op)(lambda *_: None)
    with pytest.raises(
        LookupError, match="Drawings: no function writes the steps RELU"
    ):
        forms.require_complete()


def test_operations_that_are_refused_and_those_that_plans_drop_need_no_function():
    forms = plan.StepForms("Drawings", refused=set(plan.StepOp) - {plan.StepOp.ADD})
    written = forms.of(plan.StepOp.ADD)(lambda *_: "added")
    forms.require_complete()
    assert forms[plan.StepOp.ADD] is written
    assert forms[plan.StepOp.ADD]() == "added"
