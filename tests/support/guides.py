"""Random schemas, expressions and grammars, each with a check of its texts that is not ours: jsonschema, or re."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import jsonschema
from trimode.api.guide import GuideType

WORDS = ("a", "name", "größe", "名前", "emoji 🙂", 'quo"te', "back\\slash", "", "line\nend", "long name of a property")
PATTERNS = ("^[A-Z]{2}[0-9]{3}$", "^(red|green|blue)$", "^[a-zé]{1,8}$", "^x?y+z*$", "[0-9]+")
FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "email")


class Guided(NamedTuple):
    """What a request asks for, and whether a text is that."""

    kind: GuideType
    guide: str
    holds: Callable[[str], bool]


LARGE_EVERY, LARGE_AT = 35, 13
"""Of so many seeds in a row one is a schema whose shortest text has more tokens than grammar/need.py's MOST."""


def any_guide(seed: int) -> Guided:
    chance = Random(seed)
    if seed % LARGE_EVERY == LARGE_AT:
        return _checked(_large(chance))
    make = chance.choices((_schema_guide, _regex_guide, _grammar_guide, _choice_guide), (6, 2, 2, 1))[0]
    return make(chance)


def _schema_guide(chance: Random) -> Guided:
    schema = Schemas(chance).any(3)
    if chance.random() < 0.3:
        names = {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3}, "leaf": schema}
        schema = {
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/node"}, "value": {"$ref": "#/$defs/leaf"}},
            "required": ["value"],
            "additionalProperties": False,
            "$defs": names,
        }
    return _checked(schema)


def _large(chance: Random) -> dict[str, Any]:
    names = [f"name{at}" for at in range(chance.randrange(31, 44))]
    more = chance.choice([False, {"type": "integer"}, True])
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": more}


def _checked(schema: dict[str, Any]) -> Guided:
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)

    def holds(text: str) -> bool:
        return bool(checker.is_valid(json.loads(text)))

    return Guided("json_schema", json.dumps(schema), holds)


