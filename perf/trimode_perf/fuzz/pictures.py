"""Random pictures and URLs, most of them broken: formats, colours, sizes that headers claim, cut and changed files.

Knows nothing of what reads them.
"""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
ORIENTATION = 0x112  # the tag of EXIF
CLAIMED = (0, 1, 7000, 2**16, 2**31 - 1)
"""Pixels of a side that a header may claim."""
EXTREME = ((20000, 3), (3, 20000), (16383, 1))
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
    """Return the file of a picture, of one of KINDS, three times of four spoiled."""
    data = dice.choice(KINDS)(dice)
    return _spoiled(bytearray(data), dice) if dice.random() < 0.75 else data


def _image(dice: random.Random, width: int, height: int, mode: str = "RGBA") -> Image.Image:
    pixels = np.frombuffer(dice.randbytes(width * height * 4), dtype=np.uint8).reshape(height, width, 4)
    return Image.fromarray(pixels).convert(mode)


def _small(dice: random.Random, mode: str = "RGB") -> Image.Image:
    return _image(dice, dice.randint(1, 60), dice.randint(1, 60), mode)


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _of_any_format(dice: random.Random) -> bytes:
    sides = [(dice.randint(1, 200), dice.randint(1, 200)), (dice.randint(1, 400), 1), (1, 90), (1, 1)]
    image = _image(dice, *dice.choice(sides), dice.choice(MODES))
    try:
        return _saved(image, dice.choice(FORMATS))
    except (OSError, ValueError, KeyError):  # a format does not have every mode
        return _saved(image.convert("RGB"), "PNG")


def _of_extreme_sides(dice: random.Random) -> bytes:
    colour = dice.choice(("red", "white", "#123456"))
    return _saved(Image.new("RGB", dice.choice(EXTREME), colour), dice.choice(("PNG", "JPEG", "GIF")))


def _of_sixteen_bits(dice: random.Random) -> bytes:
    width, height = dice.randint(1, 60), dice.randint(1, 60)
    pixels = np.frombuffer(dice.randbytes(width * height * 2), dtype=np.uint16).reshape(height, width)
    return _saved(Image.fromarray(pixels), "PNG")


def _of_four_inks(dice: random.Random) -> bytes:
    return _saved(_small(dice, "CMYK"), "JPEG", quality=dice.randint(1, 95), progressive=dice.random() < 0.5)


def _of_a_palette(dice: random.Random) -> bytes:
    image = _small(dice).quantize(dice.randint(2, 256))
    if dice.random() < 0.5:
        return _saved(image, "GIF", transparency=dice.randrange(256))
    return _saved(image, "PNG", transparency=dice.choice((dice.randrange(256), dice.randbytes(dice.randint(1, 256)))))


def _of_many_frames(dice: random.Random) -> bytes:
    first, sides = _small(dice), dice.randint(1, 3)
    more = [_image(dice, *first.size, "RGB") for _ in range(sides)]
    return _saved(first, dice.choice(("GIF", "WEBP", "PNG")), save_all=True, append_images=more, duration=10)


def _turned(dice: random.Random) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = dice.randint(0, 9)
    data = exif.tobytes()
    return _saved(
        _small(dice), dice.choice(FORMATS[:3]), exif=data if dice.random() < 0.5 else data + dice.randbytes(40)
    )


def _of_a_broken_profile(dice: random.Random) -> bytes:
    return _saved(_small(dice), dice.choice(FORMATS[:3]), icc_profile=dice.randbytes(dice.choice((0, 7, 128, 5000))))


def _that_claims_much(dice: random.Random) -> bytes:
    """Return a small file whose header claims other sides, of each format in its own place."""
    form = dice.choice(FORMATS[:4])
    data = bytearray(_saved(_small(dice), form))
    width, height = dice.choice(CLAIMED), dice.choice(CLAIMED)
    if form == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))  # so that the header is believed
    elif form == "GIF":
        data[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    elif form == "JPEG":
        frame = next(at for at in range(len(data)) if bytes(data[at : at + 2]) in (b"\xff\xc0", b"\xff\xc2"))
        data[frame + 5 : frame + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    else:
        claim = (width & 0xFFFFFF).to_bytes(3, "little") + (height & 0xFFFFFF).to_bytes(3, "little")
        extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + claim
        data[12:12] = extended
        data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(_of_any_format,) * 3,
    *(_of_extreme_sides, _of_sixteen_bits, _of_four_inks, _of_a_palette, _of_many_frames),
    *(_turned, _of_a_broken_profile, _that_claims_much, _that_claims_much),
)
"""What makes the file of a picture; each is taken as often as the others."""


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
