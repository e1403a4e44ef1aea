"""The app. Start it with `streamlit run realtor_ui/app.py`."""

from pathlib import Path

import streamlit as st

from realtor_ui.parts import sidebar

# A file of our own: Streamlit's named icons come from the network.
ICON = Path(__file__).with_name("icon.svg")

st.set_page_config(page_title="Realtor", page_icon=str(ICON), layout="wide")
page = st.navigation([st.Page("pages/value.py", title="Value a home", default=True)])
sidebar()
page.run()
