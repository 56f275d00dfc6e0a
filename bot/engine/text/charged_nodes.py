"""A parsed chat template with the filters in it that charge for its work, see `bounded_template`.

`_each` counts the turns of a loop, `_checked` weighs a value. They stand where a template loops, and where it
makes or compares values without calling anything that the environment could charge for.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.visitor import NodeTransformer


class ChargedNodes(NodeTransformer):
    """Puts the charging filters where a template loops, and where it makes values without a call."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        text = text_in(node)
        self.generic_visit(node)
        node.iter = _filter(node.iter, "_each", nodes.Const(text))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [_filter(each, "_checked") for each in node.nodes]
        return _filter(node, "_checked")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filter(node.expr, "_checked")
        for operand in node.ops:
            operand.expr = _filter(operand.expr, "_checked")
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _filter(node, "_checked")

    visit_Dict = visit_List

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return node if node.ctx == "store" else _filter(node, "_checked")


def _filter(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(
        node, name, list(args), [], None, None, lineno=node.lineno, environment=node.environment
    )


def text_in(node: nodes.Node) -> int:
    """Characters of a template's own text in a part of it."""
    return sum(len(each.data) for each in node.find_all(nodes.TemplateData))
