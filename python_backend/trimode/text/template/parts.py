"""Whether a chat template is made of parts whose work on a short chat is bounded, so that it may be rendered here.

A template is code of strangers. One that only chooses, cuts and joins what a few short messages say is harmless, and
rendering it in place spares a chat the way to another process. What is not known to be harmless is rendered there; see
process.py. Knows nothing of processes.

The bound: no loop stands in another one, and loops go over messages alone. No part repeats a text or runs code of the
template's own. A text can be MOST_LONGER times as long as chat and template together, and what a namespace carries from
one message to the next is never longer than the chat. So the worst template takes some tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import nodes

MOST_MESSAGES = 8
"""Messages of a short chat."""
MOST_CHAT = 2048
"""Characters of all that they say: some 500 tokens, beside whose passes the way to another process is nothing."""
MOST_TEMPLATE = 4096
"""Characters of a template; nano's has 1,900."""
MOST_LONGER = 4
"""How many times longer all that joins two texts may make one, each counted as if it doubled all before it."""
MOST_SEARCHES = 8
"""Parts that go through a whole text, such as a split."""
MOST_DEPTH = 50
"""Expressions within each other."""
FILTERS = {"trim", "length", "count", "default", "d"}
TESTS = {
    *("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "boolean", "true", "false"),
    *("number", "integer"),
}
METHODS = {"strip", "lstrip", "rstrip", "startswith", "endswith"}
SPLIT = "split"
"""Of its list, whose text may be several times as long, a template must take one item at once."""
OWN = {*dir(str), *dir(dict), *dir(list)}
"""What texts, messages and lists have of their own: written without being called, it would show where memory is."""
CALLED = ("raise_exception", "namespace")
"""Functions that a template may call; no other value may have their names, and none of a namespace a method's."""
MESSAGES = "messages"
HARMLESS = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.Name, nodes.NSRef),
    *(nodes.Const, nodes.Concat, nodes.Add, nodes.Sub, nodes.Neg, nodes.And, nodes.Or, nodes.Not, nodes.Compare),
    *(nodes.Operand, nodes.CondExpr, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test),
    *(nodes.Call, nodes.Keyword, nodes.Tuple, nodes.Break, nodes.Continue),
)
"""Nodes whose work is bounded, some of them only as `_Bound` says."""


