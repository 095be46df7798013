"""Examples that run when the documentation is built, and show what they printed; one that fails, fails the build.

``{run}`` runs Python: all examples of a page share their names. The value of a last expression is shown as at the
prompt; a matplotlib figure as a picture. ``{shell}`` runs one command. Both work in a directory of the page's own;
``:hide-output:`` keeps what they print to themselves, ``:hide-code:`` the code.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Page:
    """What the examples of a page share."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.folder = tempfile.TemporaryDirectory(prefix="ncfast-docs-")


class _Executed(SphinxDirective):
    has_content = True
    option_spec: ClassVar = {"hide-output": directives.flag, "hide-code": directives.flag}
    language: ClassVar[str]

    def run(self) -> list[nodes.Node]:
        page = self.env.current_document.setdefault("executed", _Page())
        code = "\n".join(self.content)
        shown = [] if "hide-code" in self.options else [self._literal(code, self.language)]
        try:
            with contextlib.chdir(page.folder.name) if sys.version_info >= (3, 11) else _chdir(page.folder.name):
                output, pictures = self.execute(code, page)
        except Exception as error:
            raise self.error(f"example failed: {type(error).__name__}: {error}\n{code}") from error
        if output.strip() and "hide-output" not in self.options:
            shown.append(self._literal(output.rstrip(), "text"))
        return [*shown, *pictures]

    def execute(self, code: str, page: _Page) -> tuple[str, list[nodes.Node]]:
        raise NotImplementedError

    def _literal(self, text: str, language: str) -> nodes.Node:
        block = nodes.literal_block(text, text, language=language)
        self.set_source_info(block)
        return block


class _Run(_Executed):
    language = "python"

    def execute(self, code: str, page: _Page) -> tuple[str, list[nodes.Node]]:
        tree = ast.parse(code)
        last = tree.body.pop().value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        printed, value = io.StringIO(), None
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(tree, "<example>", "exec"), page.names)
            if last is not None:
                value = eval(compile(ast.Expression(last), "<example>", "eval"), page.names)
        if hasattr(value, "savefig"):
            return printed.getvalue(), [_picture(value)]
        return printed.getvalue() + ("" if value is None else f"{value!r}\n"), []


class _Shell(_Executed):
    language = "sh"

    def execute(self, code: str, page: _Page) -> tuple[str, list[nodes.Node]]:
        command = re.sub(r"^ncfast\b", f"{shlex.quote(sys.executable)} -m ncfast", code, flags=re.MULTILINE)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=page.folder.name)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout, []


def _picture(figure: Any) -> nodes.Node:
    """Put a figure into the page itself."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    data = base64.b64encode(drawn.getvalue()).decode()
    return nodes.raw("", f'<img alt="figure" src="data:image/png;base64,{data}">', format="html")


@contextlib.contextmanager
def _chdir(folder: str) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("run", _Run)
    app.add_directive("shell", _Shell)
    return {"parallel_read_safe": True}
