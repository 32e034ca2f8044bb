# SPDX-License-Identifier: Apache-2.0
"""Miss ratio curves as SVG: two panels, by requests and by bytes, over the size of the cache."""
import html
import math

WIDTH, HEIGHT = 960, 430
PANEL, TOP, BOTTOM, LEFT, GAP = 370, 84, 360, 64, 64
STYLES = {  # colour, width, dashes
    "Weir": ("#0b3d91", 3.2, ""),
    "LRU": ("#d1495b", 1.6, ""),
    "CLOCK": ("#edae49", 1.6, ""),
    "SIEVE": ("#3a9d6e", 1.6, ""),
    "S3-FIFO": ("#8d5a97", 1.6, ""),
    "W-TinyLFU": ("#3fa7d6", 1.6, ""),
    "Belady": ("#666666", 1.4, "5 4"),
    "Belady-size": ("#aaaaaa", 1.4, "2 3"),
}


def text(x, y, what, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{html.escape(what)}</text>'


def ticks(low, high):
    step = next(s for s in (0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 7)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def panel(left, by, curves, names):
    shares = [p["share"] for p in curves[names[0]]]
    values = [p[by] for n in names for p in curves[n]]
    low, high = max(min(values) - 0.02, 0), min(max(values) + 0.02, 1)

    def x(share):
        if len(shares) == 1:
            return left + PANEL / 2
        return left + PANEL * math.log(share / shares[0]) / math.log(shares[-1] / shares[0])

    def y(value):
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    out = [text(left + PANEL / 2, TOP - 12, f"by {by}", size=13, extra='font-weight="bold"')]
    for value in ticks(low, high):
        out.append(f'<line x1="{left}" x2="{left + PANEL}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e4e4e4"/>')
        out.append(text(left - 8, y(value) + 4, f"{value:.2f}", "end"))
    out.append(f'<line x1="{left}" x2="{left + PANEL}" y1="{BOTTOM}" y2="{BOTTOM}" stroke="#444"/>')
    for share in shares:
        out.append(f'<line x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{BOTTOM}" y2="{BOTTOM + 5}" stroke="#444"/>')
        out.append(text(x(share), BOTTOM + 19, f"{share * 100:g} %"))
    for name in reversed(names):  # the first is drawn last, on top
        colour, width, dashes = STYLES[name]
        points = " ".join(f"{x(p['share']):.1f},{y(p[by]):.1f}" for p in curves[name])
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" '
                   f'stroke-dasharray="{dashes}" stroke-linejoin="round"/>')
        if not dashes:
            out += [f'<circle cx="{x(p["share"]):.1f}" cy="{y(p[by]):.1f}" r="{width * 1.2:.1f}" fill="{colour}"/>'
                    for p in curves[name]]
    return out


def svg(title, curves, names):
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" fill="#222">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           text(LEFT, 28, f"Miss ratio, {title}", "start", 15, 'font-weight="bold"')]
    at = LEFT
    for name in names:
        colour, width, dashes = STYLES[name]
        out.append(f'<line x1="{at}" x2="{at + 22}" y1="46" y2="46" stroke="{colour}" stroke-width="{width}" '
                   f'stroke-dasharray="{dashes}"/>')
        out.append(text(at + 28, 50, name, "start"))
        at += 52 + 8 * len(name)
    out += panel(LEFT, "requests", curves, names)
    out += panel(LEFT + PANEL + GAP, "bytes", curves, names)
    out.append(text(LEFT + PANEL + GAP / 2, BOTTOM + 48, "size of the cache, as a part of the bytes of all objects"))
    return "\n".join(out) + "\n</svg>\n"
