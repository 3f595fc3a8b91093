"""One HTML page with everything in it: it can be mailed, and opened without a network."""

import base64
import json
from collections.abc import Sequence
from html import escape

from benchlib.plots import Chart
from benchlib.report import LEFT, LEGEND, Section, details, notes, overview, surroundings
from benchlib.results import Results

STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
       color: #222 }
table { border-collapse: collapse; font-size: 13px; margin: .5em 0 1.5em }
th, td { padding: .15em .6em; text-align: right; white-space: nowrap }
th { border-bottom: 1px solid #888 } th.l, td.l { text-align: left }
tr.head td { border-top: 1px solid #ddd } td { white-space: pre }
img { width: 100%; max-width: 960px } pre { font-size: 12px; white-space: pre-wrap }
@media (prefers-color-scheme: dark) { body { background: #1c1c1c; color: #ddd } }
"""


def table(section: Section, left: Sequence[int]) -> str:
    def cells(row: list[str], tag: str) -> str:
        return "".join(f"<{tag}{' class=l' if column in left else ''}>{escape(cell)}</{tag}>"
                       for column, cell in enumerate(row))

    def first_of_block(row: list[str]) -> bool:
        return row[0] != "" and not row[0].startswith(" ")

    head, *body = section.rows
    rows = "\n".join(f"<tr{' class=head' if first_of_block(row) else ''}>{cells(row, 'td')}</tr>"
                     for row in body)
    return (f"<table>\n<thead><tr>{cells(head, 'th')}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n"
            "</table>")


def picture(chart: Chart, svg: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    text = escape(f"{chart.title}, {chart.unit}", quote=True)
    return f'<p><img alt="{text}" src="data:image/svg+xml;base64,{data}"></p>'


def items(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>"


def page(results: Results, drawn: Sequence[tuple[Chart, str]]) -> str:
    parts = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">',
             f"<title>pasta-xdp benchmark</title><style>{STYLE}</style></head><body>",
             "<h1>pasta-xdp benchmark</h1>", items(surroundings(results)),
             "<h2>Overview: medians</h2>", table(overview(results), (0, 1))]
    if lines := notes(results):
        parts += ["<h2>Gaps and losses</h2>", items(lines)]
    for section in details(results):
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [picture(chart, svg) for chart, svg in drawn
                  if chart.title in (section.title, f"{section.title}: CPU time")]
        parts.append(table(section, LEFT))
    parts += ["<h2>How to read it</h2>", f"<p>{escape(LEGEND)}</p>",
              "<p>Bars are medians, whiskers reach from the smallest to the largest sample.</p>",
              "<h2>Everything about the run</h2>",
              f"<pre>{escape(json.dumps(results.facts, indent=1))}</pre>", "</body></html>", ""]
    return "\n".join(parts)
