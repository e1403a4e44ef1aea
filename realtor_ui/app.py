"""The app. Start it with `streamlit run realtor_ui/app.py`."""

import streamlit as st

from realtor_ui.parts import sidebar

st.set_page_config(page_title="Realtor", page_icon=":material/home:", layout="wide")
page = st.navigation(
    [st.Page("pages/value.py", title="Value a home", icon=":material/sell:", default=True)]
)
sidebar()
page.run()
