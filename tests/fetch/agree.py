"""Archives that are hostile, damaged or odd: of each that the fetch child takes, the files that it unpacks are
those that GNU tar and Python list, and hold what Python reads. Prints totals; fails where they differ."""

import collections
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile

warnings.simplefilter("ignore")
child, work = sys.argv[1], tempfile.mkdtemp(dir=sys.argv[2])
BLOCK = 512


def header(name, kind=b"0", size=0, link=b"", mode=0o644, magic=b"ustar\x0000", prefix=b"", checksum=None):
    """One block, with no check of anything."""
    head = bytearray(BLOCK)

    def put(at, value):
        head[at : at + len(value)] = value

    put(0, name[:100])
    put(100, b"%07o\0" % mode)
    put(108, b"0000000\0")
    put(116, b"0000000\0")
    put(124, size if isinstance(size, bytes) else b"%011o\0" % size)
    put(136, b"00000000000\0")
    put(148, b" " * 8)
    put(156, kind)
    put(157, link[:100])
    put(257, magic)
    put(345, prefix[:155])
    put(148, checksum or b"%06o\0 " % sum(head))
    return bytes(head)


def padded(content):
    return content + bytes(-len(content) % BLOCK)


def file(name, content=b"content", **others):
    return header(name, size=len(content), **others) + padded(content)


def pax(pairs, kind=b"x"):
    records = b""
    for key, value in pairs:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        records += str(length).encode() + body
    return header(b"pax", kind, len(records)) + padded(records)


END = bytes(2 * BLOCK)
LONG = b"d/" * 70 + b"name"
inner = file(b"hidden", b"from the content")

