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
FORMATS = ("date", "time", "date-time", "duration", "uuid", "ipv4", "ipv6", "email", "hostname", "uri")
JUDGED_FORMATS = ("uuid", "ipv4", "ipv6", "email")
"""Those that are judged by their letters alone; a date also depends on the calendar."""


class Guided(NamedTuple):
    """What a request asks for, and whether a text is that."""

    kind: GuideType
    guide: str
    holds: Callable[[str], bool]


LARGE_EVERY, LARGE_AT = 36, 13
"""Of so many seeds in a row one is a schema whose shortest text has more tokens than grammar/need.py's MOST."""
MAKERS: tuple[tuple[Callable[[Random], Guided], int], ...]
"""What makes guides, and how often each is taken."""


def any_guide(seed: int) -> Guided:
    """Return the guide of a number."""
    chance = Random(seed)
    if seed % LARGE_EVERY == LARGE_AT:
        return checked(_large(chance))
    makers = [maker for maker, _ in MAKERS]
    return chance.choices(makers, [weight for _, weight in MAKERS])[0](chance)


def _schema_guide(chance: Random) -> Guided:
    schema = Schemas(chance).any(3)
    if chance.random() < 0.3:
        inside = chance.choice(("$defs", "definitions"))
        node = {"type": "array", "items": {"$ref": f"#/{inside}/node"}, "maxItems": 3}
        schema = {
            "type": "object",
            "properties": {"tree": {"$ref": f"#/{inside}/node"}, "value": {"$ref": f"#/{inside}/leaf"}},
            "required": ["value"],
            "additionalProperties": False,
            inside: {"node": node, "leaf": schema},
        }
    return checked({**schema, **chance.choice(({}, {}, {"title": "größe", "description": "{", "examples": [1]}))})


def _large(chance: Random) -> dict[str, Any]:
    names = [f"name{at}" for at in range(chance.randrange(31, 44))]
    more = chance.choice([False, {"type": "integer"}, True])
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": more}


def checked(schema: dict[str, Any]) -> Guided:
    """Return the guide of a schema, whose texts jsonschema judges."""
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker(JUDGED_FORMATS))

    def holds(text: str) -> bool:
        return bool(checker.is_valid(json.loads(text)))

    return Guided("json_schema", json.dumps(schema), holds)


class Schemas:
    """Random schemas with the keywords that are enforced."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def any(self, depth: int) -> dict[str, Any]:
        """Return a schema that nests at most so deep."""
        simple = (self._text, self._integer, self._number, self._constant, self._listed)
        deep = (self._array, self._object, self._object, self._either, self._both)
        return self._chance.choice(simple if depth == 0 else (*simple[:3], *deep))(depth - 1)

    def _text(self, depth: int) -> dict[str, Any]:
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

    def _integer(self, depth: int) -> dict[str, Any]:
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
                {"type": "integer", "minimum": low, "multipleOf": 7},
                {"type": ["integer", "boolean"]},
            ]
        )

    def _number(self, depth: int) -> dict[str, Any]:
        del depth
        low = self._chance.randrange(-50, 50) / 4
        return self._chance.choice(
            [
                {"type": "number"},
                {"type": "number", "minimum": low, "maximum": low + 12.5},
                {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 0.25},
                {"type": "number", "multipleOf": 0.5},
                {"type": "boolean"},
            ]
        )

    def _constant(self, depth: int) -> dict[str, Any]:
        del depth
        return {"const": self._chance.choice([None, 7, "ü", {"b": [1, {"c": ""}]}, [], True])}

    def _listed(self, depth: int) -> dict[str, Any]:
        del depth
        return {"enum": self._chance.sample([1, "one", None, [2, "zwei"], {"k": 3}, False, 2.5], 3)}

    def _array(self, depth: int) -> dict[str, Any]:
        low, chance = self._chance.randrange(3), self._chance
        if chance.random() < 0.3:
            return {"type": "array", "prefixItems": [self.any(depth), self.any(0)], "items": False, "minItems": 2}
        return {"type": "array", "items": self.any(depth), "minItems": low, "maxItems": low + chance.randrange(3)}

    def _object(self, depth: int) -> dict[str, Any]:
        chance = self._chance
        names = chance.sample(WORDS, chance.randrange(1, 4))
        schema: dict[str, Any] = {"type": "object", "properties": {name: self.any(depth) for name in names}}
        schema["required"] = chance.sample(names, chance.randrange(len(names) + 1))
        schema["additionalProperties"] = chance.choice([False, False, True, {"type": "integer"}])
        if chance.random() < 0.15:
            schema = {"type": "object", "patternProperties": {"^k[0-9]$": self.any(0)}, "additionalProperties": False}
        if chance.random() < 0.15:
            schema["required"] = [*schema.get("properties", ())]  # otherwise it is refused
            count, free = len(schema["required"]), schema["additionalProperties"] is not False
            least = chance.randrange(count + 1 + (free or not count))
            schema |= {"minProperties": least, "maxProperties": max(least, count) + chance.randrange(3)}
        return schema

    def _either(self, depth: int) -> dict[str, Any]:
        if self._chance.random() < 0.3:
            return {"oneOf": [{"type": "null"}, {"type": "array", "items": self.any(0), "maxItems": 2}]}
        return {"anyOf": [self.any(depth), self.any(0)]}

    def _both(self, depth: int) -> dict[str, Any]:
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


def _nested_guide(chance: Random) -> Guided:
    """A grammar that no expression stands for: brackets in each other, around one of two words."""
    left, right = chance.choice((("(", ")"), ("[", "]"), ("«", "»")))
    between = chance.choice(("", " "))
    inner = f'"{left}" "{between}" nest "{right}"' if between else f'"{left}" nest "{right}"'
    text = f'start: nest\nnest: "ja" | "名" | {inner}\n'

    def holds(text: str) -> bool:
        while text.startswith(left + between) and text.endswith(right):
            text = text[len(left + between) : -len(right)]
        return text in ("ja", "名")

    return Guided("ebnf_grammar", text, holds)


def _choice_guide(chance: Random) -> Guided:
    choices = [word for word in chance.sample(WORDS, 4) if word]
    return Guided("choice", json.dumps(choices), lambda text: text in choices)


def _json_guide(chance: Random) -> Guided:
    del chance
    return Guided("json", "", lambda text: isinstance(json.loads(text), dict))


MAKERS = (
    *((_schema_guide, 24), (_regex_guide, 8), (_grammar_guide, 6)),
    *((_nested_guide, 2), (_choice_guide, 4), (_json_guide, 1)),
)
