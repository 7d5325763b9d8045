"""Which bits a model gets: schemes, the rules of layers, the names of both."""

from larqlite.qat.schemes._rules import RULES, Rule, add_rule, rule_for
from larqlite.qat.schemes._scheme_names import FLOAT, get_schemes, name_scheme
from larqlite.qat.schemes._schemes import (
    BinaryScheme,
    Default8BitQuantizeScheme,
    DefaultNBitQuantizeScheme,
    DefaultQuantizeRegistry,
    NamedWeightsScheme,
    QuantizeRegistry,
    QuantizeScheme,
    TernaryScheme,
)

__all__ = [
    "BinaryScheme",
    "Default8BitQuantizeScheme",
    "DefaultNBitQuantizeScheme",
    "DefaultQuantizeRegistry",
    "FLOAT",
    "NamedWeightsScheme",
    "QuantizeRegistry",
    "QuantizeScheme",
    "RULES",
    "Rule",
    "TernaryScheme",
    "add_rule",
    "get_schemes",
    "name_scheme",
    "rule_for",
]
