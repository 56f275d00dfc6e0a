"""A template that does not end, or swells, is stopped in a line; those of real models are not."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from bot.engine import EngineError
from bot.engine.text.bounded_template import MAX_SOURCE, ChatTemplate

USER = [{"role": "user", "content": "hello"}]
DOUBLE_LIST = "{% set x = ['a'] %}" + "{% set x = [x, x] %}" * 60
SWELLING = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "much text in a loop": "{% for a in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
    "loops over lists of loops": "{% for a in range(999)|list %}{% for b in range(9999)|map('string') %}"
    "{{ b }}{% endfor %}{% endfor %}",
    "a loop that calls itself": "{% for a in [1, 2] recursive %}{% if loop.depth0 < 40 %}{{ loop([1, 2]) }}"
    "{% endif %}{% endfor %}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "a text repeated": "{{ 'a' * 9999999999 }}",
    "a list repeated": "{{ ([1] * 9999999999)|length }}",
    "a text joined to itself": "{% set x = 'a' * 999 %}" + "{% set x = x ~ x %}" * 40,
    "a text added to itself": "{% set x = 'a' * 999 %}" + "{% set x = x + x %}" * 40,
    "a block of itself": "{% set x %}aaaaaaaaaa{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "a list in itself, written": DOUBLE_LIST + "{{ x }}",
    "a list in itself, as JSON": DOUBLE_LIST + "{{ x|tojson }}",
    "a tuple in itself": "{% set x = ('a',) %}" + "{% set x = (x, x) %}" * 60 + "{{ x|string|length }}",
    "a namespace in itself": "{% set n = namespace(a=1) %}"
    + "{% set n = namespace(a=n, b=n) %}" * 60
    + "{{ n }}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "a width": "{{ '%999999999d' % 1 }}",
    "a star for a width": "{{ '%*d' % (999999999, 1) }}",
    "a formatted width": "{{ '{:999999999}'.format(1) }}",
    "centred": "{{ 'a'.center(999999999) }}",
    "filled": "{{ 'a'.zfill(999999999) }}",
    "replaced": "{% set x = 'a' * 99999 %}{{ x.replace('a', x) }}",
    "replaced by a filter": "{% set x = 'a' * 99999 %}{{ x|replace('a', x) }}",
    "joined": "{% set x = 'a' * 9999 %}{{ x.join(range(99999)|map('string')) }}",
    "joined by a filter": "{% set x = 'a' * 9999 %}{{ range(99999)|join(x) }}",
    "indented": "{% set x = '\n' * 9999 %}{{ x|indent(99999) }}",
    "a date with a width": "{{ strftime_now('%999999999d') }}",
    "compared again and again": "{% set x = range(99999)|list %}{% for a in range(99999) %}"
    "{% if x == x + [] %}{% endif %}{% endfor %}",
    "copied again and again": "{% set x = range(99999)|list %}{% for a in range(99999) %}"
    "{% set y = x[1:] %}{% endfor %}",
}


@pytest.mark.parametrize("source", SWELLING.values(), ids=SWELLING)
def test_a_template_that_swells_is_stopped(source: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EngineError, match=r"does not end or writes too much|is damaged"):
        ChatTemplate(source).render(USER)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{% for %}", "is damaged"),
        ("{{ a|lipsum }}", "is damaged"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "is damaged"),
        ("x" * (MAX_SOURCE + 1), "has 200001 characters"),
        ("{{ lipsum(n=9999) }}", "refuses this conversation"),
        ("{{ 1 // 0 }}", "refuses this conversation"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "refuses this conversation|does not end"),
        ("{{ raise_exception('only\nusers') }}", "refuses this conversation: only users"),
        ("{{ messages.__class__.__mro__ }}", "refuses this conversation"),
        ("{{ messages.append(1) }}", "refuses this conversation"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_wrong_is_told_in_a_line(source: str, told: str) -> None:
    with pytest.raises(EngineError, match=told) as caught:
        ChatTemplate(source).render(USER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages[::-1] %}{{ messages|length - loop.index }}{% endfor %}", "0"),
        ("{% for m in messages %}{{ loop.last }}{{ loop.length }}{% endfor %}", "True1"),
        ("{{ 'a' + 'b' ~ 'c' ~ 1 }}{{ 'x' * 3 }}{{ '%s-%d' % ('a', 2) }}", "abc1xxxa-2"),
        ("{{ messages[0]|tojson }}", '{"role": "user", "content": "hello"}'),
        ("{{ messages|map(attribute='role')|join(',') }}{{ ','.join(['a', 'b']) }}", "usera,b"),
        ("{{ messages|selectattr('role', 'equalto', 'user')|list|length }}", "1"),
        ("{% set n = namespace(a=1) %}{% for m in messages %}{% set n.a = 2 %}{% endfor %}{{ n.a }}", "2"),
        ("{% if messages[0].role in ('user', 'tool') and x is not defined %}yes{% endif %}", "yes"),
        ("{{ 'a b'.split(' ')[-1].strip('\n') }}{{ 'xax'|replace('x', 'y') }}{{ ' a '|trim }}", "byaya"),
        (
            "{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f('x') }}"
            "{% for k, v in {'a': 1}.items() %}{{ k }}{% endfor %}",
            "<x>a",
        ),
        ("{% for a in range(9) %}{% if a == 2 %}{% break %}{% endif %}{{ a }}{% endfor %}", "01"),
        (
            "{% for a in [1, [2]] recursive %}{% if a is iterable %}{{ loop(a) }}"
            "{% else %}{{ a }}{% endif %}{% endfor %}",
            "12",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_what_templates_do_is_as_before(source: str, text: str) -> None:
    assert ChatTemplate(source).render(USER) == text


def test_a_long_conversation_is_no_loop() -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": f"\ue000{at}\ue001"} for at in range(2000)]
    source = (
        "{% for m in messages %}"
        "{% if loop.index0 == messages|length or messages[loop.index0 - 1].role == 'x' %}"
        + "a" * 2000
        + "{% endif %}{{ m.content }}{% endfor %}{{ messages[1:]|length }}"
    )
    assert ChatTemplate(source).render(turns).endswith("1999")