TARS = {
    "empty": END,
    "usual": header(b"d/", b"5") + file(b"d/a") + file(b"b", b"") + END,
    "no end": file(b"a"),
    "one zero block": file(b"a") + bytes(BLOCK) + file(b"b") + END,
    "behind the end": file(b"a") + END + file(b"b") + END,
    "twice": file(b"a", b"one") + file(b"a", b"two") + END,
    "file over link": header(b"a", b"2", link=b"b") + file(b"a") + END,
    "link over file": file(b"a") + header(b"a", b"2", link=b"b") + END,
    "directory over file": file(b"a") + header(b"a/", b"5") + END,
    "file over directory": header(b"a/", b"5") + file(b"a") + END,
    "old directory": header(b"a/", b"0") + file(b"a/b") + END,
    "directory with a size": header(b"a/", b"5", size=BLOCK) + inner[:BLOCK] + file(b"b") + END,
    "link with a size": header(b"a", b"2", link=b"b", size=len(inner)) + inner + END,
    "hard link with a size": file(b"b") + header(b"a", b"1", link=b"b", size=len(inner)) + inner + END,
    "hard link": file(b"a") + header(b"b", b"1", link=b"a") + END,
    "hard link to nothing": header(b"b", b"1", link=b"a") + END,
    "hard link to link": header(b"a", b"2", link=b"x") + header(b"b", b"1", link=b"a") + END,
    "prefix": header(b"name", prefix=b"some/where") + END,
    "prefix of gnu": header(b"name", magic=b"ustar  \0", prefix=b"some/where") + END,
    "no magic": header(b"name", magic=b"\0" * 8, prefix=b"some/where") + END,
    "full name": header(b"n" * 100) + END,
    "dots": file(b"./a/./b") + file(b"a//c") + END,
    "parent": file(b"../a") + END,
    "absolute": file(b"/a") + END,
    "null in the name": file(b"a\0b") + END,
    "name of no text": file(b"\xff\xfe") + END,
    "newline": file(b"a\nb") + END,
    "binary size": header(b"a", size=b"\x80" + (7).to_bytes(11, "big")) + padded(b"content") + END,
    "negative size": header(b"a", size=b"\xff" * 12) + padded(b"content") + END,
    "huge size": header(b"a", size=b"\x80" + b"\x7f" * 11) + padded(b"content") + END,
    "size of blanks": header(b"a", size=b" " * 12) + file(b"b") + END,
    "size with blanks": header(b"a", size=b"      7    \0") + padded(b"content") + END,
    "size of no digits": header(b"a", size=b"00000000009\0") + padded(b"content") + END,
    "size that ends early": header(b"a", size=b"7\0" + b"7" * 10) + padded(b"content") + END,
    "wrong checksum": file(b"a", checksum=b"000000\0 ") + file(b"b") + END,
    "signed checksum": file(b"a\xff", checksum=b"%06o\0 " % (sum(header(b"a\xff", size=7)[:148]) + 8 * 32)) + END,
    "long name": header(b"././@LongLink", b"L", len(LONG) + 1) + padded(LONG + b"\0") + file(b"short") + END,
    "long name without its end": header(b"././@LongLink", b"L", len(LONG)) + padded(LONG) + file(b"short") + END,
    "two long names": (header(b"././@LongLink", b"L", 3) + padded(b"aa\0")) + (header(b"././@LongLink", b"L", 3) + padded(b"bb\0")) + file(b"short") + END,
    "long name, then pax": header(b"././@LongLink", b"L", 3) + padded(b"aa\0") + pax([(b"path", b"bb")]) + file(b"short") + END,
    "pax, then long name": pax([(b"path", b"bb")]) + header(b"././@LongLink", b"L", 3) + padded(b"aa\0") + file(b"short") + END,
    "long link": header(b"././@LongLink", b"K", len(LONG) + 1) + padded(LONG + b"\0") + header(b"a", b"2", link=b"x") + END,
    "long name for nothing": file(b"a") + header(b"././@LongLink", b"L", 3) + padded(b"aa\0") + END,
    "pax name": pax([(b"path", b"other")]) + file(b"a") + END,
    "pax name twice": pax([(b"path", b"one"), (b"path", b"two")]) + file(b"a") + END,
    "pax name with a null": pax([(b"path", b"o\0ther")]) + file(b"a") + END,
    "pax name of nothing": pax([(b"path", b"")]) + file(b"a") + END,
    "pax size": pax([(b"size", b"7")]) + header(b"a") + padded(b"content") + END,
    "pax size, less": pax([(b"size", b"0")]) + header(b"a", size=len(inner)) + inner + END,
    "pax size, more": pax([(b"size", b"%d" % len(inner))]) + header(b"a") + inner + END,
    "pax size of no number": pax([(b"size", b"x")]) + file(b"a") + END,
    "pax size of a directory": pax([(b"size", b"%d" % len(inner))]) + header(b"a/", b"5") + inner + END,
    "pax size of a link": pax([(b"size", b"%d" % len(inner))]) + header(b"a", b"2", link=b"b") + inner + END,
    "pax link": pax([(b"linkpath", b"other")]) + header(b"a", b"2", link=b"b") + END,
    "global pax name": pax([(b"path", b"other")], b"g") + file(b"a") + END,
    "global pax size": pax([(b"size", b"0")], b"g") + header(b"a", size=len(inner)) + inner + END,
    "global comment": pax([(b"comment", b"hello")], b"g") + file(b"a") + END,
    "pax for nothing": file(b"a") + pax([(b"path", b"other")]) + END,
    "two pax": pax([(b"path", b"one")]) + pax([(b"mtime", b"1")]) + file(b"a") + END,
    "pax of a wrong length": header(b"pax", b"x", 20) + padded(b"99 path=other\n") + file(b"a") + END,
    "pax of solaris": header(b"pax", b"X", 14) + padded(b"14 path=other\n") + file(b"a") + END,
    "continuous": header(b"a", b"7", size=7) + padded(b"content") + END,
    "unknown kind": header(b"a", b"Z", size=7) + padded(b"content") + END,
    "volume": header(b"label", b"V") + file(b"a") + END,
    "dump directory": header(b"d/", b"D", size=len(inner)) + inner + END,
    "multi-volume": header(b"a", b"M", size=7) + padded(b"content") + END,
    "cut in the content": file(b"a", b"x" * 2000)[:-600],
    "cut in the header": file(b"a") + header(b"b")[:300],
    "noise at the end": file(b"a") + END + b"noise" * 100,
    "noise without an end": file(b"a") + b"noise" * 200,
}


