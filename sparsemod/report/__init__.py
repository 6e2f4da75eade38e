"""A study, or several, as one HTML page that needs no server, no network and no other file.

Figures are computed here and travel in the page as plain data; the scripts of `template` draw them with Plotly, which
the page carries compressed. `source` opens a study's folder; `summary`, `test_set`, `trials`, `progress`, `importance`,
`networks` and `validation` each compute one part of a page, `comparison` what several studies share; `contents` puts
the parts together, `page` makes the file, and `live` renews it while a search runs.
"""

from sparsemod.report.contents import contents
from sparsemod.report.live import Live
from sparsemod.report.page import write
from sparsemod.report.source import Source, open_sources
from sparsemod.report.validation import load_validation

__all__ = ["Live", "Source", "contents", "load_validation", "open_sources", "write"]
