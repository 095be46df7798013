"""Reports as web pages that need nothing but themselves: one file, no network, no script."""

from ._pages import comparison_page, report_page

__all__ = ["comparison_page", "report_page"]
