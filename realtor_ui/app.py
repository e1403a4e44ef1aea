"""The app. Start it with `streamlit run realtor_ui/app.py`."""

from pathlib import Path

import streamlit as st

from realtor_ui.layout import current_texts, sidebar

# A file of our own: Streamlit's named icons come from the network.
ICON = Path(__file__).with_name("icon.svg")
PAGES = {
    "value": ":material/home:",
    "many": ":material/table_view:",
    "why": ":material/help:",
    "market": ":material/map:",
    "models": ":material/history:",
    "monitoring": ":material/monitoring:",
}

st.set_page_config(page_title="Realtor", page_icon=str(ICON), layout="wide")
t = current_texts()
page = st.navigation(
    [
        st.Page(
            f"views/{name}_page.py",
            title=t(f"{name}.title"),
            icon=icon,
            url_path=name,
            default=name == "value",
        )
        for name, icon in PAGES.items()
    ]
)
sidebar()
page.run()
