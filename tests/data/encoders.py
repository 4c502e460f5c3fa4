"""Images in the variants that Pillow does not write: what formats.py builds its files with."""

import struct
import zlib

import numpy as np


def bits(rows, depth):
    """Rows of samples packed from the high bit, each row filled up to a byte."""
    rows = np.asarray(rows)
    planes = [(rows >> (depth - 1 - b)) & 1 for b in range(depth)]
    return np.packbits(np.stack(planes, 2).reshape(rows.shape[0], -1), axis=1)


# PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def scanlines(samples, depth):
    """[h, w, channels] to filtered (type 0) rows."""
    flat = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8).reshape(samples.shape[0], -1)
    else:
        rows = bits(flat, depth)
    return b"".join(b"\0" + row.tobytes() for row in rows)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, colour, before=b"", after=b"", interlaced=False, palette=None):
    samples = samples.reshape(*samples.shape[:2], -1)
    h, w, _ = samples.shape
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(scanlines(p, depth) for p in passes if p.size)
    else:
        data = scanlines(samples, depth)
    header = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlaced)
    plte = chunk(b"PLTE", bytes(sum(palette, ()))) if palette else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + plte + before +
            chunk(b"IDAT", zlib.compress(data, 9)) + after + chunk(b"IEND", b""))


# GIF


def lzw(index, size):
    """Uncompressed: codes of `size` + 1 bits, with a clear code before the table grows."""
    codes, n = [], (1 << size) - 2
    for i, value in enumerate(index.flatten()):
        if i % n == 0:
            codes.append(1 << size)
        codes.append(int(value))
    codes.append((1 << size) + 1)
    stream = sum(code << (i * (size + 1)) for i, code in enumerate(codes))
    data = stream.to_bytes((len(codes) * (size + 1) + 7) // 8, "little")
    blocks = [data[i:i + 255] for i in range(0, len(data), 255)]
    return bytes([size]) + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"


def frame(index, at=(0, 0), transparent=None, local=None, interlaced=False):
    h, w = index.shape
    if interlaced:
        index = np.concatenate([index[0::8], index[4::8], index[2::4], index[1::2]])
    control = b""
    if transparent is not None:
        control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 0, transparent, 0)
    flags = (0x80 | 3 if local else 0) | (0x40 if interlaced else 0)
    table = bytes(sum(local, ())) if local else b""
    return control + struct.pack("<BHHHHB", 0x2C, *at, w, h, flags) + table + lzw(index, 4)


def gif(screen, frames, palette, background=0):
    size = len(palette or []).bit_length() - 2
    flags = 0x80 | size if palette else 0
    table = bytes(sum(palette, ())) if palette else b""
    header = struct.pack("<6sHHBBB", b"GIF89a", *screen, flags, background, 0)
    return header + table + b"".join(frames) + b";"


# WebP


def riff(*chunks):
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(*values):
    return b"".join(struct.pack("<I", v)[:3] for v in values)


# BMP


def bmp(rows, depth, header=40, compression=0, masks=(), palette=(), top_down=False, data=None, size=None):
    """`rows` are packed rows from the top; of palettes, only (r, g, b)."""
    w, h = size
    if data is None:
        rows = [row.tobytes() + b"\0" * (-len(row.tobytes()) % 4) for row in rows]
        data = b"".join(rows if top_down else rows[::-1])
    signed = -h if top_down else h
    if header == 12:
        info = struct.pack("<IHHHH", 12, w, h, 1, depth)
        colours = b"".join(bytes(c[::-1]) for c in palette)
    else:
        info = struct.pack("<IiiHHIIiiII", header, w, signed, 1, depth, compression, len(data), 0, 0,
                           len(palette), 0)
        colours = b"".join(bytes(c[::-1]) + b"\0" for c in palette)
        more = struct.pack(f"<{len(masks)}I", *masks)
        info += more if header == 40 else more + b"\0" * (header - 40 - len(more))
    start = 14 + len(info) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + info + colours + data


def run_lengths(index, nibbles):
    """Rows from the bottom: runs, then where a row allows it an absolute stretch, a jump, the end."""
    out = b""
    for y, row in enumerate(index[::-1]):
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and row[x + run] == row[x] and run < 255:
                run += 1
            value = int(row[x])
            if run == 1 and x + 4 <= len(row):
                values = [int(v) for v in row[x:x + 4]]
                out += bytes([0, 4])
                out += bytes([values[0] << 4 | values[1], values[2] << 4 | values[3]]) if nibbles else bytes(values)
                run = 4
            else:
                out += bytes([run, value << 4 | value if nibbles else value])
            x += run
        out += b"\0\0" if y < len(index) - 1 else b"\0\1"
    return out


# TIFF


def tiff(samples, depth, photometric, order="<", tags=(), planar=1, tile=None, sample_format=1):
    """One page without compression. `samples` is [h, w, channels]."""
    samples = samples.reshape(*samples.shape[:2], -1)
    h, w, channels = samples.shape
    to_bytes = lambda part: (bits(part.reshape(part.shape[0], -1), depth) if depth < 16
                             else part.astype(f"{order}{'f' if sample_format == 3 else 'u'}{depth // 8}")).tobytes()
    planes = [samples] if planar == 1 else [samples[:, :, c:c + 1] for c in range(channels)]
    if tile:
        pad = [np.pad(p, ((0, -h % tile), (0, -w % tile), (0, 0))) for p in planes]
        parts = [to_bytes(np.ascontiguousarray(p[y:y + tile, x:x + tile]))
                 for p in pad for y in range(0, h, tile) for x in range(0, w, tile)]
        layout = [(322, 4, [tile]), (323, 4, [tile])]
        places, lengths = 324, 325
    else:
        parts = [to_bytes(np.ascontiguousarray(p)) for p in planes]
        layout = [(278, 4, [h])]
        places, lengths = 273, 279
    start = 8
    offsets = [start + sum(map(len, parts[:i])) for i in range(len(parts))]
    entries = [(256, 4, [w]), (257, 4, [h]), (258, 3, [depth] * channels), (259, 3, [1]),
               (262, 3, [photometric]), (277, 3, [channels]), (284, 3, [planar]),
               (339, 3, [sample_format] * channels), (places, 4, offsets),
               (lengths, 4, list(map(len, parts))), *layout, *tags]
    body = b"".join(parts)
    body += b"\0" * (len(body) % 2)
    ifd = start + len(body)
    extra, packed = b"", b""
    after = ifd + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        data = struct.pack(f"{order}{len(values)}{'HI'[kind - 3]}", *values)
        if len(data) > 4:
            data, extra = struct.pack(f"{order}I", after + len(extra)), extra + data
        packed += struct.pack(f"{order}HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, ifd)
    return head + body + struct.pack(f"{order}H", len(entries)) + packed + b"\0" * 4 + extra
