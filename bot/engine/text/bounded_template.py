"""Chat templates in a sandbox that bounds their work: one that loops or swells is stopped, whoever wrote it.

jinja's own sandbox keeps templates from Python's attributes, and not from nested loops, macros that call
each other, and texts that double. Here one budget is charged for every turn of a loop, every call, filter,
test and output, by the size of what it handles; and every value that a template makes is weighed, so that no
single operation handles one of more than MAX_VALUE. What could swell in one step is checked before it.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import loopcontrols
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from bot.engine.errors import EngineError
from bot.engine.text.charged_nodes import ChargedNodes, text_in

MAX_SOURCE = 200_000  # characters; the longest of known models has 20,000
MAX_VALUE = 200_000  # characters or elements, whatever is nested counted
_BUDGET, _BUDGET_A_MESSAGE = 5_000_000, 20_000  # what a rendering may spend
_TURN = 100  # for a turn of a loop or a macro's call, and the template's text in it
# fmt: off
_FILTERS = (
    "abs", "attr", "capitalize", "count", "d", "default", "dictsort", "e", "escape",
    "first", "float", "groupby", "indent", "int", "items", "join", "last", "length",
    "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
    "safe", "select", "selectattr", "sort", "string", "title", "trim", "unique", "upper",
)
# fmt: on
_GLOBALS = ("range", "dict", "namespace")
_AT_ONCE = ("length", "count", "first", "default", "d")  # whatever the size
# What makes a text as long as a number says.
_SWELLING = (
    "center",
    "ljust",
    "rjust",
    "zfill",
    "expandtabs",
    "format",
    "format_map",
    "to_bytes",
    "translate",
)
_WIDTH = re.compile(r"\d{4}|\*")


class ChatTemplate:
    """A compiled template. Safe to share between threads."""

    def __init__(self, source: str) -> None:
        """Raises EngineError for what is no template."""
        if len(source) > MAX_SOURCE:
            raise EngineError(
                f"the model's chat template has {len(source)} characters, at most {MAX_SOURCE} are known: "
                "use another file of the model"
            )
        self._environment = _Environment()
        try:
            with self._environment.spending(_BUDGET):
                self._template = self._environment.from_string(source)
        except Exception as problem:  # Python's own compiler has many, for what jinja lets through
            raise EngineError(
                f"the model's chat template is damaged ({_line(problem)}): fetch it again"
            ) from None

    def render(self, messages: Sequence[Mapping[str, str]], **values: Any) -> str:
        """The text for `messages`. Raises EngineError where the template refuses them or does not end."""
        try:
            with self._environment.spending(_BUDGET + _BUDGET_A_MESSAGE * len(messages), messages):
                return str(self._template.render(messages=messages, **values))
        except TooMuch:
            raise EngineError(
                "the model's chat template does not end or writes too much: use another file of the model"
            ) from None
        except Exception as problem:  # a template can raise whatever Python raises
            raise EngineError(
                f"the model's chat template refuses this conversation: {_line(problem)}"
            ) from None


class TooMuch(TemplateError):
    """The template's budget is spent."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols],
            autoescape=False,  # no HTML
            optimized=False,  # nothing is computed before there is a budget
            finalize=self._checked,
        )
        self._state = threading.local()
        self._data = 0  # characters of the template's own text
        self.globals = {name: self.globals[name] for name in _GLOBALS}
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        filters: dict[str, Any] = dict(self.filters)
        self.filters = {name: self._charging(filters[name], name) for name in _FILTERS}
        self.filters["tojson"] = self._charging(_tojson, "tojson")
        self.filters["_checked"], self.filters["_each"] = self._checked, self._each
        tests: dict[str, Any] = dict(self.tests)
        self.tests = {name: self._charging(test, name) for name, test in tests.items()}

    def spending(self, budget: int, messages: Sequence[Mapping[str, str]] = ()) -> _Spending:
        """While it is open, this thread spends `budget`. The messages are weighed once."""
        return _Spending(self._state, budget, messages)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        self._data = text_in(tree)
        return ChargedNodes().visit(tree)  # type: ignore[no-any-return]

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call in the template, of a macro, function, method or recursive loop."""
        loops = isinstance(__obj, LoopContext)
        __self._spend(_TURN + __self._data if loops or isinstance(__obj, Macro) else 10)
        if loops:
            args = (__self._each(args[0], __self._data), *args[1:])
        else:
            owner, name = getattr(__obj, "__self__", None), str(getattr(__obj, "__name__", ""))
            if name in _SWELLING:  # the sandbox's own `format` has no owner
                raise TooMuch
            if isinstance(owner, (str, bytes)):
                args = __self._unswollen(name, (owner, *args))[1:]
            for each in (owner, *args, *kwargs.values()):
                __self._checked(each)
        return __self._checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, refused before it swells."""
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(one, (str, bytes, list, tuple)):
                    self._spend_value(self._weight(one) * max(0, times))
        elif _swells(operator, left, right):
            raise TooMuch
        self._checked(left)
        self._checked(right)
        return self._checked(super().call_binop(context, operator, left, right))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`; a slice is a copy."""
        found = super().getitem(obj, argument)
        return self._checked(found) if isinstance(argument, slice) else found

    def _charging(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A filter or test that is charged for what it is given and what it gives."""

        @functools.wraps(function)  # with jinja's mark that it takes the environment
        def charged(*args: Any, **kwargs: Any) -> Any:
            self._spend(10)
            if name in _AT_ONCE:
                return function(*args, **kwargs)
            skipped = 1 if hasattr(function, "jinja_pass_arg") else 0
            args = (*args[:skipped], *self._unswollen(name, args[skipped:]))
            for each in (*args[skipped:], *kwargs.values()):
                self._checked(each)
            if name == "indent":
                self._spend_value(str(args[0]).count("\n") * _size(args[1:2], kwargs.get("width", 4)))
            return self._checked(function(*args, **kwargs))

        return charged

    def _unswollen(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of a method or filter of that name, checked for what it would make of them."""
        if name == "replace" and len(args) > 2:
            self._spend_value(str(args[0]).count(str(args[1])) * len(str(args[2])))
        if name == "join" and args:
            # A filter has the list first, a method the text between.
            at = 1 if isinstance(args[0], str) and len(args) > 1 and not isinstance(args[1], str) else 0
            if not isinstance(args[at], str):
                parts = list(self._each(args[at], 0))
                between = str(args[1 - at]) if len(args) > 1 else ""
                self._spend_value(len(parts) * len(between) + sum(map(self._weight, parts)))
                args = (*args[:at], parts, *args[at + 1 :])
        return args

    def _each(self, values: Iterable[Any], text: int) -> Iterator[Any]:
        """The values of a loop in which so many characters of the template stand."""
        for value in values:
            self._spend(_TURN + text)
            yield value

    def _checked(self, value: Any) -> Any:
        """The value itself, charged by its weight. Raises TooMuch."""
        self._spend_value(self._weight(value))
        return value

    def _spend_value(self, weight: int) -> None:
        if weight > MAX_VALUE + self._state.messages:
            raise TooMuch
        self._spend(weight)

    def _spend(self, units: int) -> None:
        self._state.left -= units
        if self._state.left < 0:
            raise TooMuch

    def _weight(self, value: Any) -> int:
        """Characters, bytes and elements in a value and in all that is in it; no further than the limit."""
        total, waiting, most = 0, [value], MAX_VALUE + self._state.messages
        while waiting and total <= most:
            each = waiting.pop()
            total += 1
            if isinstance(each, (str, bytes, range)):
                total += len(each)
            elif isinstance(each, int):
                total += each.bit_length() // 8
            elif (known := self._state.known.get(id(each))) is not None:
                total += known
            elif isinstance(each, (list, tuple, set, frozenset)):
                waiting.extend(each)
            elif isinstance(each, dict):
                waiting.extend((*each.keys(), *each.values()))
            elif isinstance(each, Namespace):
                waiting.append(object.__getattribute__(each, "_Namespace__attrs"))
        return total


class _Spending:
    """A thread's budget, from when it is entered until it is left."""

    def __init__(self, state: threading.local, budget: int, messages: Sequence[Mapping[str, str]]) -> None:
        self._state, self._budget, self._messages = state, budget, messages

    def __enter__(self) -> None:
        known = {id(each): sum(len(text) + 2 for text in each.values()) + 20 for each in self._messages}
        total = sum(known.values())
        if self._messages:
            known[id(self._messages)] = total
        self._state.left, self._state.known, self._state.messages = self._budget, known, total

    def __exit__(self, *_: object) -> None:
        self._state.known = {}


def _swells(operator: str, left: object, right: object) -> bool:
    if operator == "**":
        return not (_is_small(left) and _is_small(right))
    return operator == "%" and isinstance(left, (str, bytes)) and bool(_WIDTH.search(str(left)))


def _is_small(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 6)


def _size(given: Sequence[Any], default: Any) -> int:
    width = given[0] if given else default
    return len(width) if isinstance(width, str) else abs(int(width))


def _tojson(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _strftime_now(form: str) -> str:
    if _WIDTH.search(form):
        raise TooMuch
    return datetime.now().strftime(form)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