def zipped(entries, change=lambda data: data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return change(out.getvalue())


def replaced(old, new, count=-1):
    return lambda data: data.replace(old, new, count)


two = [("a", b"one"), ("bb", b"two")]
ZIPS = {
    "empty": zipped([]),
    "usual": zipped([("d/", b""), ("d/a", b"content")] + two),
    "twice": zipped([("a", b"one"), ("a", b"two")]),
    "other name in the local header": zipped(two, replaced(b"bb", b"cc", 1)),
    "something in front": b"front" + zipped(two),
    "something behind": zipped(two) + b"behind",
    "two archives": zipped([("a", b"one")]) + zipped([("b", b"two")]),
    "fewer entries than told": zipped(two, lambda data: data[:-12] + b"\3\0\3\0" + data[-8:] if False else data.replace(b"\2\0\2\0", b"\1\0\1\0")),
    "backslashes": zipped([("a\\b", b"x")]),
    "parent": zipped([("../a", b"x")]),
    "absolute": zipped([("/a", b"x")]),
    "dots": zipped([("./a/./b", b"x")]),
    "not ascii": zipped([("ä/ö", b"x")]),
    "file and directory": zipped([("a", b"x"), ("a/b", b"y")]),
    "wrong checksum": zipped(two, lambda data: data.replace(data[14:18], b"\1\2\3\4")),
    "cut": zipped(two)[:-30],
}


def mutants(name, data, number):
    chance = random.Random(name)
    for at in range(number):
        bad = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            where = chance.randrange(len(bad))
            if chance.random() < 0.5:
                bad[where] ^= 1 << chance.randrange(8)
            else:
                bad[where] = chance.randrange(256)
        yield f"{name}, mutant {at}", bytes(bad)


def normal(name):
    parts = [part for part in name.replace("\0", "/\0/").split("/") if part not in ("", ".")]
    return "/".join(parts)


def ours(path):
    """What the child unpacks, or None: names, and of each what it holds."""
    sandbox = os.path.join(work, "sandbox")
    shutil.rmtree(sandbox, ignore_errors=True)
    os.mkdir(sandbox)
    uri = dict(value=path, executable=False, extract=True, cache=False, output_file=None)
    order = dict(uris=[uri], sandbox=sandbox, user=None, frameworks_home=None, disk_limit=1 << 26)
    order.update(cached=[None], settings={})
    done = subprocess.run([child], input=json.dumps(order).encode(), capture_output=True, timeout=60)
    if done.returncode != 0:
        return None
    found = {}
    for above, directories, files in os.walk(os.fsencode(sandbox)):
        for name in directories + files:
            full = os.path.join(above, name)
            inside = os.fsdecode(os.path.relpath(full, os.fsencode(sandbox)))
            if os.path.islink(full):
                found[inside] = ("link", os.fsdecode(os.readlink(full)))
            elif os.path.isdir(full):
                found[inside] = ("directory", None)
            else:
                with open(full, "rb") as content:
                    found[inside] = ("file", hashlib.sha256(content.read()).hexdigest())
    del found[os.path.basename(path)]
    return found


def pythons_tar(path):
    found = {}
    with tarfile.open(path, errors="surrogateescape") as archive:
        for member in archive:
            name = normal(member.name)
            if member.issym():
                found[name] = ("link", member.linkname)
            elif member.islnk():
                found[name] = found.get(normal(member.linkname), ("lost", None))
            elif member.isdir():
                found[name] = ("directory", None)
            elif member.isreg():
                content = archive.extractfile(member).read()
                if len(content) != member.size:
                    raise EOFError
                found[name] = ("file", hashlib.sha256(content).hexdigest())
            else:
                found[name] = ("other", None)
    return found


def pythons_zip(path):
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = normal(member.filename)
            if member.is_dir():
                found[name] = ("directory", None)
            elif member.external_attr >> 28 == 0o12:
                found[name] = ("link", os.fsdecode(archive.read(member)))
            else:
                found[name] = ("file", hashlib.sha256(archive.read(member)).hexdigest())
    return found


def gnus(path):
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "--show-transformed-names", "-tf", path], capture_output=True
    )
    if listed.returncode != 0:
        return None
    return {normal(os.fsdecode(name)) for name in listed.stdout.split(b"\n")[:-1]}


def names(found):
    """Without directories that are only on the way to something."""
    return {name for name, (kind, _) in found.items() if kind != "directory" and name}


totals, differences = collections.Counter(), []


def judge(name, suffix, data):
    path = os.path.join(work, "archive" + suffix)
    with open(path, "wb") as out:
        out.write(data)
    totals["archives"] += 1
    found = ours(path)
    if found is None:
        totals["refused"] += 1
        return
    totals["taken"] += 1
    try:
        theirs = pythons_zip(path) if suffix == ".zip" else pythons_tar(path)
    except Exception as error:
        theirs = None
        totals["refused by Python alone"] += 1
    if theirs is not None:
        kept = {name: held for name, held in theirs.items() if held[0] != "directory" and name}
        plain = {name: held for name, held in found.items() if held[0] != "directory"}
        directories = {name for name, held in theirs.items() if held[0] == "directory" and name}
        if kept != plain or not directories <= set(found):
            differences.append(f"{name}: ours {found}, Python's {theirs}")
    if suffix == ".zip" or "\n" in "".join(found):
        return
    listed = gnus(path)
    if listed is None:
        totals["refused by GNU tar alone"] += 1
    elif not names(found) <= listed or not listed - {""} <= set(found):
        differences.append(f"{name}: ours {sorted(found)}, GNU tar's {sorted(listed)}")


for name, data in TARS.items():
    judge("tar: " + name, ".tar", data)
    judge("tar.gz: " + name, ".tar.gz", gzip.compress(data, mtime=0))
for name in ("usual", "long name", "pax name", "pax size", "hard link", "two pax"):
    for mutant, data in mutants(name, TARS[name], 40):
        judge("tar: " + mutant, ".tar", data)
for name, data in ZIPS.items():
    judge("zip: " + name, ".zip", data)
for name in ("usual", "not ascii"):
    for mutant, data in mutants(name, ZIPS[name], 60):
        judge("zip: " + mutant, ".zip", data)
shutil.rmtree(work)
print(", ".join(f"{count} {what}" for what, count in totals.items()))
for difference in differences:
    print("DIFFERS", difference)
sys.exit(1 if differences else 0)