class Schemas:
    """Random schemas with the keywords that are enforced."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def any(self, depth: int) -> dict[str, Any]:
        simple = (self.text, self.integer, self.number, self.constant, self.listed)
        deep = (self.array, self.object, self.object, self.either, self.both)
        return self._chance.choice(simple if depth == 0 else (*simple[:3], *deep))(depth - 1)

    def text(self, depth: int) -> dict[str, Any]:
        del depth
        chance = self._chance
        low = chance.randrange(4)
        return chance.choice(
            [
                {"type": "string"},
                {"type": "string", "minLength": low, "maxLength": low + chance.randrange(9)},
                {"type": "string", "pattern": chance.choice(PATTERNS)},
                {"type": "string", "format": chance.choice(FORMATS)},
                {"type": ["string", "null"]},
                {"enum": chance.sample(WORDS, 3)},
            ]
        )

    def integer(self, depth: int) -> dict[str, Any]:
        del depth
        chance = self._chance
        low = chance.randrange(-200, 200)
        return chance.choice(
            [
                {"type": "integer"},
                {"type": "integer", "minimum": low, "maximum": low + chance.randrange(1000)},
                {"type": "integer", "exclusiveMinimum": low},
                {"type": "integer", "exclusiveMaximum": low},
                {"type": "integer", "multipleOf": chance.choice((2, 3, 5, 10))},
                {"type": ["integer", "boolean"]},
            ]
        )

    def number(self, depth: int) -> dict[str, Any]:
        del depth
        low = self._chance.randrange(-50, 50) / 4
        return self._chance.choice(
            [{"type": "number"}, {"type": "number", "minimum": low, "maximum": low + 12.5}, {"type": "boolean"}]
        )

    def constant(self, depth: int) -> dict[str, Any]:
        del depth
        return {"const": self._chance.choice([None, 7, "ü", {"b": [1, {"c": ""}]}, [], True])}

    def listed(self, depth: int) -> dict[str, Any]:
        del depth
        return {"enum": self._chance.sample([1, "one", None, [2, "zwei"], {"k": 3}, False, 2.5], 3)}

    def array(self, depth: int) -> dict[str, Any]:
        low, chance = self._chance.randrange(3), self._chance
        if chance.random() < 0.3:
            return {"type": "array", "prefixItems": [self.any(depth), self.any(0)], "items": False, "minItems": 2}
        return {"type": "array", "items": self.any(depth), "minItems": low, "maxItems": low + chance.randrange(3)}

    def object(self, depth: int) -> dict[str, Any]:
        chance = self._chance
        names = chance.sample(WORDS, chance.randrange(1, 4))
        schema: dict[str, Any] = {"type": "object", "properties": {name: self.any(depth) for name in names}}
        schema["required"] = chance.sample(names, chance.randrange(len(names) + 1))
        schema["additionalProperties"] = chance.choice([False, False, True, {"type": "integer"}])
        if chance.random() < 0.15:
            schema = {"type": "object", "patternProperties": {"^k[0-9]$": self.any(0)}, "additionalProperties": False}
        return schema

    def either(self, depth: int) -> dict[str, Any]:
        if self._chance.random() < 0.3:
            return {"oneOf": [{"type": "null"}, {"type": "array", "items": self.any(0), "maxItems": 2}]}
        return {"anyOf": [self.any(depth), self.any(0)]}

    def both(self, depth: int) -> dict[str, Any]:
        one, two = ({"type": "object", "properties": {name: self.any(0)}, "required": [name]} for name in ("p", "q"))
        del depth
        return {"allOf": [one, two]}


def _regex_guide(chance: Random) -> Guided:
    expression = _expression(chance, 3)
    compiled = re.compile(expression)
    return Guided("regex", expression, lambda text: compiled.fullmatch(text) is not None)


def _expression(chance: Random, depth: int) -> str:
    parts = []
    for _ in range(chance.randrange(1, 4)):
        if depth and chance.random() < 0.4:
            part = f"(?:{'|'.join(_expression(chance, depth - 1) for _ in range(chance.randrange(1, 3)))})"
        else:
            part = chance.choice(["a", "xy", "é", "🙂", "[a-f]", "[0-9]", "[^a-z\n]", r"\.", "[名前]", " "])
            part = f"(?:{part})" if len(part) == 2 and part[0] != "\\" else part
        parts.append(part + chance.choice(["", "", "?", "+", "*", "{2}", "{1,3}"]))
    return "".join(parts) + chance.choice(["", "z"]) if depth < 3 else "!" + "".join(parts)


def _grammar_guide(chance: Random) -> Guided:
    """A grammar of rules, and the expression that they stand for."""
    rules: list[str] = []
    lark = chance.random() < 0.5

    def rule(depth: int) -> tuple[str, str]:
        """Return what stands for a new rule in a grammar, and in an expression."""
        options = []
        for _ in range(chance.randrange(1, 4)):
            if depth and chance.random() < 0.6:
                pieces = [rule(depth - 1), ('" "', " "), rule(depth - 1)]
            else:
                word = chance.choice(["yes", "no", "ß", "名", "1"])
                pieces = [(f'"{word}"', word)]
            repeat = chance.choice(["", "", "+", "?", "*"])
            options.append(
                (f"({' '.join(one for one, _ in pieces)}){repeat}", f"(?:{''.join(e for _, e in pieces)}){repeat}")
            )
        name = f"r{len(rules)}"
        rules.append(name + (": " if lark else " ::= ") + " | ".join(one for one, _ in options))
        return name, f"(?:{'|'.join(expression for _, expression in options)})"

    name, expression = rule(2)
    begin = f'start: "<" {name} ">"' if lark else f'root ::= "<" {name} ">"'
    compiled = re.compile(f"<{expression}>")
    return Guided("ebnf_grammar", "\n".join([begin, *rules]) + "\n", lambda text: compiled.fullmatch(text) is not None)


def _choice_guide(chance: Random) -> Guided:
    choices = [word for word in chance.sample(WORDS, 4) if word]
    return Guided("choice", json.dumps(choices), lambda text: text in choices)
