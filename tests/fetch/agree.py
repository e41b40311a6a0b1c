"""Archives that are hostile, damaged or odd: of each that the fetch child takes, the files that it unpacks are
those that GNU tar and Python list, and hold what Python reads. Where one refuses what another takes, that is counted
by its reason, and each such reason is listed here. Prints totals; fails where they differ, and where a reason is
none of those."""

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
    "sparse in each header": pax([(b"GNU.sparse.size", b"2000"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.offset", b"1000"), (b"GNU.sparse.numbytes", b"7")]) + file(b"a") + END,
    "sparse in one header": pax([(b"GNU.sparse.size", b"2000"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.name", b"b"), (b"GNU.sparse.map", b"1000,7")]) + file(b"a") + END,
    "sparse with a wrong count": pax([(b"GNU.sparse.size", b"2000"), (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.map", b"1000,7")]) + file(b"a") + END,
    "sparse with less content": pax([(b"GNU.sparse.size", b"2000"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.map", b"1000,5")]) + file(b"a") + END,
    "sparse beyond its end": pax([(b"GNU.sparse.size", b"1003"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.map", b"1000,7")]) + file(b"a") + END,
    "sparse backwards": pax([(b"GNU.sparse.size", b"2000"), (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.map", b"1000,4,0,3")]) + file(b"a") + END,
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
    "other method in the local header": zipped(two, lambda data: data[:8] + b"\0" + data[9:]),
    "encrypted by the local header": zipped(two, lambda data: data[:6] + b"\1" + data[7:]),
    "other size in the local header": zipped(two, lambda data: data[:22] + b"\2" + data[23:]),
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


class Refused(Exception):
    """With the reason."""


def normal(name):
    parts = [part for part in name.replace("\0", "/\0/").split("/") if part not in ("", ".")]
    return "/".join(parts)


def held_by(directory):
    found = {}
    for above, directories, files in os.walk(os.fsencode(directory)):
        for name in directories + files:
            full = os.path.join(above, name)
            inside = os.fsdecode(os.path.relpath(full, os.fsencode(directory)))
            if os.path.islink(full):
                found[inside] = ("link", os.fsdecode(os.readlink(full)))
            elif os.path.isdir(full):
                found[inside] = ("directory", None)
            else:
                with open(full, "rb") as content:
                    found[inside] = ("file", hashlib.sha256(content.read()).hexdigest())
    return found


def ours(path):
    """What the child unpacks: names, and of each what it holds."""
    sandbox = os.path.join(work, "sandbox")
    shutil.rmtree(sandbox, ignore_errors=True)
    os.mkdir(sandbox)
    uri = dict(value=path, executable=False, extract=True, cache=False, output_file=None)
    order = dict(uris=[uri], sandbox=sandbox, user=None, frameworks_home=None, disk_limit=1 << 26)
    order.update(cached=[None], settings={})
    done = subprocess.run([child], input=json.dumps(order).encode(), capture_output=True, timeout=60)
    if done.returncode != 0:
        raise Refused(json.loads(done.stdout.splitlines()[-1])["failed"].split("cannot unpack it: ", 1)[-1])
    found = held_by(sandbox)
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
            name = member.filename
            # Info-ZIP on Unix writes UTF-8 and does not say so. Python takes that for what DOS had.
            if not member.flag_bits & 0x800 and member.create_system == 3:
                name = name.encode("cp437").decode(errors="surrogateescape")
            name = normal(name)
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
        raise Refused(" / ".join(listed.stderr.decode(errors="replace").splitlines()))
    return {normal(os.fsdecode(name)) for name in listed.stdout.split(b"\n")[:-1]}


def names(found):
    """Without directories that are only on the way to something."""
    return {name for name, (kind, _) in found.items() if kind != "directory" and name}


totals, lonely, differences = collections.Counter(), collections.Counter(), []
# Why one refuses what another takes. What is here is judged; anything else is a difference.
REASONS = {
    "the fetcher": (
        # What would leave the sandbox, or is nothing that a task has a use for.
        'the path contains ".."',
        "the path is absolute",
        "only files, directories and links unpack",
        # Of two entries of one name the one is a directory; or a link leads to nothing; or there is a NUL in a name.
        "a directory of that name is there",
        "Not a directory",
        "No such file or directory",
        "Invalid argument",
        # What readers take for one thing, and others for another.
        "for readers of tar do not agree about it: it has content, and is no file",
        "for readers of tar do not agree about it: its name goes on where only another format lets it",
        "for readers of tar do not agree about it: its name is that of a directory, and it is said to be a file",
        "for readers of tar do not agree about it: two of its headers do not say the same",
        "for readers of tar do not agree about it: it says of all entries what can only be said of one",
        "for readers of zip do not agree about it: its list of entries is longer than it says",
        "for readers of zip do not agree about it: two entries, or one and the list of them, have bytes in common",
        "the list of entries and the header in front of its content differ",
        # Behind the first header that makes no sense others see the end; or they use a part of what is said.
        "numeric field was not a number",
        "archive header checksum mismatch",
        "failed to read entire block",
        "malformed pax extension",
        "entries describing the same member",
        "members found describing a future member but no future member found",
        "a sparse file is packed in another way",
        "the pieces of a sparse file",
        # Others look for the end of a zip's list, and for its entries, elsewhere or less closely.
        "EOCD comment exceeds file boundary",
        "Multi-disk ZIP files are not supported",
        "Unexpected end of zip::format::blocks::ZipLocalEntryBlock",
        "incomplete deflate stream",
    ),
    "Python": (
    ),
    "GNU tar": (
    ),
}


def asked(reader, path):
    """What a reader finds, and why it refuses."""
    try:
        return reader(path), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".removeprefix("Refused: ")


def alone(who, name, why):
    """Counts a refusal of what another takes."""
    known = [reason for reason in REASONS[who] if reason in why]
    if known:
        lonely[who, known[0]] += 1
    else:
        differences.append(f"{name}: {who} alone refuses it, and for no reason that is listed: {why}")


def judge(name, suffix, data):
    path = os.path.join(work, "archive" + suffix)
    with open(path, "wb") as out:
        out.write(data)
    totals["archives"] += 1
    found, why = asked(ours, path)
    theirs, pythons_why = asked(pythons_zip if suffix == ".zip" else pythons_tar, path)
    listed, tars_why = (None, None) if suffix == ".zip" else asked(gnus, path)
    if found is None:
        totals["refused"] += 1
        if theirs is not None or listed is not None:
            alone("the fetcher", name, why)
        return
    totals["taken"] += 1
    if theirs is None:
        alone("Python", name, pythons_why)
    else:
        kept = {name: held for name, held in theirs.items() if held[0] != "directory" and name}
        plain = {name: held for name, held in found.items() if held[0] != "directory"}
        directories = {name for name, held in theirs.items() if held[0] == "directory" and name}
        if kept != plain or not directories <= set(found):
            differences.append(f"{name}: ours {found}, Python's {theirs}")
    if suffix == ".zip":
        return
    if listed is None:
        alone("GNU tar", name, tars_why)
    elif "\n" not in "".join(found) and not (names(found) <= listed and listed - {""} <= set(found)):
        differences.append(f"{name}: ours {sorted(found)}, GNU tar's {sorted(listed)}")


def real(name, suffix, data, packed):
    """One of a real program: what it packed is what comes out."""
    judge(name, suffix, data)
    found, why = asked(ours, os.path.join(work, "archive" + suffix))
    if found != packed:
        missing = {name: held for name, held in packed.items() if (found or {}).get(name) != held}
        differences.append(f"{name}: refused with {why}, or it lacks {missing}")


def packed_by(*command, where):
    return subprocess.run(command, cwd=where, stdout=subprocess.PIPE, check=True).stdout


def of_gnu_tar():
    source = os.path.join(work, "source")
    os.makedirs(os.path.join(source, "ä", "n" * 120, "m" * 120))
    for name in (b"plain", b"no\xfftext\xfe", "ä/ö".encode(), "ä/".encode() + b"n" * 120 + b"/" + b"m" * 120 + b"/\xff"):
        with open(os.path.join(os.fsencode(source), name), "wb") as out:
            out.write(b"content of " + name)
    os.symlink(b"no\xfftext\xfe", os.path.join(os.fsencode(source), b"link\xff"))
    os.link(os.path.join(source, "plain"), os.path.join(source, "hard"))
    # More pieces than one header holds; and none at all.
    for name, pieces in (("sparse", 300), ("hole", 0), ("second", 2)):
        with open(os.path.join(source, name), "wb") as out:
            out.truncate((pieces + 1) << 16)
            for piece in range(pieces):
                out.seek((piece << 16) + 4096)
                out.write(bytes([piece % 255 + 1]) * 4096)
    packed = held_by(source)
    sparse = ["0.0", "0.1", "1.0"]
    for options in (["gnu"], ["posix"], ["gnu", "-S"], *(["posix", "-S", "--sparse-version=" + it] for it in sparse)):
        command = ["tar", "--format=" + options[0], *options[1:], "-cf", "-", "."]
        real(" ".join(command), ".tar", packed_by(*command, where=source), packed)
    shutil.rmtree(source)


def of_zips():
    source = os.path.join(work, "source")
    os.makedirs(os.path.join(source, "d"))
    for name in ("a", "d/b", "ä"):
        with open(os.path.join(source, name), "w") as out:
            out.write("content of " + name * 1000)
    packed = held_by(source)
    # To where it can seek, and where it cannot; with zip64 and without.
    for options in (["-r"], ["-r", "-fd"], ["-r", "-fz"], ["-r", "-0", "-fd"]):
        command = ["zip", "-q", *options, "../made.zip", "."]
        packed_by(*command, where=source)
        with open(os.path.join(work, "made.zip"), "rb") as made:
            real(" ".join(command), ".zip", made.read(), packed)
        os.remove(os.path.join(work, "made.zip"))
    real("zip to a pipe", ".zip", packed_by("sh", "-c", "zip -q -r - . | cat", where=source), packed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        with archive.open("large", "w", force_zip64=True) as entry:
            entry.write(b"content")
    held = {"large": ("file", hashlib.sha256(b"content").hexdigest())}
    real("zip64 of Python", ".zip", out.getvalue(), held)
    shutil.rmtree(source)


of_gnu_tar()
of_zips()
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
for (who, reason), count in sorted(lonely.items()):
    print(f"{count} refused by {who} alone: {reason}")
for difference in differences:
    print("DIFFERS", difference)
sys.exit(1 if differences else 0)
