"""How the page looks: light, readable on a telephone, on a screen and on paper."""

from __future__ import annotations

CSS = """
:root { --ink: #1d2430; --soft: #5b6675; --line: #dfe4ea; --wash: #f5f7f9; --mark: #1f5fa8; --bad: #b3372f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 48px 0 6px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 26px 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0 12px; max-width: 75ch; overflow-wrap: anywhere; }
.soft, figcaption, .note { color: var(--soft); font-size: 0.9rem; }
a { color: var(--mark); }
nav { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 14px 0 0; font-size: 0.9rem; }
nav a { text-decoration: none; padding: 3px 0; }
nav a:hover { text-decoration: underline; }
.research { display: inline-block; margin: 10px 0 0; padding: 2px 10px; border: 1px solid #d9b24a;
  background: #fdf6e0; color: #6b4e00; border-radius: 3px; font-size: 0.85rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 10px; margin: 18px 0; }
.card { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; }
.card .what { color: var(--soft); font-size: 0.85rem; }
.card .value { font-size: 1.65rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .more { color: var(--soft); font-size: 0.82rem; font-variant-numeric: tabular-nums; }
.alert { border-left: 4px solid var(--bad); background: #fcf1f0; padding: 8px 14px; margin: 10px 0; max-width: none; }
.alert ul, .plain { margin: 4px 0; padding-left: 20px; }
.alert li, .plain li { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 10px 0; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; min-width: 60%; }
th, td { padding: 5px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; background: var(--wash); border-bottom: 2px solid #c9d1da; }
th:first-child, td:first-child { text-align: left; padding-left: 8px; }
tbody tr:hover { background: #f2f6fb; }
tr.whole td { font-weight: 600; border-top: 2px solid #c9d1da; }
figure { margin: 14px 0 20px; }
figure svg { display: block; width: 100%; height: auto; min-width: 560px; max-width: 1040px; }
figcaption { margin-top: 4px; max-width: 80ch; }
.case { margin: 22px 0 30px; break-inside: avoid; }
.panels { display: grid; grid-template-columns: repeat(3, minmax(0, 260px)) minmax(150px, 1fr); gap: 10px;
  margin-top: 8px; }
.wrong { font-size: 0.9rem; } .wrong b { display: block; margin-bottom: 2px; }
.panel { margin: 0; }
.panel .view { position: relative; background: #101216; line-height: 0; }
.panel img { width: 100%; height: auto; display: block; }
.panel span { position: absolute; transform: translate(-50%, -50%); color: #fff; font-size: 0.72rem; font-weight: 700;
  line-height: 1; text-shadow: 0 0 3px #000, 0 0 3px #000, 0 0 5px #000; }
.panel figcaption { font-size: 0.82rem; }
p.wide { max-width: none; }
.key { display: inline-block; width: 0.75em; height: 0.75em; border-radius: 2px; margin: 0 4px 0 10px; }
dl { display: grid; grid-template-columns: minmax(90px, max-content) 1fr; gap: 4px 16px; font-size: 0.92rem;
  margin: 12px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 0.85rem; padding: 24px 20px 48px; margin-top: 48px; }
@media (max-width: 600px) {
  body { font-size: 15px; } main, header, footer { padding-left: 14px; padding-right: 14px; }
  h1 { font-size: 1.5rem; } .cards { grid-template-columns: 1fr 1fr; } .panels { grid-template-columns: 1fr 1fr; }
}
@media print {
  body { font-size: 10.5pt; } nav { display: none; } h2 { break-after: avoid; margin-top: 24px; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: 2px 5px; }
  figure svg { min-width: 0; } .card, tr, figure { break-inside: avoid; }
  .panel .view, th, .card, .key { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
