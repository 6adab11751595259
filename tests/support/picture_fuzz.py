"""Random pictures and URLs, most of them broken: formats, modes, sizes that headers claim, cut and changed files."""

from __future__ import annotations

import base64
import io
import random
import struct

import numpy as np
from PIL import Image

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
CLAIMED = (0, 1, 7000, 2**16, 2**31 - 1)
"""Pixels of a side that a header may claim."""
SCHEMES = ("http://", "https://", "HTTP://", "ftp://", "file://", "//", "http:/", "http:\\\\", "gopher://", "")
HOSTS = (
    *("localhost", "127.0.0.1", "[::1]", "0x7f000001", "2130706433", "169.254.169.254", "[::ffff:127.0.0.1]", "0"),
    *("a.org", "a.org.", "user@a.org", "a.org:80", "a.org:99999", "a.org\\@b.org", "%61.org", "a.org#@b.org", "b.org"),
    *("a.org?@b.org", "", "..", "a..org", "metadata.google.internal"),
)
PATHS = ("", "/", "/x.png", "/%00", "/\r\nHost: b", "?q", "#f")
ODD = (0, 10, 32, 127, 0x2F, 0x5C, 0x40, 0xFF0F, 0x3002)
"""Characters that readers of URLs take in different ways."""


def picture(dice: random.Random) -> bytes:
    """Return the file of a picture, four times of five spoiled."""
    width, height = dice.choice([(dice.randint(1, 200), dice.randint(1, 200)), (dice.randint(1, 400), 1), (1, 90)])
    pixels = np.frombuffer(dice.randbytes(width * height * 4), dtype=np.uint8).reshape(height, width, 4)
    image = Image.fromarray(pixels).convert(dice.choice(MODES))
    file, form = io.BytesIO(), dice.choice(FORMATS)
    try:
        image.save(file, form)
    except (OSError, ValueError, KeyError):  # a format does not have every mode
        image.convert("RGB").save(file, "PNG")
    return _spoiled(bytearray(file.getvalue()), dice) if dice.random() < 0.8 else file.getvalue()


def _spoiled(data: bytearray, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    match dice.randrange(6):
        case 0:
            return bytes(data[:at])
        case 1:
            for _ in range(dice.randint(1, 8)):
                data[dice.randrange(len(data))] = dice.randrange(256)
        case 2:
            data[dice.randrange(min(64, len(data)))] = dice.randrange(256)
        case 3:
            data[at:at] = dice.randbytes(dice.randint(1, 64))
        case 4:
            del data[at : at + dice.randint(1, 64)]
        case 5 if data.startswith(b"\x89PNG"):
            data[16:24] = struct.pack(">II", dice.choice(CLAIMED), dice.choice(CLAIMED))
    return bytes(data)


def url(dice: random.Random) -> str:
    """Return a URL, or what is none."""
    if dice.random() < 0.2:
        kind = dice.choice(("", "image/png", "image/png;base64", ";base64"))
        return (
            f"data:{kind}{dice.choice((',', ''))}{base64.b64encode(dice.randbytes(30)).decode()[: dice.randint(0, 40)]}"
        )
    made = dice.choice(SCHEMES) + dice.choice(HOSTS) + dice.choice(PATHS)
    if made and dice.random() < 0.3:
        at = dice.randrange(len(made))
        made = made[:at] + chr(dice.choice((*ODD, dice.randrange(32, 127)))) + made[at + 1 :]
    return made
