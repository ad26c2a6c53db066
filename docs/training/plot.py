#!/usr/bin/env python3
"""Draws the curves of training runs as an SVG, one panel a run: the share of the points won against each
scripted bot over its last matches, by minutes of training.

docs/training/plot.py OUT.svg RUN_FOLDER...     (reads RUN_FOLDER/metrics.jsonl)
"""
import json
import pathlib
import sys

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"]
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 180, 44, 42, 24


def curves(folder):
    """{bot: [(minutes, share of points)]} of one run."""
    found = {}
    for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event.get("event") != "iteration":
            continue
        for bot in event["opponents"]:
            points = bot["metrics"].get("points_for", 0), bot["metrics"].get("points_against", 0)
            if bot["kind"] == "scripted" and bot["recent_matches"] >= 5 and sum(points) > 0:
                found.setdefault(bot["name"], []).append(
                    (event["seconds"] / 60, points[0] / sum(points)))
    return found


def panel(x0, title, lines, minutes):
    out = [f'<text x="{x0}" y="{TOP - 8}" font-weight="bold">{title}</text>',
           f'<rect x="{x0}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = TOP + HEIGHT * (1 - share)
        out.append(f'<line x1="{x0}" y1="{y}" x2="{x0 + WIDTH}" y2="{y}" stroke="#ddd"/>')
        out.append(f'<text x="{x0 - 4}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
    for minute in range(0, int(minutes) + 1, max(1, round(minutes / 6))):
        x = x0 + WIDTH * minute / minutes
        out.append(f'<text x="{x:.0f}" y="{TOP + HEIGHT + 14}" text-anchor="middle">{minute}</text>')
    for colour, points in lines:
        path = " ".join(f"{x0 + WIDTH * m / minutes:.1f},{TOP + HEIGHT * (1 - s):.1f}"
                        for m, s in points[::max(1, len(points) // 150)])
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    runs = [(pathlib.Path(folder).name, curves(folder)) for folder in sys.argv[2:]]
    bots = list(dict.fromkeys(bot for _, run in runs for bot in run))
    colour = dict(zip(bots, COLOURS * 9))
    minutes = max(points[-1][0] for _, run in runs for points in run.values())
    total = len(runs) * (WIDTH + LEFT + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{TOP + HEIGHT + 44}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    for i, bot in enumerate(bots):
        out.append(f'<text x="{LEFT + 110 * i}" y="14" fill="{colour[bot]}">&#9632; {bot}</text>')
    for i, (name, run) in enumerate(runs):
        out += panel(LEFT + i * (WIDTH + LEFT + GAP), name,
                     [(colour[bot], points) for bot, points in run.items()], minutes)
    out.append(f'<text x="{LEFT}" y="{TOP + HEIGHT + 34}">minutes of training; share of the points of '
               'the last matches against each bot, actions sampled</text></svg>')
    pathlib.Path(sys.argv[1]).write_text("\n".join(out) + "\n")


main()
