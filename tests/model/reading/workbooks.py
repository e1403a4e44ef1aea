"""Workbooks written by hand, as Excel stores them."""

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = "application/vnd.openxmlformats-package.relationships+xml"


@dataclass(frozen=True)
class Dated:
    """A number under the format of a date."""

    serial: float


@dataclass(frozen=True)
class Failed:
    """A cell with an error."""

    error: str


@dataclass(frozen=True)
class Formula:
    """A formula, with the value that is stored for it or without."""

    formula: str
    value: str = ""


Cell = str | float | bool | None | Dated | Failed | Formula
Rows = Sequence[Sequence[Cell]]


def xlsx(
    sheets: Mapping[str, Rows], *, date_1904: bool = False, hidden: frozenset[str] = frozenset()
) -> bytes:
    """A workbook of several sheets; an empty row is left out of its XML."""
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="{KIND}.worksheet+xml"/>'
        for i in range(len(sheets))
    )
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{i + 1}" r:id="s{i}"'
        f"{' state="hidden"' if name in hidden else ''}/>"
        for i, name in enumerate(sheets)
    )
    relations = "".join(
        f'<Relationship Id="s{i}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(len(sheets))
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="{PARTS}"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{KIND}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{KIND}.styles+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">'
        f'<workbookPr date1904="{int(date_1904)}"/><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}'
        f'<Relationship Id="st" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14"/></cellXfs></styleSheet>',
    }
    for i, rows in enumerate(sheets.values()):
        data = "".join(
            f'<row r="{number}">{"".join(_cell(cell, number, j) for j, cell in enumerate(row))}'
            "</row>"
            for number, row in enumerate(rows, 1)
            if row
        )
        files[f"xl/worksheets/sheet{i}.xml"] = (
            f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'
        )
    return zipped(files)


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _cell(cell: Cell, row: int, column: int) -> str:
    place = f'r="{chr(ord("A") + column)}{row}"'
    match cell:
        case None:
            return ""
        case bool():
            return f'<c {place} t="b"><v>{int(cell)}</v></c>'
        case str():
            return f'<c {place} t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
        case Dated(serial):
            return f'<c {place} s="1"><v>{serial}</v></c>'
        case Failed(error):
            return f'<c {place} t="e"><v>{error}</v></c>'
        case Formula(formula, value):
            stored = f"<v>{value}</v>" if value else "<v/>"
            return f"<c {place}><f>{escape(formula)}</f>{stored}</c>"
    return f"<c {place}><v>{cell}</v></c>"


# A sheet of Excel 97 in the calendar of 1904: a title, a blank row, a header and a home. xlwt wrote
# it; it is stored because nothing else here writes this format.
XLS = zlib.decompress(base64.b85decode(
    'c-rk)O=uHA6#n)n%@1vUYAQBD2?e9p_8?xow5y?7FDX?7e-L8QU9hw!Aqk?rSgkn<LQjg9LOpn?ir^0_=*@#r(Ss'
    'lei9LD}6g;$9-@NSBq$)I^h3bCGyqWjr&6_uWZ)f-QLa01@FH*rO3_wBE^rEFsCQ<U*Ob}FWnxbgu9!jQz4F#`<7'
    'P7^KCvC6XVhzQ5S0LlA`hqC%k<uyTFr3X8(RD<eeMm{dhkl|GZj!{0PWGyu=_u1pOz*JfQ>Ob^a+PU6>6WFFSkQ)'
    'h_FB96xZDk4(a-cDw|URnyU~G{Vi#Y$Ce?IZ*q<LuO>D4=F0~bNpamT=GDcqT0o;NQI6>%3B>Dyi%LvnA&*7^X1-'
    '{s)`gzomudiGJ$-gzq-M^80Xc1S-XJi$af_a(`Nr?h<Os(yOGfRl`c^1h99Lk<G3X~U$siHx#dU7n69L?&6AIRm6'
    'bIC$>LQm>crvPa~C(WbA`BcFtqCQ87U_+E><I~ehR7ZfzAwEMva&zhS=QoM;h?Zo@6u%j2?~iT5U6{BeT2Ny@*Qh'
    'JBhg<AodYP?m<#L2+n8rbQY^1{~9GqsID_k3+e)cflYTN6|JE&axbofzMX;Irr<@uq?WO)9aHj8eWE}hzoXBxdyu'
    'XN+Oz+=tMB`el^VA}ap-0{dkYiy?Vk_=#3oHRm+snC#lbd4G^Ylu0iarXSxIGH$Qg;R)AEnCVjY$<GuRt(Rug*ag'
    '=eqSZuBQwI1m}Lb6ayuS~E+|6&fDaBFIB?*=fddB){vU|@r_8s*+Wp&Q-R|Aif1PDYRp&R!KZ_&C(o>|5$^*zyp2'
    'vlz_RnUxB-@s>#y0l<LV;t{dmiIRvmfJ4?_c^llj_H_=7zyPcZ8blzuJtSf4Tqf{*m1Q'
))  # fmt: skip
