"""
GitHub's Markdown as HTML, by GitHub's own parser, as often as one likes: cmarkgfm keeps every tree and
every page it ever made, about a hundred kilobytes each time.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any

from cmarkgfm import cmark
from cmarkgfm._cmark import ffi, lib
from cmarkgfm.cmark import Options

EXTENSIONS = ("table", "autolink", "tagfilter", "strikethrough", "tasklist")
OPTIONS = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_GITHUB_PRE_LANG


def html(text: str) -> str:
    """A page as GitHub makes it, with raw HTML left in."""
    drop_tree, drop_text, extensions = _ready()
    parser = cmark.parser_new(OPTIONS)
    for extension in extensions:
        cmark.parser_attach_syntax_extension(parser, extension)
    cmark.parser_feed(parser, text)
    root = cmark.parser_finish(parser)
    page = lib.cmark_render_html(root, OPTIONS, cmark.parser_get_syntax_extensions(parser))
    made: str = ffi.string(page).decode()
    drop_text(int(ffi.cast("uintptr_t", page)))
    drop_tree(int(ffi.cast("uintptr_t", root)))
    cmark.parser_free(parser)
    return made


@cache
def _ready() -> tuple[Any, Any, list[Any]]:
    """What frees a tree, what frees a text, and the extensions."""
    cmark.core_extensions_ensure_registered()
    drop_tree = ctypes.CDLL(find_spec("cmarkgfm._cmark").origin).cmark_node_free
    drop_text = ctypes.CDLL(None).free
    for function in (drop_tree, drop_text):
        function.argtypes, function.restype = [ctypes.c_void_p], None
    return drop_tree, drop_text, [cmark.find_syntax_extension(name) for name in EXTENSIONS]
