"""Value many homes from a file: show how it is read, value its rows, compare and download them."""

import time

import streamlit as st

from realtor_model.reading import UnreadableFile
from realtor_ui import service_cache
from realtor_ui.app_settings import app_settings
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import current_texts, model_texts, require_model, show_error
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import CodedMessage, ModelInfo
from realtor_ui.sections import file_matching, file_problems, file_results
from realtor_ui.texts import Texts
from realtor_ui.uploads.opening import SUFFIXES, OpenedFile, TooManyRows, example_file
from realtor_ui.uploads.understanding import Understanding, lacking
from realtor_ui.uploads.upload import Upload, Valuation
from realtor_ui.uploads.valuing import value_homes

# Session state: the user's file with all that was made of it. Widgets forget theirs on other pages.
UPLOAD = "many_upload"
UPLOADER = "many_uploader"
_PREVIEWED = 8


def main() -> None:
    """The page."""
    t = current_texts()
    st.title(t("many.title"))
    st.markdown(t("many.intro"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    upload: Upload | None = st.session_state.get(UPLOAD)
    opened = None if upload is None else _opened(t, info, upload)
    if upload is None or opened is None:
        _ask_for_file(t, info)
        return
    _about(t, upload, opened)
    contract = service_cache.market_contract(info)
    with st.spinner(t("many.reading"), show_time=False):
        understanding = upload.understood(info, contract)
    valuation = upload.valuation(info, understanding)
    _understood(t, upload, opened, understanding, valuation)
    if understanding.homes is None:
        for words in lacking(understanding.reading.matching.sources, info):
            st.warning(t(words), icon=":material/rule:")
        return
    st.subheader(t("many.rows_heading"))
    file_problems.show_problems(t, upload, opened, understanding)
    rows = len(understanding.valid)
    if rows and st.button(
        t("many.start", rows=f"{rows:,}"), type="primary", disabled=valuation.is_finished
    ):
        _value(t, understanding, valuation)
    if valuation.parts:
        file_results.show_results(t, upload, opened, valuation)


def _ask_for_file(t: MarketTexts, info: ModelInfo) -> None:
    st.file_uploader(
        t("many.upload"), type=list(SUFFIXES), key=UPLOADER, on_change=_keep_file,
    )  # fmt: skip
    st.caption(t("many.needed", rows=f"{app_settings().max_upload_rows:,}"))
    st.download_button(
        t("many.example"), example_file(info), "homes.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _keep_file() -> None:
    """Keep the uploaded file, whatever page is shown next."""
    file = st.session_state[UPLOADER]
    if file is not None:
        st.session_state[UPLOAD] = Upload(file.name, file.getvalue())


def _opened(t: Texts, info: ModelInfo, upload: Upload) -> OpenedFile | None:
    """The rows of the file; without them, shows why and forgets the file."""
    most = app_settings().max_upload_rows
    try:
        with st.spinner(t("many.reading"), show_time=False):
            opened = upload.opened(service_cache.market_contract(info), most)
    except UnreadableFile as unreadable:
        problem = unreadable.problem
        coded = CodedMessage(code=problem.code, params=dict(problem.params), message=problem.text)
        words = t("many.unreadable", name=upload.name, why=message_text(t, coded))
        st.error(escape_dollars(words), icon=":material/broken_image:")
    except TooManyRows:
        st.error(t("many.too_many", name=upload.name, most=f"{most:,}"))
    else:
        if len(opened):
            return opened
        st.error(t("many.empty", name=upload.name), icon=":material/broken_image:")
    if upload.sheet is not None:
        # Another sheet can be read.
        upload.sheet = None
        return upload.opened(service_cache.market_contract(info), most)
    del st.session_state[UPLOAD]
    return None


def _about(t: Texts, upload: Upload, opened: OpenedFile) -> None:
    """The file, its sheets, and a button that removes it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        counted = t("many.file", rows=f"{len(opened):,}", columns=opened.table.num_columns)
        st.markdown(f":material/description: **`{upload.name}`** {counted}")
        st.button(t("many.remove"), on_click=_remove_file, icon=":material/close:")
    if len(opened.sheets) > 1:
        key = "many_sheet"
        st.session_state[key] = opened.sheet
        st.selectbox(
            t("many.sheet"), opened.sheets, key=key,
            on_change=lambda: upload.choose_sheet(st.session_state[key]),
        )  # fmt: skip
    with st.expander(t("many.preview", rows=min(_PREVIEWED, len(opened)))):
        st.dataframe(opened.table.slice(0, _PREVIEWED).to_pylist(), hide_index=True)


def _remove_file() -> None:
    st.session_state.pop(UPLOAD, None)


def _understood(
    t: MarketTexts,
    upload: Upload,
    opened: OpenedFile,
    understanding: Understanding,
    valuation: Valuation,
) -> None:
    with st.expander(
        t("many.understood"), expanded=not valuation.parts, icon=":material/fact_check:"
    ):
        file_matching.show_detected(t, opened, understanding)
        file_matching.show_matching(t, upload, opened, understanding)


def _value(t: MarketTexts, understanding: Understanding, valuation: Valuation) -> None:
    """Value the remaining rows with a progress bar; finished rows are kept if the service fails."""
    total = len(understanding.valid)
    bar = st.progress(valuation.done / total)
    began, before, first = time.monotonic(), valuation.seconds, valuation.done
    ask = service_cache.service_client().predict_table
    try:
        for progress in value_homes(understanding, ask, valuation.done):
            valuation.parts.append(progress.estimates)
            valuation.done = progress.done
            passed = time.monotonic() - began
            valuation.seconds = before + passed
            rate = (progress.done - first) / max(passed, 1e-6)
            words = t(
                "many.progress",
                done=f"{progress.done:,}",
                rows=f"{total:,}",
                rate=f"{rate:,.0f}",
            )
            bar.progress(progress.done / total, words)
    except ServiceError as problem:
        show_error(problem)
        st.info(t("many.stopped", done=f"{valuation.done:,}"))
    else:
        # The results come into view, because what was understood is folded up.
        st.rerun()


main()
