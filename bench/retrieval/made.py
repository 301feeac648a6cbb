"""Files of many kinds, made of texts of this machine."""

import csv
import io
import itertools
import json
import zipfile
import zlib
from xml.sax.saxutils import escape

import texts

MB = 1_000_000
# Megabytes of each kind, of 50.
SHARES = {"py": 10, "rs": 5, "txt": 9, "md": 6, "html": 6, "json": 4, "csv": 4, "pdf": 2, "docx": 2, "pptx": 1, "xlsx": 1}
# Characters of text in a file that is made.
SIZE = 300_000


def mixed(megabytes):
    """Names and bytes of files, so many megabytes of them all."""
    prose = itertools.chain(texts.manual_pages(), texts.of_kind(".md", ".txt", ".rst"), texts.of_kind(".rs"))
    sources = {
        "py": (text.encode() for text in texts.of_kind(".py")),
        "rs": (text.encode() for text in texts.of_kind(".rs")),
        "md": (text.encode() for text in texts.of_kind(".md")),
        "txt": (text.encode() for text in itertools.chain(texts.manual_pages(), texts.of_kind(".txt", ".rst"))),
        "html": itertools.chain((text.encode() for text in texts.of_kind(".html")), map(html, portions(prose))),
        "json": map(records, portions(prose)),
        "csv": map(table, portions(prose)),
        "pdf": map(pdf, portions(prose)),
        "docx": map(docx, portions(prose)),
        "pptx": map(pptx, portions(prose)),
        "xlsx": map(xlsx, portions(prose)),
    }
    whole = sum(SHARES.values())
    for kind, share in SHARES.items():
        left = megabytes * MB * share / whole
        for number, content in enumerate(sources[kind]):
            if left <= 0:
                break
            left -= len(content)
            yield f"{kind}-{number}.{kind}", content


def portions(prose):
    """Lists of lines that are a file's text together."""
    lines, length = [], 0
    for text in prose:
        for line in text.splitlines():
            if line.strip():
                lines.append("".join(c for c in line.strip() if c >= " "))
                length += len(line)
        if length >= SIZE:
            yield lines
            lines, length = [], 0


def html(lines):
    paragraphs = "".join(f"<p>{escape(line)}</p>\n" for line in lines)
    return f"<!doctype html><html><head><title>A page</title></head><body>{paragraphs}</body></html>".encode()


def records(lines):
    return json.dumps([{"number": number, "text": line} for number, line in enumerate(lines)], indent=1).encode()


def table(lines):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["number", "length", "text"])
    writer.writerows([number, len(line), line] for number, line in enumerate(lines))
    return out.getvalue().encode()


def pdf(lines):
    """Pages of 50 lines in Helvetica, compressed."""
    pages = [lines[start : start + 50] for start in range(0, len(lines), 50)]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        shown = b"".join(b"(%s) Tj T*\n" % pdf_string(line) for line in page)
        content = zlib.compress(b"BT /F1 9 Tf 12 TL 40 800 Td\n" + shown + b"ET")
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >> stream\n%s\nendstream" % (len(content), content))
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def pdf_string(line):
    line = line.encode("cp1252", "replace")
    return line.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
FORMATS = "application/vnd.openxmlformats-officedocument"


def package(parts, types, main, links):
    """An Office file: its parts, their types, which is the first, and what that one names."""
    def relationships(entries):
        each = "".join(f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{to}"/>' for name, kind, to in entries)
        return f'<?xml version="1.0"?><Relationships xmlns="{RELATIONSHIPS}">{each}</Relationships>'

    folder, _, name = main.rpartition("/")
    overrides = "".join(f'<Override PartName="/{part}" ContentType="{FORMATS}.{kind}+xml"/>' for part, kind in types.items())
    content_types = (
        '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", content_types)
        archive.writestr("_rels/.rels", relationships([("rId1", "officeDocument", main)]))
        archive.writestr(f"{folder}/_rels/{name}.rels", relationships(links))
        for part, content in parts.items():
            archive.writestr(part, '<?xml version="1.0" encoding="UTF-8"?>' + content)
    return out.getvalue()


def docx(lines):
    name = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    paragraphs = "".join(f'<w:p><w:r><w:t xml:space="preserve">{escape(line)}</w:t></w:r></w:p>' for line in lines)
    document = f'<w:document xmlns:w="{name}"><w:body>{paragraphs}</w:body></w:document>'
    types = {"word/document.xml": "wordprocessingml.document.main"}
    return package({"word/document.xml": document}, types, "word/document.xml", [])


def pptx(lines):
    presentation = "http://schemas.openxmlformats.org/presentationml/2006/main"
    drawing = "http://schemas.openxmlformats.org/drawingml/2006/main"
    spaces = f'xmlns:p="{presentation}" xmlns:a="{drawing}" xmlns:r="{OFFICE}"'
    slides = [lines[start : start + 12] for start in range(0, len(lines), 12)]
    parts, types, links, ids = {}, {"ppt/presentation.xml": "presentationml.presentation.main"}, [], ""
    for number, slide in enumerate(slides, 1):
        shown = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in slide)
        parts[f"ppt/slides/slide{number}.xml"] = (
            f"<p:sld {spaces}><p:cSld><p:spTree><p:sp><p:txBody>{shown}</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
        )
        types[f"ppt/slides/slide{number}.xml"] = "presentationml.slide"
        links.append((f"rId{number}", "slide", f"slides/slide{number}.xml"))
        ids += f'<p:sldId id="{255 + number}" r:id="rId{number}"/>'
    parts["ppt/presentation.xml"] = f"<p:presentation {spaces}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    return package(parts, types, "ppt/presentation.xml", links)


def xlsx(lines):
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = "".join(
        f'<row r="{number}"><c r="A{number}"><v>{number}</v></c>'
        f'<c r="B{number}" t="inlineStr"><is><t>{escape(line)}</t></is></c></row>'
        for number, line in enumerate(lines, 1)
    )
    parts = {
        "xl/workbook.xml": f'<workbook xmlns="{name}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Lines" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{name}"><sheetData>{rows}</sheetData></worksheet>',
    }
    types = {"xl/workbook.xml": "spreadsheetml.sheet.main", "xl/worksheets/sheet1.xml": "spreadsheetml.worksheet"}
    return package(parts, types, "xl/workbook.xml", [("rId1", "worksheet", "worksheets/sheet1.xml")])