def is_short(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a chat is a few short messages that say texts alone."""
    if len(messages) > MOST_MESSAGES:
        return False
    size = 0
    for message in messages:
        for name, value in message.items():
            if not isinstance(value, str):
                return False
            size += len(name) + len(value)
    return size <= MOST_CHAT


def is_bounded(tree: nodes.Template, characters: int) -> bool:
    """Whether a template takes a bounded time and memory for a short chat.

    Args:
        characters: of the template and of the special tokens that it may write.
    """
    return characters <= MOST_TEMPLATE and _Bound(tree).holds


class _Bound:
    """What is counted over a template; `holds` says whether all of it stays within its bounds."""

    def __init__(self, tree: nodes.Template) -> None:
        self._longer, self._searches = 1, 0
        self._called = {id(one.node) for one in tree.find_all(nodes.Call)}
        self._taken = {id(one.node) for one in tree.find_all(nodes.Getitem) if _is_constant(one.arg)}
        assigned = list(_assigned(tree))
        loops = [one.target for one in tree.find_all(nodes.For)]
        self._each = {one.name for one in loops if isinstance(one, nodes.Name)}
        sliced = {name for name, _ in assigned} | {MESSAGES}
        self._lists = {
            name for name in sliced - self._each if all(_is_part(value) for own, value in assigned if own == name)
        }
        if MESSAGES not in self._lists:
            self._lists = set()
        self._given = (self._lists | self._each | {"loop"}) - {name for name, _ in assigned if name not in self._lists}
        own = {*(name for name, _ in assigned), *self._each}
        self.holds = own.isdisjoint(CALLED) and self._allows(tree, loop=False, depth=0)

    def _allows(self, node: nodes.Node, *, loop: bool, depth: int) -> bool:
        if depth > MOST_DEPTH or not isinstance(node, HARMLESS) or not self._allows_itself(node, loop=loop):
            return False
        loop = loop or isinstance(node, nodes.For)
        within = all(self._allows(one, loop=loop, depth=depth + 1) for one in node.iter_child_nodes())
        return within and self._longer <= MOST_LONGER and self._searches <= MOST_SEARCHES

    def _allows_itself(self, node: nodes.Node, *, loop: bool) -> bool:
        """Whether a node is allowed where it stands, whatever is in it; counts it."""
        match node:
            case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=name)):
                return name not in OWN or id(node) in self._called
            case nodes.For():
                return not (loop or node.recursive) and isinstance(node.target, nodes.Name) and self._is_list(node.iter)
            case nodes.Assign(target=nodes.NSRef(attr=attr)):
                return attr not in (*METHODS, SPLIT) and self._is_given(node.node)
            case nodes.Assign():
                return isinstance(node.target, nodes.Name)
            case nodes.Tuple():
                return all(isinstance(one, nodes.Const) for one in node.items)
            case nodes.Concat() | nodes.Add():
                joined = node.nodes if isinstance(node, nodes.Concat) else (node.left, node.right)
                self._longer *= max(1, sum(not isinstance(one, nodes.Const) for one in joined))
            case nodes.Operand(op="in" | "notin"):
                self._searches += 1
            case nodes.Filter() | nodes.Test():
                self._searches += isinstance(node, nodes.Filter)
                names = FILTERS if isinstance(node, nodes.Filter) else TESTS
                return node.name in names and _has_constants(node)
            case nodes.Call():
                return self._allows_call(node)
        return True

    def _allows_call(self, node: nodes.Call) -> bool:
        match node.node:
            case nodes.Name(name="raise_exception"):
                return True
            case nodes.Name(name="namespace"):
                named = all(one.key not in (*METHODS, SPLIT) and self._is_given(one.value) for one in node.kwargs)
                return named and not (node.args or _unpacks(node))
            case nodes.Getattr(attr=attr):
                self._searches += 1
                return _has_constants(node) and (attr in METHODS or (attr == SPLIT and id(node) in self._taken))
        return False

    def _is_list(self, node: nodes.Node) -> bool:
        """Whether a node is messages, all or some."""
        if isinstance(node, nodes.Getitem):
            return isinstance(node.arg, nodes.Slice) and self._is_list(node.node)
        return isinstance(node, nodes.Name) and node.name in self._lists

    def _is_given(self, node: nodes.Node) -> bool:
        """Whether a node is a constant, or what the chat itself says somewhere."""
        while isinstance(node, nodes.Getattr) or (
            isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const | nodes.Slice)
        ):
            node = node.node
        return _is_constant(node) or (isinstance(node, nodes.Name) and node.name in self._given)


def _assigned(tree: nodes.Template) -> Iterator[tuple[str, nodes.Node]]:
    """Yield the name and the value of each assignment to a plain name."""
    for one in tree.find_all(nodes.Assign):
        if isinstance(one.target, nodes.Name):
            yield one.target.name, one.node


def _is_part(node: nodes.Node) -> bool:
    """Whether a value is the messages, or a slice of them."""
    while isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        node = node.node
    return isinstance(node, nodes.Name) and node.name == MESSAGES


def _is_constant(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) or (isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const))


def _unpacks(node: nodes.Call | nodes.Filter | nodes.Test) -> bool:
    return node.dyn_args is not None or node.dyn_kwargs is not None


def _has_constants(node: nodes.Call | nodes.Filter | nodes.Test) -> bool:
    """Whether all arguments are constants."""
    return not (_unpacks(node) or node.kwargs) and all(_is_constant(one) for one in node.args)
