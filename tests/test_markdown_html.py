"""A reply's Markdown as safe HTML: emphasis beside Chinese, aligned tables, pictures as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cjk_emphasis import is_cjk
from bot.markdown_html import render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("结论是**可以（但要小心）**的。", "结论是<strong>可以（但要小心）</strong>的。"),
        ("我们用**“蓝绿部署”**上线", "我们用<strong>“蓝绿部署”</strong>上线"),
        ("步骤**1.**安装", "步骤<strong>1.</strong>安装"),
        ("运行**`make test`**即可", "运行<strong><code>make test</code></strong>即可"),
        ("これは**重要です。**確認を", "これは<strong>重要です。</strong>確認を"),
        ("이것은 **중요(필수)**입니다", "이것은 <strong>중요(필수)</strong>입니다"),
        ("*提示：*看这里，~~旧版。~~新版", "<em>提示：</em>看这里，<s>旧版。</s>新版"),
    ],
)
def test_emphasis_beside_chinese_japanese_and_korean_is_emphasis(text: str, shown: str) -> None:
    assert render(text).strip() == f"<p>{shown}</p>"


@pytest.mark.parametrize("code", ["`**注：**看`", "```\n**注：**看\n```", "    **注：**看"])
def test_code_keeps_its_asterisks(code: str) -> None:
    assert "**注：**看" in render(code)
    assert "<strong>" not in render(code)


@given(st.text(alphabet=st.sampled_from('ab *_~.("!`\n-[]😀👍🏽”é'), max_size=40))
def test_without_such_characters_it_is_commonmark_to_the_letter(text: str) -> None:
    assert render(text) == render(text, cjk=False)


def test_emoji_are_no_chinese_and_fullwidth_punctuation_is() -> None:
    assert [c for c in "中。：「か한！￥" if not is_cjk(c)] == []
    assert [c for c in "a.😀⭐✅🏽”…é" if is_cjk(c)] == []


def test_a_tables_cells_are_aligned_by_their_column() -> None:
    shown = render("| 项目 | 价格 | 备注 |\n|:--|--:|:-:|\n| 咖啡 | 18 | 热 |")
    assert '<td class="left">咖啡</td>\n<td class="right">18</td>\n<td class="center">热</td>' in shown
    assert "style" not in shown


def test_a_picture_is_its_alternative_text_and_is_never_loaded() -> None:
    assert render("![a **red** <fox>](https://pictures.example/fox.png)") == "<p>a red &lt;fox&gt;</p>\n"
    assert render("![](https://pictures.example/x.png)") == "<p>https://pictures.example/x.png</p>\n"
    linked = render("[![logo](https://pictures.example/l.png)](https://site.example)")
    assert ">logo</a>" in linked
    assert "pictures.example" not in linked


def test_links_open_beside_the_page_and_tell_nothing_of_it() -> None:
    for text in ("[docs](https://docs.example/a)", "see https://docs.example/a", "<https://docs.example/a>"):
        assert (
            '<a href="https://docs.example/a" target="_blank" rel="noopener noreferrer nofollow">'
        ) in render(text)


def test_what_may_be_wide_can_have_the_focus() -> None:
    shown = render("```\nlong\n```\n\n| a |\n|---|\n| 1 |")
    assert '<pre tabindex="0">' in shown
    assert '<div class="table" tabindex="0"><table>' in shown
